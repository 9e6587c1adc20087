"""The published parts of Talker-T2AV, by id."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from t2av_bench import weights
from t2av_bench.errors import NotApplicable
from t2av_bench.systems.delivery import file_facts
from t2av_bench.systems.latent.parts import Parts, torch_device
from t2av_bench.systems.talker_t2av.inputs import Components
from t2av_bench.weights.entry import fetch_command

TOKENIZER = "qwen3_0_6b"
PRECISIONS = {"float32": ("float32", "float32"), "bfloat16": ("bfloat16", "bfloat16"),
              "release": ("bfloat16", "float32")}  # fmt: skip
"""Name -> dtypes of the backbone and of everything else in the generator."""
CODECS = ("whisperx_vae", "lia_x", "wavlm_large_finetune", "talker_t2av_motion_mean", "talker_t2av_motion_std")


def precision_of(model: Any) -> str:
    """What of ``PRECISIONS`` the generator is in; of another mixture, its two dtypes."""
    dtypes = tuple(str(each).removeprefix("torch.") for each in (model.backbone.dtype, model.dtype))
    return next((name for name, pair in PRECISIONS.items() if pair == dtypes), " beside ".join(dtypes))


def load_components(device: str, precision: str, checkpoint: Path | None = None) -> Components:
    """Everything on ``device``. Arguments and errors: see ``TalkerT2AV.load``."""
    import torch

    from t2av_bench.utils.optional import make_torchvision_importable

    make_torchvision_importable()  # transformers imports torchvision
    from reference_model.acceleration import pack_linears
    from reference_model.checkpoints import load_model
    from reference_model.utils.strict_loading import CheckpointError

    if precision not in PRECISIONS:
        raise ValueError(f"unknown precision {precision!r}; there are {', '.join(PRECISIONS)}")
    backbone_dtype, dtype = (getattr(torch, name) for name in PRECISIONS[precision])
    if checkpoint is not None and not checkpoint.is_file():
        raise ValueError(f"no checkpoint at {checkpoint}: expected a .safetensors file")
    place = torch_device(device)
    digests = part_digests("talker-t2av", *([] if checkpoint else ["talker_t2av"]))
    try:
        if checkpoint is None:
            checkpoint = weights.path("talker_t2av") / "model.safetensors"
        else:
            digests[checkpoint.name] = file_facts(checkpoint)["sha256"]
        model = load_model(checkpoint, device=place, dtype=dtype, backbone_dtype=backbone_dtype)
        if place.type == "cpu":
            pack_linears(model)
        return Components.around(model, load_parts(place, digests))
    except (CheckpointError, FileNotFoundError) as error:
        raise NotApplicable(f"talker-t2av does not load: {error}") from error


def part_digests(whose: str, *more: str) -> dict[str, str | None]:
    """sha256 of every part around the generator, and of ``more``, by weights id.

    Raises NotApplicable with the command that fetches those of ``whose`` that are missing.
    """
    ids = [*more, *([] if _tokenizer_folder() else [TOKENIZER]), *CODECS]
    if absent := [weights.entry(id) for id in ids if not weights.is_present(id)]:
        listed = "".join(f"\n  {entry.id} ({entry.purpose}): licence {entry.licence}" for entry in absent)
        raise NotApplicable(f"{whose} needs weights that are missing:{listed}\nto accept these licences and fetch "
                            f"them: {fetch_command(*absent)}")  # fmt: skip
    return {id: weights.digest(id) for id in ids}


def load_parts(device: Any, digests: Mapping[str, str | None]) -> Parts:
    """What turns clips into the generator's latents, and back, on a torch ``device``.

    Raises CheckpointError and FileNotFoundError for files that do not fit.
    """
    import torch

    from reference_model.codecs.lia_x import load_lia_x
    from reference_model.codecs.motion_statistics import MotionStatistics
    from reference_model.codecs.whisperx_vae import load_whisperx_vae
    from reference_model.inference.prompt import chat_ids, text_prompt
    from reference_model.speaker import load_speaker_encoder

    tokenizer = _tokenizer()
    statistics = MotionStatistics(*(
        torch.from_numpy(_vector(weights.path(f"talker_t2av_motion_{name}"))) for name in ("mean", "std")
    ))  # fmt: skip
    return Parts(
        prompt=partial(text_prompt, tokenizer), suffix_ids=chat_ids(tokenizer, "any text")[1],
        audio_codec=load_whisperx_vae(weights.path("whisperx_vae"), device=device),
        motion_codec=load_lia_x(weights.path("lia_x"), statistics, device=device),
        speaker_encoder=load_speaker_encoder(weights.path("wavlm_large_finetune"), device=device),
        device=device, digests=digests,
    )  # fmt: skip


def _tokenizer_folder() -> Path | None:
    """The generator's own tokenizer, where the checkpoint's folder has one."""
    folder = weights.configured().find("talker_t2av")
    return folder if folder is not None and (folder / "tokenizer.json").is_file() else None


def _tokenizer() -> Any:
    from reference_model.inference.prompt import PLACEHOLDER, load_tokenizer

    own = _tokenizer_folder()
    if own is not None:
        return load_tokenizer(own)
    # The backbone's tokenizer gives the same ids for text; only the placeholder, which is never fed, is new in it.
    tokenizer = load_tokenizer(weights.path(TOKENIZER))
    tokenizer.add_tokens([PLACEHOLDER], special_tokens=True)
    return tokenizer


def _vector(path: Path) -> Any:
    import numpy as np

    try:
        return np.load(path, allow_pickle=False).astype(np.float32).ravel()
    except (OSError, ValueError) as error:
        raise NotApplicable(f"{path} is not a NumPy array of motion statistics: {error}") from error
