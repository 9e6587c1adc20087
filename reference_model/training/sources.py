"""The sources of samples that a configuration names."""

from dataclasses import dataclass

import numpy as np

from ..arrangement import Arrangement
from ..config import ConfigError, ModelConfig
from .config import TrainingConfig
from .samples import MOTION, SPEECH, SUFFIX, TEXT, SampleError, SampleShape, SampleSource, check_lengths
from .shards import ShardSource, folder_dims
from .synthetic import SyntheticSource


@dataclass
class Sources:
    """``t2av`` and ``tts`` to train on, ``validation`` held out; None where a run has none.

    Samples of ``tts`` are trained without their motion. Validation takes every sample as it is: with motion as
    T2AV, without as TTS.
    """

    t2av: SampleSource | None = None
    tts: SampleSource | None = None
    validation: SampleSource | None = None

    def fingerprints(self) -> dict[str, str]:
        return {name: source.fingerprint for name, source in vars(self).items() if source is not None}


def sample_shape(model: ModelConfig) -> SampleShape:
    return SampleShape(model.speech_dim, model.motion_dim, model.speaker_dim, model.backbone.vocab_size)


def open_sources(config: TrainingConfig) -> Sources:
    """Open what ``config.data`` names. Raises :class:`.SampleError` for files, :class:`.ConfigError` for settings."""
    data, shape = config.data, sample_shape(config.model)
    if data.kind == "given":
        raise ConfigError(
            "data.kind is 'given': such a run is started from Python, with train(config, sources=...); "
            'for files set data.kind = "shards"'
        )
    if data.kind == "synthetic":
        size = {
            "patch_size": config.model.patch_size,
            "shortest": data.synthetic.shortest,
            "longest": data.synthetic.longest,
        }
        return Sources(
            SyntheticSource(data.synthetic.samples, 0, shape, **size),
            SyntheticSource(data.synthetic.samples, 1, shape, motion=False, **size),
            SyntheticSource(data.synthetic.validation_samples, 2, shape, **size),
        )
    for folder in (*data.t2av, *data.tts, *data.validation):
        for name, found in folder_dims(folder).items():
            if found != getattr(config.model, name):
                raise SampleError(
                    f"{folder} holds latents with {name} {found}, the model has "
                    f"{getattr(config.model, name)}; set model.{name} = {found} or use other latents"
                )
    return Sources(
        ShardSource(*data.t2av, with_motion=True, verify=data.verify) if data.t2av else None,
        ShardSource(*(data.tts or data.t2av), verify=data.verify) if data.tts or data.t2av else None,
        ShardSource(*data.validation, verify=data.verify) if data.validation else None,
    )


def check_sources(sources: Sources, config: TrainingConfig) -> None:
    """Refuse, before training, what would fail in the middle of it. Raises :class:`.SampleError`."""
    for name, count in (("t2av", config.batch.t2av), ("tts", config.batch.tts), ("validation", 0)):
        source = getattr(sources, name)
        if source is None:
            if count:
                raise SampleError(f"each batch holds {count} {name} samples, but there is no {name} source")
            continue
        check_lengths(source, f"data.{name}", config.data.max_tokens)
        if name == "t2av" and not (source.lengths[:, MOTION] > 0).all():
            index = int(np.argmax(source.lengths[:, MOTION] == 0))
            raise SampleError(f"{source.describe(index)} has no motion, so it cannot be a T2AV sample; give it to tts")


@dataclass
class TrainedLengths:
    """How long a source's samples are in training; nothing is kept for each sample.

    ``motion=False``: they are trained without their motion. Longer ones are cut to ``config.data.window_seconds``.
    """

    source: SampleSource
    config: TrainingConfig
    motion: bool = True

    def __len__(self) -> int:
        return len(self.source.lengths)

    def __getitem__(self, index: int | slice | np.ndarray) -> np.ndarray:
        """Tokens of the samples at ``index``: what batches are sorted by."""
        return sequence_lengths(self.rows(index), self.config.model)

    def rows(self, index: int | slice | np.ndarray) -> np.ndarray:
        """(..., 4) int64, columns as in :mod:`.samples`."""
        rows = np.array(self.source.lengths[index], np.int64)
        if frames := self.config.window_frames:
            rows[..., SPEECH:] = np.minimum(rows[..., SPEECH:], frames)
        if not self.motion:
            rows[..., MOTION] = 0
        return rows


def sequence_lengths(lengths: np.ndarray, model: ModelConfig) -> np.ndarray:
    """Tokens of each sample of ``lengths (..., 4)``."""
    arrangement = Arrangement.parse(model.arrangement)
    patches = -(-lengths[..., [SPEECH, MOTION]] // model.patch_size)
    motion = np.where(patches[..., 1] > 0, patches[..., 1] + arrangement.delay, 0)
    return lengths[..., TEXT] + lengths[..., SUFFIX] + np.maximum(patches[..., 0], motion) * arrangement.tokens_per_slot
