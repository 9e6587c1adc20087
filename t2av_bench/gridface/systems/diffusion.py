"""The embedded benchmark's diffusion baselines, trained on GridFace: all positions of a clip are denoised together.

- ``embedded-dual-branch`` (t2av): speech and motion by two towers that read each other. The network chooses the length
  from text and speaker beforehand; where that is beyond the bound, the whole sentence is spoken within the bound.
- ``embedded-audio-driven`` (a2v): motion to given speech; it reads no text.
- ``embedded-length-matched-tts`` (v2a): speech of exactly as many frames as the given picture, which it does not see.

Codecs, words, voices and pictures are those of :mod:`.parts`, and everything around the network is
:mod:`t2av_bench.systems.latent.system`: the same as for the reference model.
"""

import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from t2av_bench.gridface.systems.options import checkpoint_files, sampler_changes
from t2av_bench.systems.base import NativeFormat, OnProgress, Progress, Request
from t2av_bench.systems.latent.system import LatentSystem
from t2av_bench.systems.output import EMBEDDED_ENCODER

if TYPE_CHECKING:
    from torch import Tensor

    from baselines.diffusion.items import Item
    from baselines.diffusion.network import DiffusionNetwork
    from reference_model.inference.types import GenerationResult, StopReason
    from reference_model.modules.flow_matching import SamplerSettings
    from t2av_bench.systems.latent.parts import Job, Parts
    from t2av_bench.systems.output import Names


