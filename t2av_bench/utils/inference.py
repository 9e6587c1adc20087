"""How networks are run: torch's without gradients and in full single precision, ONNX's with one thread."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from t2av_bench.errors import NotApplicable
from t2av_bench.utils.optional import require

if TYPE_CHECKING:
    import torch

Dtype = Literal["float32", "bfloat16"]
"""Of a network's convolutions and matrix products; what goes in and what comes out is float32."""


@contextmanager
def full_precision() -> Iterator[None]:
    """Run torch code without gradients, TensorFloat-32 or autotuned kernels, and restore the settings afterwards.

    cuDNN convolutions use TensorFloat-32 by default, which moves features by about 1e-3.
    """
    import torch

    cudnn = torch.backends.cudnn
    with torch.inference_mode(), cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        yield


@contextmanager
def precision(dtype: Dtype, device: str) -> Iterator[None]:
    """``full_precision``, or with bfloat16 convolutions and matrix products in that: 8 significant bits, sums in
    float32. NotApplicable as of ``check_dtype``."""
    import torch

    check_dtype(dtype, device)
    reduced = nullcontext() if dtype == "float32" else torch.autocast(device.split(":")[0], torch.bfloat16)
    with full_precision(), reduced:
        yield


def known_dtype(dtype: str) -> Dtype:
    """The same; ValueError for another than those of ``Dtype``."""
    for known in get_args(Dtype):
        if dtype == known:
            return known
    raise ValueError(f"dtype is {' or '.join(map(repr, get_args(Dtype)))}, got {dtype!r}")


def check_dtype(dtype: Dtype, device: str) -> None:
    """NotApplicable where the device has no instructions for it: it would be emulated, slower than float32."""
    if dtype == "bfloat16" and not _has_bfloat16(device):
        import torch

        where = "this processor" if device == "cpu" else device
        known = device != "cpu" or hasattr(torch.cpu, "get_capabilities")
        lacks = f"{where} has no" if known else f"torch {torch.__version__} cannot tell whether {where} has"
        raise NotApplicable(
            f"dtype=bfloat16: {lacks} instructions for it (AVX512_BF16, AMX, Arm BF16, or a GPU of compute capability "
            f"8.0): leave dtype out, or use a machine that has{'' if known else ', or torch 2.13'}"
        )


@cache
def _has_bfloat16(device: str) -> bool:
    import torch

    if device == "cpu":
        # Releases before 2.13 may not be able to tell.
        has: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
        return any(has.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16"))
    if device.startswith("cuda") and torch.cuda.is_available():
        with torch.cuda.device(device):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    return False


def to_device(array: np.ndarray, device: str) -> "torch.Tensor":
    """An array as a tensor on a device. To a GPU it goes from pinned memory, while the processor does what is next."""
    import torch

    tensor = torch.from_numpy(array)
    if device.startswith("cuda"):
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


PASS_BYTES = 256 << 20
"""Of the samples of a pass."""


def pass_size(device: str, most: int, sample_bytes: int = 0) -> int | None:
    """Samples of a pass that clips share on a GPU: ``most``, or what ``PASS_BYTES`` hold. None: a clip's pass alone.

    The last digits depend on how many samples a pass has, so that on a GPU none of their size may have more or fewer. A
    processor's cores gain nothing from more than a clip has, and samples that only fill a pass would cost time.
    """
    return None if device == "cpu" else max(1, min(most, PASS_BYTES // max(1, sample_bytes)))


def in_passes(network: Callable[[np.ndarray], np.ndarray], samples: np.ndarray, size: int | None) -> np.ndarray:
    """(n, ...) samples through a network, in passes of ``size``, the last one filled up with its last sample.

    So a sample's result depends neither on those beside it nor on their number. None: all in one pass.
    """
    if size is None:
        return network(samples)
    found = []
    for start in range(0, len(samples), size):
        part = samples[start : start + size]
        filled = np.concatenate([part, np.repeat(part[-1:], size - len(part), axis=0)])
        found.append(network(filled)[: len(part)])
    return np.concatenate(found)


def load_torchscript(path: Path, device: str) -> Any:
    """A scripted network in evaluation mode."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.load(str(path), map_location=device).eval()


def onnx_session(path: Path | str, extra: str, device: str = "cpu") -> Any:
    """An onnxruntime session; ``extra`` installs its package.

    One thread: summation order, and with it the last digit, would follow the machine; workers use the cores.
    """
    onnxruntime = require("onnxruntime", extra)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    wanted = ["CUDAExecutionProvider"] if device.startswith("cuda") else []
    providers = [name for name in wanted if name in onnxruntime.get_available_providers()]
    return onnxruntime.InferenceSession(str(path), options, providers=[*providers, "CPUExecutionProvider"])
