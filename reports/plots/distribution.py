"""How one quantity is distributed over the clips of each system."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from reports.plots.style import LIGHT, NothingToPlot, colour, label_x, marked, name_rows, new_figure, place, title

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# More clips than this become an outline: single dots would hide one another.
_MOST_DOTS = 60
_GOLDEN = 0.6180339887498949


@dataclass(frozen=True, slots=True)
class Spread:
    """One system's clips. value: the set value; interval: its 95 % interval; missing: clips without a score.

    real: the system is real data, the row that others are measured against.
    """

    name: str
    values: Sequence[float]
    value: float | None = None
    interval: tuple[float, float] | None = None
    missing: int = 0
    real: bool = False


def distribution(heading: str, unit: str, spreads: Sequence[Spread], *, order: Sequence[str] = ()) -> "Figure":
    """The clips, their middle half, and the set value with its interval, a row a system.

    Clips are dots; above 60 an outline, or for whole numbers discs as large as their share of the clips. The real
    row's set value runs through the others as a dashed line. order: systems in the order of their colours. Raises
    NothingToPlot without any value.
    """
    if not any(len(spread.values) for spread in spreads):
        raise NothingToPlot("no clip has a score")
    figure, axes = new_figure(5.6, 0.8 + 0.34 * len(spreads))
    axis = axes[0, 0]
    for row, spread in enumerate(spreads):
        _row(axis, row, spread, colour(place(spread.name, order, [each.name for each in spreads])))
        if spread.real and spread.value is not None:
            axis.axvline(spread.value, color=LIGHT.soft, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    name_rows(axis, [marked(spread.name, spread.real) for spread in spreads])
    title(axis, heading)
    if unit:
        label_x(axis, unit)
    axis.margins(x=0.04)
    return figure


def _row(axis: Any, row: int, spread: Spread, tint: str) -> None:
    values = np.sort(np.asarray(spread.values, dtype=np.float64))
    if not len(values):
        axis.annotate(
            f"no score on {spread.missing} clips", (0.01, row), xycoords=("axes fraction", "data"), va="center",
            fontsize=8, color=LIGHT.soft,
        )  # fmt: skip
        return
    many = len(values) > _MOST_DOTS
    outline = _outline(values) if many else None
    if many and bool((values == np.round(values)).all()):
        numbers, counts = np.unique(values, return_counts=True)
        axis.scatter(numbers, [row] * len(numbers), s=160 * counts / len(values), color=tint, linewidths=0, zorder=2)
        return
    if outline is None:
        # The golden ratio spreads neighbours apart without drawing lots.
        lift = ((np.arange(len(values)) * _GOLDEN) % 1 - 0.5) * 0.5
        axis.plot(values, row + lift, ".", color=tint, markersize=5, alpha=0.6, markeredgewidth=0, zorder=2)
    else:
        at, height = outline
        axis.fill_between(at, row - height, row + height, color=tint, alpha=0.35, linewidth=0, zorder=2)
    if len(values) >= 5:
        low, high = np.quantile(values, [0.25, 0.75])
        axis.plot([low, high], [row, row], color=tint, linewidth=4.5, alpha=0.55, solid_capstyle="butt", zorder=3)
    if spread.value is not None:
        if spread.interval:
            axis.plot(spread.interval, [row, row], color=LIGHT.ink, linewidth=1.3, zorder=4)
        axis.plot([spread.value], [row], "|", color=LIGHT.ink, markersize=11, markeredgewidth=1.8, zorder=5)


def _outline(values: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """(positions, half heights) of a density estimate within the values' range; None where they hardly vary."""
    from scipy.stats import gaussian_kde

    if np.ptp(values) <= 1e-9 * max(1.0, float(np.abs(values).max())):
        return None
    at = np.linspace(values[0], values[-1], 96)
    density = gaussian_kde(values)(at)
    return at, 0.36 * density / density.max()
