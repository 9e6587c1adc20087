"""Quality against speed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reports.plots.style import (
    LIGHT,
    NothingToPlot,
    colour,
    label_x,
    label_y,
    legend,
    marker,
    new_figure,
    place,
    short,
    title,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class Paced:
    """One system: its set value with the interval, and seconds spent per second generated (below 1: faster than
    real time)."""

    name: str
    value: float
    real_time_factor: float
    interval: tuple[float, float] | None = None


def quality_speed(
    heading: str,
    direction: str,
    systems: Sequence[Paced],
    *,
    order: Sequence[str] = (),
) -> "Figure":
    """Set value over real-time factor; a line joins the systems that no other beats in both.

    order: systems in the order of their colours. Raises NothingToPlot with fewer than two systems.
    """
    if len(systems) < 2:
        raise NothingToPlot("fewer than two systems have both this score and a recorded generation speed")
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    figure, axes = new_figure(5.6, 3.0)
    axis = axes[0, 0]
    front = pareto_front(direction, systems)
    axis.plot(
        [each.real_time_factor for each in front], [each.value for each in front], color=LIGHT.soft, linewidth=1,
        linestyle=(0, (4, 3)), zorder=1,
    )  # fmt: skip
    handles: list[Any] = []
    for each in systems:
        style = place(each.name, order, [system.name for system in systems])
        tint = colour(style)
        if each.interval:
            axis.plot([each.real_time_factor] * 2, each.interval, color=tint, linewidth=1.2, zorder=2)
        handles += axis.plot(
            [each.real_time_factor], [each.value], marker(style), color=tint, markersize=7, zorder=3,
            label=short(each.name),
        )  # fmt: skip
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.grid(True, axis="y", color=LIGHT.line, linewidth=0.6)
    axis.axvline(1, color=LIGHT.soft, linewidth=0.8)
    axis.margins(0.12)
    if direction == "lower":
        axis.invert_yaxis()
    title(axis, f"{heading} against speed")
    label_x(axis, "real-time factor: seconds spent per second generated")
    label_y(axis, "better upwards")
    legend(figure, handles)  # names beside the points would lie on one another
    return figure


def pareto_front(direction: str, systems: Sequence[Paced]) -> list[Paced]:
    """Systems that no other one beats in both speed and quality, fastest first."""
    sign = 1 if direction == "higher" else -1
    front: list[Paced] = []
    for each in sorted(systems, key=lambda system: (system.real_time_factor, -sign * system.value)):
        if not front or sign * each.value > sign * front[-1].value:
            front.append(each)
    return front
