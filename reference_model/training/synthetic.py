"""A task that can be learnt anywhere: made-up "speech" and "motion" that the text decides.

Every token of a small alphabet has a code, a duration of one or two patches and a place in the vocabulary. The
speech of a text is each token's code in turn, swelling and fading over the token's duration, plus an offset that
the speaker embedding decides. Motion follows the speech through a fixed matrix, from a resting pose that the clip's
first frame shows. A model that reads the text, keeps count of the durations and looks at its conditions can
predict everything but the noise.
"""

import hashlib

import numpy as np
import torch

from .samples import Sample, SampleShape

ALPHABET = 16
SPEAKER_FACTORS = 4
NOISE = 0.05
WORLD_SEED = 20260426
"""Codes, durations and matrices are the same for every seed: the seed picks texts and speakers only."""


class SyntheticSource:
    """``count`` samples of texts of ``shortest`` to ``longest`` tokens; a :class:`.SampleSource`.

    Sample i depends on (``seed``, i) alone. ``motion=False`` leaves motion out.
    """

    def __init__(self, count: int, seed: int, shape: SampleShape, *, patch_size: int = 4, shortest: int = 3,
                 longest: int = 8, motion: bool = True):
        alphabet = min(ALPHABET, shape.vocab_size)
        self.seed, self.shape, self.patch_size, self.motion = seed, shape, patch_size, motion
        self.shortest, self.longest = shortest, longest
        world = np.random.default_rng(WORLD_SEED)
        self._frames = world.integers(1, 3, alphabet) * patch_size
        self._codes = world.standard_normal((alphabet, shape.speech_dim))
        self._to_motion = world.standard_normal((shape.speech_dim, shape.motion_dim)) / shape.speech_dim**0.5
        self._voices = world.standard_normal((SPEAKER_FACTORS, shape.speaker_dim))
        self._offsets = world.standard_normal((SPEAKER_FACTORS, shape.speech_dim)) * 0.5 / SPEAKER_FACTORS**0.5
        frames = [int(self._frames[self._text(index, alphabet)].sum()) for index in range(count)]
        self.lengths = np.array([(len(self._text(index, alphabet)), 0, length, length if motion else 0)
                                 for index, length in enumerate(frames)], dtype=np.int64).reshape(-1, 4)
        settings = f"{count} {seed} {shape} {patch_size} {shortest} {longest} {motion} {WORLD_SEED}"
        self.fingerprint = hashlib.sha256(settings.encode()).hexdigest()

    def describe(self, index: int) -> str:
        return f"the synthetic task (seed {self.seed}), sample {index}"

    def __getitem__(self, index: int) -> Sample:
        text = self._text(index, len(self._frames))
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
        return Sample(torch.from_numpy(text.copy()), torch.from_numpy(speech).float(),
                      torch.from_numpy(embedding).float(),
                      torch.from_numpy(motion).float() if self.motion else None)

    def _text(self, index: int, alphabet: int) -> np.ndarray:
        draw = self._generator(index, 0)
        return draw.integers(0, alphabet, draw.integers(self.shortest, self.longest + 1))

    def _generator(self, index: int, part: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, index, part])
