"""Networks as safetensors files: float32 or half precision, the configuration in the metadata, read strictly."""

import json
from pathlib import Path

import torch

from reference_model.checkpoints import write_safetensors
from reference_model.config import ConfigError
from reference_model.utils.strict_loading import CheckpointError, Undrawn, load_strictly, read_safetensors

from .diffusion.config import NetworkConfig
from .diffusion.network import DiffusionNetwork
from .families import network_class

CONFIG_KEY = "diffusion_baseline_config"


def save_network(network: DiffusionNetwork, path: str | Path, *, dtype: torch.dtype | None = None) -> None:
    """Write a network, whole or not at all; ``dtype`` (``torch.float16``, say) makes the file smaller."""
    state = {name: tensor.detach().to(dtype=dtype).contiguous() for name, tensor in network.state_dict().items()}
    write_safetensors(state, path, {CONFIG_KEY: json.dumps(network.config.to_dict())})


def load_network(
    path: str | Path, *, family: str | None = None, config: NetworkConfig | None = None, device: str = "cpu"
) -> DiffusionNetwork:
    """Read a network in float32, in evaluation mode.

    ``family`` and ``config`` say what the file must hold. Raises FileNotFoundError, and :class:`.CheckpointError`
    for a damaged file, a file of another format, family or size, naming every tensor that does not fit.
    """
    state, metadata = read_safetensors(path)
    stored = _stored_config(metadata, path)
    wanted = family or (config.family if config else stored.family)
    if stored.family != wanted:
        raise CheckpointError(f"{path} holds a {stored.family} network, not {wanted}; give a checkpoint of {wanted}")
    with Undrawn():
        network = network_class((config or stored).family)(config or stored)
    load_strictly(network, state, source=str(path), dtype=torch.float32)
    for name, tensor in network.state_dict().items():
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f"{path}: {name} is not finite; train it again, or store it in float32")
    return network.to(device).eval()


def _stored_config(metadata: dict[str, str], path: str | Path) -> NetworkConfig:
    if CONFIG_KEY not in metadata:
        raise CheckpointError(
            f"{path} carries no {CONFIG_KEY} in its metadata: it is not a checkpoint of a diffusion baseline"
        )
    try:
        return NetworkConfig.from_dict(json.loads(metadata[CONFIG_KEY]))
    except (ValueError, ConfigError) as error:
        raise CheckpointError(f"{path} carries a configuration that this version cannot read: {error}") from error
