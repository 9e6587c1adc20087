"""Paired differences with the first system: a forest plot."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from reports.plots.style import (
    LIGHT,
    NothingToPlot,
    colour,
    label_x,
    legend,
    marker,
    name_rows,
    new_figure,
    place,
    short,
    title,
)
from t2av_bench.comparison.contrast import ForestRow
from t2av_bench.statistics.samples import LEAST_CLIPS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LEVEL = 0.05


def forest(first: str, rows: Sequence[ForestRow], *, order: Sequence[str] = ()) -> "Figure":
    """Effects with 95 % intervals, better to the right; filled where the Holm-corrected p-value is at most 0.05.

    rows: from ``t2av_bench.comparison.contrast.forest``. Quantities of different units share the axis, which is in
    standard deviations over clips of the paired difference. order: systems in the order of their colours. Raises
    NothingToPlot where no row has an effect.
    """
    drawn = [row for row in rows if row.effect is not None]
    if not drawn:
        raise NothingToPlot(
            f"no paired difference has an interval; that needs at least {LEAST_CLIPS} clips that two systems share"
        )
    groups = list(dict.fromkeys((row.label, row.unit) for row in drawn))
    systems = list(dict.fromkeys(row.system for row in rows))
    figure, axes = new_figure(7.6, 1.1 + len(groups) * (0.2 + 0.16 * len(systems)))
    axis = axes[0, 0]
    axis.axvline(0, color=LIGHT.soft, linewidth=1)
    step = 0.72 / max(1, len(systems))
    for row in drawn:
        assert row.effect is not None and row.effect_low is not None and row.effect_high is not None
        position = systems.index(row.system)
        height = groups.index((row.label, row.unit)) + (position - (len(systems) - 1) / 2) * step
        style = place(row.system, order, systems)
        tint = colour(style)
        axis.plot([row.effect_low, row.effect_high], [height, height], color=tint, linewidth=1.4, zorder=2)
        clear = row.p <= _LEVEL
        axis.plot(
            [row.effect], [height], marker(style), color=tint, markersize=5.5, zorder=3,
            markerfacecolor=tint if clear else "none", markeredgewidth=1.2,
        )  # fmt: skip
    for border in range(1, len(groups)):
        axis.axhline(border - 0.5, color=LIGHT.line, linewidth=0.6)
    name_rows(axis, [label for label, _ in groups])
    label_x(axis, "← worse · standard deviations of the paired difference · better →")
    title(axis, f"Paired differences with {first}")
    handles = [
        axis.plot([], [], marker(style), markersize=6, label=short(name), color=colour(style))[0]
        for name, style in ((name, place(name, order, systems)) for name in systems)
    ]
    legend(figure, handles)
    return figure
