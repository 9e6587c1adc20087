"""LTX-2 and LTX-2.3 through diffusers, in this process (Lightricks; arXiv 2601.03233).

With an identity its first frame begins the clip, else the prompt alone decides. Steps and the block that is guided
belong to a generation of the model: diffusers' defaults are those of LTX-2.3. The negative prompt has to be passed:
without one, diffusers takes an empty text.
"""

import inspect
import math
import time
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from t2av_bench.errors import NotApplicable
from t2av_bench.systems import output
from t2av_bench.systems.base import (
    GeneratedClip,
    GenerationFailed,
    OnProgress,
    Progress,
    Request,
    System,
    native_seed,
)
from t2av_bench.systems.delivery import Product, as_reason, deliver, file_facts
from t2av_bench.systems.external.prompts import PROMPTED, planned_seconds, render
from t2av_bench.systems.external.spec import spec
from t2av_bench.systems.inputs import input_named

_SPEC = spec("ltx-2")
RATES: Mapping[str, float] = {"en": 15.0, "zh": 5.0}
"""Characters a second for clips whose length nobody asked for; another language counts as English."""
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


def frames_asked(seconds: float, frame_rate: Fraction, max_seconds: float) -> int:
    """The least 8 k + 1 frames, k >= 1, that last ``seconds``; of those within ``max_seconds`` the most, if fewer.

    GenerationFailed where not even 9 frames fit.
    """
    rate = float(frame_rate)  # a length that is whole up to floating point is whole
    most = math.floor(round(rate * max_seconds - 1, 6) / 8)
    if most < 1:
        raise GenerationFailed(f"max_seconds is {max_seconds:g}, less than 9 frames at {frame_rate} frames a second")
    return 8 * min(max(1, math.ceil(round(rate * seconds - 1, 6) / 8)), most) + 1


class LTX2(System):
    """See the module."""

    id = _SPEC.id
    title = _SPEC.title
    paper = _SPEC.paper
    needs = _SPEC.tasks
    native = _SPEC.native_format
    seed_support = "full"
    licence = _SPEC.licence
    packages = ("diffusers", "transformers", "torch", "torchvision", "PIL")
    extra = "ltx"
    spec = _SPEC

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
        self.pipeline, self.device, self.offload, self.variant = pipeline, device, offload, VARIANTS[variant]
        self.height, self.width, self.frame_rate = height, width, Fraction(str(frame_rate))
        self.steps = steps or self.variant.steps
        self.image_crf = image_crf
        self.facts = {"variant": variant, **(facts or {})}
        self._text_pipeline: Any = None
        self._ready: Any = None

    @classmethod
    def load(
        cls, *, device: str = "cpu", model: str | None = None, revision: str | None = None, variant: str = "ltx-2",
        offload: str = "none", height: int = 512, width: int = 512, frame_rate: str | float = "24",
        steps: int | None = None, image_crf: int | None = None,
    ) -> Self:  # fmt: skip
        """model: a folder as ``save_pretrained`` writes it, or a name on the hub (at ``revision``) that was fetched.

        offload: what waits in main memory: ``none``, each ``model``, or each layer (``sequential``). The rest: see the
        constructor. NotApplicable where the model is not here.
        """
        check_options(variant, offload, height, width, frame_rate, steps)
        source = model or VARIANTS[variant].model
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
                "model_index.json as 'model'"
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
    def checkpoint_files(cls, **options: Any) -> list[Path]:
        folder = Path(options.get("model") or "")
        return sorted(folder.rglob("*.safetensors")) if options.get("model") and folder.is_dir() else []

    def generate(self, request: Request, on_progress: OnProgress | None = None) -> GeneratedClip:
        report = on_progress or (lambda _: None)
        self.check(request)
        names = output.names_of(request)
        try:
            with output.staged(names) as folder:
                return deliver(self, request, names, folder, self._make(request, report))
        except (GenerationFailed, NotApplicable):
            raise
        except RuntimeError as error:  # out of memory above all
            raise GenerationFailed(f"diffusers: {str(error).splitlines()[0]}") from error

    def _make(self, request: Request, report: OnProgress) -> Product:
        import torch
        from diffusers.pipelines.ltx2.utils import DEFAULT_NEGATIVE_PROMPT

        started = time.monotonic()
        prompt = render(self.id, request)
        wanted = request.target_seconds or self._planned(request)
        count = frames_asked(wanted, self.frame_rate, request.max_seconds)
        picture = {} if request.identity is None else {"image": self._first_frame(request.identity)}
        if picture and self.image_crf is not None:
            picture["image_crf"] = self.image_crf
        seed = native_seed(request.seed)
        settings = {
            "height": self.height, "width": self.width, "num_frames": count, "num_inference_steps": self.steps,
            "spatio_temporal_guidance_blocks": list(self.variant.blocks), "negative_prompt": DEFAULT_NEGATIVE_PROMPT,
            **_GUIDANCE,
        }  # fmt: skip
        read = time.monotonic()

        def step(_: Any, number: int, __: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            report(Progress(request.id, "generating", number + 1, self.steps, "steps", elapsed=time.monotonic() - read))
            return tensors

        made = self._pipeline(bool(picture))(
            prompt=prompt, frame_rate=float(self.frame_rate), generator=torch.Generator("cpu").manual_seed(seed),
            output_type="np", callback_on_step_end=step, **settings, **picture,
        )  # fmt: skip
        pictures = np.asarray(made.frames[0])
        sound = made.audio[0].detach().float().cpu().numpy()
        if not (np.isfinite(pictures).all() and np.isfinite(sound).all()):
            raise GenerationFailed("the model made values that are not finite")
        notes = [PROMPTED]
        if request.voice is not None:
            notes.append("the given voice is not heard: there is no such input")
        if float(self.frame_rate) * wanted > count + 1e-6:
            notes.append(f"{wanted:.2f} s were planned; the clip ends at {request.max_seconds:g} s (max_seconds)")
        return Product(
            np.atleast_2d(sound).mean(axis=0, dtype=np.float32), int(self.pipeline.vocoder.config.output_sampling_rate),
            self.frame_rate, pictures=[np.rint(np.clip(pictures, 0, 1) * 255).astype(np.uint8)], own_lengths=True,
            encoder=output.EMBEDDED_ENCODER, native_seed=seed, notes=notes, pictures_from="generated",
            inputs={"identity": file_facts(request.identity)} if request.identity else {},
            settings={**settings, "image_crf": self.image_crf, "offload": self.offload, **self.facts},
            record={"prompt": prompt, "planned_seconds": wanted},
            libraries=("av", "diffusers", "torch", "transformers"),
            seconds_taken={"reading": read - started, "sampling": time.monotonic() - read},
        )  # fmt: skip

    def _planned(self, request: Request) -> float:
        chinese = any("\u4e00" <= each <= "\u9fff" for each in request.text)
        language = (request.language or ("zh" if chinese else "en")).split("-")[0].lower()
        return planned_seconds(request.text, language if language in RATES else "en", RATES)

    def _first_frame(self, path: Path) -> Any:
        from PIL import Image, ImageOps

        from t2av_bench.errors import Unscorable
        from t2av_bench.media.clip import Clip

        try:
            with input_named("identity"):
                first = next(iter(Clip(path).frames(1)))[0]
        except Unscorable as reason:
            raise as_reason(reason) from reason
        # The pipeline stretches: cut to its shape first.
        return ImageOps.fit(Image.fromarray(first), (self.width, self.height), Image.Resampling.LANCZOS)

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
