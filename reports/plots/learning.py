"""A score over the training steps of one model's checkpoints."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reports.plots.style import LIGHT, NothingToPlot, colour, label_x, label_y, marker, new_figure, title

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One checkpoint: its training step, its set value and the interval of it."""

    step: int
    value: float
    interval: tuple[float, float] | None = None


def learning_curve(
    heading: str,
    direction: str,
    checkpoints: Sequence[Checkpoint],
    *,
    real: float | None = None,
) -> "Figure":
    """Set value over training steps, better upwards; ``real``: the value of real clips, as a level line.

    Raises NothingToPlot with fewer than two different steps.
    """
    if len({checkpoint.step for checkpoint in checkpoints}) < 2:
        raise NothingToPlot("fewer than two checkpoints have this score and a training step (evaluate --step)")
    from matplotlib.ticker import MaxNLocator

    figure, axes = new_figure(5.6, 3.0)
    axis = axes[0, 0]
    ordered = sorted(checkpoints, key=lambda checkpoint: checkpoint.step)
    tint = colour(0)
    axis.plot(
        [each.step for each in ordered], [each.value for each in ordered], marker(0), color=tint, markersize=6,
        linestyle="-", linewidth=1.4, zorder=3,
    )  # fmt: skip
    for each in ordered:
        if each.interval:
            axis.plot([each.step] * 2, each.interval, color=tint, linewidth=1.2, zorder=2)
    if real is not None:
        axis.axhline(real, color=LIGHT.soft, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        axis.annotate("real", (0, real), xycoords=("axes fraction", "data"), xytext=(3, 3),
                      textcoords="offset points", fontsize=8, color=LIGHT.soft)  # fmt: skip
    axis.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axis.grid(True, axis="y", color=LIGHT.line, linewidth=0.6)
    axis.margins(0.08, 0.15)
    if direction == "lower":
        axis.invert_yaxis()
    title(axis, f"{heading} over training")
    label_x(axis, "training step")
    label_y(axis, "better upwards")
    return figure
