"""emotion2vec (Ma et al. 2024, ACL Findings; arXiv 2312.15185): what emotion a voice has, as a vector.

A data2vec 2.0 audio encoder (Baevski et al. 2022): seven convolutions, convolved positions, and transformer blocks
whose attention falls off with distance (ALiBi, by learned factors); an utterance is the mean over its frames of 20 ms.
The layout is that of FunASR's checkpoints (``emotion2vec_base``, ``emotion2vec_plus_base``, ``_large``), and sizes are
read from the file. What is beside the encoder in a file (decoder, classifier, teacher) is not read.

Proved without the weights (tests/t2av_bench/extractors/test_emotion2vec.py): on random weights of that layout the
vector agrees with FunASR's own class and with a computation in loops, and every tensor moves it. Not proved: that the
files hold this layout.
"""

import functools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from t2av_bench.errors import NotApplicable
from t2av_bench.utils.inference import full_precision

if TYPE_CHECKING:
    import torch

    from reference_model.utils.strict_loading import Shapes

    State = Mapping[str, torch.Tensor]

SAMPLE_RATE = 16000
# Attention grows with the square of the duration: one minute takes about 2 GB.
LONGEST_SECONDS = 60
PARAMETERS = {
    "granularity": "utterance (mean over frames)", "input": "zero mean, unit variance", "dtype": "float32",
    "longest_seconds": LONGEST_SECONDS,
}  # fmt: skip
_KERNELS, _STRIDES = (10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)
_AUDIO = "modality_encoders.AUDIO."
_BESIDE = (f"{_AUDIO}decoder.", "proj.", "_ema")
_HEAD = 64  # width of an attention head, where the scales do not tell how many there are


def heads(state: "State") -> int:
    """Attention heads of a state dict of this layout."""
    scales = state[f"{_AUDIO}alibi_scale"].shape[2]
    return scales if scales > 1 else state[f"{_AUDIO}extra_tokens"].shape[2] // _HEAD


def layout(state: "State") -> dict[str, tuple[int, ...]]:
    """Names and shapes that the encoder of a state dict's sizes has. Raises CheckpointError where they do not tell."""
    from reference_model.utils.strict_loading import Shapes

    shape = Shapes(state, "FunASR emotion2vec")
    channels, width = shape(f"{_AUDIO}project_features.1.weight")[0], shape(f"{_AUDIO}extra_tokens")[2]
    found = {f"{_AUDIO}{name}": shape(f"{_AUDIO}{name}") for name in ("extra_tokens", "alibi_scale")}

    def affine(name: str, *weight: int) -> None:
        found[f"{name}.weight"] = weight
        found[f"{name}.bias"] = weight[:1]

    for index, kernel in enumerate(_KERNELS):
        name = f"{_AUDIO}local_encoder.conv_layers.{index}"
        found[f"{name}.0.weight"] = (channels, channels if index else 1, kernel)
        affine(f"{name}.2.1", channels)
    affine(f"{_AUDIO}project_features.1", channels)
    affine(f"{_AUDIO}project_features.2", width, channels)
    positions = f"{_AUDIO}relative_positional_encoder"
    for index in range(shape.count(f"{positions}.{{}}.0.weight", first=1)):
        affine(f"{positions}.{index + 1}.0", width, *shape(f"{positions}.1.0.weight")[1:])
    affine(f"{_AUDIO}context_encoder.norm", width)
    for name in _blocks(shape):
        inner = shape(f"{name}.mlp.fc1.weight")[0]
        affine(f"{name}.norm1", width)
        affine(f"{name}.attn.qkv", 3 * width, width)
        affine(f"{name}.attn.proj", width, width)
        affine(f"{name}.norm2", width)
        affine(f"{name}.mlp.fc1", inner, width)
        affine(f"{name}.mlp.fc2", width, inner)
    return found


def _blocks(shapes: "Shapes") -> list[str]:
    return [f"{stack}.{index}" for stack in (f"{_AUDIO}context_encoder.blocks", "blocks")
            for index in range(shapes.count(f"{stack}.{{}}.norm1.weight"))]  # fmt: skip


def encoder_state(state: "State", source: str) -> "dict[str, torch.Tensor]":
    """The encoder's tensors of a checkpoint, whose names may begin with ``d2v_model.``.

    Raises CheckpointError, a ValueError, naming every missing, unknown and misshapen one.
    """
    from reference_model.utils.strict_loading import check_names_and_shapes

    named = {name.removeprefix("d2v_model."): tensor for name, tensor in state.items()}
    kept = {name: tensor for name, tensor in named.items() if not name.startswith(_BESIDE)}
    given = {name: tuple(tensor.shape) for name, tensor in kept.items()}
    check_names_and_shapes(layout(kept), given, source=source)
    return kept


