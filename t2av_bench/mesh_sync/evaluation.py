"""How good a network of ``sync/mesh`` is: on clips with published SyncNet scores, and on anybody's clips.

Every number comes with a bootstrap interval over persons (percentile; clips of one person are drawn together). Clips of
the test split are looked at once for each network that is published: each look appends a line to ``runs.jsonl``. What
anybody's clips gave is nobody else's business: it goes into a log beside the network that was asked for.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from t2av_bench.benchmarks.pairing import VIDEO_SUFFIXES
from t2av_bench.errors import Unscorable
from t2av_bench.extractors.log_mel import ROWS_PER_FRAME
from t2av_bench.media.clip import Clip, Features, MediaError
from t2av_bench.mesh_sync.data import Published
from t2av_bench.mesh_sync.features import MeshSyncFeatures, mesh_sync_features
from t2av_bench.mesh_sync.network import MeshSyncNetwork
from t2av_bench.mesh_sync.score import FRAME_MS, MeshSyncScore, score
from t2av_bench.statistics.intervals import bootstrap
from t2av_bench.statistics.seeding import generator
from t2av_bench.utils.files import append_line

RUNS = Path(__file__).with_name("runs.jsonl")
PLANTED = (-7, -3, 2, 5)
"""Frames by which the sound is made late (negative: early); the offset must change by as many the other way."""
_DRAWS = 2000
Statistic = Callable[[np.ndarray], float]


@dataclass(frozen=True, slots=True)
class Case:
    """One clip of an evaluation. person: clips of one are drawn together, and are no strangers to each other."""

    name: str
    person: str
    features: MeshSyncFeatures
    published: Published | None = None


def evaluate(
    cases: Sequence[Case], network: MeshSyncNetwork, listed: int, *, intervals: bool = True
) -> dict[str, Any]:  # fmt: skip
    """The numbers of a set of clips. listed: how many clips there were, with those that could not be used.

    Each number is [value, low, high] of its 95 % interval (None where it is not asked for, or persons are too few):
    ``auc`` of the confidence in sync against a stranger's sound (it and ``mean_c_stranger`` are None where nobody is a
    stranger); ``planted_exact`` and ``planted_within_1``: share of planted shifts found; and, of clips with published
    scores, ``spearman_c``, ``spearman_d``, ``offset_within_1``. ``clips``: of each of these its name, C with its
    standard error, D, offset in ms, and the published C, D and offset in frames. Raises ValueError where no clip can be
    scored.
    """
    own = [_scored(case.features, network) for case in cases]
    kept = [(case, found) for case, found in zip(cases, own, strict=True) if found is not None]
    if not kept:
        raise ValueError(f"none of {listed} clips can be scored: give clips of at least 2 s with a face and sound")
    cases, scores = [case for case, _ in kept], [found for _, found in kept]
    strange = [None if each is None else _scored(each, network) for each in _strangers(cases)]
    shifts = [[_moved(case.features, found, network, frames) for frames in PLANTED] for case, found in kept]
    persons = [case.person for case in cases]
    confident = np.array([found.confidence for found in scores])
    other = np.array([np.nan if found is None else found.confidence for found in strange])
    numbers: dict[str, Any] = {"listed": listed, "scored": len(kept), "persons": len(set(persons))}
    numbers["mean_c"] = round(float(confident.mean()), 4)
    known_others = not np.isnan(other).all()
    numbers["mean_c_stranger"] = round(float(np.nanmean(other)), 4) if known_others else None
    ask = _Asker(persons, intervals)
    numbers["auc"] = ask(lambda index: auc(confident[index], other[index])) if known_others else None
    flat = np.array(shifts)
    for name, most in (("planted_exact", 0.5), ("planted_within_1", 1.0)):
        hits = _within(flat, most)
        numbers[name] = ask(partial(_mean_of, hits))
    known = [place for place, case in enumerate(cases) if case.published is not None]
    if known:
        published = [cases[place].published for place in known]
        ask = _Asker([persons[place] for place in known], intervals)
        numbers["published"] = len(known)
        stated = {key: np.array([getattr(each, key) for each in published]) for key in ("confidence", "distance")}
        mine = {key: np.array([getattr(scores[place], key) for place in known]) for key in stated}
        for name, key in (("spearman_c", "confidence"), ("spearman_d", "distance")):
            numbers[name] = ask(partial(_spearman, mine[key], stated[key]))
        frames = np.array([scores[place].offset_ms / FRAME_MS for place in known])
        apart = np.abs(np.round(frames) - [each.offset for each in published if each is not None])
        numbers["offset_within_1"] = ask(lambda index: float((apart[index] <= 1).mean()))
        numbers["clips"] = [_row(cases[place], scores[place]) for place in known]
    return numbers


def cases_in(folder: Path, cache: Features, left_out: Callable[[str, str], None]) -> tuple[list[Case], int]:
    """The media files of a folder, each a person of its own, and how many there were."""
    files, found = media_in(folder), []
    for path in files:
        try:
            found.append(Case(path.name, path.stem, mesh_sync_features(Clip(path, features=cache))))
        except (Unscorable, MediaError) as reason:
            left_out(path.name, str(reason))
    return found, len(files)


def media_in(folder: Path) -> list[Path]:
    """The videos of a folder, as far as suffixes tell, in order of their names."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in VIDEO_SUFFIXES)


