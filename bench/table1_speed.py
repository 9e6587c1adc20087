"""Table 1 of some clips: all its metrics by this package in one process against the official tools one after another.

    python bench/table1_speed.py [--clips 2] [--seconds 2.2] [--repeats 2] [--json FILE]

Clips are drawn faces of 512x512 that speak; each has a reference. Everything runs on one core, ours and the tools with
their programs: neither gains from the other core, and processor seconds are what counts, which other programs move
little. ``ours`` is the code of the harness's workers, which decodes a file once and hands it to all metrics; what a
metric is first to decode counts for it. ``tools`` is what one would run otherwise, each with a decoding of its own:

    sync     syncnet-python's pipeline (files of ffmpeg, S3FD, SyncNet)
    fid      OpenCV to 16 PNG files a clip, clean-fid's folder features
    fvd      OpenCV to 16 frames a clip, resized in the network, as StyleGAN-V's script calls it
    wer      ffmpeg to a WAV file, transformers' pipeline on the same checkpoint, jiwer
    utmos    librosa to 16 kHz, the network as SpeechMOS calls it (the module is ours: its package brings fairseq)
    dnsmos   speechmos.dnsmos.run on the WAV file

Weights are the same on both sides: random ones of the published sizes (``random_networks.py``), Whisper base where it
is on this machine, DNSMOS from its package. Random detectors see no face, so that both sides go on with a given box
once S3FD has run on every frame. Loading is not counted. ``faster`` is ours with the options whose price
``docs/faster.md`` states; ``sets`` the distances of 200 clips, computed once for a row of a table, of made-up features.
"""

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

from measuring import alone, options, processor_seconds, quiet, write_json

MIN_TRACK = 40
METRICS = ("sync/exact", "fid/legacy_pytorch", "fvd/styleganv", "wer/whisper-base", "utmos/strong-v1", "dnsmos/p835")
FASTER: dict[str, dict[str, Any]] = {
    "sync/exact": {"detect_every": 5, "dtype": "bfloat16"}, "fid/legacy_pytorch": {"dtype": "bfloat16"},
    "fvd/styleganv": {"dtype": "bfloat16"},
}  # fmt: skip
Clips = list[tuple[Path, Path, str]]
"""Generated, reference, text."""


def box(width: int, height: int) -> Any:
    """The drawn face, (1, 5): corners in pixels, and a score."""
    import numpy as np

    return np.array([[0.26 * width, 0.22 * height, 0.72 * width, 0.76 * height, 1.0]])


class Ours:
    """The harness's worker code in this process."""

    def __init__(
        self, folder: Path, given: Mapping[str, Mapping[str, Any]], metrics: tuple[str, ...] = METRICS
    ) -> None:
        from t2av_bench.evaluation.worker import WorkerContext, _LoadedMetrics
        from t2av_bench.metrics.base import Settings

        tracks: dict[str, dict[str, Any]] = {"sync/exact": {"min_track": MIN_TRACK}}
        chosen = {name: {**tracks.get(name, {}), **given.get(name, {})} for name in metrics}
        self._folder, self._metrics, self._options = folder, metrics, chosen
        self._fresh = lambda features: _LoadedMetrics(WorkerContext(Settings(), features, chosen))

    def measure(self, clips: Clips) -> tuple[dict[str, float], dict[str, Any], list[str]]:
        """(seconds by metric; values by metric, one a clip; reasons)."""
        from t2av_bench.benchmarks.manifest import Item
        from t2av_bench.evaluation.worker import Job
        from t2av_bench.utils.worker_pool import Done, Working

        shutil.rmtree(self._folder, ignore_errors=True)
        worker = self._fresh(self._folder)
        seconds, values, reasons = dict.fromkeys(self._metrics, 0.0), {}, []
        started = 0.0

        def tell(message: Any) -> None:
            nonlocal started
            if isinstance(message, Working):
                started = processor_seconds()
            elif isinstance(message, Done) and message.part is not None:
                name = str(message.part)
                found = message.result
                seconds[name] += processor_seconds() - started
                if found.reason:
                    reasons.append(f"{name}: {found.reason}")
                values.setdefault(name, []).append(found.measurement.values)

        for generated, reference, text in clips:
            item = Item(id=generated.stem, text=text, language="en")
            worker(Job(generated.stem, item, generated, reference, generated.stem, self._metrics), tell)
        return seconds, values, reasons


@contextlib.contextmanager
def boxed() -> Iterator[None]:
    """Our S3FD looks at every frame that it is shown, and then sees the drawn face."""
    from t2av_bench.faces.detect import S3FD

    look = S3FD.detect

    def detect(self: Any, frames: Any) -> list[Any]:
        look(self, frames)
        return [box(frames.shape[2], frames.shape[1]) for _ in frames]

    with mock.patch.object(S3FD, "detect", detect):
        yield


