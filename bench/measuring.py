"""What the benchmarks share: clocks, peaks of memory, commands in processes of their own, options and tables."""

import argparse
import contextlib
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))


def processor_seconds() -> float:
    """Of this process, all its threads, and the programs that it ran and waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def now(device: "torch.device") -> float:
    """Wall seconds, when everything that the device was asked for is done."""
    if device.type == "cuda":
        import torch

        torch.cuda.synchronize(device)
    return time.perf_counter()


@contextlib.contextmanager
def peak_memory(device: "torch.device") -> Iterator[Callable[[], int]]:
    """A function that tells the peak since the start in bytes: of the device's allocator, or of the process."""
    if device.type == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats(device)
        yield lambda: torch.cuda.max_memory_allocated(device)
        return
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # Linux: the high-water mark starts again from here

    yield lambda: _peak("self") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _peak(pid: int | str) -> int:
    """The largest resident size so far of a process in bytes; 0 where the system does not tell."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def alone() -> None:
    """This process and the programs that it starts on one core, with one thread: processor seconds then compare what
    uses all cores with what uses one. Call it before a network is loaded."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence what other packages and the programs that they call print."""
    saved, silence = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 2)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(silence)


def command(*arguments: str, status: Collection[int] = (0,)) -> dict[str, float]:
    """``t2av-bench ARGUMENTS`` in a process of its own: wall and processor seconds, largest resident sizes in MB.

    The usage of a child that was waited for includes its own waited-for children: the workers. ``memory_mb`` is of the
    command itself, ``worker_mb`` of the largest process that it started (0: none), as far as /proc tells them apart;
    elsewhere the first is of the largest of all. status: the exit statuses that are no failure.
    """
    start = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(
            [sys.executable, "-m", "t2av_bench.cli.main", *arguments], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=said
        )
        peaks: dict[int, int] = {}
        while True:
            pid, ended, used = os.wait4(child.pid, os.WNOHANG)
            if pid:
                break
            _note_peaks(child.pid, peaks)
            time.sleep(0.02)
        seconds = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(ended)
        if child.returncode not in status:
            said.seek(0)
            reason = said.read().decode(errors="replace").strip()[-2000:]
            raise SystemExit(f"t2av-bench {' '.join(arguments)} ended with {child.returncode}: {reason}")
    whole = used.ru_maxrss * (1024 if sys.platform != "darwin" else 1)
    workers = max((size for pid, size in peaks.items() if pid != child.pid), default=0)
    return {
        "seconds": round(seconds, 2), "cpu": round(used.ru_utime + used.ru_stime, 2),
        "memory_mb": round((peaks.get(child.pid) or whole) / 2**20), "worker_mb": round(workers / 2**20),
    }  # fmt: skip


def _note_peaks(pid: int, peaks: dict[int, int]) -> None:
    """The largest resident sizes so far of a process and of all below it, in bytes."""
    if peak := _peak(pid):
        peaks[pid] = max(peaks.get(pid, 0), peak)
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for below in (task / "children").read_text().split():
                _note_peaks(int(below), peaks)


def options(document: str | None) -> argparse.ArgumentParser:
    """A parser whose help is the script's documentation."""
    return argparse.ArgumentParser(description=document, formatter_class=argparse.RawDescriptionHelpFormatter)


def network_options(document: str | None, sizes: Sequence[str]) -> argparse.ArgumentParser:
    """The same, with what every measurement of a network asks for."""
    parser = options(document)
    parser.add_argument("--size", choices=sorted(sizes), default="small")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, help="processor threads")
    parser.add_argument("--json", type=Path, help="write everything here as well")
    return parser


def set_threads(asked: argparse.Namespace) -> str:
    """Carry ``--threads`` out; a line that says where the measurement runs."""
    import torch

    if asked.threads:
        torch.set_num_threads(asked.threads)
    where = torch.cuda.get_device_name() if asked.device.startswith("cuda") else f"{torch.get_num_threads()} threads"
    return f"{asked.size}, {where}; torch {torch.__version__}; load {os.getloadavg()[0]:.1f}"


def show(row: Any) -> None:
    """Print what was measured (a dataclass), numbers to four digits."""
    values = {name: f"{value:.4g}" if isinstance(value, float) else value for name, value in vars(row).items()}
    print("  ".join(f"{name} {value}" for name, value in values.items() if value is not None), flush=True)


def number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}g}"


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    lines = ["| " + " | ".join(headings) + " |", "|" + "---|" * len(headings)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)]) + "\n"


def write_json(asked: argparse.Namespace, rows: Sequence[Any], **facts: Any) -> None:
    """Write options, rows and facts to ``--json``, where it was given."""
    if asked.json:
        given = {key: value for key, value in vars(asked).items() if key != "json"}
        kept = {**given, **facts, "rows": [vars(row) for row in rows]}
        asked.json.write_text(json.dumps(kept, indent=1, default=str))
