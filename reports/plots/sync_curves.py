"""Curves over the offset between sound and picture, every clip's and their mean."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from reports.plots.style import FONT, LIGHT, NothingToPlot, colour, label_x, label_y, new_figure, place, short

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ACROSS = 4
_MOST_LINES = 60


def sync_curves(
    heading: str,
    offsets: Sequence[int],
    curves: Mapping[str, Sequence[Sequence[float]]],
    *,
    lowest: bool = True,
    order: Sequence[str] = (),
) -> "Figure":
    """A panel a system: thin lines for its clips, a thick one for their mean, a mark at the mean's best offset.

    Above 60 clips, bands hold the middle 50 % and 90 % of the clips instead of lines.

    offsets: frames at 25 fps. curves: system -> one curve a clip, as long as ``offsets``. lowest: the best point of a
    curve is its minimum (a distance). order: systems in the order of their colours. Systems without a curve are left
    out. Raises NothingToPlot where none is left.
    """
    found = {name: np.asarray(lines, dtype=np.float64) for name, lines in curves.items() if len(lines)}
    if not found:
        raise NothingToPlot("no clip has such a curve; the sync metrics leave them in the run's features")
    columns = min(_ACROSS, len(found))
    rows = -(-len(found) // columns)
    figure, axes = new_figure(2.4 * columns + 0.6, 1.8 * rows + 0.7, rows, columns, sharex=True, sharey=True)
    positions = list(curves)
    for axis, (name, lines) in zip(axes.flat, found.items(), strict=False):
        tint, mean = colour(place(name, order, positions)), lines.mean(axis=0)
        best = int(np.argmin(mean) if lowest else np.argmax(mean))
        axis.axvline(0, color=LIGHT.soft, linewidth=0.8)
        if len(lines) <= _MOST_LINES:
            axis.plot(offsets, lines.T, color=tint, linewidth=0.6, alpha=max(0.15, min(0.5, 8 / len(lines))))
        else:
            for ends in ((0.05, 0.95), (0.25, 0.75)):
                low, high = np.quantile(lines, ends, axis=0)
                axis.fill_between(offsets, low, high, color=tint, alpha=0.22, linewidth=0)
        axis.plot(offsets, mean, color=tint, linewidth=1.8)
        axis.plot([offsets[best]], [mean[best]], "o", color=LIGHT.ink, markersize=4.5)
        shift = f"{offsets[best]:+d}" if offsets[best] else "0"
        axis.set_title(f"{short(name, 20)}  {shift}", loc="left", fontsize=FONT, color=LIGHT.ink)
        axis.set_xticks([-15, -10, -5, 0, 5, 10, 15])
    for axis in axes.flat[len(found) :]:
        axis.set_visible(False)
    figure.suptitle(short(heading, 80), x=0.01, ha="left", fontsize=FONT + 1.5, color=LIGHT.ink, fontweight="bold")
    label_x(axes[-1, 0], "offset in frames")
    label_y(axes[0, 0], "distance" if lowest else "correlation")
    return figure