def log_run(facts: Mapping[str, Any], path: Path) -> None:
    """Append one line to a log of looks at clips: what, when, with which weights, and what was found."""
    line = {"date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), **facts}
    append_line(path, json.dumps(line))


class _Asker:
    """A number of clips with its interval over persons."""

    def __init__(self, persons: Sequence[str], intervals: bool) -> None:
        self._intervals = intervals
        names = sorted(set(persons))
        self._names = names
        self._members = [np.array([i for i, person in enumerate(persons) if person == name]) for name in names]
        self._all = np.arange(len(persons))

    def __call__(self, statistic: Statistic) -> list[float | None]:
        def drawn(index: np.ndarray) -> np.ndarray:
            rows = index.reshape(-1, index.shape[-1])
            values = [statistic(np.concatenate([self._members[place] for place in row])) for row in rows]
            return np.array(values).reshape(index.shape[:-1])

        value = round(float(statistic(self._all)), 4)
        if not self._intervals:
            return [value, None, None]
        try:
            found = bootstrap(
                drawn, len(self._names), generator("mesh-sync", self._names), method="percentile", draws=_DRAWS
            )
        except Unscorable:
            return [value, None, None]
        return [value, round(found.low, 4), round(found.high, 4)]


def _row(case: Case, found: MeshSyncScore) -> list[Any]:
    stated = case.published
    assert stated is not None
    mine = (found.confidence, found.error, found.distance, found.offset_ms)
    return [case.name, *(round(value, 4) for value in mine), stated.confidence, stated.distance, stated.offset]


def _scored(features: MeshSyncFeatures, network: MeshSyncNetwork) -> MeshSyncScore | None:
    try:
        return score(features, network)
    except Unscorable:
        return None


def _strangers(cases: Sequence[Case]) -> list[MeshSyncFeatures | None]:
    """Each clip's mouth with the sound of the clip half the list on, or of the next one that is of another person; None
    where all are of one person."""
    made: list[MeshSyncFeatures | None] = []
    for place, case in enumerate(cases):
        order = [cases[(place + len(cases) // 2 + step) % len(cases)] for step in range(len(cases))]
        other = next((each for each in order if each.person != case.person), None)
        if other is None:
            made.append(None)
            continue
        length = min(len(case.features.mouth), len(other.features.mouth))
        made.append(with_sound(case.features, other.features.sound[: ROWS_PER_FRAME * length]))
    return made


def with_sound(features: MeshSyncFeatures, sound: np.ndarray) -> MeshSyncFeatures:
    """The first frames of a clip over another sound (4 n, 40), n of them at most."""
    length = min(len(features.mouth), len(sound) // ROWS_PER_FRAME)
    heard = sound[: ROWS_PER_FRAME * length]
    return MeshSyncFeatures(features.mouth[:length], features.seen[:length], heard, features.share)


def _moved(features: MeshSyncFeatures, before: MeshSyncScore, network: MeshSyncNetwork, frames: int) -> float:
    """Error in frames of the change of the offset when the sound comes ``frames`` frames later."""
    shifted = np.roll(features.sound, ROWS_PER_FRAME * frames, axis=0)
    after = _scored(with_sound(features, shifted), network)
    return np.nan if after is None else (after.offset_ms - before.offset_ms) / FRAME_MS + frames


def _mean_of(values: np.ndarray, index: np.ndarray) -> float:
    return float(np.nanmean(values[index]))


def _within(errors: np.ndarray, most: float) -> np.ndarray:
    return np.where(np.isnan(errors), np.nan, np.abs(errors) <= most)


def auc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Probability that one of the first is larger than one of the second; ties count half."""
    negative = negative[~np.isnan(negative)]
    return float(np.mean(np.sign(positive[:, None] - negative) / 2 + 0.5))


def _spearman(first: np.ndarray, second: np.ndarray, index: np.ndarray) -> float:
    from scipy.stats import rankdata

    ranks = rankdata(first[index]), rankdata(second[index])
    return float(np.corrcoef(*ranks)[0, 1]) if min(np.ptp(each) for each in ranks) else 0.0
