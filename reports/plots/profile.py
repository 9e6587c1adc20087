"""Several quantities at a glance: where each system stands between the worst and the best of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from reports.plots.style import (
    LIGHT,
    REAL_MARKER,
    NothingToPlot,
    colour,
    label_x,
    legend,
    marked,
    marker,
    name_rows,
    new_figure,
    place,
    short,
    title,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Intervals that reach farther than this beyond the best or the worst system are cut: the dots are what is compared.
_REACH = 0.35

Point = tuple[float, tuple[float, float] | None]


@dataclass(frozen=True, slots=True)
class ProfileRow:
    """One quantity. points: system -> (set value, interval or None); systems without a value are left out."""

    label: str
    direction: Literal["higher", "lower", "none"]
    points: Mapping[str, Point]


def profile(
    systems: Sequence[str], rows: Sequence[ProfileRow], *, real: str | None = None, order: Sequence[str] = ()
) -> "Figure":  # fmt: skip
    """A dot for each system and quantity, from the worst of these systems (0) to the best (1).

    Positions say nothing about how large a difference is, only how it compares with the others'. Quantities without a
    better direction, and those in which all systems agree, have no such scale. order: systems in the order of their
    colours. Raises NothingToPlot where none is left.
    """
    if len(systems) < 2:
        raise NothingToPlot("a profile needs at least two systems")
    drawn = [row for row in rows if row.direction != "none" and len({value for value, _ in row.points.values()}) > 1]
    if not drawn:
        raise NothingToPlot("no quantity has different values in two systems")
    figure, axes = new_figure(7.6, 1.1 + 0.36 * len(drawn))
    axis = axes[0, 0]
    step = 0.5 / len(systems)
    for index, row in enumerate(drawn):
        axis.axhline(index, color=LIGHT.line, linewidth=0.6, zorder=0)
        for position, name in enumerate(systems):
            if name not in row.points:
                continue
            value, interval = row.points[name]
            height = index + (position - (len(systems) - 1) / 2) * step
            style = place(name, order, systems)
            tint = LIGHT.ink if name == real else colour(style)
            if interval:
                ends = sorted(min(1 + _REACH, max(-_REACH, scaled(row, end))) for end in interval)
                axis.plot(ends, [height, height], color=tint, linewidth=1.1, alpha=0.7, zorder=2)
            axis.plot(
                [scaled(row, value)], [height], REAL_MARKER if name == real else marker(style), color=tint,
                markersize=8 if name == real else 5.5, markeredgewidth=0, zorder=3,
            )  # fmt: skip
    arrows = {"higher": " ↑", "lower": " ↓"}
    name_rows(axis, [row.label + arrows[row.direction] for row in drawn])
    axis.set_xlim(-_REACH - 0.03, 1 + _REACH + 0.03)
    axis.set_xticks([0, 0.5, 1], ["worst of these", "", "best of these"])
    with_intervals = any(interval for row in drawn for _, interval in row.points.values())
    label_x(axis, "place between the worst and the best system" + ", with 95 % intervals" * with_intervals)
    title(axis, "Profile")
    handles = [
        axis.plot([], [], REAL_MARKER if name == real else marker(style), markeredgewidth=0, markersize=6,
                  color=LIGHT.ink if name == real else colour(style),
                  label=short(marked(name, name == real)))[0]
        for name, style in ((name, place(name, order, systems)) for name in systems)
    ]  # fmt: skip
    legend(figure, handles)
    return figure


def scaled(row: ProfileRow, value: float) -> float:
    """0 for the worst value of the row, 1 for the best."""
    values = [value for value, _ in row.points.values()]
    worst, best = (min(values), max(values)) if row.direction == "higher" else (max(values), min(values))
    return (value - worst) / (best - worst)
