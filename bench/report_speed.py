"""How long ``table`` and ``report`` take for large runs, and how much memory.

    python bench/report_speed.py --clips 4000 --systems 3
    python bench/report_speed.py --clips 1000 --systems 3 --report

Runs are made up: eleven metrics with twenty-two quantities, two of them distances between sets with their features,
transcripts and lip-sync curves, written through the store as ``evaluate`` writes them. Each command is a process of its
own; ``cpu`` is its processor seconds, all threads, and ``memory`` its largest resident size.
"""

import json
import resource
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
from measuring import command, options

from t2av_bench.metrics.sync import CURVE, CURVES
from t2av_bench.results.features import FeatureStore
from t2av_bench.results.store import SetScoreRow, Store
from t2av_bench.scores import Protocol, Quantity, Score, Status

NAMES = {
    "sync/exact": ("sync_c_exact", "sync_d_exact", "sync_d_zero_exact", "sync_in_tolerance_exact"),
    "wer/whisper-large-v3": ("wer", "wer_utterance"),
    "dnsmos/p835": ("dnsmos_ovrl", "dnsmos_sig", "dnsmos_bak", "dnsmos_p808"),
    "pesq/itu": ("pesq_wb", "pesq_nb"),
    "psnr/rgb": ("psnr", "psnr_y"),
    "ssim/rgb": ("ssim",),
    "lpips/alex": ("lpips",),
    "stoi/pystoi": ("stoi", "estoi"),
    "utmos/strong-v1": ("utmos",),
    "fd_frame/gridface": ("fd_frame_gridface",),
    "fd_clip/gridface": ("fd_clip_gridface",),
}
SETS = {"fd_frame/gridface": (16, 104), "fd_clip/gridface": (4, 80)}
"""Metric id -> (samples, dimensions) of a clip's features."""
WORDS = "the quick brown fox jumps over a lazy dog while seven men look on".split()


def quantities(metric: str) -> list[Quantity]:
    kind = {"wer": "weighted", "fd_frame_gridface": "set", "fd_clip_gridface": "set"}
    return [Quantity(name, name, "higher", aggregate=kind.get(name, "mean")) for name in NAMES[metric]]  # type: ignore[arg-type]


def make_run(folder: Path, system: int, clips: int, *, curves: bool) -> None:
    """A run of made-up scores; one clip in fifty fails in one metric."""
    random = np.random.default_rng(system)
    protocols = {
        metric: Protocol(metric, {"covariance_ddof": 1} if metric in SETS else {}, {}) for metric in NAMES
    }  # fmt: skip
    features = FeatureStore(folder / "features")
    folder.mkdir(parents=True)
    ids = [f"clip-{index:05d}" for index in range(clips)]
    with Store(folder / "results.db", create=True) as store:
        store._connection.execute("PRAGMA synchronous = OFF")
        store.set("claim", {"name": f"system {system}", "generated": str(folder), "reference": None, "manifest": None})
        store.begin_session({"device": "cpu"})
        store.add_protocols(
            (protocols[metric], {
                "title": metric, "quantities": [asdict(each) for each in quantities(metric)], "paper": "", "embedded":
                False, "licence": "free", "position": position,
                "curves": [asdict(curve) for curve in CURVES] if curves and metric == "sync/exact" else [],
            }) for position, metric in enumerate(NAMES)
        )  # fmt: skip
        text = " ".join(WORDS)
        store.put_clips(
            (id, {"id": id, "text": text, "language": "en"}, f"/nowhere/{id}.mp4", None, None) for id in ids
        )  # fmt: skip
        for index, id in enumerate(ids):
            store.put_digests(id, f"{index:064x}", f"{index:064x}")
            for position, metric in enumerate(NAMES):
                failed = (index + position) % 50 == 0
                scores = {
                    each.name: Score.failed(f"no face found in any of {index} frames") if failed
                    else Score.ok(1.0) if each.aggregate == "set" else Score.ok(float(random.normal(5, 1)), 13.0)
                    for each in quantities(metric)
                }  # fmt: skip
                detail = {"transcript": text, "reference": text, "hypothesis": text.replace("fox", "box"), "flags": []}
                key = f"{system:032x}{index:032x}"
                store.put_measurement(
                    id, protocols[metric], key, scores, Status.FAILED if failed else Status.OK,
                    "no face" if failed else None, detail if metric.startswith("wer") else {"frames": 250},
                )  # fmt: skip
                arrays = {}
                if curves and metric == "sync/exact":
                    arrays = {CURVE: random.random(31).astype(np.float32)}
                if metric in SETS:
                    arrays = {
                        side: (random.standard_normal(SETS[metric]) + level).astype(np.float32)
                        for side, level in (("generated", 0.1 * system), ("reference", 0.0))
                    }  # fmt: skip
                if arrays and not failed:
                    features.put(key, protocols[metric].fingerprint, "measurement", arrays)
        store.put_set_scores(
            SetScoreRow(metric, NAMES[metric][0], protocols[metric].fingerprint, Score.ok(2.5 + system), clips, clips)
            for metric in SETS
        )


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--clips", type=int, default=4000)
    parser.add_argument("--systems", type=int, default=3)
    parser.add_argument("--report", action="store_true", help="measure the page with its plots instead of the table")
    parser.add_argument("--keep", type=Path, help="make the runs in this folder, or take those that are there")
    asked = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.keep or Path(temporary)
        runs = [folder / f"run{system}" for system in range(asked.systems)]
        for system, run in enumerate(runs):
            if not run.exists():
                make_run(run, system, asked.clips, curves=asked.report)
        names = [str(run) for run in runs]
        out = str(Path(temporary) / "page")
        words = ["report", *names, "--out", out, "--media", "none"] if asked.report else ["table", *names]
        print(json.dumps(command(*words)))


if __name__ == "__main__":
    main()
