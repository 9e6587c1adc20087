"""Packages that an extra installs, and torchvision beside a torch that it was not built for."""

import ctypes
import importlib
from functools import cache
from importlib.util import find_spec
from types import ModuleType

from t2av_bench.errors import NotApplicable


def require(module: str, extra: str) -> ModuleType:
    """Import an optional dependency, or say which extra installs it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise NotApplicable(
            f"the Python package {module.split('.')[0]!r} is missing ({error}): pip install 't2av-bench[{extra}]'"
        ) from error


def require_all(extra: str, *modules: str) -> None:
    """Raise NotApplicable before any work where ``lacking`` has something to say."""
    if absent := lacking(extra, *modules):
        raise NotApplicable(absent)


def lacking(extra: str, *modules: str) -> str | None:
    """All optional packages that are missing, and the extra (or several, with commas) that installs them, in words.

    Nothing is imported: a package that is there and broken is found later.
    """
    absent = [module for module in modules if find_spec(module) is None]
    return f"missing: Python packages {', '.join(absent)}: pip install 't2av-bench[{extra}]'" if absent else None


OPENCV_LIBRARIES = "apt-get install libgl1 libglib2.0-0"
"""What OpenCV's wheel takes from the system, as Debian and Ubuntu call it."""


@cache
def opencv_fault() -> str | None:
    """The library of the system for want of which OpenCV is installed and does not load, in words; else None."""
    if find_spec("cv2") is None:
        return None
    try:
        ctypes.CDLL("libGL.so.1")  # which is found much sooner than OpenCV is imported
    except OSError:
        try:
            importlib.import_module("cv2")
        except ImportError as error:
            return f"a library that OpenCV loads ({error})"
    return None


def make_torchvision_importable() -> None:
    """Call before ``import torchvision``, and before transformers, which imports it: a wheel for CUDA fails beside a
    CPU build of torch."""
    from reference_model.utils.transformers import make_transformers_importable

    make_transformers_importable()
