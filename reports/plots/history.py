"""One quantity over a model's checkpoints, and what the gate said of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reports.plots.style import FONT, LIGHT, NothingToPlot, colour, legend, new_figure, short, title

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Word -> marker, colour (None: secondary text), filled. Without colour, form and filling tell them apart.
_MARKS: dict[str, tuple[str, int | None, bool]] = {
    "worse": ("v", 1, True), "better": ("^", 2, True), "equivalent": ("o", 0, True), "undecided": ("o", None, False),
    "not judged": ("x", None, True),
}  # fmt: skip
_MOST_NAMES = 12


@dataclass(frozen=True, slots=True)
class Dot:
    """One checkpoint.

    value, interval: of the quantity, with its 95 % interval. alike: comparable at sight with the reference. before:
    place of the last checkpoint that it compares with at sight. difference, difference_interval: paired, from the
    reference. margin: the gate's. verdicts: against the checkpoint before and the reference; None where there is no
    other one to ask about.
    """

    name: str
    value: float | None = None
    interval: tuple[float, float] | None = None
    alike: bool = True
    before: int | None = None
    difference: float | None = None
    difference_interval: tuple[float, float] | None = None
    margin: float | None = None
    verdicts: tuple[str | None, str | None] = (None, None)


def history(heading: str, direction: str, dots: Sequence[Dot], against: tuple[str, str], reference: str) -> "Figure":
    """Values with intervals; below them the paired difference from the reference in the gate's margin; the verdicts.

    Better is upwards. Values that do not compare at sight are hollow, and lines pass them by. against: what the two
    verdicts are called. Raises NothingToPlot without any value.
    """
    if all(dot.value is None for dot in dots):
        raise NothingToPlot("no checkpoint has a value")
    judged = any(any(dot.verdicts) for dot in dots)
    paired = any(dot.verdicts[1] and dot.difference is not None for dot in dots)
    heights = [1.5, *([1.3] if paired else []), *([0.45] if judged else [])]
    figure, axes = new_figure(
        5.6, sum(heights) + (1.1 if judged else 0.8), len(heights), sharex=True,
        gridspec_kw={"height_ratios": heights},
    )  # fmt: skip
    shown = list(axes[:, 0])
    for axis in shown:
        axis.tick_params(axis="x", length=0)
    title(shown[0], heading)
    _values(shown[0], dots)
    if paired:
        _differences(shown[1], dots, reference)
    for axis in shown[: 1 + paired]:
        axis.grid(True, axis="y", color=LIGHT.line, linewidth=0.6)
        axis.grid(False, axis="x")
        axis.margins(y=0.12)
        if direction == "lower":
            axis.invert_yaxis()
    if judged:
        _verdicts(shown[-1], dots, against)
        handles = [_mark(shown[-1], [], [], word, label=word) for word in _MARKS]
        legend(figure, handles)
    _names(shown[-1], [dot.name for dot in dots])
    return figure


def _values(axis: Any, dots: Sequence[Dot]) -> None:
    tint = colour(0)
    for place, dot in enumerate(dots):
        if dot.value is None:
            continue
        if dot.interval:
            axis.plot([place] * 2, dot.interval, color=tint, linewidth=1.2, zorder=2)
        axis.plot([place], [dot.value], "o", color=tint, markersize=_size(dots), zorder=3,
                  markerfacecolor=tint if dot.alike else "none")  # fmt: skip
    _lines(axis, dots, [dot.value for dot in dots])


def _differences(axis: Any, dots: Sequence[Dot], reference: str) -> None:
    tint = colour(0)
    axis.set_title(f"difference from {short(reference)}, in the gate's margin", loc="left", fontsize=FONT,
                   color=LIGHT.soft)  # fmt: skip
    for place, dot in enumerate(dots):
        if dot.margin:
            axis.fill_between([place - 0.5, place + 0.5], -dot.margin, dot.margin, color=LIGHT.soft, alpha=0.18,
                              linewidth=0, zorder=0)  # fmt: skip
    axis.axhline(0, color=LIGHT.soft, linewidth=1, zorder=1)
    for place, dot in enumerate(dots):
        if dot.difference is None:
            continue
        if dot.difference_interval:
            axis.plot([place] * 2, dot.difference_interval, color=tint, linewidth=1.2, zorder=2)
        axis.plot([place], [dot.difference], "o", color=tint, markersize=_size(dots), zorder=3)
    _lines(axis, dots, [dot.difference for dot in dots])


def _lines(axis: Any, dots: Sequence[Dot], values: Sequence[float | None]) -> None:
    """To each checkpoint from the last one that it compares with."""
    for place, dot in enumerate(dots):
        if dot.before is not None and None not in (values[dot.before], values[place]):
            axis.plot([dot.before, place], [values[dot.before], values[place]], color=colour(0), linewidth=0.9,
                      alpha=0.55, zorder=1)  # fmt: skip


def _verdicts(axis: Any, dots: Sequence[Dot], against: tuple[str, str]) -> None:
    for row in range(2):
        for word in _MARKS:
            places = [place for place, dot in enumerate(dots) if dot.verdicts[row] == word]
            if places:
                _mark(axis, places, [row] * len(places), word, size=_size(dots) + 0.5)
    axis.set_yticks([0, 1], [short(text, 16) for text in against])
    axis.set_ylim(1.6, -0.6)
    axis.grid(False)


def _mark(axis: Any, x: Sequence[float], y: Sequence[float], word: str, size: float = 6.0, label: str = "") -> Any:
    form, hue, filled = _MARKS[word]
    tint = LIGHT.soft if hue is None else colour(hue)
    return axis.plot(
        x, y, form, color=tint, markersize=size, markerfacecolor=tint if filled else "none", markeredgewidth=1.2,
        label=label, linestyle="none",
    )[0]  # fmt: skip


def _size(dots: Sequence[Dot]) -> float:
    return 5.0 if len(dots) <= 30 else 3.5


def _names(axis: Any, names: Sequence[str]) -> None:
    """Below the last axis; of many checkpoints some, the first and the last among them."""
    last = len(names) - 1
    step = -(-len(names) // _MOST_NAMES)
    places = [place for place in range(0, len(names), step) if place == 0 or last - place >= step] if step > 1 else []
    places = sorted({*places, last}) if places else list(range(len(names)))
    texts = [short(names[place], 18) for place in places]
    slanted = max(map(len, texts)) * len(texts) > 60
    axis.set_xticks(places, texts, rotation=35 if slanted else 0, ha="right" if slanted else "center",
                    rotation_mode="anchor")  # fmt: skip
    axis.tick_params(axis="x", length=3)
    axis.set_xlim(-0.6, last + 0.6)
