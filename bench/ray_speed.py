"""What workers on simulated machines of a Ray cluster do in the time of one, and what one costs against a local worker.

    python bench/ray_speed.py [--workers 1 2 4] [--clips 48] [--metrics psnr,ssim,stoi,pesq] [--json FILE]

Every machine has one processor; all share this one, so that efficiency means something up to its cores alone, and on an
idle machine. Workers are started, and have loaded what they need, before the clock is: by a run of other clips.

efficiency: clips a second over those of one worker times the smaller of workers and cores. overhead: seconds of one
worker over those of one local worker.
"""

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

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
    clips_per_second: float
    efficiency: float | None = None
    overhead: float | None = None


def seconds(folder: Path, name: str, metrics: str, workers: int, engine: Engine | None) -> float:
    """Of the clips in ``folder``/clips, by workers that have measured those in ``folder``/warm."""
    with WorkerPool(engine) as pool:
        for clips in ("warm", "clips"):
            asked = EvaluateConfig(
                generated=folder / clips, reference=folder / clips, metrics=metrics.split(","), workers=workers,
                out=folder / f"{name}-{clips}", cache=folder / f"{name}-features",  # another cache: other workers
            )  # fmt: skip
            started = time.perf_counter()
            evaluate(asked, lambda progress: None, lambda text: None, pool)
    return time.perf_counter() - started


def on_ray(folder: Path, metrics: str, workers: int) -> float:
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": _STORE, "include_dashboard": False}
    )
    try:
        for _ in range(workers):
            cluster.add_node(num_cpus=1, object_store_memory=_STORE)
        with RayEngine(cluster.address, Needs(memory=5e8)) as engine:
            return seconds(folder, f"ray-{workers}", metrics, workers, engine)
    finally:
        cluster.shutdown()


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--clips", type=int, default=48)
    parser.add_argument("--metrics", default="psnr,ssim,stoi,pesq")
    parser.add_argument("--json", type=Path, help="write everything here as well")
    asked = parser.parse_args()
    os.environ |= {"RAY_worker_niceness": "0", "RAY_USAGE_STATS_ENABLED": "0"}
    print(f"{cores()} cores, load {os.getloadavg()[0]:.1f}")
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name in ("warm", "clips"):
            (folder / name).mkdir()
        make_clips(folder / "clips", asked.clips + 2 * max(asked.workers), side=256, seconds=2)
        for clip in sorted((folder / "clips").iterdir())[asked.clips :]:
            clip.rename(folder / "warm" / clip.name)
        local = seconds(folder, "local", asked.metrics, 1, None)
        rows.append(Row("local", 1, local, asked.clips / local))
        show(rows[-1])
        one = None
        for workers in sorted({1, *asked.workers}):
            took = on_ray(folder, asked.metrics, workers)
            one = one or took
            efficiency = one / took / min(workers, cores())
            overhead = took / local if workers == 1 else None
            rows.append(Row("ray", workers, took, asked.clips / took, efficiency, overhead))
            show(rows[-1])
    write_json(asked, rows, cores=cores())


if __name__ == "__main__":
    main()
