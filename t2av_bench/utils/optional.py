"""Make ``import torchvision`` work on a CPU build of torch.

The registry's torchvision wheel is a CUDA build. On a CPU torch its compiled operators do not load, and its import
then fails while registering fake implementations of ``nms`` and ``qnms``, which do not exist. Declaring the two
schemas first is enough: nothing in this project calls them.
"""

_library = None  # keeps the operator fragment alive for the life of the process


def install() -> None:
    """Declare ``torchvision::nms`` and ``torchvision::qnms`` where they are missing. Safe to call repeatedly."""
    global _library
    import sys

    import torch

    if _library is not None or "torchvision" in sys.modules:
        return
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        _library = torch.library.Library("torchvision", "FRAGMENT")
        schema = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        for operator in ("nms", "qnms"):
            if not hasattr(torch.ops.torchvision, operator):
                _library.define(operator + schema)
