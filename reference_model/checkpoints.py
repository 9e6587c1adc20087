"""Loading and saving the whole model.

    model = load_model("model.safetensors", device="cuda", dtype=torch.bfloat16)     # ours or the release's
    save_model(model, "model.safetensors")

Two layouts are read: ours (our names, the configuration in the file's metadata) and the release's (its names,
told apart by them; the configuration is ``release`` unless given). Files are memory-mapped; each tensor goes
straight to the target device and dtype, so the peak is one model.
"""

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from . import names
from .config import ModelConfig
from .model import TalkerT2AV
from .modules.backbone import restore_rotary_frequencies
from .utils.strict_loading import CheckpointError, Undrawn, load_strictly, read_safetensors

CONFIG_KEY = "talker_t2av_config"
LM_HEAD = "backbone.lm_head.weight"
EMBEDDING = "backbone.model.embed_tokens.weight"
FROZEN = ("pretrained_speech_encoder.", "spk.")
"""Release prefixes of frozen encoders that a full training checkpoint may hold; they are not this model."""


def random_model(
    config: ModelConfig, *, device: torch.device | str = "cpu", dtype: torch.dtype | None = None, seed: int = 0
) -> TalkerT2AV:
    """A model with random weights, as at the start of training from scratch. The global generator is untouched."""
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.manual_seed(seed)
        state = TalkerT2AV(config).state_dict()
    return load_state(state, config, device=device, dtype=dtype)


def meta_model(config: ModelConfig) -> TalkerT2AV:
    """The model's shapes without memory."""
    with torch.device("meta"):
        return TalkerT2AV(config)


def load_model(
    path: str | Path,
    *,
    config: ModelConfig | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    backbone_dtype: torch.dtype | None = None,
    decode_only: bool = False,
) -> TalkerT2AV:
    """Read a checkpoint file strictly; the model comes back in evaluation mode.

    ``dtype`` None keeps each tensor's stored dtype. ``backbone_dtype`` is the language model's own (None: ``dtype``):
    the release runs it in bfloat16 and everything else in float32. Rotary tables stay float32 always. ``config``
    overrides the file's own. ``decode_only`` gives the same samples from a model that cannot be trained, and does not
    import transformers. Raises :class:`CheckpointError` naming every missing, extra or misshapen key with its
    nearest match, FileNotFoundError without a file.
    """
    state, metadata = read_safetensors(path)
    config = config or _stored_config(metadata, Path(path))
    options = {"device": device, "dtype": dtype, "backbone_dtype": backbone_dtype, "decode_only": decode_only}
    return load_state(state, config, **options, source=str(path))


def load_state(
    state: Mapping[str, Tensor],
    config: ModelConfig,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    backbone_dtype: torch.dtype | None = None,
    decode_only: bool = False,
    source: str = "state dict",
) -> TalkerT2AV:
    """The same from tensors in memory, in either layout. Tensors that need no conversion are used as they are."""
    if decode_only:
        with Undrawn():
            model = TalkerT2AV(config, decode_only=True)
    else:
        model = meta_model(config)
    release_layout = any(name.startswith(("llm.", "speech_cfm.")) for name in state)
    translation = names.model(config) if release_layout else None
    as_file = translation.to_release if translation else str
    tables = {as_file(name) for name, _ in model.named_buffers()}

    def wanted(name: str) -> torch.dtype | None:
        if name in tables:
            return torch.float32
        return (name.startswith(f"{as_file('backbone')}.") and backbone_dtype) or dtype

    given = {
        name: tensor.to(device=device, dtype=wanted(name))
        for name, tensor in state.items()
        if not name.startswith(FROZEN)
    }
    tied = config.backbone.tie_word_embeddings
    if tied and as_file(EMBEDDING) in given:
        given.setdefault(as_file(LM_HEAD), given[as_file(EMBEDDING)])
    load_strictly(model, given, names=translation, source=source)
    embedding, head = model.backbone.get_input_embeddings(), model.backbone.lm_head
    if tied and not torch.equal(head.weight.to(embedding.weight), embedding.weight):
        raise CheckpointError(
            f"{source} holds a language-model head that differs from the text embedding, but the configuration "
            f"ties them; set backbone.tie_word_embeddings = false to load both"
        )
    if tied:
        head.weight = embedding.weight
    restore_rotary_frequencies(model.backbone)
    return model.eval()


def save_model(model: TalkerT2AV, path: str | Path, *, release_names: bool = False) -> None:
    """Write safetensors with the configuration as metadata: to a temporary file first, then renamed.

    A tied language-model head is stored once. ``release_names`` writes the release's names and, as the release
    does, a copy of the tied head.
    """
    state = model.state_dict()
    if model.config.backbone.tie_word_embeddings:
        del state[LM_HEAD]
        if release_names:
            state[LM_HEAD] = state[EMBEDDING].clone()
    if release_names:
        state = names.model(model.config).state_to_release(state)
    state = {name: tensor.contiguous() for name, tensor in state.items()}
    write_safetensors(state, path, {CONFIG_KEY: json.dumps(model.config.to_dict())})


def write_safetensors(state: Mapping[str, Tensor], path: str | Path, metadata: Mapping[str, str]) -> None:
    """Write beside ``path``, flush, rename: a reader sees the old file or the whole new one, never a part."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(handle)
    try:
        save_file(dict(state), temporary, metadata=dict(metadata))
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write beside ``path``, rename: a reader sees the old text or the whole new one."""
    part = path.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)


def _stored_config(metadata: Mapping[str, str], path: Path) -> ModelConfig:
    if CONFIG_KEY not in metadata:
        return ModelConfig.named("release")
    try:
        return ModelConfig.from_dict(json.loads(metadata[CONFIG_KEY]))
    except ValueError as error:
        raise CheckpointError(f"{path} carries a configuration that this version cannot read: {error}") from error
