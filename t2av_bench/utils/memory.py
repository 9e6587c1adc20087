"""How much memory there is, how much a process uses with all that it started, and how many workers fit.

Linux tells all of it under ``/proc`` and ``/sys/fs/cgroup``; elsewhere nothing is known and nothing is limited. Read by
hand: psutil knows no control groups, counts mapped files (weights) as held, and looks for a process's children among
all processes of the machine.
"""

from collections.abc import Iterator
from pathlib import Path

GB = 10**9
# What a worker needs beside large networks: libraries, decoded pictures and sound of a clip.
WORKER_BYTES = 3 * GB
# Of what is available, what all workers together may take; the rest is the parent's and everybody else's.
SHARE = 0.9


def available(root: Path = Path("/")) -> int | None:
    """Bytes that can still be taken: by the machine, and by every control group that this process is in."""
    found = []
    try:
        for line in (root / "proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                found.append(int(line.split()[1]) * 1024)
    except (OSError, ValueError, IndexError):
        return None
    found += _left_in_groups(root)
    return max(0, min(found)) if found else None


def _left_in_groups(root: Path) -> Iterator[int]:
    """Limit minus use of each memory control group, from the own one to the root; those without a limit say nothing."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, _, tail = line.partition(":")
        controllers, _, path = tail.partition(":")
        second = not controllers
        if not second and "memory" not in controllers.split(","):
            continue
        base = root / ("sys/fs/cgroup" if second else "sys/fs/cgroup/memory")
        limit_name, use_name = ("memory.max", "memory.current") if second else (
            "memory.limit_in_bytes", "memory.usage_in_bytes")  # fmt: skip
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for depth in range(len(parts), -1, -1):
            folder = base.joinpath(*parts[:depth])
            try:
                limit = int((folder / limit_name).read_text())  # "max" is no number: no limit
                used = int((folder / use_name).read_text()) - _reclaimable(folder)
            except (OSError, ValueError):
                continue
            yield limit - used


def _reclaimable(folder: Path) -> int:
    """Cached file contents count as used, and go when the memory is wanted."""
    try:
        fields = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        return int(fields.get("total_inactive_file", fields.get("inactive_file", 0)))
    except (OSError, ValueError):
        return 0


def used(process: int) -> int | None:
    """Bytes that a process and its descendants hold: resident or swapped, without the files that they map."""
    total, waiting = None, [process]
    while waiting:
        folder = Path("/proc") / str(waiting.pop())
        try:
            for line in (folder / "status").read_text().splitlines():
                if line.startswith(("RssAnon:", "RssShmem:", "VmSwap:")):
                    total = (total or 0) + int(line.split()[1]) * 1024
            for children in folder.glob("task/*/children"):
                waiting += map(int, children.read_text().split())
        except (OSError, ValueError):
            continue  # it ended while it was looked at
    return total


def share(there: int | None, workers: int) -> float | None:
    """Bytes that each of so many workers may hold, of those available; None where nothing is known.

    Never less than a worker needs: others may give memory back, and where they do not the kernel ends a worker.
    """
    return None if there is None or not workers else max(WORKER_BYTES, SHARE * there / workers)


def fitting(each: float, most: int) -> int:
    """How many workers of so many bytes fit into what is available: 1 to ``most``."""
    there = available()
    return most if there is None else max(1, min(most, int(SHARE * there / each)))
