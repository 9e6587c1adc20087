"""Processor seconds of ``sync/mesh`` against ``sync/exact`` on the same clip, file to number.

    python bench/sync_mesh_speed.py CLIP [--repeats 3] [--json]

``sync/exact`` runs S3FD on every frame with random weights, and goes on with prepared boxes, as in ``sync_speed.py``.
``sync/mesh`` runs its real networks: ``t2av-bench weights fetch --for sync/mesh``. Runs alternate within one process,
on one thread; processor time counts, which other programs move little, and the least of each.
"""

import json
import logging
import os
import sys
import time
from copy import deepcopy
from pathlib import Path

from measuring import options
from sync_speed import Stopwatch, ours, random_networks


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
    parser.add_argument("clip", type=Path, help="a clip with one frontal face of at least 5 seconds, and its sound")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    arguments = parser.parse_args()
    import cv2
    import torch

    from t2av_bench.faces.detect import haar
    from t2av_bench.media.clip import Clip
    from t2av_bench.metrics.sync_mesh import SyncMesh
    from t2av_bench.weights.needs import unusable

    Stopwatch.clock = staticmethod(time.process_time)
    logging.disable(logging.ERROR)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    if reason := unusable(SyncMesh):
        sys.exit(f"sync/mesh: {reason}")
    syncnet, s3fd = random_networks()
    boxes = [haar().detect(frames)[0][:1] for frames in Clip(arguments.clip).frames(1)]
    if not all(len(found) for found in boxes):
        sys.exit(f"{arguments.clip}: the Haar cascade must find a face in every frame to prepare the boxes")
    mesh(arguments.clip)  # loads the networks, which a run does once
    best = {"sync/exact": float("inf"), "sync/mesh": float("inf")}
    values: dict[str, float] = {}
    for _ in range(arguments.repeats):
        exact, _result = ours(arguments.clip, deepcopy(syncnet), deepcopy(s3fd), boxes)
        best["sync/exact"] = min(best["sync/exact"], exact["total"])
        seconds, values = mesh(arguments.clip)
        best["sync/mesh"] = min(best["sync/mesh"], seconds)
    facts = {
        "frames": len(boxes), "processor_seconds": best, "ratio": best["sync/exact"] / best["sync/mesh"],
        "load": os.getloadavg()[0], "values": values,
    }  # fmt: skip
    if arguments.json:
        json.dump(facts, sys.stdout)
        return
    load = f"load {os.getloadavg()[0]:.1f}"
    print(f"{arguments.clip.name}: {len(boxes)} frames, 1 thread, best of {arguments.repeats}, {load}")
    for name, seconds in best.items():
        print(f"{name:12s}{seconds:8.2f} processor seconds{1000 * seconds / len(boxes):8.1f} ms a frame")
    print(f"sync/mesh is {facts['ratio']:.1f} times cheaper")


if __name__ == "__main__":
    main()