class Tools:
    """The official tools, loaded. Each gives its values of all clips, those of sets features."""

    def __init__(self, files: Mapping[str, Path], work: Path) -> None:
        import torch
        from cleanfid import fid, inception_pytorch
        from random_networks import sync_networks

        from t2av_bench import weights
        from t2av_bench.extractors import utmos

        self.work = work
        self.syncnet, self.s3fd = sync_networks()
        state = torch.load(files["inception_pt"], weights_only=True)
        with mock.patch.object(inception_pytorch, "load_state_dict_from_url", return_value=state):
            self.inception = fid.build_feature_extractor("legacy_pytorch", torch.device("cpu"), use_dataparallel=False)
        self.i3d = torch.jit.load(str(files["i3d_torchscript"])).eval()
        self.utmos_network = utmos.load(files["utmos22_strong"], "random", "cpu")
        self.recogniser = None
        if weights.is_present("whisper_base"):
            from transformers import pipeline

            folder = str(weights.path("whisper_base"))
            self.recogniser = pipeline("automatic-speech-recognition", model=folder, dtype=torch.float32, device="cpu")

    def named(self) -> dict[str, Callable[[Clips], Any]]:
        """By metric, in the order of the table."""
        found = dict(zip(METRICS, (self.sync, self.fid, self.fvd, self.wer, self.utmos, self.dnsmos), strict=True))
        if self.recogniser is None:
            del found["wer/whisper-base"]
        return found

    def sync(self, clips: Clips) -> list[Any]:
        from copy import deepcopy

        from sync_speed import official

        return [
            official(clip, deepcopy(self.syncnet), deepcopy(self.s3fd), [box(512, 512)], MIN_TRACK)[1]
            for clip, _, _ in clips
        ]

    def fid(self, clips: Clips) -> None:
        import cv2
        import torch
        from cleanfid import fid

        shutil.rmtree(self.work / "png", ignore_errors=True)
        for side in (0, 1):
            folder = self.work / "png" / str(side)
            folder.mkdir(parents=True)
            for clip in clips:
                frames = _opencv(clip[side])
                for index in range(16):
                    place = int((index + 0.5) * len(frames) / 16)
                    cv2.imwrite(str(folder / f"{clip[side].stem}-{index:02d}.png"), frames[place])
            fid.get_folder_features(
                str(folder), self.inception, num_workers=0, device=torch.device("cpu"), mode="legacy_pytorch",
                verbose=False,
            )  # fmt: skip

    def fvd(self, clips: Clips) -> None:
        import numpy as np
        import torch

        for side in (0, 1):
            for clip in clips:
                frames = np.stack(_opencv(clip[side]))
                start = (len(frames) - 16) // 2
                video = torch.from_numpy(frames[start : start + 16, ..., ::-1].copy()).permute(3, 0, 1, 2)[None].float()
                with torch.no_grad():
                    self.i3d(video, rescale=True, resize=True, return_features=True)

    def wav(self, clip: Path) -> Path:
        return self.work / f"{clip.stem}.wav"

    def wer(self, clips: Clips) -> list[Any]:
        import jiwer

        heard = []
        for clip, _, text in clips:
            given = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-i", clip]
            subprocess.run([*given, "-ac", "1", "-ar", "16000", self.wav(clip)], check=True)
            asked = {"language": "en", "task": "transcribe"}
            assert self.recogniser is not None
            with warnings.catch_warnings(), quiet():
                warnings.simplefilter("ignore")
                said = self.recogniser(str(self.wav(clip)), return_timestamps=True, generate_kwargs=asked)["text"]
            heard.append(jiwer.wer(text.lower(), said.lower()))
        return heard

    def utmos(self, clips: Clips) -> list[Any]:
        import librosa
        import torch

        from t2av_bench.extractors.utmos import frame_scores

        found = []
        for clip, _, _ in clips:
            audio, _ = librosa.load(self.wav(clip), sr=16000)
            with torch.no_grad():
                found.append(float(frame_scores(self.utmos_network, torch.from_numpy(audio)).mean()) * 2 + 3)
        return found

    def dnsmos(self, clips: Clips) -> list[Any]:
        from speechmos import dnsmos

        return [
            {
                name: float(value)
                for name, value in dnsmos.run(str(self.wav(clip)), sr=16000).items()
                if name != "filename"
            }
            for clip, _, _ in clips
        ]


def sets() -> dict[str, dict[str, float]]:
    """Seconds of the distances of 200 clips with 200 references: clean-fid's with its statistics, StyleGAN-V's formula
    with SciPy's root, and ours."""
    import numpy as np
    import scipy.linalg
    from cleanfid import fid

    from t2av_bench.metrics.distances import frechet_distance

    def stylegan(mean: Any, covariance: Any, other: Any, another: Any) -> float:
        root = scipy.linalg.sqrtm(covariance @ another)
        return float(np.square(mean - other).sum() + np.real(np.trace(covariance + another - 2 * root)))

    found: dict[str, dict[str, float]] = {"tools": {}, "ours": {}}
    random = np.random.default_rng(0)
    for name, samples, width, ddof, distance in (
        ("fid/legacy_pytorch", 16 * 200, 2048, 1, fid.frechet_distance), ("fvd/styleganv", 200, 400, 0, stylegan)
    ):  # fmt: skip
        both = [random.standard_normal((samples, width)) + shift for shift in (0.0, 0.1)]
        start = processor_seconds()
        with warnings.catch_warnings(), quiet():
            warnings.simplefilter("ignore")
            theirs = distance(*(part for x in both for part in (x.mean(0), np.cov(x, rowvar=False, ddof=ddof))))
        middle = processor_seconds()
        mine = frechet_distance(*both, ddof=ddof)
        found["tools"][name], found["ours"][name] = middle - start, processor_seconds() - middle
        if abs(mine - theirs) > 1e-3 * abs(theirs):
            raise SystemExit(f"{name}: {mine} is not {theirs}")
    return found