class _EmbeddedDiffusion(LatentSystem):
    """A network of one family with the embedded parts around it. family: also the checkpoint's name before the seed."""

    paper = "this benchmark's baseline, after the non-autoregressive systems that arXiv 2604.23586 compares with"
    seed_support = "full"
    packages = ("PIL", "cv2", "pyworld", "torch")
    extra = "demo"
    encoder = EMBEDDED_ENCODER
    family: ClassVar[str]

    def __init__(
        self, network: "DiffusionNetwork", parts: "Parts", settings: "SamplerSettings | None" = None
    ) -> None:  # fmt: skip
        """settings: of the sampler; default the reference's (10 steps, temperature 0.7, guidance 2).

        Raises ValueError for a network of another family, or that does not fit the parts.
        """
        from reference_model.modules.flow_matching import SamplerSettings

        config = network.config
        if config.family != self.family:
            raise ValueError(f"{self.id} needs a {self.family} network, not {config.family}")
        parts.check_generator(
            speech_dim=config.speech_dim, motion_dim=config.motion_dim, speaker_dim=config.speaker_dim,
            frame_rate=parts.frame_rate,
        )  # fmt: skip
        self.network = network
        self.components = parts if network.reads_text else replace(parts, prompt=_no_text)
        self.settings = settings or SamplerSettings()

    @classmethod
    def load(
        cls, *, device: str = "cpu", checkpoint: str | Path | None = None, temperature: float | None = None,
        classifier_free_guidance: float | None = None, steps: int | None = None,
    ) -> Self:  # fmt: skip
        """checkpoint: a bundled one's name (default: the family's seed 0), or a safetensors file of your own.

        temperature (of the initial noise), classifier_free_guidance (1: none) and steps (of the solver) replace 0.7,
        2.0 and 10. Raises NotApplicable with the command that helps where a file or package is missing or damaged,
        ValueError for an unknown name, an option out of range or a checkpoint of another network.
        """
        from baselines.checkpoints import load_network
        from reference_model.modules.flow_matching import SamplerSettings
        from t2av_bench.gridface.data.tokens import WordTokenizer
        from t2av_bench.gridface.systems.parts import find_checkpoint, load_parts

        settings = SamplerSettings(**sampler_changes(temperature, classifier_free_guidance, steps))
        name, file, digest = find_checkpoint(f"{cls.family}-seed0" if checkpoint is None else checkpoint)
        parts = load_parts(device, {name: digest})
        try:
            network = load_network(file, family=cls.family, device=str(parts.device))
            known = network.config.vocab_size
            if network.reads_text and known < WordTokenizer.vocab_size:
                raise ValueError(f"it knows {known} tokens, GridFace has {WordTokenizer.vocab_size}")
            return cls(network, parts, settings)
        except ValueError as error:
            raise ValueError(f"{cls.id} cannot use the checkpoint {name}: {error}") from error

    @classmethod
    def checkpoint_files(cls, **options: Any) -> list[Path]:
        return checkpoint_files(options.get("checkpoint") or f"{cls.family}-seed0")

    def _read(self, request: Request, names: "Names", folder: Path) -> "Job":
        from t2av_bench.systems.latent.parts import new_job, read_sources

        size = self.network.config.patch_size
        job = new_job(request, self.components, names, folder, size)
        read_sources(job, self.components, size)
        return job

    def _sample(self, jobs: "list[Job]", report: OnProgress) -> "list[GenerationResult]":
        from baselines.diffusion.sampling import sample
        from reference_model.inference.types import GenerationResult

        if not jobs:
            return []

        started, size = time.monotonic(), self.network.config.patch_size
        for job in jobs:
            report(Progress(job.request.id, "generating", 0, 1, "clips"))
        items, reasons = zip(*map(self._item, jobs), strict=True)
        drawn = sample(self.network, items, self.settings)
        elapsed = time.monotonic() - started
        results = []
        for index, (job, latents, reason) in enumerate(zip(jobs, drawn, reasons, strict=True)):
            speech = job.item.speech if latents.speech is None else latents.speech
            motion = job.item.motion if latents.motion is None else latents.motion
            assert speech is not None, "drawn, or given to be moved to"
            job.seconds_taken["sampling"] = elapsed
            seconds = len(speech) / self.components.frame_rate
            report(Progress(job.request.id, "generating", 1, 1, "clips", seconds, elapsed))
            results.append(GenerationResult(index, speech, motion, 0, 0, -(-len(speech) // size), reason))
        return results

    def _item(self, job: "Job") -> "tuple[Item, StopReason]":
        """What the network is asked for, and why the clip will end: with what is given."""
        from baselines.diffusion.items import Item

        given = job.item
        frames = None if given.motion is None else len(given.motion)
        item = Item(given.text_ids, given.speaker_embedding, given.first_motion, given.speech, frames, job.request.seed)
        return item, "given"

    def _settings(self) -> dict[str, Any]:
        return {"sampler": asdict(self.settings), "dtype": "float32"}


class EmbeddedDualBranch(_EmbeddedDiffusion):
    """Two diffusion transformers, of speech and of motion, joined by cross-attention in every block."""

    id = "embedded-dual-branch"
    title = "Dual branch (embedded)"
    family = "dual_branch"
    needs = {"t2av": ("text", "identity", "voice")}
    native = NativeFormat(25, 128, 128, 16_000, "predicted from the text beforehand, at most 12 s")

    def _item(self, job: "Job") -> "tuple[Item, StopReason]":
        from baselines.diffusion.sampling import predict_frames

        item, rate = super()._item(job)[0], self.components.frame_rate
        most = job.item.max_patches * self.network.config.patch_size
        try:
            # Asked for each item alone: rounding, which differs with the batch, must not move a length by a patch.
            (wanted,) = predict_frames(self.network, [item])
        except ValueError:  # beyond what the baseline accepts
            wanted = None
        if wanted is not None and wanted <= most:
            return replace(item, frames=wanted), "predictor"
        length = "more than any bound" if wanted is None else f"{wanted / rate:g} s"
        job.notes.append(f"the network asked for {length} and got {most / rate:g} s")
        return replace(item, frames=most), "limit"


class EmbeddedAudioDriven(_EmbeddedDiffusion):
    """A diffusion transformer that draws the motion of given speech."""

    id = "embedded-audio-driven"
    title = "Audio driven (embedded)"
    family = "audio_driven"
    needs = {"a2v": ("identity", "driving_audio")}
    native = NativeFormat(25, 128, 128, 16_000, "that of the driving audio, at most 12 s")


class EmbeddedLengthMatchedTTS(_EmbeddedDiffusion):
    """A diffusion transformer that draws speech of a given length."""

    id = "embedded-length-matched-tts"
    title = "Length-matched text to speech (embedded)"
    family = "length_matched_tts"
    needs = {"v2a": ("text", "voice", "driving_video")}
    native = NativeFormat(25, 128, 128, 16_000, "that of the driving video, at most 12 s")


def _no_text(text: str) -> "Tensor":
    import torch

    return torch.zeros(0, dtype=torch.long)
