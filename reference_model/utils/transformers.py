"""Importing transformers beside a torchvision that was built for another torch.

transformers imports torchvision on the way to its models. Where torchvision's compiled operators do not load (a CUDA
wheel beside a CPU torch, say), that import fails for want of two operators that nothing here uses. Declaring their
signatures is enough.
"""

import importlib.util
import sys

import torch

_declared: torch.library.Library | None = None
"""Keeps the declarations alive for the life of the process."""


def make_transformers_importable() -> None:
    """Call before ``import transformers``. Does nothing where torchvision is absent, loaded or sound."""
    global _declared
    if importlib.util.find_spec("torchvision") is None or "torchvision" in sys.modules:
        return
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "FRAGMENT")
        for operator in ("nms", "qnms"):
            if not hasattr(torch.ops.torchvision, operator):
                library.define(operator + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _declared = library
