"""Whole-clip sync scoring against syncnet-python's pipeline: same clip, same random weights, same detector outputs.

    python bench/sync_speed.py [CLIP] [--repeats 3] [--threads 2] [--clock wall|cpu] [--json FILE]

Both run S3FD on every frame, and both then continue with the same prepared boxes (random weights find no faces), so
that tracking, cropping and embedding do equal work. Without a clip one is drawn. Runs alternate
within one process; the fastest of each counts. On a machine that others use as well, ``--clock cpu --threads 1`` counts
processor time (children included), which their load moves little. Needs the ``ffmpeg`` program, which syncnet-python
calls.
"""

import logging
import sys
import tempfile
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
from measuring import options, processor_seconds, quiet, write_json

PARTS = ("decode", "detect", "crop", "embed")
CLOCKS = {"wall": time.perf_counter, "cpu": processor_seconds}


class Stopwatch:
    """Seconds by part; what no part claims is ``decode`` (and the little that remains)."""

    clock: Callable[[], float] = staticmethod(time.perf_counter)

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(PARTS, 0.0)

    def timed(self, part: str, function: Callable) -> Callable:
        def run(*arguments: Any, **named: Any) -> Any:
            start = self.clock()
            try:
                return function(*arguments, **named)
            finally:
                self.seconds[part] += self.clock() - start

        return run

    def whole(self, function: Callable[[], Any]) -> Any:
        start = self.clock()
        result = function()
        self.seconds["total"] = self.clock() - start
        self.seconds["decode"] = self.seconds["total"] - sum(self.seconds[part] for part in PARTS[1:])
        return result


def official(
    clip: Path, syncnet, s3fd, boxes: list[np.ndarray], min_track: int = 100
) -> tuple[dict[str, float], tuple[float, float, float]]:
    """syncnet-python's pipeline -> seconds by part, (offset, D, C). boxes: of each frame; the last one goes on."""
    from syncnet_python.detectors.s3fd import S3FD
    from syncnet_python.syncnet_pipeline import PipelineConfig, SyncNetPipeline
    from syncnet_python.SyncNetInstance import SyncNetInstance

    watch, shown = Stopwatch(), iter(range(10**9))
    pipeline = object.__new__(SyncNetPipeline)
    pipeline.cfg, pipeline.device = PipelineConfig(min_track=min_track), "cpu"
    pipeline.s3fd = S3FD(net=s3fd, device="cpu")
    pipeline.syncnet = SyncNetInstance(net=syncnet, device="cpu")
    search = watch.timed("detect", pipeline.s3fd.detect_faces)

    def detect(image, **named):
        search(image, **named)
        return boxes[min(next(shown), len(boxes) - 1)]

    pipeline.s3fd.detect_faces = detect
    pipeline._crop = watch.timed("crop", pipeline._crop)
    pipeline.syncnet.evaluate = watch.timed("embed", pipeline.syncnet.evaluate)
    with quiet():
        offsets, confidences, distances, *_ = watch.whole(lambda: pipeline.inference(str(clip)))
    return watch.seconds, (offsets[0], distances[0], confidences[0])


def ours(clip: Path, syncnet, s3fd, boxes: list[np.ndarray]) -> tuple[dict[str, float], tuple[float, float, float]]:
    """``sync/exact`` -> seconds by part, (offset, D, C)."""
    from t2av_bench.benchmarks.manifest import Item
    from t2av_bench.extractors.syncnet import SyncNet
    from t2av_bench.faces import crop
    from t2av_bench.faces.detect import S3FD
    from t2av_bench.media.clip import Clip
    from t2av_bench.metrics.base import Pair
    from t2av_bench.metrics.sync import SyncExact

    watch, shown = Stopwatch(), iter(range(10**9))
    detector, network = S3FD(s3fd), SyncNet(syncnet)
    search = watch.timed("detect", detector.detect)

    def detect(frames):
        search(frames)
        return [boxes[min(next(shown), len(boxes) - 1)] for _ in frames]

    detector.detect = detect
    network.embed_mouths = watch.timed("embed", network.embed_mouths)
    network.embed_audio = watch.timed("embed", network.embed_audio)
    metric = SyncExact()
    metric._network, metric._find = lambda: network, lambda: detector
    cut = crop.cut
    crop.cut = watch.timed("crop", cut)
    try:
        found = watch.whole(lambda: metric.measure(Pair(Item(id=clip.stem), Clip(clip))))
    finally:
        crop.cut = cut
    return watch.seconds, tuple(found.values[name] for name in ("sync_offset_exact", "sync_d_exact", "sync_c_exact"))


def prepared(clip: Path | None, folder: Path) -> tuple[Path, list[np.ndarray]]:
    """A clip, drawn where none is given, and the Haar cascade's box of each frame."""
    import drawn_clips

    from t2av_bench.faces.detect import haar
    from t2av_bench.media.clip import Clip

    clip = clip or drawn_clips.write(folder, 1, 5.2)[0][0]
    boxes = [haar().detect(frames)[0][:1] for frames in Clip(clip).frames(1)]
    if not all(len(found) for found in boxes):
        sys.exit(f"{clip}: the Haar cascade must find a face in every frame to prepare the boxes")
    return clip, boxes


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("clip", type=Path, nargs="?", help="one frontal face of at least 5 s, and its sound")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall")
    parser.add_argument("--json", type=Path, help="write everything here as well")
    asked = parser.parse_args()
    import cv2
    import torch
    from random_networks import sync_networks

    Stopwatch.clock = staticmethod(CLOCKS[asked.clock])
    logging.disable(logging.ERROR)
    torch.set_num_threads(asked.threads)
    cv2.setNumThreads(asked.threads)
    syncnet, s3fd = sync_networks()
    best: dict[str, dict[str, float]] = {}
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        clip, boxes = prepared(asked.clip, Path(folder))
        for _ in range(asked.repeats):
            for name, run in (("syncnet-python", official), ("t2av-bench", ours)):
                seconds, results[name] = run(clip, deepcopy(syncnet), deepcopy(s3fd), boxes)
                if name not in best or seconds["total"] < best[name]["total"]:
                    best[name] = seconds
    for seconds in best.values():
        seconds["without detection"] = seconds["total"] - seconds["detect"]
    theirs, mine = best["syncnet-python"], best["t2av-bench"]
    ratios = {part: theirs[part] / mine[part] for part in mine}
    print(f"{clip.name}: {len(boxes)} frames, {asked.threads} threads, best of {asked.repeats}")
    print(f"{asked.clock + ' seconds':18s}{'syncnet-python':>15s}{'t2av-bench':>12s}{'ratio':>7s}")
    for part in (*PARTS, "total", "without detection"):
        print(f"{part:18s}{theirs[part]:15.2f}{mine[part]:12.2f}{ratios[part]:7.2f}")
    for name, (offset, distance, confidence) in results.items():
        print(f"{name}: offset {offset:.0f}, D {distance:.3f}, C {confidence:.3f} (random weights)")
    write_json(asked, [], frames=len(boxes), seconds=best, ratios=ratios, offset_d_c=results)


if __name__ == "__main__":
    main()
