"""What can be switched on for speed: packed weights, compilation, CUDA graphs."""

from .accelerate import accelerate, pack_linears

__all__ = ["accelerate", "pack_linears"]
