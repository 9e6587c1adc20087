"""A task that can be learnt anywhere: made-up "speech" and "motion" that the text decides.

A text fills the first places of a fixed grammar, one word a place; every place has words of its own (a token id
is place times words plus word). Every word has a code and lasts one or two patches. The speech of a text is each
word's code in turn, swelling and fading, plus an offset that the speaker embedding decides. Motion follows the
speech through a fixed matrix, from a resting pose that the clip's first frame shows. A model that hears which word
it is saying, looks up the next one in the text and minds its conditions can predict everything but the noise, and
knows where to stop.
"""

import hashlib

import numpy as np
import torch

from ..config import ConfigError
from .samples import Sample, SampleShape

WORDS = 4
SPEAKER_FACTORS = 4
NOISE = 0.05
WORLD_SEED = 20260426
"""Codes, durations and matrices are the same for every seed: the seed picks texts and speakers only."""


class SyntheticSource:
    """``count`` samples of texts of ``shortest`` to ``longest`` words; a :class:`.SampleSource`.

    Sample i depends on (``seed``, i) alone. ``motion=False`` leaves motion out.
    """

    def __init__(
        self,
        count: int,
        seed: int,
        shape: SampleShape,
        *,
        patch_size: int = 4,
        shortest: int = 3,
        longest: int = 8,
        motion: bool = True,
    ):
        self._words = min(WORDS, shape.vocab_size // longest)
        if self._words < 2:
            raise ConfigError(
                f"the synthetic task needs two words for each of {longest} places, the model knows "
                f"{shape.vocab_size} tokens; shorten data.synthetic.longest or use a larger vocabulary"
            )
        tokens = self._words * longest
        self.seed, self.shape, self.patch_size, self.motion = seed, shape, patch_size, motion
        self.shortest, self.longest = shortest, longest
        world = np.random.default_rng(WORLD_SEED)
        self._frames = world.integers(1, 3, tokens) * patch_size
        self._codes = world.standard_normal((tokens, shape.speech_dim))
        self._to_motion = world.standard_normal((shape.speech_dim, shape.motion_dim)) / shape.speech_dim**0.5
        self._voices = world.standard_normal((SPEAKER_FACTORS, shape.speaker_dim))
        self._offsets = world.standard_normal((SPEAKER_FACTORS, shape.speech_dim)) * 0.5 / SPEAKER_FACTORS**0.5
        frames = [int(self._frames[self._text(index)].sum()) for index in range(count)]
        self.lengths = np.array(
            [(len(self._text(index)), 0, length, length if motion else 0) for index, length in enumerate(frames)],
            dtype=np.int64,
        ).reshape(-1, 4)
        settings = f"{count} {seed} {shape} {patch_size} {shortest} {longest} {motion} {WORLD_SEED}"
        self.fingerprint = hashlib.sha256(settings.encode()).hexdigest()

    def describe(self, index: int) -> str:
        return f"the synthetic task (seed {self.seed}), sample {index}"

    def __getitem__(self, index: int) -> Sample:
        text = self._text(index)
        draw = self._generator(index, 1)
        swell = [np.sin(np.pi * (np.arange(frames) + 0.5) / frames) for frames in self._frames[text]]
        loudness = 0.5 + np.concatenate(swell)
        voice = draw.standard_normal(SPEAKER_FACTORS)
        spoken = self._codes[np.repeat(text, self._frames[text])] * loudness[:, None]
        speech = spoken + voice @ self._offsets
        pose = draw.standard_normal(self.shape.motion_dim) * 0.5
        motion = spoken @ self._to_motion + pose
        speech = speech + NOISE * draw.standard_normal(speech.shape)
        motion = motion + NOISE * draw.standard_normal(motion.shape)
        embedding = voice @ self._voices / np.linalg.norm(voice @ self._voices)
        return Sample(
            torch.from_numpy(text.copy()),
            torch.from_numpy(speech).float(),
            torch.from_numpy(embedding).float(),
            torch.from_numpy(motion).float() if self.motion else None,
        )

    def _text(self, index: int) -> np.ndarray:
        draw = self._generator(index, 0)
        places = np.arange(draw.integers(self.shortest, self.longest + 1))
        return places * self._words + draw.integers(0, self._words, len(places))

    def _generator(self, index: int, part: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, index, part])
