"""The embedded benchmark's diffusion baselines, trained on GridFace: all positions of a clip are denoised together.

- ``embedded-dual-branch`` (t2av): speech and motion by two towers that read each other. The network chooses the length
  from text and speaker beforehand; where that is beyond the bound, the whole sentence is spoken within the bound.
- ``embedded-audio-driven`` (a2v): motion to given speech; it reads no text.
- ``embedded-length-matched-tts`` (v2a): speech of exactly as many frames as the given picture, which it does not see.

Codecs, words, voices and pictures are those of :mod:`.parts`, and everything around the network is
:mod:`t2av_bench.systems.latent.system`: the same as for the reference model.
"""

import time
from abc import abstractmethod
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from t2av_bench.systems.base import NativeFormat, OnProgress, Progress, Request
from t2av_bench.systems.latent.system import LatentSystem
from t2av_bench.systems.output import EMBEDDED_ENCODER

if TYPE_CHECKING:
    from torch import Tensor

    from baselines.diffusion.network import DiffusionNetwork
    from baselines.diffusion.sampling import Generated
    from baselines.dual_branch import Item as DualBranchItem
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
        self.network: Any = network
        self.components = parts
        self.settings = settings or SamplerSettings()

    @classmethod
    def load(
        cls, *, device: str = "cpu", checkpoint: str | Path | None = None, temperature: float | None = None,
        classifier_free_guidance: float | None = None, steps: int | None = None,
    ) -> Self:  # fmt: skip
        """checkpoint: a name in the box (default: the family's seed 0), or a safetensors file of your own.

        temperature (of the initial noise), classifier_free_guidance (1: none) and steps (of the solver) replace 0.7,
        2.0 and 10. Raises NotApplicable with the command that helps where a file or package is missing or damaged,
        ValueError for an unknown name, an option out of range or a checkpoint of another network.
        """
        from t2av_bench.utils.optional import require

        require("torch", "demo")
        from baselines.checkpoints import load_network
        from t2av_bench.gridface.data.tokens import WordTokenizer
        from t2av_bench.gridface.systems.parts import find_checkpoint, load_parts

        settings = _settings(temperature, classifier_free_guidance, steps)
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
        from t2av_bench.gridface.systems.files import checkpoint_files

        return checkpoint_files(options.get("checkpoint") or f"{cls.family}-seed0")

    @abstractmethod
    def _draw(self, jobs: "list[Job]") -> "list[tuple[Generated, StopReason]]":
        """Latents of all jobs, and why each ended."""

    def _read(self, request: Request, names: "Names", folder: Path) -> "Job":
        from t2av_bench.systems.latent.parts import new_job, read_sources

        size = self.network.config.patch_size
        job = new_job(request, self.components, names, folder, size)
        read_sources(job, self.components, size)
        return job

    def _sample(self, jobs: "list[Job]", report: OnProgress) -> "list[GenerationResult]":
        from reference_model.inference.types import GenerationResult

        if not jobs:
            return []
        started, size = time.monotonic(), self.network.config.patch_size
        for job in jobs:
            report(Progress(job.request.id, "generating", 0, 1, "clips"))
        drawn = self._draw(jobs)
        elapsed = time.monotonic() - started
        results = []
        for index, (job, (latents, why)) in enumerate(zip(jobs, drawn, strict=True)):
            speech = _present(job.item.speech if latents.speech is None else latents.speech)
            motion = job.item.motion if latents.motion is None else latents.motion
            job.seconds_taken["sampling"] = elapsed
            seconds = len(speech) / self.components.frame_rate
            report(Progress(job.request.id, "generating", 1, 1, "clips", seconds, elapsed))
            results.append(GenerationResult(index, speech, motion, 0, 0, -(-len(speech) // size), why))
        return results

    def _settings(self) -> dict[str, Any]:
        return {"sampler": asdict(self.settings), "dtype": "float32"}


class EmbeddedDualBranch(_EmbeddedDiffusion):
    """Two diffusion transformers, of speech and of motion, joined by cross-attention in every block."""

    id = "embedded-dual-branch"
    title = "Dual branch (embedded)"
    family = "dual_branch"
    needs = {"t2av": ("text", "identity", "voice")}
    native = NativeFormat(25, 128, 128, 16_000, "predicted from the text beforehand, at most 12 s")

    def _draw(self, jobs: "list[Job]") -> "list[tuple[Generated, StopReason]]":
        from baselines.dual_branch import Item, sample

        rate = self.components.frame_rate
        items: list[Item] = []
        reasons: list[StopReason] = []
        for job in jobs:
            given = job.item
            item = Item(
                given.text_ids, _present(given.speaker_embedding), _present(given.first_motion), seed=given.seed
            )  # fmt: skip
            wanted, most = self._wanted(item), given.max_patches * self.network.config.patch_size
            if wanted is None or wanted > most:
                length = "more than any bound" if wanted is None else f"{wanted / rate:g} s"
                job.notes.append(f"the network asked for {length} and got {most / rate:g} s")
            item.frames = most if wanted is None else min(wanted, most)
            items.append(item)
            reasons.append("predictor" if item.frames == wanted else "limit")
        return list(zip(sample(self.network, items, self.settings), reasons, strict=True))

    def _wanted(self, item: "DualBranchItem") -> int | None:
        """The length that the network chooses, in frames; None where it is beyond what the baseline accepts.

        Asked for each item alone: rounding, which differs with the batch, must not move a length by a patch.
        """
        from baselines.dual_branch import predict_frames

        try:
            return predict_frames(self.network, [item])[0]
        except ValueError:
            return None


class EmbeddedAudioDriven(_EmbeddedDiffusion):
    """A diffusion transformer that draws the motion of given speech."""

    id = "embedded-audio-driven"
    title = "Audio driven (embedded)"
    family = "audio_driven"
    needs = {"a2v": ("identity", "driving_audio")}
    native = NativeFormat(25, 128, 128, 16_000, "that of the driving audio, at most 12 s")

    def __init__(
        self, network: "DiffusionNetwork", parts: "Parts", settings: "SamplerSettings | None" = None
    ) -> None:  # fmt: skip
        super().__init__(network, replace(parts, prompt=_no_text), settings)

    def _draw(self, jobs: "list[Job]") -> "list[tuple[Generated, StopReason]]":
        from baselines.audio_driven import Item, sample

        items = [Item(_present(job.item.speech), _present(job.item.first_motion), job.item.seed) for job in jobs]
        return [(latents, "given") for latents in sample(self.network, items, self.settings)]


class EmbeddedLengthMatchedTTS(_EmbeddedDiffusion):
    """A diffusion transformer that draws speech of a given length."""

    id = "embedded-length-matched-tts"
    title = "Length-matched text to speech (embedded)"
    family = "length_matched_tts"
    needs = {"v2a": ("text", "voice", "driving_video")}
    native = NativeFormat(25, 128, 128, 16_000, "that of the driving video, at most 12 s")

    def _draw(self, jobs: "list[Job]") -> "list[tuple[Generated, StopReason]]":
        from baselines.length_matched_tts import Item, sample

        items = [
            Item(job.item.text_ids, _present(job.item.speaker_embedding), len(_present(job.item.motion)), job.item.seed)
            for job in jobs
        ]
        return [(latents, "given") for latents in sample(self.network, items, self.settings)]


def _settings(temperature: float | None, guidance: float | None, steps: int | None) -> "SamplerSettings":
    from reference_model.modules.flow_matching import SamplerSettings

    given = {"temperature": temperature, "guidance": guidance, "steps": steps}
    for name, value in given.items():
        if value is not None and not 0 < value < float("inf"):
            raise ValueError(f"{name} is a positive number, got {value}")
    return SamplerSettings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]


def _present(latents: "Tensor | None") -> "Tensor":
    """What ``System.check`` made sure of: the task's inputs were given, so they were read."""
    assert latents is not None
    return latents


def _no_text(text: str) -> Any:
    import torch

    return torch.zeros(0, dtype=torch.long)
