"""What a table says of its columns' error budget: the differences that are not resolved at its number of clips."""

import math
from collections.abc import Sequence

from reports.tables.measured import Measured
from reports.tables.model import TableColumn
from t2av_bench.benchmarks.registry import GRIDFACE
from t2av_bench.results.budget import Budget, Entry, budget_of, method_of
from t2av_bench.results.run import RunResult


def budget_notes(
    columns: Sequence[TableColumn], measured: Sequence[Sequence[Measured | str]], budget: Budget | None = None
) -> list[str]:
    """A note for each number of clips, of the columns whose method the budget (the packaged one where None) has.

    The row with fewest clips decides, and the note says so where others have more. What is printed is rounded up, so
    that it is never less than was found. The packaged budget is one of real clips: of GridFace's it says nothing.
    """
    of_real_clips = budget is None
    budget = budget_of(budget)
    found: dict[tuple[int, str], list[str]] = {}
    for column, cells in zip(columns, measured, strict=True):
        singles = [
            (single, scored) for each in cells if isinstance(each, Measured) for single in each.singles
            if (scored := single.scored)
        ]  # fmt: skip
        if of_real_clips and any(_of_gridface(single.run) for single, _ in singles):
            continue
        entry = _entry([single for single, _ in singles], budget)
        if entry is None:
            continue
        least, scored = min(singles, key=lambda each: len(each[1]))
        clips, by = len(scored), least.run.groups
        groups = len({by.groups.get(clip, clip) for clip in scored}) if by else clips
        sizes = (entry.resolution(clips, groups), entry.resolution(clips, groups, paired=True))
        if any(sizes):  # clips that were all alike, such as those without a cut, tell of no difference
            other, same = ("–" if size is None else _up(size * column.scale, column.decimals) for size in sizes)
            fewest = ", the fewest of a row" if any(len(each) > clips for _, each in singles) else ""
            found.setdefault((clips, fewest), []).append(f"{column.named} {other} ({same})")
    whose = "the error budget of real clips (docs/error_budget.md)" if of_real_clips else "the error budget"
    return [
        f"Differences below these are not resolved at n = {clips}{fewest} (in brackets: of systems on the same clips, "
        f"before what a paired test says), by {whose}: {'; '.join(values)}."
        for (clips, fewest), values in found.items()
    ]  # fmt: skip


def _of_gridface(run: RunResult) -> bool:
    """Whether metrics measured a run's clips that take no others."""
    return any(metric.endswith(f"/{GRIDFACE}") for metric in run.described)


def _entry(singles: Sequence[Measured], budget: Budget) -> Entry | None:
    """The budget's entry of what all cells of a column measure; None where they differ, or there is none."""
    methods = {
        (each.column.metric, each.column.quantity.name, method_of(each.run.protocols[each.column.metric]))
        for each in singles
    }  # fmt: skip
    if len(methods) != 1:
        return None
    metric, quantity, method = methods.pop()
    return budget.find(quantity, metric, method)


def _up(value: float, decimals: int) -> str:
    scaled = value * 10**decimals
    # What the binary number has beyond nine digits is no amount to round up.
    return f"{math.ceil(scaled - 1e-9 * max(1.0, scaled)) / 10**decimals:.{decimals}f}"
