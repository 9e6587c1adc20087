"""How time and memory grow: with the clips of ``evaluate``, and with the items of what reads its runs.

    python bench/growth.py [--json FILE]
    python bench/growth.py --parts runs --items 1000 3000 10000      # about ten minutes
    python bench/growth.py --parts clips --clips 10 100 1000 --metrics psnr,ssim,stoi

``clips``: so many clips of a second at 64x64 pixels, no two of the same bytes, through ``evaluate`` with metrics that
cost little. Seconds and processor seconds a clip, and memory, should not grow with their number.

``runs``: made-up runs of so many items and six systems, twelve quantities with transcripts, lip-sync curves and the
features of a distance between sets, through ``table``, ``compare``, ``report`` and ``regress``. In a fiftieth of the
clips no mouth is found, other ones by system; words are missing for another fiftieth, the same by all. The time should
grow as the items do: ``growth`` is the exponent from one size to the next, 1 where it does. ``table`` comes first and
so also pays for what each clip adds to the distance, which the others find beside the run.

Each command is a process of its own; ``cpu`` is its processor seconds with those of its workers, ``memory_mb`` the
largest resident size of the command itself and ``worker_mb`` that of its largest worker.
"""

import itertools
import json
import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from measuring import command, options, show, write_json

from t2av_bench.media.encode import write_mp4
from t2av_bench.metrics.sync import CURVE, CURVES
from t2av_bench.results.features import FeatureStore
from t2av_bench.results.store import SetScoreRow, Store
from t2av_bench.scores import Protocol, Quantity, Score, Status
from t2av_bench.utils.machine import cores

COMMANDS = ("table", "compare", "regress", "report")
NAMES = {
    "sync/exact": ("sync_c_exact", "sync_d_exact"),
    "wer/whisper-large-v3": ("wer",),
    "dnsmos/p835": ("dnsmos_ovrl", "dnsmos_p808"),
    "utmos/strong-v1": ("utmos",),
    "sim/wavlm-base-plus-sv": ("sim",),
    "csim/arcface": ("csim",),
    "psnr/rgb": ("psnr",),
    "ssim/rgb": ("ssim",),
    "lpips/alex": ("lpips",),
    "fd_frame/gridface": ("fd_frame_gridface",),
}
LOWER = ("sync_d_exact", "wer", "lpips", "fd_frame_gridface")
KINDS = {"wer": "weighted", "fd_frame_gridface": "set"}
FEATURES = (4, 104)
"""Samples and dimensions of a clip's features."""
WORDS = "the quick brown fox jumps over a lazy dog while seven men look on"
HEARD = json.dumps({"transcript": WORDS, "reference": WORDS, "hypothesis": WORDS[4:], "flags": []})


@dataclass
class Row:
    part: str
    command: str
    size: int
    seconds: float
    cpu: float
    each_ms: float
    each_cpu_ms: float
    memory_mb: int
    worker_mb: int | None
    growth: float | None = None


