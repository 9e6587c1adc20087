"""The training data: GridFace's clips as latents, in shards that ``reference_model.training`` reads.

Motion comes from the renderer's own parameters, not from the encoder: as exact as a corpus with known poses. The
speaker embedding comes from another sentence in the same voice, so that it cannot carry the words.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reference_model.training.samples import Sample
from reference_model.training.shards import INDEX, ShardWriter
from t2av_bench.gridface.data import corpus
from t2av_bench.gridface.data.tokens import WordTokenizer
from t2av_bench.gridface.models import motion_statistics, world
from t2av_bench.gridface.models.voice_encoder import VoiceEncoder
from t2av_bench.gridface.models.world_codec import CHECKPOINT, LATENT_DIM, WorldCodec
from t2av_bench.gridface.speech.synthesizer import Synthesizer
from t2av_bench.gridface.training.extractors import write

FITTED_ON = 600
"""Clips that the codec's components are fitted on: the first of the training split."""


def build_latents(
    folder: Path, split: str, count: int | None = None, workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Path:  # fmt: skip
    """Write a split's latents to ``folder/SPLIT``, unless they are there; returns that folder.

    The result does not depend on ``workers``. Raises ValueError for an unknown split.
    """
    clips = corpus.utterances(split, count)
    target = folder / split
    if (target / INDEX).is_file():
        return target
    for unfinished in target.glob("*.safetensors"):
        unfinished.unlink()
    with ShardWriter(
        target, speech_dim=LATENT_DIM, motion_dim=motion_statistics.MEAN.size, speaker_dim=2 * LATENT_DIM
    ) as writer:
        for done, (clip, sample) in enumerate(zip(clips, _mapped(_sample, clips, workers), strict=True), start=1):
            writer.add(clip.id, sample)
            if on_progress:
                on_progress(done, len(clips))
    return target


def features(split: str, count: int, workers: int | None = None) -> np.ndarray:
    """(N, 216) vocoder features of the first ``count`` clips: what the codec is fitted on."""
    return np.concatenate(list(_mapped(_features, corpus.utterances(split, count), workers)))


def fit_codec(output: Path, workers: int | None = None, quiet: bool = False) -> Path:
    """The audio codec's components, from the first clips of the training split; returns the file below ``output``."""
    return write(vars(WorldCodec.fit(features("train", FITTED_ON, workers))), CHECKPOINT, output)


def _mapped(
    function: Callable[[corpus.Utterance], Any], clips: list[corpus.Utterance], workers: int | None
) -> Iterator[Any]:
    with ProcessPoolExecutor(workers or os.cpu_count()) as pool:
        yield from pool.map(function, clips, chunksize=8)


def _features(clip: corpus.Utterance) -> np.ndarray:
    return world.analyse(corpus.record(clip, _synthesizer()).audio)


def _sample(clip: corpus.Utterance) -> Sample:
    codec = _codec()
    recording = corpus.record(clip, _synthesizer())
    return Sample(
        text_ids=WordTokenizer().encode(clip.text),
        speech=torch.from_numpy(codec.latents_of(world.analyse(recording.audio))),
        speaker_embedding=_voice(corpus.voice_sample(clip)),
        motion=torch.from_numpy(motion_statistics.normalize(recording.motion)),
    )


@cache
def _codec() -> WorldCodec:
    """Read once for each worker."""
    return WorldCodec.load()


@cache
def _voice(clip: corpus.Utterance) -> Tensor:
    """Few voice samples serve many clips."""
    return VoiceEncoder(_codec()).embed(corpus.record(clip, _synthesizer()).audio)


@cache
def _synthesizer() -> Synthesizer:
    """One espeak-ng process for each worker."""
    return Synthesizer()
