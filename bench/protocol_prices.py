"""What the faster protocols cost in their numbers: faces in every n-th frame, and bfloat16, against the exact protocol.

    python bench/protocol_prices.py CLIPS --work FOLDER [--damaged N] [--kinds KIND ...] [--json OUT]
    python bench/protocol_page.py [OUT] > PAGE.md                    # of bench/protocol_prices.json, or of OUT

Clips are measured undamaged (the control copy of the validity command) and with damage. Four parts:

boxes       every detector whose weights are here: each frame is looked at once, and what a sparser look would have made
            of it follows from that, for a detector has no memory.
features    every network in bfloat16 against itself in float32; one whose weights are not here with random ones, which
            says what the rounding does to features, and nothing about scores.
values      every metric whose weights are here, by the exact protocol and by each option; the others say what to fetch.
stand-ins   the same options with networks that come with the package (see ``protocol_stand_ins``).

Copies and features are kept in --work, and the same command continues.
"""

import inspect
import json
import os
import platform
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from measuring import ROOT, options
from protocol_stand_ins import SYNC, deviation, rounded, set_values, sync_values

from t2av_bench import weights
from t2av_bench.benchmarks.pairing import pair
from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.faces import confirmed, crop, detect, sparse
from t2av_bench.faces.find import Faces, faces_in, main_track
from t2av_bench.faces.track import Track, find_tracks, overlap
from t2av_bench.media.clip import Clip
from t2av_bench.metrics import create, metric_class, registry
from t2av_bench.metrics.base import Metric, Pair, SetMetric
from t2av_bench.results.features import FeatureStore
from t2av_bench.utils.files import write_text
from t2av_bench.utils.inference import check_dtype
from t2av_bench.utils.worker_pool import WorkerPool
from t2av_bench.validation.damages import CONTROL, DAMAGES, folder_of
from t2av_bench.validation.making import UNDAMAGED, Grade, make, place_of
from t2av_bench.weights.needs import unusable

KEPT = ROOT / "bench" / "protocol_prices.json"
EVERY = (2, 5, 10, 25)
OPTIONS: dict[str, dict[str, Any]] = {
    **{f"detect_every={n}": {"detect_every": n} for n in EVERY}, "dtype=bfloat16": {"dtype": "bfloat16"},
    "detect_every=5, dtype=bfloat16": {"detect_every": 5, "dtype": "bfloat16"},
}  # fmt: skip
PICTURES = ("blur", "picture_noise", "bitrate", "freeze", "dropped_frames", "flicker", "cuts", "truncation")
SOUND = ("desync", "sound_noise")


def strongest(names: Sequence[str]) -> list[Grade]:
    """The third grade of each damage: strong, and yet a clip that somebody may have made."""
    return [(name, DAMAGES[name].grades[2]) for name in names]


@dataclass(frozen=True, slots=True)
class Boxes:
    """Tracks of sparse looks against those of every frame.

    frames: of all exact tracks; found: how many of them a sparse track covers. overlap: intersection over union of the
    boxes, of the found frames. shift: of a corner of the mouth crop, in its 224 pixels. lost, gained: clips that have a
    track by one protocol alone.
    """

    detector: str
    clips: str
    every: int
    scored: int
    frames: int
    found: int
    lost: int
    gained: int
    overlap_median: float | None
    overlap_lowest: float | None
    shift_median: float | None
    shift_99: float | None
    looks: float


@dataclass(frozen=True, slots=True)
class Values:
    """A quantity by an option against the exact protocol. clips: scored by both; changed: scored by one alone.

    exact: mean over the clips, or the set's value; difference: option minus exact, median of absolute ones, and
    largest. same: clips whose value is equal.
    """

    metric: str
    option: str
    clips_are: str
    quantity: str
    clips: int
    changed: int
    exact: float | None
    difference_median: float | None
    difference_largest: float | None
    same: int


def detectors() -> Iterator[detect.Detector]:
    """Those whose weights are here."""
    if weights.is_present("sfd_face"):
        yield detect.s3fd()
    if all(map(weights.is_present, confirmed.WEIGHTS)):
        yield confirmed.confirmed_blazeface()
    yield detect.haar()


def sparser(faces: Faces, every: int) -> tuple[list[Track], int]:
    """Accepted tracks of sparse looks at what was seen in every frame, and how many looks they take."""
    numbers = sparse.looks(faces.shots, every)
    filled = sparse.fill(numbers, [faces.detections[number] for number in numbers], faces.shots)
    return find_tracks(filled, faces.shots)[0], len(numbers)


