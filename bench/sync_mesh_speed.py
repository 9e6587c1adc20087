"""Processor seconds of ``sync/mesh`` against ``sync/exact`` on the same clip, file to number.

    python bench/sync_mesh_speed.py [CLIP] [--repeats 3] [--json FILE]

``sync/exact`` runs S3FD on every frame with random weights, and goes on with prepared boxes, as in ``sync_speed.py``.
``sync/mesh`` runs its real networks: ``t2av-bench weights fetch --for sync/mesh``. Without a clip one is drawn. Runs
alternate within one process, on one core. The least processor time of each counts, which other programs move little.
"""

import logging
import os
import sys
import tempfile
import time
from copy import deepcopy
from pathlib import Path

from measuring import alone, options, write_json
from sync_speed import Stopwatch, ours, prepared


def mesh(clip: Path) -> tuple[float, dict[str, float]]:
    """Processor seconds, and the values."""
    from t2av_bench.benchmarks.manifest import Item
    from t2av_bench.media.clip import Clip
    from t2av_bench.metrics.base import Pair
    from t2av_bench.metrics.sync_mesh import SyncMesh

    start = time.process_time()
    found = SyncMesh().measure(Pair(Item(id=clip.stem), Clip(clip)))
    return time.process_time() - start, found.values


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("clip", type=Path, nargs="?", help="one frontal face of at least 5 s, and its sound")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write everything here as well")
    asked = parser.parse_args()
    from random_networks import sync_networks

    from t2av_bench.metrics.sync_mesh import SyncMesh
    from t2av_bench.weights.needs import unusable

    Stopwatch.clock = staticmethod(time.process_time)
    logging.disable(logging.ERROR)
    alone()
    if reason := unusable(SyncMesh):
        sys.exit(f"sync/mesh: {reason}")
    syncnet, s3fd = sync_networks()
    best = {"sync/exact": float("inf"), "sync/mesh": float("inf")}
    values: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        clip, boxes = prepared(asked.clip, Path(folder))
        mesh(clip)  # loads the networks, which a run does once
        for _ in range(asked.repeats):
            exact, _result = ours(clip, deepcopy(syncnet), deepcopy(s3fd), boxes)
            best["sync/exact"] = min(best["sync/exact"], exact["total"])
            seconds, values = mesh(clip)
            best["sync/mesh"] = min(best["sync/mesh"], seconds)
    ratio = best["sync/exact"] / best["sync/mesh"]
    print(f"{clip.name}: {len(boxes)} frames, one core, best of {asked.repeats}, load {os.getloadavg()[0]:.1f}")
    for name, seconds in best.items():
        print(f"{name:12s}{seconds:8.2f} processor seconds{1000 * seconds / len(boxes):8.1f} ms a frame")
    print(f"sync/mesh takes 1/{ratio:.1f} of it")
    write_json(asked, [], frames=len(boxes), processor_seconds=best, ratio=ratio, values=values)


if __name__ == "__main__":
    main()
