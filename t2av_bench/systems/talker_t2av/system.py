"""Talker-T2AV (arXiv 2604.23586), the reference implementation of this repository, as a system.

- Identity is the portrait's first motion code and its picture; the voice is a speaker embedding. With
  ``prefix_seconds`` the reference's first patches are continued instead, as the release does by default; that prefix
  is not part of the clip. It needs an identity video and a voice that are one recording (same time line).
- ``a2v``: the clip carries the driving audio itself. ``v2a``: it carries the driving video itself, cut to the
  portrait's square; only the sound is new.
- Audio is 24 kHz mono, 960 samples a frame at 25 frames a second; sound and picture end together.

What differs from the released script, task by task, stands in ``docs/reference_model.md``.
"""

import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Self

from t2av_bench.errors import Lack
from t2av_bench.systems.base import NativeFormat, OnProgress, Progress, Request
from t2av_bench.systems.latent.system import LatentSystem

if TYPE_CHECKING:
    from reference_model.inference.types import GeneratedPatch, GenerationResult
    from t2av_bench.systems.latent.parts import Job
    from t2av_bench.systems.output import Names
    from t2av_bench.systems.talker_t2av.inputs import Components

RECIPES = ("paper", "release", "release_script")


def check_recipe(name: str) -> None:
    """ValueError for a recipe that does not exist, before anything is loaded."""
    if name not in RECIPES:
        raise ValueError(f"unknown recipe {name!r}; there are {', '.join(RECIPES)}")


class TalkerSystem(LatentSystem):
    """The reference model with any parts: joint audio-video generation by an autoregressive plan and two heads."""

    paper = "Talker-T2AV (arXiv 2604.23586)"
    needs = {
        "t2av": ("text", "identity", "voice"),
        "a2v": ("text", "identity", "driving_audio"),
        "v2a": ("text", "voice", "driving_video"),
        "tts": ("text", "voice"),
    }
    seed_support = "full"
    components: "Components"

    def __init__(
        self, components: "Components", *, recipe: str = "paper", prefix_seconds: float = 0.0, long: bool = False
    ) -> None:
        """recipe: ``paper``, ``release`` or ``release_script``, see ``reference_model.inference.recipes``.

        prefix_seconds: reference to continue. long: speak texts in passages of whole sentences, joined into one clip.
        """
        from reference_model.inference.recipes import RECIPES as SETTINGS

        check_recipe(recipe)
        if not 0 <= prefix_seconds <= 30:
            raise ValueError(f"prefix_seconds is from 0 to 30, got {prefix_seconds}")
        self.components = components
        self.recipe_name, self.long = recipe, long
        self.recipe = replace(SETTINGS[recipe], prefix_seconds=prefix_seconds)

    def _read(self, request: Request, names: "Names", folder: Path) -> "Job":
        from t2av_bench.systems.talker_t2av.inputs import read_inputs

        return read_inputs(request, self.components, self.recipe, names, folder, self.long)

    def _sample(self, jobs: "list[Job]", report: OnProgress) -> "list[GenerationResult]":
        from reference_model.inference.types import GenerationResult

        model, started = self.components.model, time.monotonic()
        patch_seconds = model.config.patch_size / model.config.fps
        results: dict[int, GenerationResult] = {}
        for event in self._events(jobs):
            job, elapsed = jobs[event.item], time.monotonic() - started
            if isinstance(event, GenerationResult):
                results[event.item] = event
                job.seconds_taken["sampling"] = elapsed
                job.record |= _passages(job, event, patch_seconds)
                continue
            report(Progress(
                job.request.id, "generating", event.index + 1, job.item.max_patches, "patches",
                (event.index + 1) * patch_seconds, elapsed,
            ))  # fmt: skip
        return [results[number] for number in range(len(jobs))]

    def _events(self, jobs: "list[Job]") -> "Iterator[GeneratedPatch | GenerationResult]":
        from reference_model.inference.batched.sampling import stream
        from reference_model.inference.long_form import stream_passages

        model = self.components.model
        if not self.long:
            yield from stream(model, [job.item for job in jobs], self.recipe)
            return
        for number, job in enumerate(jobs):
            texts = [text_ids for _, text_ids in job.passages]
            for event in stream_passages(model, job.item, texts, self.recipe, passage_patches=job.passage_patches):
                event.item = number
                yield event

    def _settings(self) -> dict[str, Any]:
        from t2av_bench.systems.talker_t2av.weights import precision_of

        return {
            "recipe": {"name": self.recipe_name, **asdict(self.recipe)},
            "precision": precision_of(self.components.model),
        }


