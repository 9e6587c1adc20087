"""The processes of one run and their signals: accelerate's ``Accelerator``, with nothing of it left behind."""

import contextlib
import importlib.util
import signal
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..config import ConfigError

if TYPE_CHECKING:
    from accelerate import Accelerator


@contextlib.contextmanager
def joined(config: Any, output: Path) -> Iterator["Accelerator"]:
    """An accelerator: alone, or with the processes that ``torchrun`` or ``accelerate launch`` started.

    ``config`` is a run's. Its ``threads`` hold inside; threads, accelerate's state and the process group are afterwards
    as they were before. Raises :class:`.ConfigError` for a missing package or device.
    """
    try:
        from accelerate import Accelerator, DistributedDataParallelKwargs, InitProcessGroupKwargs
        from accelerate.state import AcceleratorState, GradientState, PartialState
    except ImportError as error:
        raise ConfigError(f"training needs accelerate ({error}): pip install 't2av-bench[train]'") from error
    for package in config.journal.trackers:
        if importlib.util.find_spec(package) is None:
            raise ConfigError(f"journal.trackers names {package}, which is not installed: pip install {package}")
    if config.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError('device is \'cuda\', but torch sees no GPU here; set device = "cpu" or "auto"')

    with contextlib.ExitStack() as undo:
        for state in (PartialState, AcceleratorState, GradientState):
            undo.callback(state._shared_state.update, dict(state._shared_state))
            undo.callback(state._reset_state)
            state._reset_state()
        undo.callback(torch.set_num_threads, torch.get_num_threads())
        if not _in_group():
            undo.callback(lambda: torch.distributed.destroy_process_group() if _in_group() else None)
        accelerator = Accelerator(
            cpu=config.device == "cpu" or not torch.cuda.is_available(),
            mixed_precision="bf16" if config.precision == "bfloat16" else "no",
            gradient_accumulation_steps=config.accumulation,
            log_with=list(config.journal.trackers) or None,
            project_dir=output,
            kwargs_handlers=[
                InitProcessGroupKwargs(timeout=timedelta(seconds=config.timeout)),
                DistributedDataParallelKwargs(gradient_as_bucket_view=True, broadcast_buffers=False),
            ],
        )
        undo.callback(lambda: [tracker.finish() for tracker in accelerator.trackers])
        if config.threads:
            torch.set_num_threads(config.threads)
        yield accelerator


def _in_group() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


@contextlib.contextmanager
def signals() -> Iterator[list[int]]:
    """The numbers of the signals (Ctrl-C, SIGTERM) that arrived in the block: it ends when its owner looks.

    A second signal acts as it would have without this. Only the main thread can receive signals; elsewhere the list
    stays empty.
    """
    received: list[int] = []
    with contextlib.ExitStack() as undo:

        def note(number: int, _: Any) -> None:
            received.append(number)
            undo.close()

        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                undo.callback(signal.signal, number, signal.signal(number, note))
        yield received
