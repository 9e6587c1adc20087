"""Which plots a report shows, and why others are absent."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from reports.page.content import Content, PageSystem, Part, curves_of
from reports.plots import (
    DARK,
    LIGHT,
    Checkpoint,
    NothingToPlot,
    Paced,
    ProfileRow,
    Spread,
    darkened,
    distribution,
    forest,
    learning_curve,
    profile,
    quality_speed,
    sample_size,
    svg,
    sync_curves,
)
from reports.tables.model import Cell, TableColumn
from t2av_bench.comparison.contrast import Comparison, contrast
from t2av_bench.comparison.contrast import forest as forest_rows
from t2av_bench.errors import Unscorable
from t2av_bench.metrics.distances import frechet_distance
from t2av_bench.statistics.resampling import extrapolate as extrapolated
from t2av_bench.statistics.samples import LEAST_CLIPS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Draw = Callable[[], "Figure"]
_LEFT_OUT = "left out, for it takes a while: build the report with --extrapolate"
# Enough for a drawn interval; tables and the gate draw more.
_DRAWS = 2000


@dataclass(frozen=True, slots=True)
class Shown:
    """One figure of the page: SVG files by name (light, then dark), or the reason why there is none."""

    group: str
    title: str
    caption: str
    files: dict[str, str] = field(default_factory=dict)
    reason: str | None = None


Planned = tuple[str, str, str, str, Draw]  # group, title, caption, name of the file, how to draw it


def figures(content: Content, *, extrapolate: bool = False) -> Iterator[Shown]:
    """All figures in page order."""
    yield from rendered(_planned(content, extrapolate))


def rendered(planned: Iterable[Planned]) -> Iterator[Shown]:
    """Each figure for light and dark backgrounds, or why there is none."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        missing = "the package 'matplotlib' is missing: pip install 't2av-bench[page]'"
        yield Shown("Plots", "No plots", "", reason=missing)
        return
    for group, title, caption, name, draw in planned:
        try:
            made = svg(draw())
        except NothingToPlot as reason:
            yield Shown(group, title, caption, reason=str(reason))
        else:
            files = {f"{name}-{LIGHT.name}.svg": made, f"{name}-{DARK.name}.svg": darkened(made)}
            yield Shown(group, title, caption, files)


def _planned(content: Content, extrapolate: bool) -> Iterator[Planned]:
    for number, part in enumerate(content.parts):
        for group, title, caption, name, draw in _planned_of(_View(content, part), extrapolate):
            of = f" · {part.title}" if part.title else ""
            yield group + of, title, caption, f"{name}-{number}" if number else name, draw


class _View:
    """A part of the content, as plots need it."""

    def __init__(self, content: Content, part: Part) -> None:
        self.systems = [content.systems[place] for place in part.systems]
        self.anchors = [content.systems[place].name for place in part.anchors]
        self.real = next((system.name for system in self.systems if system.real), None)
        # Colours and markers are those of the page.
        self.order = [system.name for system in content.systems]
        self.columns: list[tuple[int, TableColumn, list[tuple[PageSystem, Cell]]]] = []
        for index in part.columns:
            cells = [content.table.rows[place].cells[index] for place in part.systems]
            self.columns.append((index, content.table.columns[index], list(zip(self.systems, cells, strict=True))))

    @property
    def names(self) -> list[str]:
        return [system.name for system in self.systems]

    @property
    def directed(self) -> Iterator[tuple[int, TableColumn, list[tuple[PageSystem, Cell]]]]:
        """Columns with a better direction, and the cells that have a value."""
        for index, column, cells in self.columns:
            if column.direction != "none":
                yield index, column, [(system, cell) for system, cell in cells if cell.value is not None]


def _planned_of(view: _View, extrapolate: bool) -> Iterator[Planned]:
    rows = [
        ProfileRow(column.label, column.direction, {
            system.name: (cell.value, cell.interval) for system, cell in cells if cell.value is not None
        }) for _, column, cells in view.columns
    ]  # fmt: skip
    draw = partial(profile, view.names, rows, real=view.real, order=view.order)
    yield ("Comparison", "Profile", "", "profile", draw)
    yield from _forest(view)
    yield from _learning(view)
    yield from _speed(view)
    yield from _curves(view)
    yield from _sample_sizes(view, extrapolate)
    for index, column, cells in view.columns:
        if column.quantity is not None and column.quantity.aggregate != "set":
            spreads = [_spread(system, column, cell) for system, cell in cells]
            draw = partial(distribution, column.heading, column.unit, spreads, order=view.order)
            yield ("Distributions", column.label, "", f"distribution-{index}", draw)


def _spread(system: PageSystem, column: TableColumn, cell: Cell) -> Spread:
    assert column.quantity is not None and column.metric is not None
    scores = system.run.scores.get((column.metric, column.quantity.name), {})
    values = [score.value * column.scale for score in scores.values() if score.value is not None]
    return Spread(system.name, values, cell.value, cell.interval, len(scores) - len(values), system.real)


def _forest(view: _View) -> Iterator[Planned]:
    def draw() -> "Figure":
        comparison = _contrast(view)
        return forest(comparison.first, forest_rows(comparison), order=view.order)

    caption = "Filled marks: p ≤ 0.05 after Holm's correction."
    yield ("Comparison", "Paired differences", caption, "forest", draw)


