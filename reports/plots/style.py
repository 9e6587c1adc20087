"""How all plots look, and how they become SVG."""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class NothingToPlot(ValueError):
    """The data for a plot is absent; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours for one kind of background. The figure itself is transparent.

    ink, soft, line: text, secondary text, grid. colours: of systems, in order.
    """

    name: str
    ink: str
    soft: str
    line: str
    colours: tuple[str, ...]


# Okabe & Ito's colours; yellow cannot be seen on white, nor black on black.
LIGHT = Theme(
    "light", "#1b1d20", "#5a5f66", "#d6d6cf",
    ("#0072B2", "#D55E00", "#009E73", "#AA4499", "#B87F00", "#3B9BD0", "#555555"),
)  # fmt: skip
DARK = Theme(
    "dark", "#e8e8e4", "#a3a9b1", "#3a4048",
    ("#56B4E9", "#FF8A4C", "#2CC79A", "#E79AC6", "#F0C645", "#9DB8FF", "#C9C9C9"),
)  # fmt: skip
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
REAL_MARKER = "*"
FONT = 9.0
_LINE = 1.6 * FONT  # of a legend
_BESIDE_NAME = 4.5 * FONT  # its marker, and the space to the next column


def colour(index: int) -> str:
    """The colour of system ``index``."""
    return LIGHT.colours[index % len(LIGHT.colours)]


def marker(index: int) -> str:
    """The marker of system ``index``; colour and marker together repeat after 7 · 7 systems."""
    return MARKERS[(index + index // len(MARKERS)) % len(MARKERS)]


def place(name: str, order: Sequence[str], drawn: Sequence[str]) -> int:
    """A system's index for colour and marker: in the page's order where there is one, else among those drawn."""
    return order.index(name) if name in order else len(order) + list(drawn).index(name)


def short(name: str, most: int = 26) -> str:
    """A name that leaves room for the data. ``$`` would begin mathematics."""
    cut = name if len(name) <= most else f"{name[: most - 1]}…"
    return cut.replace("$", r"\$")


def marked(name: str, real: bool) -> str:
    """The name, saying of real data that it is that."""
    return f"{name} (real)" if real and not says_real(name) else name


def says_real(name: str) -> bool:
    """Whether a system's name says by itself that its clips are real ones."""
    return "real" in re.findall(r"\w+", name.lower())


def new_figure(width: float, height: float, rows: int = 1, columns: int = 1, **shared: Any) -> Any:
    """(figure, axes (rows, columns)): a transparent figure of so many inches, its axes styled."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", facecolor="none")
    FigureCanvasSVG(figure)
    axes = figure.subplots(rows, columns, squeeze=False, **shared)
    for axis in axes.flat:
        axis.set_facecolor("none")
        for side, spine in axis.spines.items():
            spine.set_visible(side == "bottom")
            spine.set_color(LIGHT.soft)
        axis.tick_params(colors=LIGHT.soft, labelcolor=LIGHT.ink, labelsize=FONT, length=3)
        axis.tick_params(axis="y", length=0)
        axis.grid(True, axis="x", color=LIGHT.line, linewidth=0.6)
        axis.set_axisbelow(True)
    return figure, axes


def title(axis: Any, text: str) -> None:
    """A title at the left, as on the page."""
    axis.set_title(short(text, 80), loc="left", fontsize=FONT + 1.5, color=LIGHT.ink, fontweight="bold")


def label_x(axis: Any, text: str) -> None:
    axis.set_xlabel(text, fontsize=FONT, color=LIGHT.soft)


def label_y(axis: Any, text: str) -> None:
    axis.set_ylabel(text, fontsize=FONT, color=LIGHT.soft)


def name_rows(axis: Any, names: Sequence[str]) -> None:
    """Rows 0 … n-1 from top to bottom, with their names."""
    axis.set_yticks(range(len(names)), [short(name) for name in names])
    axis.tick_params(axis="y", labelcolor=LIGHT.ink)
    axis.set_ylim(len(names) - 0.4, -0.6)


def legend(figure: "Figure", handles: Sequence[Any]) -> None:
    """The systems' names below the axes, in as many columns as have room."""
    widest = max((text_width(handle.get_label()) for handle in handles), default=0.0)
    columns = max(1, int(72 * figure.get_figwidth() / (widest + _BESIDE_NAME)))
    drawn = figure.legend(
        handles=list(handles), loc="outside lower left", ncols=columns, frameon=False, fontsize=FONT, handletextpad=0.3
    )
    # The axes keep their height whatever stands below them.
    figure.set_figheight(figure.get_figheight() + _LINE * -(-len(handles) // columns) / 72)
    for text in drawn.get_texts():
        text.set_color(LIGHT.ink)


@cache
def text_width(text: str) -> float:
    """Points that a label takes."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    return float(TextPath((0, 0), text, size=FONT, prop=FontProperties()).get_extents().width) if text.strip() else 0.0


def svg(figure: "Figure", *, background: str | None = None) -> str:
    """The figure as SVG with real text, without date or version: equal data gives equal bytes.

    background: a colour, for readers that show it on one that is not known; transparent without.
    """
    import matplotlib

    target = io.StringIO()
    # The SVG writer reads these two from the global settings alone; they are put back at once.
    with matplotlib.rc_context({"svg.hashsalt": "t2av-bench", "svg.fonttype": "none"}):
        figure.savefig(
            target, format="svg", transparent=background is None, facecolor=background or "none",
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
        )  # fmt: skip
    return "\n".join(line.rstrip() for line in target.getvalue().splitlines()) + "\n"


_TAG = re.compile(r"<[a-zA-Z][^<>]*>")
_COLOUR = re.compile(r"#[0-9a-f]{6}\b")


def darkened(drawn: str) -> str:
    """An SVG of ``svg`` in the colours for dark backgrounds: drawing it again takes a hundred times longer.

    Colours stand in the elements' attributes; a name that looks like one is text between them, and stays.
    """
    pairs = zip(
        (LIGHT.ink, LIGHT.soft, LIGHT.line, *LIGHT.colours), (DARK.ink, DARK.soft, DARK.line, *DARK.colours),
        strict=True,
    )  # fmt: skip
    colours = {one.lower(): other.lower() for one, other in pairs}
    return _TAG.sub(lambda tag: _COLOUR.sub(lambda hue: colours.get(hue[0], hue[0]), tag[0]), drawn)