def compared(exact: Sequence[Track], other: Sequence[Track]) -> Iterator[tuple[float, float] | None]:
    """Of each frame of the exact tracks: overlap with the best box of the others, and shift of the mouth crop."""
    shown = [(track, *crop.crop_rectangles(track.boxes)) for track in other]
    for track in exact:
        rectangles, _ = crop.crop_rectangles(track.boxes)
        for number, box, rectangle in zip(track.frames, track.boxes, rectangles, strict=True):
            best = None
            for each, crops, _ in shown:
                if each.frames[0] <= number <= each.frames[-1]:
                    at = number - each.frames[0]
                    shared = float(overlap(each.boxes[at : at + 1], box)[0])
                    if shared > 0 and (best is None or shared > best[0]):
                        pixels = np.abs(crops[at] - rectangle).max() * crop.SIZE / max(1, rectangle[2] - rectangle[0])
                        best = shared, float(pixels)
            yield best


def boxes(name: str, clips: Sequence[Clip]) -> Iterator[Boxes]:
    """One row for each detector and distance of looks."""
    for detector in detectors():
        seen: list[tuple[Faces, list[Track]]] = []
        for clip in clips:
            faces = faces_in(clip, detector)
            seen.append((faces, find_tracks(faces.detections, faces.shots)[0]))
            clip.release()
        for every in EVERY:
            pairs: list[tuple[float, float] | None] = []
            scored = lost = gained = looked = 0
            for faces, exact in seen:
                other, looks = sparser(faces, every)
                pairs += compared(exact, other)
                scored, looked = scored + bool(exact), looked + looks
                lost, gained = lost + (bool(exact) and not other), gained + (bool(other) and not exact)
            found = np.array([each for each in pairs if each is not None]).reshape(-1, 2)
            facts = (None,) * 4 if not len(found) else (
                float(np.median(found[:, 0])), float(found[:, 0].min()),
                float(np.median(found[:, 1])), float(np.quantile(found[:, 1], 0.99)),
            )  # fmt: skip
            total = sum(len(faces.detections) for faces, _ in seen)
            yield Boxes(
                detector.name, name, every, scored, len(pairs), len(found), lost, gained, *facts, looked / max(1, total)
            )


def here() -> dict[str, dict[str, Any]]:
    """The options that this machine can carry out."""
    with suppress(NotApplicable):
        check_dtype("bfloat16", "cpu")
        return OPTIONS
    return {text: option for text, option in OPTIONS.items() if "dtype" not in option}


