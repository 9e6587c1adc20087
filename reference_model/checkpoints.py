"""Loading and saving the whole model.

    model = load_model("model.safetensors", device="cuda", dtype=torch.bfloat16)     # ours or the release's
    save_model(model, "model.safetensors")

Two layouts are read: ours (our names, the configuration in the file's metadata) and the release's (its names,
told apart by them; the configuration is ``release`` unless given). Files are memory-mapped; each tensor goes
straight to the target device and dtype, so the peak is one model and one tensor.
"""

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from . import names
from .config import ModelConfig
from .model import TalkerT2AV
from .modules.backbone import restore_rotary_frequencies
from .utils.strict_loading import CheckpointError, check_names_and_shapes

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
        model = TalkerT2AV(config)
    return convert(model, device=device, dtype=dtype).eval()


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
) -> TalkerT2AV:
    """Read a checkpoint file strictly; the model comes back in evaluation mode.

    ``dtype`` None keeps each tensor's stored dtype (the release: bfloat16 backbone, float32 elsewhere). Rotary
    tables stay float32 always. ``config`` overrides the file's own. Raises :class:`CheckpointError` naming every
    missing, extra or misshapen key with its nearest match, FileNotFoundError without a file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}")
    try:
        with safe_open(path, "pt", device=str(torch.device(device))) as file:
            if config is None:
                config = _stored_config(file.metadata() or {}, path)
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}
            return _fill(config, shapes, file.get_tensor, torch.device(device), dtype, str(path))
    except SafetensorError as error:
        raise CheckpointError(
            f"{path} cannot be read as safetensors ({path.stat().st_size} bytes): it is truncated "
            f"or of another format; fetch it again. Reader: {error}"
        ) from error


def load_state(
    state: Mapping[str, Tensor],
    config: ModelConfig,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    source: str = "state dict",
) -> TalkerT2AV:
    """The same from tensors in memory, in either layout. Tensors that need no conversion are used as they are."""
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    return _fill(config, shapes, state.__getitem__, torch.device(device), dtype, source)


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


def convert(
    model: TalkerT2AV, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
) -> TalkerT2AV:
    """Move a model to a device and dtype in place. Rotary tables stay float32: their angles need it."""
    tables = {name: buffer for name, buffer in model.named_buffers()}
    model.to(device=device, dtype=dtype)
    for name, table in tables.items():
        owner, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(owner), leaf, table.to(device=device or table.device))
    return model


def release_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Every release name of a model of this configuration with its shape, both layouts' ``lm_head`` included."""
    to_release = names.model(config).to_release
    return {to_release(name): tuple(tensor.shape) for name, tensor in meta_model(config).state_dict().items()}


def _fill(
    config: ModelConfig,
    shapes: dict[str, tuple[int, ...]],
    read: Callable[[str], Tensor],
    device: torch.device,
    dtype: torch.dtype | None,
    source: str,
) -> TalkerT2AV:
    """Build on the meta device and give every parameter its tensor."""
    model = meta_model(config)
    translation = names.model(config)
    own = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    shapes = {name: shape for name, shape in shapes.items() if not name.startswith(FROZEN)}
    release_layout = any(name.startswith(("llm.", "speech_cfm.")) for name in shapes)
    as_file = translation.to_release if release_layout else str
    tied = config.backbone.tie_word_embeddings
    expected = {as_file(name): shape for name, shape in own.items()}
    if tied and as_file(LM_HEAD) not in shapes:
        del expected[as_file(LM_HEAD)]
    check_names_and_shapes(expected, shapes, source=source)

    for ours in own:
        if ours == LM_HEAD and tied:
            continue
        owner, _, leaf = ours.rpartition(".")
        module = model.get_submodule(owner)
        tensor = read(as_file(ours))
        if leaf in module._buffers:
            module._buffers[leaf] = tensor.to(device, torch.float32)
        else:
            tensor = tensor.to(device, dtype if dtype is not None else tensor.dtype)
            module._parameters[leaf] = nn.Parameter(tensor)
    if tied:
        if as_file(LM_HEAD) in shapes:
            _check_tied(model, read(as_file(LM_HEAD)), source)
        model.backbone.lm_head.weight = model.backbone.get_input_embeddings().weight
    restore_rotary_frequencies(model.backbone)
    return model.eval()


def _check_tied(model: TalkerT2AV, head: Tensor, source: str) -> None:
    embedding = model.backbone.get_input_embeddings().weight
    if not torch.equal(head.to(embedding), embedding):
        raise CheckpointError(
            f"{source} holds a language-model head that differs from the text embedding, but the configuration "
            f"ties them; set backbone.tie_word_embeddings = false to load both"
        )


def _stored_config(metadata: Mapping[str, str], path: Path) -> ModelConfig:
    if CONFIG_KEY not in metadata:
        return ModelConfig.named("release")
    try:
        return ModelConfig.from_dict(json.loads(metadata[CONFIG_KEY]))
    except ValueError as error:
        raise CheckpointError(f"{path} carries a configuration that this version cannot read: {error}") from error
