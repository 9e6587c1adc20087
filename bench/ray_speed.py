"""What workers on simulated machines of a Ray cluster do in the time of one, and what one costs against a local worker.

    python bench/ray_speed.py [--workers 1 2 4] [--clips 40] [--rounds 1] [--metrics psnr,ssim,stoi,pesq] [--json FILE]

Every machine has one processor; all share this one, so that efficiency means something up to its cores alone. Workers
are started, and have loaded what they need, before the clock is: by a run of other clips. Rounds alternate; figures are
medians.

seconds: by the clock. alone: seconds without what other programs took, on Linux: what the workers computed (with as
many workers as cores also what the command and Ray did), shared by the cores in use, and the time in which a worker had
nothing to do. On an idle machine both agree. efficiency: clips a second over those of one worker times the smaller of
workers and cores; of ``alone``, else of the clock. overhead: seconds of one worker over those of one local worker.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from growth import make_clips
from measuring import options, show, write_json

from t2av_bench.evaluation.config import EvaluateConfig
from t2av_bench.evaluation.evaluate import evaluate
from t2av_bench.utils.machine import cores
from t2av_bench.utils.ray_engine import RayEngine
from t2av_bench.utils.worker_engine import Engine, Needs
from t2av_bench.utils.worker_pool import WorkerPool

_STORE = 100 * 2**20


@dataclass
class Row:
    engine: str
    workers: int
    seconds: float
    alone: float | None
    efficiency: float | None = None
    efficiency_by_clock: float | None = None
    overhead: float | None = None


@dataclass
class Times:
    seconds: list[float] = field(default_factory=list)
    alone: list[float] = field(default_factory=list)


def processes() -> dict[int, tuple[bool, float, float]]:
    """This one and all below it: whether it is a worker, seconds that it computed, and that it waited for a core."""
    parents, found = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            tasks = [task.read_text().split() for task in folder.glob("task/*/schedstat")]
            ran, waited = (sum(int(task[column]) for task in tasks) / 1e9 for column in (0, 1))
            pid = int(folder.name)
            parents[pid] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            found[pid] = b"import _serve" in (folder / "cmdline").read_bytes(), ran, waited

    def is_mine(pid: int) -> bool:
        return pid == os.getpid() or (pid in parents and is_mine(parents[pid]))

    return {pid: each for pid, each in found.items() if is_mine(pid)}


def alone(seconds: float, before: dict[int, tuple[bool, float, float]], workers: int) -> float | None:
    """See the script's description; None where the system does not tell."""
    spent = [
        (is_worker, ran - before[pid][1], waited - before[pid][2])
        for pid, (is_worker, ran, waited) in processes().items() if pid in before
    ]  # fmt: skip
    busy = sorted((ran, waited) for is_worker, ran, waited in spent if is_worker)[-workers:]
    if len(busy) < workers:
        return None
    computed = sum(ran for ran, _ in busy)
    idle = seconds * workers - sum(ran + waited for ran, waited in busy)
    if workers >= cores():
        computed += sum(ran for is_worker, ran, _ in spent if not is_worker)
    return computed / min(workers, cores()) + idle / workers


def measure(folder: Path, metrics: str, workers: int, engine: Engine | None, times: Times) -> None:
    """The clips in ``folder``/clips, by workers that have measured those in ``folder``/warm."""
    with WorkerPool(engine) as pool:
        for clips in ("warm", "clips"):
            asked = EvaluateConfig(
                generated=folder / clips, reference=folder / clips, metrics=metrics.split(","), workers=workers,
                out=folder / "runs" / clips, cache=folder / "runs" / "features",
            )  # fmt: skip
            before, started = processes(), time.perf_counter()
            evaluate(asked, lambda progress: None, lambda text: None, pool)
        times.seconds.append(time.perf_counter() - started)
        if (own := alone(times.seconds[-1], before, workers)) is not None:
            times.alone.append(own)
    shutil.rmtree(folder / "runs")


@contextmanager
def machines(count: int) -> Iterator[str]:
    """The address of a cluster of so many machines, and a head that does nothing."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": _STORE, "include_dashboard": False}
    )
    try:
        for _ in range(count):
            cluster.add_node(num_cpus=1, object_store_memory=_STORE)
        yield cluster.address
    finally:
        cluster.shutdown()


def rows(times: dict[tuple[str, int], Times]) -> Iterator[Row]:
    def middle(key: tuple[str, int], of: str) -> float | None:
        found = getattr(times[key], of)
        return median(found) if len(found) == len(times[key].seconds) else None

    for (engine, workers), each in times.items():
        row = Row(engine, workers, median(each.seconds), middle((engine, workers), "alone"))
        for of, name in (("seconds", "efficiency_by_clock"), ("seconds", "efficiency"), ("alone", "efficiency")):
            one, many = middle(("ray", 1), of), middle((engine, workers), of)
            if engine == "ray" and one and many:
                setattr(row, name, one / many / min(workers, cores()))
        if (engine, workers) == ("ray", 1):
            of = "alone" if row.alone else "seconds"
            row.overhead = getattr(row, of) / (middle(("local", 1), of) or row.seconds)
        yield row


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--metrics", default="psnr,ssim,stoi,pesq")
    parser.add_argument("--json", type=Path, help="write everything here as well")
    asked = parser.parse_args()
    os.environ |= {"RAY_worker_niceness": "0", "RAY_USAGE_STATS_ENABLED": "0"}
    print(f"{cores()} cores, load {os.getloadavg()[0]:.1f}")
    counts = sorted({1, *asked.workers})
    times = {("local", 1): Times(), **{("ray", workers): Times() for workers in counts}}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name in ("warm", "clips"):
            (folder / name).mkdir()
        make_clips(folder / "clips", asked.clips + 2 * max(counts), side=256, seconds=2)
        for clip in sorted((folder / "clips").iterdir())[asked.clips :]:
            clip.rename(folder / "warm" / clip.name)
        with machines(max(counts)) as address:
            for _ in range(asked.rounds):
                measure(folder, asked.metrics, 1, None, times["local", 1])
                for workers in counts:
                    with RayEngine(address, Needs(memory=5e8)) as engine:
                        measure(folder, asked.metrics, workers, engine, times["ray", workers])
    found = [*rows(times)]
    for row in found:
        show(row)
    write_json(asked, found, cores=cores())


if __name__ == "__main__":
    main()
