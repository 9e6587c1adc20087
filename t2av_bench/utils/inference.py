"""How networks are run: torch's without gradients and in full single precision, ONNX's with one thread."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from t2av_bench.utils.optional import require


@contextmanager
def full_precision() -> Iterator[None]:
    """Run torch code without gradients, TensorFloat-32 or autotuned kernels, and restore the settings afterwards.

    cuDNN convolutions use TensorFloat-32 by default, which moves features by about 1e-3.
    """
    import torch

    cudnn = torch.backends.cudnn
    with torch.inference_mode(), cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        yield


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
