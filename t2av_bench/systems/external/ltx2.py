"""LTX-2 and LTX-2.3 through diffusers, in this process (Lightricks; arXiv 2601.03233).

With an identity its first frame begins the clip, else the prompt alone decides. Steps and the block that is guided
belong to a generation of the model: diffusers' defaults are those of LTX-2.3. The negative prompt has to be passed:
without one, diffusers takes an empty text.
"""

import inspect
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from t2av_bench.errors import Lack, NotApplicable
from t2av_bench.systems.base import GenerationFailed
from t2av_bench.systems.external.joint import Job, JointModel, Sample
from t2av_bench.systems.external.settings import weights_folder, weights_state
from t2av_bench.systems.external.spec import spec

_SPEC = spec("ltx-2")
_INDEX = "model_index.json"
OFFLOAD = ("none", "model", "sequential")


class Generation(NamedTuple):
    """What belongs to one generation of the model. blocks: those that spatio-temporal guidance skips."""

    model: str
    steps: int
    blocks: tuple[int, ...]


VARIANTS: Mapping[str, Generation] = {
    "ltx-2": Generation("Lightricks/LTX-2", 40, (29,)),
    "ltx-2.3": Generation("diffusers/LTX-2.3-Diffusers", 30, (28,)),
}
# For picture and sound, as its authors have them for both generations.
_GUIDANCE = {
    "guidance_scale": 3.0, "stg_scale": 1.0, "modality_scale": 3.0, "guidance_rescale": 0.7,
    "audio_guidance_scale": 7.0, "audio_stg_scale": 1.0, "audio_modality_scale": 3.0, "audio_guidance_rescale": 0.7,
}  # fmt: skip


