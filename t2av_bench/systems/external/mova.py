"""MOVA through diffsynth, in this process (OpenMOSS; arXiv 2602.08794).

The identity's first frame begins the clip, and is needed: without one the model makes flat colours in many clips. The
cards on the hub show ``DiffusionPipeline.from_pretrained``, which cannot work: diffusers has no such pipeline, and the
files are in the layout of the authors' own program. Its noise is not that of this route: rows of both differ.
"""

import os
import shlex
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from t2av_bench.errors import Lack, NotApplicable
from t2av_bench.systems.base import GenerationFailed
from t2av_bench.systems.external.joint import Job, JointModel, Sample
from t2av_bench.systems.external.settings import settings_file, weights_folder, weights_state
from t2av_bench.systems.external.spec import spec

_SPEC = spec("mova")
OFFLOAD = ("none", "model")
TOKENS = 512
"""Of the prompt that the text encoder reads; diffsynth drops the rest without a word."""
# In our words: the authors' scripts have a Chinese text to the same effect.
NEGATIVE_PROMPT = (
    "garish colours, overexposed, a still picture, no motion, blurred details, subtitles, a painting, a grey cast, "
    "low quality, JPEG artefacts, a disfigured face, extra fingers"
)


class Variant(NamedTuple):
    """repository: on ModelScope. size: both sides in pixels, of the area that it was trained for."""

    repository: str
    size: int


VARIANTS: Mapping[str, Variant] = {
    "360p": Variant("openmoss/MOVA-360p", 480),
    "720p": Variant("openmoss/MOVA-720p", 960),
}


class Part(NamedTuple):
    """Files of the pipeline. model: what diffsynth calls their contents, empty for the tokenizer.

    repository: on ModelScope, and of the same name below the folder of weights, as diffsynth itself keeps it.
    place: the folder or file in it; files: a pattern for what is read, relative to ``place``.
    """

    model: str
    repository: str
    place: str
    files: str = ""

    @property
    def path(self) -> str:
        return f"{self.repository}/{self.place}"

    def found(self, weights: Path) -> list[Path]:
        """What is there, in order."""
        place = weights / self.repository / self.place
        if self.files:
            return sorted(place.glob(self.files))
        return [place] if place.is_file() else []


_CONVERTED = "DiffSynth-Studio/Wan-Series-Converted-Safetensors"
_ONE, _SHARDS = "diffusion_pytorch_model.safetensors", "diffusion_pytorch_model-*.safetensors"


def parts(variant: str) -> tuple[Part, ...]:
    """All that a variant is made of. Both share the sound's autoencoder and the tokenizer, which stand with 720p."""
    own, shared = VARIANTS[variant].repository, VARIANTS["720p"].repository
    return (
        Part("wan_video_dit", own, "video_dit", _SHARDS),  # for high noise: diffsynth takes them in this order
        Part("wan_video_dit", own, "video_dit_2", _SHARDS),
        Part("mova_audio_dit", own, "audio_dit", _ONE),
        Part("mova_dual_tower_bridge", own, "dual_tower_bridge", _ONE),
        Part("mova_audio_vae", shared, "audio_vae", _ONE),
        Part("wan_video_vae", _CONVERTED, "Wan2.1_VAE.safetensors"),
        Part("wan_video_text_encoder", _CONVERTED, "models_t5_umt5-xxl-enc-bf16.safetensors"),
        Part("", shared, "tokenizer", "*"),
    )


_NOWHERE = "the folder that 'weights' names, in systems.toml or in the row's options"