def _passages(job: "Job", result: "GenerationResult", patch_seconds: float) -> dict[str, Any]:
    """What the record says of a text that was spoken in passages."""
    if result.passages is None:
        return {}
    spoken = zip(job.passages, result.passages, strict=False)  # where the bound was reached, the last ones are not
    return {"passages": [{"text": text, "seconds": round(count * patch_seconds, 3)} for (text, _), count in spoken]}


class TalkerT2AV(TalkerSystem):
    """The published model: Qwen3-0.6B, WhisperX-VAE and LIA-X; see the module."""

    id = "talker-t2av"
    title = "Talker-T2AV"
    native = NativeFormat(25, 512, 512, 24_000, "the stop predictor's, at most max_seconds; that of what is given")
    weights = (
        "talker_t2av", "whisperx_vae", "lia_x", "wavlm_large_finetune", "talker_t2av_motion_mean",
        "talker_t2av_motion_std",
    )  # fmt: skip
    licence = "non-commercial"
    packages = ("PIL", "cv2", "torch", "transformers")
    extra = "model"

    @classmethod
    def missing(cls, **options: Any) -> list[Lack]:
        """Packages and weights; for a generator of one's own the tokenizer in place of the published one."""
        from t2av_bench import weights
        from t2av_bench.weights.needs import lack

        user = SimpleNamespace(id=cls.id, weights=cls.weights, packages=cls.packages, extra=cls.extra)
        without: tuple[str, ...] = ()
        if options.get("checkpoint"):
            without = ("talker_t2av",)
            if not weights.is_present("talker_t2av"):
                user.weights += ("qwen3_0_6b",)
        found = lack(user, without=without)
        return [found] if found else []

    @classmethod
    def load(
        cls, *, device: str = "cpu", recipe: str = "paper", prefix_seconds: float = 0.0, precision: str | None = None,
        checkpoint: Path | None = None, trim_voice: bool = False, long: bool = False, dtype: str | None = None,
    ) -> Self:  # fmt: skip
        """The published weights, by id.

        recipe: ``paper`` (default), ``release`` (the published script's choices) or ``release_script`` (to the letter:
        without a prefix, which is continued for ``prefix_seconds``, no task embedding at all; and no clip is longer
        than its reference and 2.4 s).
        precision: of the generator, whose codecs stay float32. ``float32`` (default), where a clip is the same in
        every batch and on every machine up to rounding; ``release``, a bfloat16 backbone beside float32 heads and
        patch encoders; or ``bfloat16``. dtype: its earlier name.
        checkpoint: a generator of your own (safetensors, as ``reference_model.train`` writes it) instead of the
        published one. trim_voice: leave silence before and after the reference voice out of the speaker embedding,
        which the release does not. long: speak the text in passages of whole sentences (about 15 s), each continuing
        the one before, joined into one clip.
        Raises NotApplicable with the command that fetches what is missing, and the licences.
        """
        from t2av_bench.systems.talker_t2av.weights import load_components

        check_recipe(recipe)
        if dtype is not None and precision is not None:
            raise ValueError(f"dtype is the earlier name of precision: give precision alone, not dtype = {dtype!r} too")
        parts = load_components(device, precision or dtype or "float32", checkpoint)
        parts.trims_voice = trim_voice
        return cls(parts, recipe=recipe, prefix_seconds=prefix_seconds, long=long)