class LTX2(JointModel):
    """See the module."""

    spec = _SPEC
    packages = ("diffusers", "transformers", "torch", "torchvision", "PIL")
    extra = "ltx"
    places = ("weights",)
    library = "diffusers"
    native_frames = 121

    def __init__(
        self, pipeline: Any, *, variant: str = "ltx-2", device: str = "cpu", offload: str = "none", height: int = 512,
        width: int = 512, frame_rate: str | float = "24", steps: int | None = None, image_crf: int | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """pipeline: an ``LTX2ImageToVideoPipeline``. Pixels are multiples of 32; frame_rate: frames a second.

        steps: None for the variant's. image_crf: compression of the first frame before it is used, None for the
        pipeline's; 0 (none) is said to freeze the picture. facts: for the record. ValueError for wrong options.
        """
        check_options(variant, offload, height, width, frame_rate, steps)
        self.pipeline, self.device, self.offload, self.generation = pipeline, device, offload, VARIANTS[variant]
        self.height, self.width, self.frame_rate = height, width, Fraction(str(frame_rate))
        self.steps = steps or self.generation.steps
        self.image_crf = image_crf
        self.facts = {"variant": variant, **(facts or {})}
        self._text_pipeline: Any = None
        self._ready: Any = None

    @classmethod
    def load(
        cls, *, device: str = "cpu", weights: Path | None = None, model: str | None = None, revision: str | None = None,
        variant: str = "ltx-2", offload: str = "none", height: int = 512, width: int = 512,
        frame_rate: str | float = "24", steps: int | None = None, image_crf: int | None = None,
    ) -> Self:  # fmt: skip
        """weights: a folder with the pipelines by their names on the hub; None for that of ``systems.toml``. model: a
        folder as ``save_pretrained`` writes it, or a name on the hub (at ``revision``) that was fetched; None for the
        variant's own: below ``weights``, or else as it was fetched.

        offload: what waits in main memory: ``none``, each ``model``, or each layer (``sequential``). The rest: see the
        constructor. NotApplicable where the model is not here.
        """
        check_options(variant, offload, height, width, frame_rate, steps)
        source = source_of(model, weights, variant)
        from t2av_bench.utils.optional import make_torchvision_importable

        make_torchvision_importable()  # transformers imports torchvision
        import torch
        from diffusers import LTX2ImageToVideoPipeline

        dtype = torch.float32 if device == "cpu" else torch.bfloat16
        try:
            pipeline = LTX2ImageToVideoPipeline.from_pretrained(
                source, revision=revision, dtype=dtype, local_files_only=True
            )
        except (OSError, ValueError) as error:
            at = f" --revision {revision}" if revision else ""
            raise NotApplicable(
                f"{cls.id}: {source} is no pipeline that was fetched ({str(error).splitlines()[0]}): "
                f"hf download {VARIANTS[variant].model or source}{at}, or give a folder with "
                f"{_INDEX} as 'model'"
            ) from error
        pipeline.set_progress_bar_config(disable=True)
        # A folder by name, not by place.
        name = Path(source).name if Path(source).is_dir() else source
        return cls(
            pipeline, variant=variant, device=device, offload=offload, height=height, width=width,
            frame_rate=frame_rate, steps=steps, image_crf=image_crf,
            facts={"model": name, "revision": revision, "dtype": str(dtype).removeprefix("torch.")},
        )  # fmt: skip

    @classmethod
    def missing(cls, **options: Any) -> list[Lack]:
        """Packages, and the pipeline, of which ``model_index.json`` is looked for."""
        from t2av_bench.weights.needs import is_fetched

        source = source_of(options.get("model"), options.get("weights"), options.get("variant") or "ltx-2")
        found, revision = super().missing(**options), options.get("revision")
        if not is_fetched(source, _INDEX, revision):
            at = f" --revision {revision}" if revision else ""
            how = () if Path(source).is_dir() else (f"hf download {source}{at}",)
            found.append(Lack(f"the pipeline {source}", how, tuple(_SPEC.licences)))
        return found

    @classmethod
    def checkpoint_files(cls, **options: Any) -> list[Path]:
        folder = Path(options.get("model") or "")
        return sorted(folder.rglob("*.safetensors")) if options.get("model") and folder.is_dir() else []

    @classmethod
    def state(cls, **options: Any) -> dict[str, str]:
        """Digests of the weights, wherever their folder is."""
        if options.get("model"):
            return {}
        try:
            folder = folder_of(options.get("weights"), options.get("variant") or "ltx-2")
            return weights_state(folder, sorted(folder.rglob("*.safetensors")) if folder else ())
        except (KeyError, ValueError, OSError):  # loading says what is wrong
            return {}

    def _sample(self, job: Job) -> Sample:
        import torch
        from diffusers.pipelines.ltx2.utils import DEFAULT_NEGATIVE_PROMPT

        picture = {} if job.picture is None else {"image": job.picture}
        if picture and self.image_crf is not None:
            picture["image_crf"] = self.image_crf
        settings = {
            "height": self.height, "width": self.width, "num_frames": job.frames, "num_inference_steps": self.steps,
            "spatio_temporal_guidance_blocks": list(self.generation.blocks), "negative_prompt": DEFAULT_NEGATIVE_PROMPT,
            **_GUIDANCE,
        }  # fmt: skip

        def step(_: Any, number: int, __: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            job.step(number + 1, self.steps)
            return tensors

        made = self._pipeline(bool(picture))(
            prompt=job.prompt, frame_rate=float(self.frame_rate), output_type="np", callback_on_step_end=step,
            generator=torch.Generator("cpu").manual_seed(job.seed), **settings, **picture,
        )  # fmt: skip
        pictures = np.asarray(made.frames[0])
        if not np.isfinite(pictures).all():
            raise GenerationFailed("the model made values that are not finite")
        return Sample(
            np.rint(np.clip(pictures, 0, 1) * 255).astype(np.uint8), made.audio[0].detach().float().cpu().numpy(),
            int(self.pipeline.vocoder.config.output_sampling_rate),
            {**settings, "image_crf": self.image_crf, "offload": self.offload, **self.facts},
        )  # fmt: skip

    def _pipeline(self, with_picture: bool) -> Any:
        wanted = self.pipeline
        if not with_picture:
            if self._text_pipeline is None:
                from diffusers import LTX2Pipeline

                known = inspect.signature(LTX2Pipeline.__init__).parameters
                parts = {name: part for name, part in self.pipeline.components.items() if name in known}
                self._text_pipeline = LTX2Pipeline(**parts)
                self._text_pipeline.set_progress_bar_config(disable=True)
            wanted = self._text_pipeline
        if wanted is not self._ready:
            if self.offload == "none":
                wanted.to(self.device)
            else:  # both share their networks, and these have one set of hooks
                if self._ready is not None:
                    self._ready.remove_all_hooks()
                enable = {"model": "enable_model_cpu_offload", "sequential": "enable_sequential_cpu_offload"}
                getattr(wanted, enable[self.offload])(device=self.device)
            self._ready = wanted
        return wanted


def folder_of(weights: str | Path | None, variant: str) -> Path | None:
    """Where a variant's pipeline is below the folder of weights, if it is there. ValueError for settings that cannot
    be read.
    """
    root = weights_folder(LTX2.id, weights)
    folder = root / VARIANTS[variant].model if root else None
    return folder if folder and (folder / _INDEX).is_file() else None


def source_of(model: str | None, weights: str | Path | None, variant: str) -> str:
    """The folder, or else the name on the hub, that a pipeline is read from."""
    return model or str(folder_of(weights, variant) or VARIANTS[variant].model)


def check_options(
    variant: str, offload: str, height: int, width: int, frame_rate: str | float, steps: int | None
) -> None:  # fmt: skip
    """ValueError for what the system cannot be loaded with."""
    if variant not in VARIANTS:
        raise ValueError(f"variant is one of {', '.join(VARIANTS)}, got {variant!r}")
    if offload not in OFFLOAD:
        raise ValueError(f"offload is one of {', '.join(OFFLOAD)}, got {offload!r}")
    if min(height, width) < 32 or height % 32 or width % 32:
        raise ValueError(f"height and width are multiples of 32, got {height} and {width}")
    if Fraction(str(frame_rate)) <= 0:
        raise ValueError(f"frame_rate is a positive number of frames a second, got {frame_rate}")
    if steps is not None and steps < 1:
        raise ValueError(f"steps are at least 1, got {steps}")
