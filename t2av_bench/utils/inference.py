"""How networks are run: without gradients and in full single precision."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def full_precision() -> Iterator[None]:
    """Run torch code without gradients, TensorFloat-32 or autotuned kernels, and restore the settings afterwards.

    cuDNN convolutions use TensorFloat-32 by default, which moves features by about 1e-3.
    """
    import torch

    cudnn = torch.backends.cudnn
    with torch.inference_mode(), cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        yield
