"""A distance between sets against the number of clips it was computed from."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from reports.plots.style import (
    FONT,
    LIGHT,
    NothingToPlot,
    colour,
    label_x,
    legend,
    marker,
    new_figure,
    place,
    short,
    title,
)
from t2av_bench.statistics.resampling import Extrapolation

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def sample_size(heading: str, found: Mapping[str, Extrapolation], *, order: Sequence[str] = ()) -> "Figure":
    """Mean distance of random subsets over 1/n, the fitted line, and its intercept with ± 1.96 standard errors.

    order: systems in the order of their colours. Raises NothingToPlot without any system.
    """
    if not found:
        raise NothingToPlot("no system's distance could be extrapolated")
    figure, axes = new_figure(5.6, 3.0)
    axis = axes[0, 0]
    sizes: set[int] = set()
    handles = []
    for name, line in found.items():
        position = place(name, order, list(found))
        tint, inverse = colour(position), 1 / np.array(line.sizes)
        sizes |= {line.sizes[0], line.sizes[len(line.sizes) // 2], line.sizes[-1]}
        points = axis.plot(inverse, line.means, marker(position), color=tint, markersize=5, label=short(name))
        handles += points
        axis.plot([0, inverse.max()], [line.value, line.value + line.slope * inverse.max()], color=tint, linewidth=1)
        error = 1.96 * line.standard_error
        axis.plot([0, 0], [line.value - error, line.value + error], color=tint, linewidth=3, alpha=0.5)
        axis.plot([0], [line.value], marker(position), color=tint, markersize=6, markerfacecolor="none")
    ticks = sorted(sizes, reverse=True)
    axis.set_xticks([0, *(1 / size for size in ticks)], ["∞", *map(str, ticks)])
    axis.tick_params(axis="y", labelcolor=LIGHT.ink, labelsize=FONT)
    axis.grid(True, axis="y", color=LIGHT.line, linewidth=0.6)
    title(axis, f"{heading} against the number of clips")
    label_x(axis, "clips, on a scale of 1/n; open marks: extrapolated")
    legend(figure, handles)
    return figure
