"""Runs of several training seeds as one row: mean and standard deviation over the runs, each clip's mean in tests."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from reports.tables.measured import Measured
from t2av_bench.results.aggregate import Summary
from t2av_bench.scores import Score
from t2av_bench.statistics.samples import Sample


@dataclass(frozen=True, slots=True)
class Pooled(Measured):
    """One quantity of several runs that asked for the same clips. ``run`` is the first of ``parts``.

    ``column.summary`` has the mean of the runs' values, and counts clips over all runs.
    """

    parts: tuple[Measured, ...] = ()

    @property
    def singles(self) -> tuple[Measured, ...]:
        return self.parts

    @property
    def spread(self) -> float | None:
        """Standard deviation of the runs' values (n - 1); None where a run has no value."""
        values = [value for part in self.parts if (value := part.summary.score.value) is not None]
        if len(values) < len(self.parts):
            return None
        return float(np.std(values, ddof=1))

    @property
    def scored(self) -> list[str]:
        """Clips that all runs scored, and that asked for the same in all of them."""
        common = set(self.parts[0].scored).intersection(*(part.scored for part in self.parts[1:]))
        wanted = self.run.items
        return [
            clip for clip in self.clips
            if clip in common and all(part.run.items.get(clip) == wanted.get(clip) for part in self.parts)
        ]  # fmt: skip

    def sample(self, clips: Iterable[str]) -> Sample:
        """Each clip's mean over the runs. Raises Unscorable as ``Measured.sample``."""
        chosen = list(clips)
        samples = [part.sample(chosen) for part in self.parts]
        # A clip's mean over the runs is neither in nor out, so no share of clips.
        return replace(
            samples[0],
            numerators=np.mean([sample.numerators for sample in samples], axis=0),
            denominators=np.mean([sample.denominators for sample in samples], axis=0),
            share=False,
        )


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
    return Pooled(first.run, replace(first.column, summary=_summary(found)), clips, tuple(found))


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