class MOVA(JointModel):
    """See the module."""

    spec = _SPEC
    packages = ("diffsynth", "torchaudio", "transformers", "torch", "torchvision", "PIL")
    extra = "mova"
    places = ("weights",)
    library = "diffsynth"
    native_frames = 193
    frame_rate = Fraction(24)

    def __init__(
        self, pipeline: Any, *, variant: str = "360p", size: int | None = None, steps: int = 50, cfg_scale: float = 5.0,
        sigma_shift: float = 5.0, negative_prompt: str = NEGATIVE_PROMPT, facts: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """pipeline: a ``MovaAudioVideoPipeline``. size: both sides in pixels, a multiple of 16, None for the variant's:
        a square is what the authors' cropping and diffsynth's stretching agree on.

        cfg_scale: weight of the prompt, 1 for none. sigma_shift: of the noise schedule. facts: for the record.
        ValueError for wrong options.
        """
        check_options(variant, size, steps)
        self.pipeline, self.steps, self.cfg_scale, self.sigma_shift = pipeline, steps, cfg_scale, sigma_shift
        self.negative_prompt = negative_prompt
        self.height = self.width = size or VARIANTS[variant].size
        self.facts = {"variant": variant, **(facts or {})}

    @classmethod
    def load(
        cls, *, device: str = "cpu", weights: Path | None = None, variant: str = "360p", offload: str = "none",
        vram_limit: float | None = None, size: int | None = None, steps: int = 50, cfg_scale: float = 5.0,
        sigma_shift: float = 5.0, negative_prompt: str = NEGATIVE_PROMPT,
    ) -> Self:  # fmt: skip
        """weights: a folder with the repositories by their names on ModelScope, as diffsynth keeps them; None for that
        of ``systems.toml``, or else the one that ``DIFFSYNTH_MODEL_BASE_PATH`` names. Nothing is downloaded.

        offload: what waits in main memory: ``none``, or each ``model`` that is not at work; with the latter vram_limit
        (GB) bounds what the others take of the GPU. The rest: see the constructor.
        NotApplicable where files are missing, or are not what diffsynth knows.
        """
        check_options(variant, size, steps, offload, vram_limit, device)
        files = present(variant, weights)

        from t2av_bench.utils.optional import make_torchvision_importable
        from t2av_bench.utils.registry import stdout_to_stderr

        make_torchvision_importable()  # diffsynth imports it
        with stdout_to_stderr():  # it prints what it loads
            import torch
            import transformers  # noqa: F401  # before torchaudio, whose presence it asks for

            try:
                from diffsynth.pipelines.mova_audio_video import ModelConfig, MovaAudioVideoPipeline
            except (ImportError, OSError) as error:  # a torchaudio that was built for another torch
                raise NotApplicable(
                    f"{cls.id}: diffsynth cannot be imported ({error}): pip install 't2av-bench[{cls.extra}]', with a "
                    "torchaudio that fits torch"
                ) from error
            recognise(files)
            dtype = torch.float32 if device == "cpu" else torch.bfloat16
            places = placement(offload, device, dtype)
            configs = [ModelConfig(path=list(map(str, found)), **places) for part, found in files.items() if part.model]
            [tokenizer] = [found for part, found in files.items() if not part.model]
            pipeline = MovaAudioVideoPipeline.from_pretrained(
                torch_dtype=dtype, device=device, model_configs=configs,
                tokenizer_config=ModelConfig(path=str(tokenizer[0].parent)), vram_limit=vram_limit,
            )  # fmt: skip
        return cls(
            pipeline, variant=variant, size=size, steps=steps, cfg_scale=cfg_scale, sigma_shift=sigma_shift,
            negative_prompt=negative_prompt,
            facts={"offload": offload, "vram_limit": vram_limit, "dtype": str(dtype).removeprefix("torch.")},
        )  # fmt: skip

    @classmethod
    def missing(cls, **options: Any) -> list[Lack]:
        """Packages, and parts of the model."""

        folder = folder_of(options.get("weights"))
        absent = [each for each in parts(options.get("variant") or "360p") if not (folder and each.found(folder))]
        what = f"{', '.join(each.path for each in absent)} in {folder or _NOWHERE}"
        how = tuple(commands(absent, folder or Path("FOLDER")))
        return super().missing(**options) + ([Lack(what, how, tuple(_SPEC.licences))] if absent else [])

    @classmethod
    def state(cls, **options: Any) -> dict[str, str]:
        """Digests of the files that are read, wherever their folder is."""
        try:
            folder, all_parts = folder_of(options.get("weights")), parts(options.get("variant") or "360p")
            found = [file for part in all_parts for file in (part.found(folder) if folder else ()) if file.is_file()]
            return weights_state(folder, found)
        except (KeyError, ValueError, OSError):  # loading says what is wrong
            return {}

    def _sample(self, job: Job) -> Sample:
        ids, _ = self.pipeline.tokenizer(job.prompt, return_mask=True, padding=False, truncation=False)
        if ids.shape[-1] > TOKENS:
            raise GenerationFailed(
                f"the prompt has {ids.shape[-1]} tokens, of which the model reads {TOKENS}: shorten text or scene"
            )

        def counted(timesteps: Iterable[Any]) -> Iterator[Any]:
            for number, each in enumerate(timesteps, start=1):
                yield each
                job.step(number, self.steps)

        settings = {
            "negative_prompt": self.negative_prompt, "height": self.height, "width": self.width,
            "num_frames": job.frames, "frame_rate": int(self.frame_rate), "cfg_scale": self.cfg_scale,
            "num_inference_steps": self.steps, "sigma_shift": self.sigma_shift, "rand_device": "cpu", "tiled": True,
        }  # fmt: skip
        pictures, sound = self.pipeline(
            prompt=job.prompt, input_image=job.picture, seed=job.seed, progress_bar_cmd=counted, **settings
        )
        return Sample(
            np.stack([np.asarray(each) for each in pictures]), sound.detach().float().cpu().numpy(),
            int(self.pipeline.audio_vae.sample_rate), {**settings, **self.facts},
        )  # fmt: skip


def check_options(
    variant: str, size: int | None, steps: int, offload: str = "none", vram_limit: float | None = None,
    device: str = "cpu",
) -> None:  # fmt: skip
    """ValueError for what the system cannot be loaded with."""
    if variant not in VARIANTS:
        raise ValueError(f"variant is one of {', '.join(VARIANTS)}, got {variant!r}")
    if size is not None and (size < 16 or size % 16):
        raise ValueError(f"size is a multiple of 16, got {size}")
    if steps < 1:
        raise ValueError(f"steps are at least 1, got {steps}")
    if offload not in OFFLOAD:
        raise ValueError(f"offload is one of {', '.join(OFFLOAD)}, got {offload!r}")
    if offload != "none" and device == "cpu":
        raise ValueError(f"offload = {offload} is for a GPU, and device is cpu")
    if vram_limit is not None and (offload == "none" or vram_limit <= 0):
        raise ValueError(f"vram_limit is a positive number of GB, beside offload = model; got {vram_limit}")


def folder_of(weights: str | Path | None) -> Path | None:
    """Of the option, ``systems.toml`` or diffsynth's own variable. ValueError for settings that cannot be read."""
    named = os.environ.get("DIFFSYNTH_MODEL_BASE_PATH")
    return weights_folder(MOVA.id, weights) or (Path(named).absolute() if named else None)


def present(variant: str, weights: str | Path | None) -> dict[Part, list[Path]]:
    """The files of each part. NotApplicable with the commands that bring what is missing."""
    folder = folder_of(weights)
    found = {part: part.found(folder) if folder else [] for part in parts(variant)}
    missing = [part for part, files in found.items() if not files]
    if missing:
        where = f"not in {folder}" if folder else "no folder of weights is named, which holds"
        raise NotApplicable(
            f"{MOVA.id}: {where}: {', '.join(part.path for part in missing)}: "
            f"{' && '.join(commands(missing, folder or Path('FOLDER')))}, and give the folder as "
            f"'weights', in {settings_file()} or in the row's options (the DiffusionPipeline.from_pretrained of the "
            "model's card cannot work: diffusers has no MOVA)"
        )
    return found


def commands(missing: Iterable[Part], folder: Path) -> list[str]:
    """One for each repository; modelscope comes with diffsynth."""
    wanted: dict[str, list[str]] = {}
    for part in missing:
        wanted.setdefault(part.repository, []).append(f"{part.place}/{part.files}" if part.files else part.place)
    return [
        f"modelscope download --model {repository} --include {shlex.join(patterns)} "
        f"--local_dir {shlex.quote(str(folder / repository))}"
        for repository, patterns in wanted.items()
    ]


def recognise(files: Mapping[Part, list[Path]]) -> None:
    """NotApplicable for files whose tensors have other names or shapes than diffsynth knows: it goes by these alone.

    Headers are read, no weights.
    """
    from diffsynth.configs import MODEL_CONFIGS
    from diffsynth.core.loader import hash_model_file

    for part, found in files.items():
        if not part.model:
            continue
        try:
            digest = hash_model_file(list(map(str, found)))
        except Exception as error:  # safetensors' own class for a cut file, OSError for one that cannot be read
            raise NotApplicable(f"{MOVA.id}: {part.path} cannot be read: {error}; get it again") from error
        if part.model not in {each["model_name"] for each in MODEL_CONFIGS if each["model_hash"] == digest}:
            raise NotApplicable(
                f"{MOVA.id}: the tensors of {part.path} are not those of diffsynth's {part.model} (a shard is missing, "
                f"or the file was converted otherwise): {commands([part], Path('FOLDER'))[0]}"
            )


def placement(offload: str, device: str, dtype: Any) -> dict[str, Any]:
    """Where each model waits and works, as fields of diffsynth's ``ModelConfig``; empty: all on the device."""
    if offload == "none":
        return {}
    return {f"{stage}_{what}": ("cpu" if stage == "offload" else device) if what == "device" else dtype
            for stage in ("offload", "onload", "preparing", "computation") for what in ("device", "dtype")}  # fmt: skip
