"""The training data: GridFace's clips as latents, in shards that ``reference_model.training`` reads.

Motion comes from the renderer's own parameters, not from the encoder: as exact as a corpus with known poses. The
speaker embedding comes from another sentence in the same voice, so that it cannot carry the words.
"""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from reference_model.training.samples import Sample
from reference_model.training.shards import INDEX
from t2av_bench.gridface.data import corpus
from t2av_bench.gridface.data.tokens import WordTokenizer
from t2av_bench.gridface.models import checkpoints, motion_statistics, world
from t2av_bench.gridface.models.voice_encoder import VoiceEncoder
from t2av_bench.gridface.models.world_codec import CHECKPOINT, LATENT_DIM, WorldCodec
from t2av_bench.gridface.speech.synthesizer import Synthesizer
from t2av_bench.gridface.training.extractors import DATA_VERSION, write
from t2av_bench.preparation.sharding import EncodingTask, make_shards
from t2av_bench.utils.machine import cores

FITTED_ON = 600
"""Clips that the codec's components are fitted on: the first of the training split."""


def build_latents(
    folder: Path, split: str, count: int | None = None, workers: int | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Path:  # fmt: skip
    """Write a split's latents to ``folder/SPLIT``, or continue, unless they are there; returns that folder.

    The result does not depend on ``workers``. Raises ValueError for an unknown split.
    """
    clips = [EncodingTask(clip.id, clip, asdict(clip)) for clip in corpus.utterances(split, count)]
    target = folder / split
    if not (target / INDEX).is_file():
        settings = {"data": DATA_VERSION, "audio_codec": checkpoints.digest(CHECKPOINT)}
        made = make_shards(
            clips, UtteranceEncoder, (), target, settings, workers=workers or cores(),
            on_step=lambda step: on_progress(step.done, step.total),
        )  # fmt: skip
        if made.left_out:
            raise ValueError(f"{made.left_out[0][0]} cannot be made: {made.left_out[0][1]}")
    return target


class UtteranceEncoder:
    """Says and encodes clips of the corpus: with one synthesiser, and every voice sample heard once."""

    dims = {"speech_dim": LATENT_DIM, "motion_dim": motion_statistics.MEAN.size, "speaker_dim": 2 * LATENT_DIM}

    def __init__(self) -> None:
        self._synthesizer, self._codec = Synthesizer(), WorldCodec.load()
        self._voices = VoiceEncoder(self._codec)
        self._voice = cache(self._heard)

    def __call__(self, clip: corpus.Utterance, alive: Callable[[], None]) -> Sample:
        recording = corpus.record(clip, self._synthesizer)
        return Sample(
            text_ids=WordTokenizer().encode(clip.text),
            speech=torch.from_numpy(self._codec.latents_of(world.analyse(recording.audio))),
            speaker_embedding=self._voice(corpus.voice_sample(clip)),
            motion=torch.from_numpy(motion_statistics.normalize(recording.motion)),
        )

    def _heard(self, voice: corpus.Utterance) -> Tensor:
        return self._voices.embed(corpus.record(voice, self._synthesizer).audio)


def fit_codec(output: Path, workers: int | None = None, quiet: bool = False) -> Path:
    """The audio codec's components, from the first clips of the training split; returns the file below ``output``."""
    return write(vars(WorldCodec.fit(features("train", FITTED_ON, workers))), CHECKPOINT, output)


def features(split: str, count: int, workers: int | None = None) -> np.ndarray:
    """(N, 216) vocoder features of the first ``count`` clips: what the codec is fitted on."""
    with ProcessPoolExecutor(workers or cores()) as pool:
        return np.concatenate(list(pool.map(_features, corpus.utterances(split, count), chunksize=8)))


def _features(clip: corpus.Utterance) -> np.ndarray:
    return world.analyse(corpus.record(clip, _synthesizer()).audio)


@cache
def _synthesizer() -> Synthesizer:
    """One espeak-ng process for each worker."""
    return Synthesizer()
