"""One quantity as a table's cell shows it: of one run, or of several training seeds of one system."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from t2av_bench.results.aggregate import Summary
from t2av_bench.results.columns import Column
from t2av_bench.results.run import RunResult
from t2av_bench.scores import Score
from t2av_bench.statistics.samples import Sample


@dataclass(frozen=True, slots=True)
class Measured:
    """One quantity of one run, over ``clips``; ``column.summary`` is over these clips too.

    parts: instead, of several runs that asked for the same clips; ``run`` is then the first one's, and the summary has
    the mean of the runs' values and counts clips over all runs.
    """

    run: RunResult
    column: Column
    clips: tuple[str, ...]
    parts: tuple["Measured", ...] = ()

    @property
    def summary(self) -> Summary:
        return self.column.summary

    @property
    def singles(self) -> tuple["Measured", ...]:
        """The single runs behind the value."""
        return self.parts or (self,)

    @property
    def spread(self) -> float | None:
        """Standard deviation of several runs' values (n - 1); None where a run has no value, and for a single run."""
        values = [value for part in self.parts if (value := part.summary.score.value) is not None]
        return float(np.std(values, ddof=1)) if values and len(values) == len(self.parts) else None

    @property
    def scored(self) -> list[str]:
        """Clips that all runs scored, and that asked for the same in all of them."""
        key = (self.column.metric, self.column.quantity.name)
        runs = [(each.run.scores[key], self.run.asked_alike(each.run)) for each in self.singles]
        return [
            clip for clip in self.clips
            if all(clip in scores and scores[clip].value is not None and clip in alike for scores, alike in runs)
        ]  # fmt: skip

    def sample(self, clips: Iterable[str]) -> Sample:
        """Values of some of the scored clips for intervals and tests, each clip's mean over the runs.

        Raises Unscorable where they cannot be had.
        """
        key, chosen = (self.column.metric, self.column.quantity.name), list(clips)
        samples = [each.run.records[key].sample(chosen).grouped(each.run.groups) for each in self.singles]
        if len(samples) == 1:
            return samples[0]
        # A clip's mean over the runs is neither in nor out, so no share of clips.
        return replace(
            samples[0],
            numerators=np.mean([sample.numerators for sample in samples], axis=0),
            denominators=np.mean([sample.denominators for sample in samples], axis=0),
            share=False,
        )


def over_all_clips(run: RunResult, column: Column) -> Measured:
    """A run's column as it is."""
    return Measured(run, column, tuple(run.clips))


def over_clips(run: RunResult, column: Column, clips: Sequence[str]) -> Measured:
    """A run's column over some of its clips; a distance between sets is made again, from their features."""
    return Measured(run, run.over(column, clips), tuple(clips))


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
    return over_clips(run, column, clips)


def pool(parts: Sequence[Measured | str]) -> Measured | str:
    """The runs of one row as one value; a single run as it is. A run without the quantity leaves none to the row."""
    missing = [part for part in parts if isinstance(part, str)]
    if missing:
        return missing[0] if len(parts) == 1 else f"{len(missing)} of {len(parts)} runs: {missing[0]}"
    found = [part for part in parts if isinstance(part, Measured)]
    first = found[0]
    if len(found) == 1:
        return first
    clips = tuple(dict.fromkeys(clip for part in found for clip in part.clips))
    return Measured(first.run, replace(first.column, summary=_summary(found)), clips, tuple(found))


def _summary(parts: Sequence[Measured]) -> Summary:
    summaries = [part.summary for part in parts]
    failed = [summary.score for summary in summaries if summary.score.value is None]
    if failed:
        reason = f"{len(failed)} of {len(parts)} runs: {failed[0].reason}"
        score = Score(failed[0].status, reason=reason)
    else:
        score = Score.ok(math.fsum(float(summary.score.value or 0.0) for summary in summaries) / len(parts))
    reasons = sum((summary.reasons for summary in summaries), Counter[str]())
    scored, total = (sum(each) for each in zip(*((s.scored, s.total) for s in summaries), strict=True))
    inapplicable = frozenset[str]().union(*(summary.inapplicable for summary in summaries))
    return Summary(score, scored, total, None, reasons, None, inapplicable)
