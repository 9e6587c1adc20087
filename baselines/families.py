"""The baselines by name: the network of a family, a random one, and one of a wanted size."""

import bisect
import dataclasses

import torch

from reference_model.config import ConfigError
from reference_model.utils.strict_loading import CheckpointError

from .audio_driven import AudioDriven
from .diffusion.config import FAMILIES, NetworkConfig
from .diffusion.network import DiffusionNetwork
from .dual_branch import DualBranch
from .length_matched_tts import LengthMatchedTTS


def network_class(family: str) -> type[DiffusionNetwork]:
    """The network of one of :data:`.FAMILIES`. Raises :class:`.CheckpointError` for another name."""
    known = {kind.family: kind for kind in (DualBranch, AudioDriven, LengthMatchedTTS)}
    if family not in known:
        raise CheckpointError(f"no family {family!r}; there are {', '.join(FAMILIES)}")
    return known[family]


def random_network(config: NetworkConfig, *, seed: int = 0) -> DiffusionNetwork:
    """A network with random weights on the CPU; the global generator is untouched."""
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.manual_seed(seed)
        return network_class(config.family)(config)


def matched_width(config: NetworkConfig, parameters: int) -> NetworkConfig:
    """``config`` with the width that brings its number of parameters nearest to ``parameters``.

    Comparisons at equal size start from the reference's count. Raises :class:`.ConfigError` where not even the
    narrowest width is small enough to come within a tenth.
    """
    step = 2 * config.heads

    def sized(steps: int) -> tuple[NetworkConfig, int]:
        candidate = dataclasses.replace(config, width=steps * step)
        with torch.device("meta"):
            return candidate, network_class(config.family)(candidate).parameter_count()

    above = 1
    while sized(above)[1] < parameters:
        above *= 2
    first = bisect.bisect_left(range(1, above + 1), parameters, key=lambda steps: sized(steps)[1]) + 1
    best = min((sized(steps) for steps in {max(first - 1, 1), first}), key=lambda found: abs(found[1] - parameters))
    if abs(best[1] - parameters) > 0.1 * parameters:
        raise ConfigError(
            f"no width brings {config.family} with {config.layers} layers within a tenth of {parameters} parameters: "
            f"the nearest, {best[0].width}, has {best[1]}; change layers or heads"
        )
    return best[0]
