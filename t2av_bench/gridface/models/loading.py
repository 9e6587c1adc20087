"""Networks behind GridFace's metrics, from the bundled checkpoints: in single precision, every name fitting."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from t2av_bench.gridface.models import checkpoints

if TYPE_CHECKING:
    from torch import Tensor, nn

Network = TypeVar("Network", bound="nn.Module")


def digest(name: str) -> str | None:
    """sha256 of a bundled checkpoint; None where there is none of that name."""
    return checkpoints.digest(name) if name in checkpoints.names() else None


def load(name: str, build: "Callable[[dict[str, Tensor]], Network]", file: Path | None = None) -> Network:
    """The network that ``build`` makes from the stored tensors' shapes, filled and in evaluation mode.

    file: another file than the bundled one. Raises NotApplicable, with the command that makes the model, where it is
    missing or not the file that the index names, and ValueError where there is none of that name or it does not fit.
    """
    from reference_model.utils.strict_loading import load_strictly, read_checkpoint

    path = checkpoints.path(name) if file is None else file
    state = read_checkpoint(path)
    network = build(state)
    # Counters of normalised batches matter to training only, and are not stored.
    counters = {key: value for key, value in network.state_dict().items() if not value.is_floating_point()}
    load_strictly(network, state | counters, source=str(path))
    return network.float().eval()
