"""The two branches: mouth and sound at 25 frames a second become unit vectors that lie close where they are in sync.

Both are 1-D convolutions over time, trained by torch (``training_network``) and run by numpy (``MeshSyncNetwork``), so
that scoring a clip needs no torch and no thread can move a digit. The sound's branch halves its rate twice; run with
its kernels spread out instead of strides it gives a vector every 10 ms, of which every fourth is that of training.
"""

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from t2av_bench.errors import NotApplicable
from t2av_bench.mesh_sync.features import MOUTH, MeshSyncFeatures
from t2av_bench.utils.files import file_sha256, replacing
from t2av_bench.weights.digests import stamp

CHECKPOINT = Path(__file__).with_name("sync_mesh.safetensors")
FACTS = "facts"
EPSILON = 1e-5
_LOUD, _FLOOR = 0.95, -11.5
_DILATIONS = {"mouth": (1, 1, 1, 2, 2, 1), "sound": (1, 1, 2, 4, 8, 1)}
_STRIDED = {"mouth": (), "sound": (1, 2)}


@dataclass(frozen=True, slots=True)
class Input:
    """What enters the network of a clip. mouth: (T, 165) float32, sound: (4 T, 40) float32; zero is the clip's mean."""

    mouth: np.ndarray
    sound: np.ndarray