def _contrast(view: _View) -> Comparison:
    if len(view.systems) < 2:
        raise NothingToPlot("a comparison needs at least two systems")
    if max(len(system.clips) for system in view.systems) < LEAST_CLIPS:
        raise NothingToPlot(f"no difference has an interval; that needs at least {LEAST_CLIPS} clips")
    try:
        # Against the first system that somebody made: real data is a bound, not a baseline.
        ordered = sorted(view.systems, key=lambda system: system.name in view.anchors)
        return contrast([replace(system.run.recorded, name=system.name) for system in ordered], draws=_DRAWS)
    except ValueError as error:
        raise NothingToPlot(str(error)) from error


def _learning(view: _View) -> Iterator[Planned]:
    if sum(system.step is not None for system in view.systems) < 2:
        return
    for index, column, cells in view.directed:
        checkpoints = [
            Checkpoint(system.step, cell.value, cell.interval) for system, cell in cells
            if system.step is not None and cell.value is not None
        ]  # fmt: skip
        real = next((cell.value for system, cell in cells if system.real), None)
        draw = partial(learning_curve, column.heading, column.direction, checkpoints, real=real)
        yield ("Training", column.label, "", f"learning-{index}", draw)


def _speed(view: _View) -> Iterator[Planned]:
    if not any(system.speed is not None for system in view.systems):
        return
    for index, column, cells in view.directed:
        paced = [
            Paced(system.name, cell.value, system.speed, cell.interval) for system, cell in cells
            if cell.value is not None and system.speed is not None and system.name not in view.anchors
        ]  # fmt: skip
        draw = partial(quality_speed, column.heading, column.direction, paced, order=view.order)
        yield ("Quality and speed", column.label, "", f"speed-{index}", draw)


def _curves(view: _View) -> Iterator[Planned]:
    """A figure for every curve of every metric: curves of other protocols have their own scale."""
    stated = {
        (metric, curve): None for system in view.systems for metric, entry in system.descriptions.items()
        for curve in curves_of(entry)
    }  # fmt: skip
    drawn = []
    for metric, curve in stated:
        lines = {
            system.name: [
                each.values for clip in system.clips.values() for each in clip.curves
                if (each.metric, each.label, len(each.offsets)) == (metric, curve.label, len(curve.offsets))
            ] for system in view.systems
        }  # fmt: skip
        if any(lines.values()):
            drawn.append((metric, curve, lines))
    labels = [curve.label for _, curve, _ in drawn]
    for index, (metric, curve, lines) in enumerate(drawn):
        title = curve.label if labels.count(curve.label) == 1 else f"{curve.label} ({metric})"
        caption = f"By {metric}; the number is the best offset of the mean."
        draw = partial(
            sync_curves, f"{title} over offsets", sorted(curve.offsets), lines, lowest=curve.lowest, order=view.order
        )  # fmt: skip
        yield ("Sound against picture", title, caption, f"curve-{index}", draw)


def _sample_sizes(view: _View, extrapolate: bool) -> Iterator[Planned]:
    distances = [(index, column) for index, column, _ in view.columns
                 if column.quantity is not None and column.quantity.aggregate == "set"]  # fmt: skip
    if distances and not extrapolate:
        labels = ", ".join(column.label for _, column in distances)
        yield ("Number of clips", labels, "", "sample-size", partial(_absent, _LEFT_OUT))
        return
    for index, column in distances:
        found, reasons = _extrapolations(view, column)
        because = "; ".join(dict.fromkeys(reasons))
        caption = f"Without a line: {because}." if because else ""
        draw = partial(sample_size, column.label, found, order=view.order) if found else partial(_absent, because)
        yield ("Number of clips", column.label, caption, f"sample-size-{index}", draw)


def _absent(reason: str) -> "Figure":
    raise NothingToPlot(reason)


def _extrapolations(view: _View, column: TableColumn) -> tuple[dict[str, Any], list[str]]:
    """PageSystem -> its Fréchet distance at infinitely many clips; and why others have none."""
    found, reasons = {}, []
    for system in view.systems:
        entry = system.descriptions.get(str(column.metric))
        if entry is None:
            continue
        parameters = entry["protocol"]["parameters"]
        if "covariance_ddof" not in parameters:
            reasons.append(f"{column.label} is no Fréchet distance; it does not depend on the number of clips")
            continue
        clips: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        for clip, inputs in system.run.inputs.get(str(column.metric), {}).items():
            arrays = system.run.features.get(inputs, entry["fingerprint"], "measurement")
            if arrays is not None and set(arrays) == {"generated", "reference"}:
                clips[clip] = arrays["generated"], arrays["reference"]

        def distance(x: np.ndarray, y: np.ndarray, ddof: int = int(parameters["covariance_ddof"])) -> float:
            return frechet_distance(x, y, ddof=ddof)

        try:
            found[system.name] = extrapolated(
                list(clips), list(clips.values()), distance, str(column.quantity and column.quantity.name),
                entry["fingerprint"],
            )  # fmt: skip
        except Unscorable as error:
            reasons.append(f"{system.name}: {error}")
    return found, reasons