def _opencv(path: Path) -> list[Any]:
    """All frames, BGR."""
    import cv2

    capture, frames = cv2.VideoCapture(str(path)), []
    while (read := capture.read())[0]:
        frames.append(read[1])
    capture.release()
    return frames


def made_clips(folder: Path, count: int, seconds: float) -> Clips:
    """References last a fifth of a second longer: other bytes, so that no feature of one is found for the other."""
    import drawn_clips

    generated = drawn_clips.write(folder / "generated", count, seconds)
    references = drawn_clips.write(folder / "reference", count, seconds + 0.2)
    return [(path, reference, text) for (path, text), (reference, _) in zip(generated, references, strict=True)]


def keep_least(best: dict[str, float], found: Mapping[str, float]) -> None:
    for name, seconds in found.items():
        best[name] = min(best.get(name, float("inf")), seconds)


def said(repeat: int, what: str, seconds: float) -> None:
    """Progress: it takes minutes."""
    print(f"{'loading' if repeat < 0 else f'run {repeat + 1}'}: {what}, {seconds:.1f} s", file=sys.stderr, flush=True)


def measure(asked: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Everything there is to report."""
    import network_floors
    import random_networks

    from t2av_bench.errors import NotApplicable
    from t2av_bench.utils.inference import check_dtype

    (work / "weights").mkdir()
    files = random_networks.write(work / "weights")
    clips = made_clips(work, asked.clips, asked.seconds)
    with random_networks.in_place(files), boxed():
        rates = network_floors.rates()
        tools = Tools(files, work)
        named = tools.named()
        metrics = tuple(name for name in METRICS if name in named)
        runs = {"ours": Ours(work / "features", {}, metrics)}
        lacking = [] if "wer/whisper-base" in named else ["wer/whisper-base: t2av-bench weights fetch whisper_base"]
        try:
            check_dtype("bfloat16", "cpu")
            runs["faster"] = Ours(work / "features", FASTER, metrics)
        except NotApplicable as reason:
            lacking.append(f"faster: {reason}")
        best: dict[str, dict[str, float]] = {"tools": {}, **{name: {} for name in runs}}
        values: dict[str, Any] = {}
        for repeat in range(-1, asked.repeats):  # the first loads the networks
            some = clips[:1] if repeat < 0 else clips
            for name, run in runs.items():
                seconds, values[name], reasons = run.measure(some)
                if reasons:
                    raise SystemExit(f"{name}: {'; '.join(reasons)}")
                said(repeat, name, sum(seconds.values()))
                if repeat >= 0:
                    keep_least(best[name], seconds)
            for name, tool in named.items():
                start = processor_seconds()
                values.setdefault("tools", {})[name] = tool(some)
                spent = processor_seconds() - start
                said(repeat, f"tool for {name}", spent)
                if repeat >= 0:
                    keep_least(best["tools"], {name: spent})
        floors = network_floors.rows(clips[0][0], rates)
    return {
        "seconds_a_clip": asked.seconds, "frames": round(25 * asked.seconds), "rates": rates, "seconds": best,
        "networks": floors, "values": values,
        "sets": sets(), "not_measured": lacking, "load": os.getloadavg()[0],
    }  # fmt: skip


def show(facts: Mapping[str, Any]) -> None:
    best = facts["seconds"]
    print(f"{'processor seconds':32s}" + "".join(f"{name:>10s}" for name in best) + f"{'tools/ours':>12s}")
    for name in best["ours"]:
        cells = "".join(f"{best[each].get(name, float('nan')):10.2f}" for each in best)
        print(f"{name:32s}{cells}{best['tools'][name] / best['ours'][name]:12.2f}")
    for name, mine in facts["sets"]["ours"].items():
        print(f"{name}, distance of 200 clips: {facts['sets']['tools'][name]:.2f} and {mine:.2f}")
    for each in facts["networks"]:
        print(
            "  ".join(f"{key} {value:.4g}" if isinstance(value, float) else str(value) for key, value in each.items())
        )


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--clips", type=int, choices=(2, 3, 4), default=2)
    parser.add_argument("--seconds", type=float, default=2.2, help="of each clip, at least 2")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write everything here as well")
    asked = parser.parse_args()
    if shutil.which("ffmpeg") is None:
        sys.exit("the tools need the ffmpeg program on PATH")
    alone()
    with tempfile.TemporaryDirectory() as folder:
        facts = measure(asked, Path(folder))
    show(facts)
    write_json(asked, [], **facts)


if __name__ == "__main__":
    main()
