"""The processes of one run: a single one, or those that torchrun starts."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from ..config import ConfigError


@dataclass(frozen=True)
class Processes:
    """This process's place among ``count`` processes, and its device."""

    rank: int
    count: int
    device: torch.device

    @property
    def first(self) -> bool:
        return self.rank == 0

    @classmethod
    @contextlib.contextmanager
    def join(cls, device: str) -> Iterator["Processes"]:
        """Join the group that torchrun's environment variables describe; alone without them.

        ``device`` is ``auto``, ``cpu`` or ``cuda``; with several processes on one machine each takes its own GPU.
        """
        if device == "cuda" and not torch.cuda.is_available():
            raise ConfigError('device is \'cuda\', but torch sees no GPU here; set device = "cpu" or "auto"')
        on_gpu = device == "cuda" or (device == "auto" and torch.cuda.is_available())
        own = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if on_gpu else torch.device("cpu")
        if on_gpu:
            torch.cuda.set_device(own)
        if int(os.environ.get("WORLD_SIZE", 1)) == 1:
            yield cls(0, 1, own)
            return
        dist.init_process_group("nccl" if on_gpu else "gloo")
        try:
            yield cls(dist.get_rank(), dist.get_world_size(), own)
        finally:
            dist.destroy_process_group()

    def sum(self, values: Tensor) -> Tensor:
        if self.count > 1:
            values = values.clone()
            dist.all_reduce(values)
        return values

    def any(self, flag: int) -> int:
        """The largest ``flag`` of all processes, so that all of them act on a signal that one received."""
        if self.count == 1:
            return flag
        value = torch.tensor(flag, device=self.device)
        dist.all_reduce(value, dist.ReduceOp.MAX)
        return int(value)

    def wait(self) -> None:
        if self.count > 1:
            dist.barrier()

    def autocast(self, precision: str) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")
