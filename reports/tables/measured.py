"""One quantity of a run over all of its clips or those of one language, as a table's cell shows it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from t2av_bench.results.aggregate import Summary, summarise
from t2av_bench.results.columns import Column
from t2av_bench.results.run import RunResult
from t2av_bench.statistics.samples import Sample


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
        scores = self.run.scores[self.column.metric, self.column.quantity.name]
        return [clip for clip in self.clips if scores[clip].value is not None]

    def sample(self, clips: Iterable[str]) -> Sample:
        """Values of some of the scored clips for intervals and tests. Raises Unscorable where they cannot be had."""
        record = self.run.records[self.column.metric, self.column.quantity.name]
        return record.sample(clips).grouped(self.run.groups)


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
    scores = run.scores[column.metric, quantity.name]
    return Measured(run, replace(column, summary=summarise(quantity, [scores[clip] for clip in clips])), clips)
