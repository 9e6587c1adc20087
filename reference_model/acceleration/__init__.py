"""What can be switched on for speed, without changing what is computed (up to the rounding of matrix products).

**Not measured on a GPU yet**: :class:`Accelerated`, which is compiled networks, CUDA graphs and paired heads, is tested
on the CPU alone, with its graphs replayed by calling again. ``bench/gpu.sh`` measures all of it on one GPU.
:func:`pack_linears` is for the CPU and measured there (``docs/reference_model.md``).
"""

from .accelerated import Accelerated
from .packed_weights import pack_linears

__all__ = ["Accelerated", "pack_linears"]