@functools.lru_cache(maxsize=1)
def load(folder: Path, digest: str | None, device: str) -> "State":
    """The tensors of the checkpoint (``*.pt``) in a folder as FunASR's hub has it. ``digest`` only keys the cache.

    Raises NotApplicable for what is no such folder.
    """
    from reference_model.utils.strict_loading import CheckpointError, read_state

    files = sorted(folder.glob("*.pt"))
    if len(files) != 1:
        raise NotApplicable(f"{folder} holds {len(files)} files *.pt, expected the one of an emotion2vec model")
    try:
        state = encoder_state(*read_state(files[0], "model"))
    except CheckpointError as error:
        raise NotApplicable(f"the emotion encoder does not load: {error}") from error
    return {name: tensor.float().to(device) for name, tensor in state.items()}


def slopes(count: int) -> list[float]:
    """How fast each head's attention falls off, as in ALiBi (Press et al. 2022), also where count is no power of 2."""
    whole = 2 ** int(math.log2(count))
    base = [2 ** (-8 * (index + 1) / whole) for index in range(whole)]
    return base + (slopes(2 * whole)[0::2][: count - whole] if count > whole else [])


def frame_vectors(state: "State", audio: "torch.Tensor") -> "torch.Tensor":
    """Audio (n,), n >= 400, 16 kHz -> (frames, width), a frame every 20 ms."""
    import torch
    from torch.nn import functional as F

    from reference_model.utils.strict_loading import Shapes

    def affine(x: torch.Tensor, name: str) -> torch.Tensor:
        return F.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        return F.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"])

    x = F.layer_norm(audio, audio.shape)[None]
    for index, stride in enumerate(_STRIDES):
        name = f"{_AUDIO}local_encoder.conv_layers.{index}"
        x = F.gelu(norm(F.conv1d(x, state[f"{name}.0.weight"], stride=stride).T, f"{name}.2.1")).T
    x = affine(norm(x.T, f"{_AUDIO}project_features.1"), f"{_AUDIO}project_features.2")  # (frames, width)
    width, shapes = x.shape[1], Shapes(state, "FunASR emotion2vec")
    positions, name = x.T, f"{_AUDIO}relative_positional_encoder"
    for index in range(1, shapes.count(f"{name}.{{}}.0.weight", first=1) + 1):
        weight, bias = (state[f"{name}.{index}.0.{kind}"] for kind in ("weight", "bias"))
        positions = F.conv1d(positions, weight, bias, padding=weight.shape[2] // 2, groups=width // weight.shape[1])
        positions = F.gelu(F.layer_norm(positions[:, : len(x)].T, (width,))).T
    extra = state[f"{_AUDIO}extra_tokens"][0]
    distance = torch.arange(len(x), device=x.device)
    fall = -(distance[:, None] - distance).abs() * x.new_tensor(slopes(heads(state)))[:, None, None]
    fall = F.pad(fall, (len(extra), 0, len(extra), 0))  # (heads, length, length)
    scales = state[f"{_AUDIO}alibi_scale"].clamp_min(0)[:, 0]
    x = norm(torch.cat([extra, x + positions.T]), f"{_AUDIO}context_encoder.norm")
    for index, name in enumerate(_blocks(shapes)):
        query, key, value = affine(x, f"{name}.attn.qkv").view(len(x), 3, heads(state), -1).permute(1, 2, 0, 3)
        bias = fall * scales[min(index, len(scales) - 1)]
        attended = F.scaled_dot_product_attention(query[None], key[None], value[None], attn_mask=bias[None])[0]
        x = norm(x + affine(attended.transpose(0, 1).reshape(len(x), width), f"{name}.attn.proj"), f"{name}.norm1")
        x = norm(x + affine(F.gelu(affine(x, f"{name}.mlp.fc1")), f"{name}.mlp.fc2"), f"{name}.norm2")
    return x[len(extra) :]


def emotion_vector(state: "State", audio: np.ndarray, device: str = "cpu") -> np.ndarray:
    """Audio (n,) at 16 kHz, not constant, 0.1 s or more -> (width,) float32; what lies beyond a minute is ignored."""
    import torch

    waveform = torch.tensor(audio[: LONGEST_SECONDS * SAMPLE_RATE], device=device)
    with full_precision():
        return frame_vectors(state, waveform).mean(0).cpu().numpy()
