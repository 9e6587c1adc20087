"""Which plots a report shows, and why others are absent."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from reports.page.content import Content, PageSystem, curves_of
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
    real = next((system.name for system in content.systems if system.real), None)
    rows = [
        ProfileRow(column.label, column.direction, {
            system.name: (cell.value, cell.interval) for system, cell in cells if cell.value is not None
        }) for _, column, cells in _columns(content)
    ]  # fmt: skip
    yield ("Comparison", "Profile", "", "profile", partial(profile, _names(content), rows, real=real))
    yield from _forest(content)
    yield from _learning(content)
    yield from _speed(content)
    yield from _curves(content)
    yield from _sample_sizes(content, extrapolate)
    for index, column, cells in _columns(content):
        if column.quantity is not None and column.quantity.aggregate != "set":
            spreads = [_spread(system, column, cell) for system, cell in cells]
            draw = partial(distribution, column.heading, column.unit, spreads)
            yield ("Distributions", column.label, "", f"distribution-{index}", draw)


def _names(content: Content) -> list[str]:
    return [system.name for system in content.systems]


def _columns(content: Content) -> Iterator[tuple[int, TableColumn, list[tuple[PageSystem, Cell]]]]:
    """Every column's number and its cells, each with its system."""
    for index, column in enumerate(content.table.columns):
        cells = [row.cells[index] for row in content.table.rows]
        yield index, column, list(zip(content.systems, cells, strict=True))


def _directed(content: Content) -> Iterator[tuple[int, TableColumn, list[tuple[PageSystem, Cell]]]]:
    """Columns with a better direction, and the cells that have a value."""
    for index, column, cells in _columns(content):
        if column.direction != "none":
            yield index, column, [(system, cell) for system, cell in cells if cell.value is not None]


def _spread(system: PageSystem, column: TableColumn, cell: Cell) -> Spread:
    assert column.quantity is not None and column.metric is not None
    scores = system.run.scores.get((column.metric, column.quantity.name), {})
    values = [score.value * column.scale for score in scores.values() if score.value is not None]
    return Spread(system.name, values, cell.value, cell.interval, len(scores) - len(values), system.real)


def _forest(content: Content) -> Iterator[Planned]:
    def draw() -> "Figure":
        comparison = _contrast(content)
        return forest(comparison.first, forest_rows(comparison), order=_names(content))

    caption = "Filled marks: p ≤ 0.05 after Holm's correction."
    yield ("Comparison", "Paired differences", caption, "forest", draw)


def _contrast(content: Content) -> Comparison:
    if len(content.systems) < 2:
        raise NothingToPlot("a comparison needs at least two systems")
    try:
        # Against the first system that somebody made: real data is a bound, not a baseline.
        ordered = sorted(content.systems, key=lambda system: system.real)
        return contrast([system.run.recorded for system in ordered], draws=_DRAWS)
    except ValueError as error:
        raise NothingToPlot(str(error)) from error


def _learning(content: Content) -> Iterator[Planned]:
    if sum(system.step is not None for system in content.systems) < 2:
        return
    for index, column, cells in _directed(content):
        checkpoints = [
            Checkpoint(system.step, cell.value, cell.interval) for system, cell in cells
            if system.step is not None and cell.value is not None
        ]  # fmt: skip
        real = next((cell.value for system, cell in cells if system.real), None)
        draw = partial(learning_curve, column.heading, column.direction, checkpoints, real=real)
        yield ("Training", column.label, "", f"learning-{index}", draw)


def _speed(content: Content) -> Iterator[Planned]:
    if not any(system.speed is not None for system in content.systems):
        return
    for index, column, cells in _directed(content):
        paced = [
            Paced(system.name, cell.value, system.speed, cell.interval) for system, cell in cells
            if cell.value is not None and system.speed is not None
        ]  # fmt: skip
        draw = partial(quality_speed, column.heading, column.direction, paced, order=_names(content))
        yield ("Quality and speed", column.label, "", f"speed-{index}", draw)


def _curves(content: Content) -> Iterator[Planned]:
    """A figure for every curve of every metric: curves of other protocols have their own scale."""
    stated = {
        (metric, curve): None for system in content.systems for metric, entry in system.descriptions.items()
        for curve in curves_of(entry)
    }  # fmt: skip
    drawn = []
    for metric, curve in stated:
        lines = {
            system.name: [
                each.values for clip in system.clips.values() for each in clip.curves
                if (each.metric, each.label, len(each.offsets)) == (metric, curve.label, len(curve.offsets))
            ] for system in content.systems
        }  # fmt: skip
        if any(lines.values()):
            drawn.append((metric, curve, lines))
    labels = [curve.label for _, curve, _ in drawn]
    for index, (metric, curve, lines) in enumerate(drawn):
        title = curve.label if labels.count(curve.label) == 1 else f"{curve.label} ({metric})"
        caption = f"By {metric}; the number is the best offset of the mean."
        draw = partial(sync_curves, f"{title} over offsets", sorted(curve.offsets), lines, lowest=curve.lowest)
        yield ("Sound against picture", title, caption, f"curve-{index}", draw)


def _sample_sizes(content: Content, extrapolate: bool) -> Iterator[Planned]:
    for index, column, _ in _columns(content):
        if column.quantity is None or column.quantity.aggregate != "set":
            continue
        found, reasons = _extrapolations(content, column) if extrapolate else ({}, [_LEFT_OUT])
        because = "; ".join(dict.fromkeys(reasons))
        caption = f"Without a line: {because}." if because else ""
        draw = partial(sample_size, column.label, found, order=_names(content)) if found else partial(_absent, because)
        yield ("Number of clips", column.label, caption, f"sample-size-{index}", draw)


def _absent(reason: str) -> "Figure":
    raise NothingToPlot(reason)


def _extrapolations(content: Content, column: TableColumn) -> tuple[dict[str, Any], list[str]]:
    """PageSystem -> its Fréchet distance at infinitely many clips; and why others have none."""
    found, reasons = {}, []
    for system in content.systems:
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
