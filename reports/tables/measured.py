"""Runs as tables read them, and one quantity of a run over all of its clips or those of one language."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from t2av_bench.errors import Unscorable
from t2av_bench.metrics.base import Floor
from t2av_bench.results.aggregate import Summary, summarise
from t2av_bench.results.columns import RESULTS, Column, columns
from t2av_bench.results.features import FeatureStore
from t2av_bench.results.recorded import Recorded
from t2av_bench.results.store import Store, StoreError
from t2av_bench.scores import Score, Status
from t2av_bench.statistics.samples import Grouping, Sample, grouping


@dataclass(frozen=True, slots=True)
class RunResult:
    """One run as a table reads it: its system's name, columns, clip ids and protocol documents by fingerprint.

    scores: (metric id, quantity name) -> clip -> score. items: clip -> what it asked for (text, language, digest of
    the reference); clips of two runs are paired where these agree. groups: clips that belong together, see
    ``statistics.samples``. notice: told of what takes long. floors: metric id -> what real clips score, where the
    metric knows it.
    """

    name: str
    path: Path
    columns: list[Column]
    clips: list[str]
    protocols: dict[str, dict[str, Any]]
    scores: Mapping[tuple[str, str], Mapping[str, Score]] = field(default_factory=dict)
    items: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)
    groups: Grouping | None = None
    notice: Callable[[str], None] | None = None
    floors: Mapping[str, Sequence[Floor]] = field(default_factory=dict)
    _opened: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def languages(self) -> dict[str, int]:
        """Primary language subtag (``zh``; empty: not given) -> number of clips, in order of appearance."""
        found: dict[str, int] = {}
        for clip in self.clips:
            found[self.language(clip)] = found.get(self.language(clip), 0) + 1
        return found

    def language(self, clip: str) -> str:
        return (self.items.get(clip, {}).get("language") or "").split("-")[0].lower()

    def pseudo_values(self, metric: str, quantity: str, clips: Iterable[str]) -> Sample:
        """Per-clip pseudo-values of a distance between sets, from the run's features. Raises Unscorable.

        Those of an FID take half a minute for 200 clips, so they are kept beside the run's features, by content.
        """
        return Sample.of(self._kept(metric, quantity, clips))

    def _kept(self, metric: str, quantity: str, clips: Iterable[str]) -> dict[str, float]:
        chosen = sorted(clips)
        fingerprint, digest = self._content(metric, chosen)
        kept = FeatureStore(self.path / "features")
        suffix = f"pseudo-{quantity}"
        found = kept.get(digest, fingerprint, suffix)
        if found is not None:
            return dict(zip(chosen, found["values"].tolist(), strict=True))
        if self.notice:
            self.notice(f"{self.name}: what each clip adds to {quantity}, computed once")
        self.recorded()
        values: dict[str, float] = self._opened["computed"][metric, quantity](chosen)
        try:
            kept.put(digest, fingerprint, suffix, {"values": np.array([values[clip] for clip in chosen])})
        except OSError:
            pass  # a run folder that cannot be written is read all the same
        return values

    def _content(self, metric: str, clips: list[str]) -> tuple[str, str]:
        """Protocol fingerprint, and a digest of the clips with the contents that their features come from."""
        try:
            with Store(self.path / RESULTS) as store:
                inputs = {row["clip"]: row["inputs"] for row in store.measurements(metric)}
                fingerprint = store.protocols()[metric]["fingerprint"]
        except StoreError as error:
            raise Unscorable(str(error)) from error
        document = json.dumps([[clip, inputs.get(clip)] for clip in clips])
        return fingerprint, hashlib.sha256(document.encode()).hexdigest()

    def recorded(self) -> Recorded:
        """The run as comparisons read it, with the same kept pseudo-values as tables."""
        from t2av_bench.results.run import read_run as read_recorded

        if "recorded" not in self._opened:
            recorded = read_recorded(self.path)
            found = {key: each for key, each in recorded.quantities.items() if each.pseudo_values is not None}
            self._opened["computed"] = {key: each.pseudo_values for key, each in found.items()}
            for key, each in found.items():
                each.pseudo_values = partial(self._kept, *key)
            self._opened["recorded"] = recorded
        opened: Recorded = self._opened["recorded"]
        return opened


def read_run(path: Path, notice: Callable[[str], None] | None = None) -> RunResult:
    """Read a run folder. Raises StoreError where it is none."""
    with Store(path / RESULTS) as store:
        claim = store.setting("claim")
        described = store.protocols()
        protocols = {entry["fingerprint"]: entry["protocol"] for entry in described.values()}
        floors = {
            metric: [Floor(**floor) for floor in entry["description"].get("floors", ())]
            for metric, entry in described.items()
        }
        rows = store.clips()
        items = {
            row["clip"]: {
                "text": row["item"].get("text"), "language": row["item"].get("language"),
                "reference": row["reference_digest"],
            } for row in rows
        }  # fmt: skip
        scores: dict[tuple[str, str], dict[str, Score]] = {}
        for row in store.scores():
            scores.setdefault((row.metric, row.quantity), {})[row.clip] = row.score
        name = claim["name"] if claim else path.name
        found, groups = columns(store, scores), grouping({row["clip"]: row["item"] for row in rows})
        return RunResult(name, path, found, list(items), protocols, scores, items, groups, notice, floors)


@dataclass(frozen=True, slots=True)
class Measured:
    """One quantity of one run, over ``clips``; ``column.summary`` is over these clips too."""

    run: RunResult
    column: Column
    clips: tuple[str, ...]

    @property
    def summary(self) -> Summary:
        return self.column.summary

    @property
    def singles(self) -> tuple["Measured", ...]:
        """The single runs behind the value."""
        return (self,)

    @property
    def spread(self) -> float | None:
        """Standard deviation over several runs (see ``seeds.Pooled``); None for a single one."""
        return None

    @property
    def scored(self) -> list[str]:
        scores = self.run.scores.get((self.column.metric, self.column.quantity.name), {})
        return [clip for clip in self.clips if clip in scores and scores[clip].value is not None]

    def sample(self, clips: Iterable[str]) -> Sample:
        """Values of some of the scored clips for intervals and tests. Raises Unscorable where they cannot be had."""
        metric, quantity = self.column.metric, self.column.quantity
        if quantity.aggregate == "set":
            return self.run.pseudo_values(metric, quantity.name, clips).grouped(self.run.groups)
        scores = self.run.scores.get((metric, quantity.name), {})
        return Sample.of_scores(quantity, {clip: scores[clip] for clip in clips}).grouped(self.run.groups)


def over_all_clips(run: RunResult, column: Column) -> Measured:
    """A run's column as it is."""
    return Measured(run, column, tuple(run.clips))


def over_language(run: RunResult, column: Column, language: str) -> Measured | str:
    """A run's column over the clips of one language, or why it cannot be had."""
    clips = tuple(clip for clip in run.clips if run.language(clip) == language)
    if len(clips) == len(run.clips):
        return Measured(run, column, clips)
    quantity = column.quantity
    if quantity.aggregate == "set":
        there = " and ".join(name or "unnamed" for name in run.languages())
        return (
            f"the run {run.name} mixes {there} clips, and {quantity.label} is a distance between whole sets: "
            f"evaluate the {language} clips as a run of their own, under the same --name"
        )
    scores = run.scores.get((column.metric, quantity.name), {})
    missing = Score(Status.FAILED, reason="not measured: repeat the evaluate command")
    summary = summarise(quantity, [scores.get(clip, missing) for clip in clips])
    return Measured(run, Column(column.metric, column.fingerprint, quantity, column.embedded, summary), clips)
