"""Whole-clip sync scoring against syncnet-python's pipeline: same clip, same random weights, same detector outputs.

    python bench/sync_speed.py CLIP [--repeats 3] [--threads 2] [--clock wall|cpu] [--json]

Both run S3FD on every frame, and both then continue with the same prepared boxes (random weights find no faces), so
that tracking, cropping and embedding do equal work. Runs alternate within one process; the fastest of each counts.
On a machine that others use as well, ``--clock cpu --threads 1`` counts processor time (children included), which
their load moves little. Needs the ``ffmpeg`` program, which syncnet-python calls.
"""

import contextlib
import io
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
from measuring import options, processor_seconds

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


def random_networks(seed: int = 0):
    """SyncNet with varied batch statistics, S3FD that is sure of the background as a trained one mostly is."""
    import torch
    from torch import nn

    from t2av_bench.utils.optional import make_torchvision_importable

    make_torchvision_importable()
    from syncnet_python.detectors.s3fd.nets import S3FDNet
    from syncnet_python.SyncNetModel import S

    torch.manual_seed(seed)
    syncnet, detector = S(), S3FDNet(device="cpu")
    for module in syncnet.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            module.momentum = None
    with torch.no_grad():
        seen = syncnet.netcnnlip(torch.rand(1, 3, 16, 224, 224) * 255)
        syncnet.netfclip(seen[0, :, :, 0, 0].T)
        syncnet.forward_aud(torch.randn(32, 1, 13, 20) * 10)
        for layer in detector.conf:
            layer.bias[-1] -= 12.0
    return syncnet.eval(), detector.eval()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence what syncnet-python and the programs that it calls print."""
    saved, silence = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 2)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(silence)


def official(clip: Path, syncnet, s3fd, boxes: list[np.ndarray]) -> tuple[dict[str, float], tuple[float, float, float]]:
    """syncnet-python's pipeline -> seconds by part, (offset, D, C)."""
    from syncnet_python.detectors.s3fd import S3FD
    from syncnet_python.syncnet_pipeline import PipelineConfig, SyncNetPipeline
    from syncnet_python.SyncNetInstance import SyncNetInstance

    watch, shown = Stopwatch(), iter(range(10**9))
    pipeline = object.__new__(SyncNetPipeline)
    pipeline.cfg, pipeline.device = PipelineConfig(min_track=100), "cpu"
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


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("clip", type=Path, help="a clip with one frontal face of at least 5 seconds, and its sound")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    arguments = parser.parse_args()
    import cv2
    import torch

    from t2av_bench.faces.detect import haar
    from t2av_bench.media.clip import Clip

    Stopwatch.clock = staticmethod(CLOCKS[arguments.clock])
    logging.disable(logging.ERROR)
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(arguments.threads)
    syncnet, s3fd = random_networks()
    boxes = [haar().detect(frames)[0][:1] for frames in Clip(arguments.clip).frames(1)]
    if not all(len(found) for found in boxes):
        sys.exit(f"{arguments.clip}: the Haar cascade must find a face in every frame to prepare the boxes")
    best: dict[str, dict[str, float]] = {}
    results = {}
    for _ in range(arguments.repeats):
        for name, run in (("syncnet-python", official), ("t2av-bench", ours)):
            seconds, results[name] = run(arguments.clip, deepcopy(syncnet), deepcopy(s3fd), boxes)
            if name not in best or seconds["total"] < best[name]["total"]:
                best[name] = seconds
    ratios = {part: best["syncnet-python"][part] / best["t2av-bench"][part] for part in (*PARTS, "total")}
    rest = {name: seconds["total"] - seconds["detect"] for name, seconds in best.items()}
    ratios["without detection"] = rest["syncnet-python"] / rest["t2av-bench"]
    if arguments.json:
        json.dump({"frames": len(boxes), "seconds": best, "ratios": ratios, "offset_d_c": results}, sys.stdout)
        return
    print(f"{arguments.clip.name}: {len(boxes)} frames, {arguments.threads} threads, best of {arguments.repeats}")
    print(f"{arguments.clock + ' seconds':18s}{'syncnet-python':>15s}{'t2av-bench':>12s}{'ratio':>7s}")
    for part in (*PARTS, "total"):
        theirs, mine = best["syncnet-python"][part], best["t2av-bench"][part]
        print(f"{part:18s}{theirs:15.2f}{mine:12.2f}{ratios[part]:7.2f}")
    print(
        f"{'without detection':18s}{rest['syncnet-python']:15.2f}{rest['t2av-bench']:12.2f}"
        f"{ratios['without detection']:7.2f}"
    )
    for name, (offset, distance, confidence) in results.items():
        print(f"{name}: offset {offset:.0f}, D {distance:.3f}, C {confidence:.3f} (random weights)")


if __name__ == "__main__":
    main()
