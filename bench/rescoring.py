"""What kept features save: a new reference set, a new table, a bootstrap of everything, against scoring afresh.

    python bench/rescoring.py [--clips 200] [--fresh 4] [--json FILE]

FID, KID, FVD and KVD with networks of the published sizes and random weights (``random_networks.py``). ``--fresh``
clips are scored from nothing, and once more, when nothing is to be done: the difference says what a clip costs, and
``--clips`` times that, and the start, what scoring all of them afresh takes (growth.py: a clip's cost does not
depend on their number). Features of ``--clips`` copies with other bytes are then put where ``evaluate`` keeps them, as
if they had been scored, and measured is

    reference   ``evaluate`` against another set of references, features of both sides kept
    again       the same command once more: nothing is to be done
    table       ``table`` of both runs
    bootstrap   ``table --intervals`` for the first time: what each clip adds to each distance is computed, and kept
    bootstraps  the same once more
    compare     paired differences of two runs against the same references, with their intervals

ratio: seconds of scoring all clips afresh over seconds of the command, both with the start of their processes.
"""

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from growth import make_clips
from measuring import command, options, show, write_json

from t2av_bench.metrics import create
from t2av_bench.results.features import FeatureStore
from t2av_bench.utils.files import file_sha256
from t2av_bench.utils.machine import cores

METRICS = ("fid/legacy_pytorch", "kid/legacy_pytorch", "fvd/styleganv", "kvd/styleganv")
FILES = {"inception_pt": "inception.pth", "i3d_torchscript": "i3d.pt"}


@dataclass
class Row:
    command: str
    clips: int
    seconds: float
    cpu: float
    ratio: float | None = None
    cpu_ratio: float | None = None


def use_random_weights(folder: Path) -> None:
    """Networks for this process and those that it starts, in a folder with a table of its own."""
    import random_networks

    folder.mkdir()
    random_networks.save(random_networks.inception(), folder / FILES["inception_pt"])
    random_networks.save_i3d(folder / FILES["i3d_torchscript"])
    formats = {"inception_pt": ("state_dict", "torch"), "i3d_torchscript": ("torchscript", "torch.jit")}
    rows = [
        f'[{id}]\npurpose = "random"\nfile = "{name}"\norigins = ["file:///nowhere"]\nlicence = "none"\n'
        f'group = "free"\nformat = "{formats[id][0]}"\nloader = "{formats[id][1]}"\n'
        f'sha256 = "{file_sha256(folder / name)}"\n'
        for id, name in FILES.items()
    ]
    table = folder.with_name("weights.toml")
    table.write_text("\n".join(rows))
    os.environ |= {
        "T2AV_BENCH_WEIGHTS": str(folder), "T2AV_BENCH_WEIGHTS_TABLE": str(table),
        "XDG_CACHE_HOME": str(folder.with_name("user-cache")),
    }  # fmt: skip


def plant(clips: Path, like: Path, store: FeatureStore) -> None:
    """Features of all clips of a folder, as if they had been scored: those of one that was, and a little noise."""
    random = np.random.default_rng(len(store.folder.parts))
    known = file_sha256(like)
    protocols = {create(metric).features_protocol.fingerprint for metric in METRICS}  # type: ignore[attr-defined]
    for fingerprint in protocols:
        kept = sorted((store.folder / fingerprint / known[:2]).glob(f"{known}-*.safetensors"))
        for file in kept:
            suffix = file.stem.removeprefix(f"{known}-")
            found = store.get(known, fingerprint, suffix)
            if found is None or set(found) != {"features"}:
                continue
            scale = found["features"].std()
            for clip in sorted(clips.iterdir()):
                noise = random.standard_normal(found["features"].shape).astype(np.float32) * scale
                store.put(file_sha256(clip), fingerprint, suffix, {"features": found["features"] + noise})


def measured(clips: int, fresh: int, folder: Path) -> Iterator[Row]:
    cache = folder / "cache"

    def evaluate(generated: str, reference: str, out: str) -> dict[str, float]:
        return command(
            "evaluate", "--generated", str(folder / generated), "--reference", str(folder / reference), "--metrics",
            ",".join(METRICS), "--cache", str(cache), "--out", str(folder / out), "--workers", str(cores()),
        )  # fmt: skip

    for name, count, first in (("few", fresh, 0), ("few-real", fresh, 10**6), ("all", clips, 2 * 10**6),
                               ("real", clips, 3 * 10**6), ("others", clips, 4 * 10**6)):  # fmt: skip
        make_clips(folder / name, count, side=256, seconds=2, first=first)
    used = evaluate("few", "few-real", "few-run")
    yield Row("fresh", fresh, used["seconds"], used["cpu"])
    idle = evaluate("few", "few-real", "few-run")
    seconds, cpu = (idle[key] + (used[key] - idle[key]) / fresh * clips for key in ("seconds", "cpu"))
    store = FeatureStore(cache)
    for name in ("all", "real", "others"):
        plant(folder / name, folder / "few" / "0000.mp4", store)

    def row(name: str, used: dict[str, float]) -> Row:
        return Row(name, clips, used["seconds"], used["cpu"], seconds / used["seconds"], cpu / used["cpu"])

    evaluate("all", "real", "run")
    yield row("reference", evaluate("all", "others", "run-others"))
    yield row("again", evaluate("all", "others", "run-others"))
    runs = [str(folder / name) for name in ("run", "run-others")]
    yield row("table", command("table", *runs))
    yield row("bootstrap", command("table", *runs, "--intervals"))
    yield row("bootstraps", command("table", *runs, "--intervals"))
    evaluate("others", "real", "run-second")
    yield row("compare", command("compare", str(folder / "run"), str(folder / "run-second")))


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--fresh", type=int, default=4)
    parser.add_argument("--json", type=Path, help="write everything here as well")
    asked = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as temporary:
        use_random_weights(Path(temporary) / "weights")
        os.fsync = lambda descriptor: None  # what is made here need not survive a power cut
        for row in measured(asked.clips, asked.fresh, Path(temporary)):
            rows.append(row)
            show(row)
            write_json(asked, rows, cores=cores())


if __name__ == "__main__":
    main()
