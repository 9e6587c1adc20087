"""The LPIPS networks of the ``lpips`` package, with verified backbone weights and without downloads."""

import functools
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from t2av_bench.errors import NotApplicable
from t2av_bench.utils.inference import full_precision
from t2av_bench.utils.optional import make_torchvision_importable, require

if TYPE_CHECKING:
    import torch

Backbone = Literal["alex", "vgg"]
BACKBONE_WEIGHTS: dict[str, str] = {"alex": "alexnet_tv", "vgg": "vgg16_tv"}
HEAD_WEIGHTS: dict[str, str] = {"alex": "lpips_alex_lin", "vgg": "lpips_vgg_lin"}


@functools.lru_cache(maxsize=2)
def load(net: Backbone, backbone: Path, head: Path, digests: tuple[str | None, ...], device: str) -> "torch.nn.Module":
    """LPIPS v0.1 with a torchvision backbone's state dict and the package's head. ``digests`` only key the cache."""
    import torch

    make_torchvision_importable()
    lpips = require("lpips", "video")
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():  # the backbone starts out random
        warnings.simplefilter("ignore")
        model = lpips.LPIPS(net=net, version="0.1", pnet_rand=True, model_path=str(head), verbose=False)
    state = torch.load(backbone, map_location="cpu", weights_only=True)
    # lpips cuts torchvision's ``features`` into slices and keeps layer numbers: slice2.3.weight is features.3.weight.
    names = {name: "features." + name.split(".", 1)[1] for name in model.net.state_dict()}
    if missing := [original for original in names.values() if original not in state]:
        raise NotApplicable(f"{backbone.name} is not a torchvision {net} state dict: it lacks {', '.join(missing[:3])}")
    model.net.load_state_dict({name: state[original] for name, original in names.items()}, strict=True)
    return model.to(device).eval()


def distance(model: "torch.nn.Module", first: np.ndarray, second: np.ndarray, device: str = "cpu") -> np.ndarray:
    """LPIPS of uint8 RGB images (n, H, W, 3): (n,) float64. The network sees them in [-1, 1]."""
    import torch

    def scaled(images: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).to(device).float() / 127.5 - 1

    with full_precision():
        return model(scaled(first), scaled(second)).flatten().double().cpu().numpy()