def make_clips(folder: Path, count: int, *, side: int = 64, seconds: int = 1, first: int = 0) -> None:
    """Copies of one clip of noise, each with a box of its own at its end: real work to decode, and another digest.

    first: number in the first one's box.
    """
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    frames = np.full((25 * seconds, side, side, 3), 96, np.uint8)
    frames[:, : side // 2] = random.integers(0, 255, (25 * seconds, side // 2, side, 3), dtype=np.uint8) // 4 * 2
    made = folder / "made.mp4"
    write_mp4(made, frames, random.standard_normal(16000 * seconds) * 0.1, preset="ultrafast", crf=30)
    media = made.read_bytes()
    made.unlink()
    for index in range(count):
        # A box "free" (ISO 14496-12, 8.1.2) is skipped by every reader.
        box = (16).to_bytes(4, "big") + b"free" + (first + index).to_bytes(8, "big")
        (folder / f"{index:04d}.mp4").write_bytes(media + box)


def quantities(metric: str) -> list[Quantity]:
    return [
        Quantity(name, name, "lower" if name in LOWER else "higher", aggregate=KINDS.get(name, "mean"))  # type: ignore[arg-type]
        for name in NAMES[metric]
    ]


def _reason(metric: str, system: int, index: int) -> str | None:
    """Why a clip has no score; of lip sync each system loses other clips, of words all the same."""
    if metric == "sync/exact" and (index + 7 * system) % 50 == 0:
        return f"no face found in any of {index % 250 + 1} frames"
    if metric.startswith("wer") and index % 50 == 1:
        return "the item has no text"
    return None


def make_run(folder: Path, system: int, clips: int) -> None:
    """A run of made-up scores: the rows that ``evaluate`` writes clip by clip, in one transaction."""
    random = np.random.default_rng(system)
    described = {metric: quantities(metric) for metric in NAMES}
    protocols = {metric: Protocol(metric, {"covariance_ddof": 1}) for metric in NAMES}
    protocols["fd_frame/gridface"] = _set_protocol()
    features = FeatureStore(folder / "features")
    folder.mkdir(parents=True)
    ids = [f"clip-{index:05d}" for index in range(clips)]
    values = random.normal(5, 1, (clips, len(NAMES), 2))
    measurements, scores = [], []
    for index, id in enumerate(ids):
        key = f"{system:032x}{index:032x}"
        for position, (metric, mine) in enumerate(described.items()):
            fingerprint = protocols[metric].fingerprint
            reason = _reason(metric, system, index)
            status = str(Status.FAILED if reason else Status.OK)
            detail = HEARD if metric.startswith("wer") else '{"frames": 25}'
            measurements.append((id, metric, fingerprint, key, status, reason, detail))
            for place, each in enumerate(mine):
                value = 1.0 if each.aggregate == "set" else float(values[index, position, place])
                scores.append(
                    (id, metric, each.name, fingerprint, status, None if reason else value, 13.0, reason)
                )  # fmt: skip
        if _reason("sync/exact", system, index) is None:
            curve = {CURVE: random.random(31).astype(np.float32)}
            _put(features, key, protocols["sync/exact"], curve)
        arrays = {
            side: (random.standard_normal(FEATURES) + level).astype(np.float32)
            for side, level in (("generated", 0.1 * system), ("reference", 0.0))
        }  # fmt: skip
        _put(features, key, protocols["fd_frame/gridface"], arrays)
    with Store(folder / "results.db", create=True) as store, store.transaction():
        store.set("claim", {"name": f"system {system}", "generated": str(folder), "reference": None, "manifest": None})
        store.begin_session({"device": "cpu"})
        store.add_protocols(
            (protocols[metric], {
                "title": metric, "quantities": [asdict(quantity) for quantity in mine], "paper": "", "embedded": False,
                "licence": "free", "position": position,
                "curves": [asdict(curve) for curve in CURVES] if metric == "sync/exact" else [],
            }) for position, (metric, mine) in enumerate(described.items())
        )  # fmt: skip
        store.put_clips(
            (id, {"id": id, "text": WORDS, "language": "en"}, f"/nowhere/{id}.mp4", None, None) for id in ids
        )  # fmt: skip
        for index, id in enumerate(ids):
            store.put_digests(id, f"{system:08x}{index:056x}", f"{index:064x}")
        store._insert("measurements", measurements)
        store._insert("scores", scores)
        name, fingerprint = NAMES["fd_frame/gridface"][0], protocols["fd_frame/gridface"].fingerprint
        distance = Score.ok(2.5 + system)
        store.put_set_scores([SetScoreRow("fd_frame/gridface", name, fingerprint, distance, clips, clips)])


def _put(features: FeatureStore, key: str, protocol: Protocol, arrays: dict[str, np.ndarray]) -> None:
    """As ``FeatureStore.put``, an eighth of the time: what is made here need not survive a power cut."""
    from safetensors.numpy import save_file

    path = features._path(key, protocol.fingerprint, "measurement")
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(arrays, path)


def _set_protocol() -> Protocol:
    """The metric's own: only then can what each clip adds to the distance be computed."""
    from t2av_bench.metrics import create

    return create("fd_frame/gridface").protocol


def measured_clips(sizes: Sequence[int], metrics: str, folder: Path) -> Iterator[Row]:
    for size in sizes:
        clips = folder / f"clips-{size}"
        make_clips(clips, size)
        used = command(
            "evaluate", "--generated", str(clips), "--reference", str(clips), "--metrics", metrics,
            "--out", str(folder / f"evaluated-{size}"),
        )  # fmt: skip
        yield _row("clips", "evaluate", size, used)


def measured_runs(sizes: Sequence[int], systems: int, commands: Sequence[str], folder: Path) -> Iterator[Row]:
    for size in sizes:
        runs = [folder / f"{size}-items" / f"run{system}" for system in range(systems)]
        for system, run in enumerate(runs):
            if not (run / "results.db").exists():
                make_run(run, system, size)
        names = [str(run.resolve()) for run in runs]
        page = str(folder.resolve() / f"page-{size}")
        asked = {
            "table": names, "compare": names, "regress": names[:2],
            "report": [*names, "--out", page, "--media", "none"],
        }  # fmt: skip
        for name in commands:
            # The exit status of regress is its verdict.
            yield _row("runs", name, size, command(name, *asked[name], status=range(4 if name == "regress" else 1)))


def _row(part: str, name: str, size: int, used: dict[str, float]) -> Row:
    return Row(
        part, name, size, used["seconds"], used["cpu"], 1000 * used["seconds"] / size, 1000 * used["cpu"] / size,
        int(used["memory_mb"]), int(used["worker_mb"]) or None,
    )  # fmt: skip


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--parts", nargs="+", choices=("clips", "runs"), default=["clips", "runs"])
    parser.add_argument("--clips", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--metrics", default="psnr,ssim,stoi")
    parser.add_argument("--items", type=int, nargs="+", default=[1000, 3000])
    parser.add_argument("--systems", type=int, default=6)
    parser.add_argument("--commands", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    parser.add_argument("--keep", type=Path, help="make the runs in this folder, or take those that are there")
    parser.add_argument("--json", type=Path, help="write everything here as well")
    asked = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as temporary:
        made = [
            measured_clips(sorted(asked.clips), asked.metrics, Path(temporary)) if "clips" in asked.parts else (),
            measured_runs(sorted(asked.items), asked.systems, asked.commands, asked.keep or Path(temporary))
            if "runs" in asked.parts else (),
        ]  # fmt: skip
        for row in itertools.chain(*made):
            smaller = next((each for each in reversed(rows) if each.command == row.command), None)
            if smaller is not None and smaller.size < row.size:
                row.growth = math.log(row.cpu / smaller.cpu) / math.log(row.size / smaller.size)
            rows.append(row)
            show(row)
            write_json(asked, rows, cores=cores())


if __name__ == "__main__":
    main()
