"""CUDA graphs: a function's kernel launches, recorded once an input shape, then replayed. Not measured on a GPU yet."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

WARM_UP_RUNS = 3
"""Runs before recording, in which libraries choose their kernels and allocate their workspaces."""


class Recorded:
    """``function`` of CUDA tensors, recorded when an input shape is first seen and replayed from then on.

    The function must do nothing but work on the device: no value read back, no tensor of the CPU, no randomness. What
    it reads besides its arguments (weights, caches) must stay where it is. Outputs are fresh tensors. Not for
    several threads at once.
    """

    def __init__(self, function: Callable[..., Any]):
        self._function = function
        self._recordings: dict[Any, tuple[list[Tensor], Tensor | tuple[Tensor, ...], Callable[[], None]]] = {}

    def __call__(self, *inputs: Tensor) -> Any:
        key = tuple((tensor.shape, tensor.dtype) for tensor in inputs)
        if key not in self._recordings:
            static = [tensor.clone() for tensor in inputs]
            self._recordings[key] = static, *self._record(static)
        static, outputs, replay = self._recordings[key]
        for place, value in zip(static, inputs, strict=True):
            place.copy_(value)
        replay()
        return outputs.clone() if isinstance(outputs, Tensor) else tuple(output.clone() for output in outputs)

    def _record(self, static: list[Tensor]) -> tuple[Any, Callable[[], None]]:
        """The outputs' places, and what computes them from the inputs' (``static``) again."""
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP_RUNS):
                self._function(*static)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            outputs = self._function(*static)
        return outputs, graph.replay