def mouth_input(mouth: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """(T, 55, 3) -> (T, 165): how far each point is from where it usually is in this clip."""
    flat = mouth.reshape(len(mouth), -1)
    return np.asarray(flat - np.median(flat[seen], axis=0), np.float32)


def sound_input(energies: np.ndarray) -> np.ndarray:
    """(..., 4 T, 40) -> the same shape: from the loud parts' level (floor -50 dB), and each band from its own mean.

    The mean is that of the louder half of the rows, so that pauses do not move it.
    """
    loud = np.quantile(energies, _LOUD, axis=(-2, -1), keepdims=True)
    cut = np.maximum(energies - loud, _FLOOR)
    level = cut.mean(-1, keepdims=True)
    active = level >= np.median(level, axis=-2, keepdims=True)
    mean = (cut * active).sum(-2, keepdims=True) / active.sum(-2, keepdims=True)
    return np.asarray((cut - mean) / 4, np.float32)


def network_input(features: MeshSyncFeatures) -> Input:
    return Input(mouth_input(features.mouth, features.seen), sound_input(features.sound))


def training_network(inputs: int = 3 * len(MOUTH), width: int = 128, size: int = 96, dropout: float = 0.2) -> Any:
    """A torch module: ``mouth`` (B, inputs, T) -> (B, size, T), ``sound`` (B, 40, 4 T) -> (B, size, T), not yet of unit
    length."""
    from torch import nn

    class Block(nn.Sequential):
        """A convolution, normalised and rectified; ``step`` beside the input where the shapes fit."""

        def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, dilation: int = 1) -> None:
            padding = (kernel - stride) * dilation // 2
            super().__init__(
                nn.Conv1d(inputs, outputs, kernel, stride, padding, dilation, bias=False),
                nn.BatchNorm1d(outputs, eps=EPSILON), nn.ReLU(), *([nn.Dropout1d(dropout)] if dropout else []),
            )  # fmt: skip
            self.residual = inputs == outputs and stride == 1

        def forward(self, input: Any) -> Any:
            return input + super().forward(input) if self.residual else super().forward(input)

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mouth = nn.Sequential(
                Block(inputs, width, 1),
                *(Block(width, width, 3, dilation=step) for step in _DILATIONS["mouth"][1:-1]),
                nn.Conv1d(width, size, 1),
            )  # fmt: skip
            self.sound = nn.Sequential(
                Block(40, width, 5), Block(width, width, 4, 2), Block(width, width, 4, 2),
                *(Block(width, width, 3, dilation=step // 4) for step in _DILATIONS["sound"][3:-1]),
                nn.Conv1d(width, size, 1),
            )  # fmt: skip

    return Network()


def folded(network: Any) -> dict[str, np.ndarray]:
    """A trained torch network as ``MeshSyncNetwork`` takes it: normalisations folded into kernels."""
    arrays: dict[str, np.ndarray] = {}
    for branch in ("mouth", "sound"):
        for index, layer in enumerate(getattr(network, branch)):
            if hasattr(layer, "residual"):
                convolution, normal = layer[0], layer[1]
                scale = (normal.weight / (normal.running_var + normal.eps).sqrt()).detach()
                kernel = convolution.weight.detach() * scale[:, None, None]
                bias = normal.bias.detach() - normal.running_mean * scale
            else:
                kernel, bias = layer.weight.detach(), layer.bias.detach()
            arrays[f"{branch}.{index}.kernel"] = kernel.numpy()
            arrays[f"{branch}.{index}.bias"] = bias.numpy()
    return arrays


class MeshSyncNetwork:
    """One trained network, or several whose vectors are compared each with its own.

    members: of each, the arrays of ``folded``; kernels are (outputs, inputs, length).
    """

    def __init__(self, members: list[dict[str, np.ndarray]], facts: dict[str, Any] | None = None) -> None:
        self.members = members
        self._members = [{name: array.astype(np.float32) for name, array in each.items()} for each in members]
        self.facts = facts or {}

    def embed(self, features: Input) -> list[tuple[np.ndarray, np.ndarray]]:
        """Of each member: mouth (T, D) and sound (4 T, D) float32 vectors of unit length; row 4k of the sound is that
        of frame k."""
        return [
            (_branch(each, "mouth", features.mouth), _branch(each, "sound", features.sound)) for each in self._members
        ]


def _branch(arrays: dict[str, np.ndarray], branch: str, rows: np.ndarray) -> np.ndarray:
    layers = sum(name.startswith(f"{branch}.") and name.endswith(".kernel") for name in arrays)
    values = np.asarray(rows, np.float32)
    for index in range(layers):
        kernel, bias = arrays[f"{branch}.{index}.kernel"], arrays[f"{branch}.{index}.bias"]
        strided = index in _STRIDED[branch]
        made = _convolved(values, kernel, _DILATIONS[branch][index], strided) + bias
        if index < layers - 1:
            made = np.maximum(made, 0)
            values = values + made if made.shape == values.shape and not strided else made
        else:
            values = made
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-8)


def _convolved(values: np.ndarray, kernel: np.ndarray, dilation: int, strided: bool) -> np.ndarray:
    """(n, inputs) -> (n, outputs); zeros beyond the ends."""
    length = kernel.shape[2]
    before = ((length - 2) // 2 if strided else (length - 1) // 2) * dilation
    after = (length - 1) * dilation - before
    padded = np.pad(values, ((before, after), (0, 0)))
    return sum(
        padded[place * dilation : place * dilation + len(values)] @ kernel[:, :, place].T for place in range(length)
    )


@functools.lru_cache(maxsize=2)
def load(path: Path = CHECKPOINT) -> MeshSyncNetwork:
    """The packaged network, or another file of ``save``. NotApplicable where it is missing or no such file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}
            facts = json.loads((file.metadata() or {}).get(FACTS, "{}"))
    except (OSError, SafetensorError) as error:
        raise NotApplicable(
            f"{path} cannot be read as the network of sync/mesh ({error}): "
            "t2av-bench train sync-mesh --data FOLDER --out FOLDER makes it"
        ) from error
    members: dict[str, dict[str, np.ndarray]] = {}
    for name, array in arrays.items():
        member, _, rest = name.partition(".")
        members.setdefault(member, {})[rest] = array
    return MeshSyncNetwork([members[name] for name in sorted(members)], facts)


def save(members: list[dict[str, np.ndarray]], path: Path, facts: dict[str, Any]) -> None:
    """Write one network of several members; ``facts``: what makes it again, of JSON."""
    from safetensors.numpy import save_file

    arrays = {
        f"{number}.{name}": np.ascontiguousarray(array)
        for number, member in enumerate(members) for name, array in member.items()
    }  # fmt: skip
    with replacing(path) as temporary:
        save_file(arrays, temporary, {FACTS: json.dumps(facts, sort_keys=True)})


def digest(path: Path = CHECKPOINT) -> str | None:
    """sha256 of the network's file; None where there is none."""
    return _digest(path, *stamp(path)) if path.is_file() else None


@functools.lru_cache(maxsize=2)
def _digest(path: Path, *stamp: int) -> str:
    """Every clip's scores name the protocol, and so the digest."""
    return file_sha256(path)
