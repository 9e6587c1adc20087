"""What a table says of its columns' error budget: the differences that are not resolved at its number of clips."""

from collections.abc import Sequence

from reports.tables.measured import Measured
from reports.tables.model import TableColumn
from t2av_bench.results.budget import Budget, packaged


def budget_notes(
    columns: Sequence[TableColumn], measured: Sequence[Sequence[Measured | str]], budget: Budget | None = None
) -> list[str]:
    """One note for the table, of the columns whose protocol the budget (the packaged one where None) has measured.

    The row with fewest clips decides; what is printed is rounded up, so that it is never less than was found.
    """
    budget = packaged() if budget is None else budget
    found: dict[int, list[str]] = {}
    for column, cells in zip(columns, measured, strict=True):
        singles = [single for each in cells if isinstance(each, Measured) for single in each.singles if single.scored]
        protocols = {(single.column.metric, single.column.quantity.name, single.column.fingerprint)
                     for single in singles}  # fmt: skip
        if len(protocols) != 1:
            continue
        metric, quantity, fingerprint = protocols.pop()
        entry = budget.find(quantity, metric, fingerprint)
        least = min(singles, key=lambda single: len(single.scored))
        clips, by = len(least.scored), least.run.groups
        groups = len({by.groups.get(clip, clip) for clip in least.scored}) if by else clips
        if entry is None:
            continue
        sizes = (entry.resolution(clips, groups), entry.resolution(clips, groups, paired=True))
        told = " (".join("–" if size is None else _up(size * column.scale, column.decimals) for size in sizes)
        found.setdefault(clips, []).append(f"{column.named} {told})")
    return [
        f"Differences below these are not resolved at n = {clips} (in brackets: of systems on the same clips), by the "
        f"error budget of {budget.clips} clips: {'; '.join(values)}."
        for clips, values in found.items()
    ]  # fmt: skip


def _up(value: float, decimals: int) -> str:
    step = 10.0**-decimals
    shown = f"{value:.{decimals}f}"
    return shown if float(shown) >= value else f"{float(shown) + step:.{decimals}f}"