def asked() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every metric of this package that has one of the options: id, option as text, option."""
    for id in registry.built_in:
        known = inspect.signature(metric_class(id)).parameters
        for text, option in OPTIONS.items():
            if option.keys() <= known.keys():
                yield id, text, option


def values(name: str, pairs: Sequence[Pair]) -> Iterator[Values]:
    """Rows of all metrics whose weights are here."""
    exact: dict[str, list[Any]] = {}
    for id, text, option in asked():
        if unusable(metric_class(id)) is None and text in here():
            metric, faster = create(id), create(id, None, option)
            if id not in exact:
                exact[id] = [_measured(metric, each) for each in pairs]
            other = [_measured(faster, each) for each in pairs]
            for quantity in metric.quantities:
                yield _row(id, text, name, metric, quantity.name, exact[id], other)


def stand_ins(name: str, clips: Sequence[Clip], originals: Sequence[Clip]) -> Iterator[Values]:
    """Rows of the networks that are always here; of sync, those of the clips with a face by either protocol."""
    for detector in detectors():
        found: dict[str, list[Any]] = {text: [] for text in ("", *here())}
        for number, clip in enumerate(clips):
            faces = faces_in(clip, detector)
            exact = _main(sparser(faces, 1)[0])
            found[""].append(exact and sync_values(number, None, "float32"))
            for text, option in here().items():
                every, dtype = option.get("detect_every", 1), option.get("dtype", "float32")
                other = _main(sparser(faces, every)[0])
                off = None if every == 1 or not (exact and other) else deviation(exact, other)
                lost = other is None or (every > 1 and off is None)
                found[text].append(None if lost else sync_values(number, off, dtype))
            clip.release()
        for text in here():
            for quantity in ("C", "D", "offset"):
                yield _of_clips(f"{SYNC}, {detector.name}", text, name, quantity, found[""], found[text])
    pairs = list(zip(clips, originals, strict=True))
    for network, distance, exact, other, count in set_values(pairs) if len(here()) == len(OPTIONS) else ():
        apart = abs(other - exact)
        yield Values(network, "dtype=bfloat16", name, distance, count, 0, exact, apart, apart, int(apart == 0))


def _main(tracks: Sequence[Track]) -> Track | None:
    return tracks[main_track(tracks)] if tracks else None


def _measured(metric: Metric, pair: Pair) -> Any:
    try:
        found = metric.measure(pair)
    except (Unscorable, NotApplicable):
        return None
    finally:
        for clip in (pair.generated, pair.reference):
            if clip is not None:
                clip.release()
    return found.features if isinstance(metric, SetMetric) else found.values


def _row(
    id: str, text: str, name: str, metric: Metric, quantity: str, exact: Sequence[Any], other: Sequence[Any]
) -> Values:
    if not isinstance(metric, SetMetric):
        return _of_clips(id, text, name, quantity, exact, other)
    both = [pair for pair in zip(exact, other, strict=True) if None not in pair]
    changed = sum((one is None) != (two is None) for one, two in zip(exact, other, strict=True))
    if len(both) < 2:
        return Values(id, text, name, quantity, len(both), changed, None, None, None, 0)
    one, two = (metric.aggregate(list(side)).values[quantity] for side in zip(*both, strict=True))
    apart = abs(two - one)
    return Values(id, text, name, quantity, len(both), changed, one, apart, apart, int(apart == 0))


def _of_clips(
    id: str, text: str, name: str, quantity: str, exact: Sequence[Any], other: Sequence[Any]
) -> Values:  # fmt: skip
    changed = sum((one is None) != (two is None) for one, two in zip(exact, other, strict=True))
    pairs = zip(exact, other, strict=True)
    numbers = [[each[quantity] for each in pair] for pair in pairs if all(each and quantity in each for each in pair)]
    if not numbers:
        return Values(id, text, name, quantity, 0, changed, None, None, None, 0)
    one, two = np.array(numbers, np.float64).T
    apart = np.abs(two - one)
    return Values(
        id, text, name, quantity, len(one), changed, float(one.mean()), float(np.median(apart)), float(apart.max()),
        int((apart == 0).sum()),
    )  # fmt: skip


def measure(clips: Path, work: Path, damaged: int | None, kinds: Sequence[str], out: Path) -> None:
    """All parts: every clip undamaged, and the first ``damaged`` of them with these kinds of damage.

    What is measured is written as soon as it is.
    """
    entries = [each for each in pair(clips, None, None)[0] if each.generated]
    lacking = {id: reason for id, _, _ in asked() if (reason := unusable(metric_class(id)))}
    scored = any(id not in lacking for id, _, _ in asked())
    grades = strongest([kind for kind in kinds if scored or kind not in SOUND])
    store = FeatureStore(work / "features")
    ids = [entry.item.id for entry in entries]
    facts = {"clips": ids, "damaged": ids[:damaged], "machine": machine(), "not_measured": lacking}
    found: dict[str, list[Any]] = {"boxes": [], "features": [], "values": [], "stand_ins": []}

    def keep(part: str, rows: Iterable[Any]) -> None:
        for row in rows:
            found[part].append(row if isinstance(row, dict) else asdict(row))
            write_text(out, json.dumps({**facts, **found}, indent=1) + "\n")

    for part, some, wanted in (("undamaged", entries, []), ("damaged", entries[:damaged], grades)):
        folder = work / part
        with WorkerPool() as pool:
            make(some, wanted, folder, pool, 1, 3600.0, lambda step: None)
        originals = {path.stem: path for path in (folder / "originals").iterdir()}
        items = {entry.item.id: entry.item for entry in some}
        for grade in wanted or [UNDAMAGED]:
            name = CONTROL if grade == UNDAMAGED else folder_of(*grade)
            paths = {id: path for id in items if (path := place_of(folder / "clips", id, grade)).is_file()}
            print(f"{name}: {len(paths)} of {len(items)} clips", file=sys.stderr, flush=True)
            if grade[0] not in SOUND:
                shown, kept = ([Clip(where[id], features=store) for id in paths] for where in (paths, originals))
                keep("boxes", boxes(name, shown))
                keep("stand_ins", stand_ins(name, shown, kept))
            if grade == UNDAMAGED:
                keep("features", rounded([Clip(path) for path in paths.values()]))
            pairs = [
                Pair(items[id], Clip(path, features=store), Clip(originals[id], features=store))
                for id, path in paths.items()
            ]
            keep("values", values(name, pairs))


def machine() -> str:
    import torch

    return f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, {torch.get_num_threads()} threads"


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("clips", type=Path, help="a folder of real clips")
    parser.add_argument(
        "--work", type=Path, required=True, help="folder for the damaged copies and what is kept of them"
    )
    parser.add_argument("--json", type=Path, default=KEPT)
    parser.add_argument("--damaged", type=int, help="damage the first so many clips alone")
    parser.add_argument("--kinds", nargs="+", choices=(*PICTURES, *SOUND), default=(*PICTURES, *SOUND), metavar="KIND")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    import torch

    torch.set_num_threads(given.threads)
    measure(given.clips, given.work, given.damaged, given.kinds, given.json)


if __name__ == "__main__":
    main()
