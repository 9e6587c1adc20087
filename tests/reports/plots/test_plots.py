"""Plots: what they draw is in their SVG, they say why they cannot, and they leave matplotlib as it was."""

import re
from itertools import product
from xml.etree import ElementTree

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="plots need matplotlib: pip install 't2av-bench[page]'")

from reports import plots
from reports.plots import DARK, LIGHT, NothingToPlot, Paced, ProfileRow, Spread
from reports.plots.profile import scaled
from t2av_bench.comparison.contrast import ForestRow
from t2av_bench.statistics.resampling import Extrapolation

SPREADS = [
    Spread("real", list(np.linspace(5, 8, 30)), 6.5, (6.2, 6.8), 0, True),
    Spread("a $x^2$ & <b>", list(np.random.default_rng(0).normal(4, 1, 200)), 4.0, (3.8, 4.2), 3),
    Spread("whole", [1.0, 2.0, 2.0] * 40, 1.7),
    Spread("constant", [3.5] * 100, 3.5),
    Spread("none", [], None, None, 12),
]
ROWS = [
    ProfileRow("Sync-C", "higher", {"one": (7.0, (6.5, 7.5)), "two": (5.0, None), "three": (6.0, (0.0, 90.0))}),
    ProfileRow("WER", "lower", {"one": (0.1, None), "two": (0.3, None)}),
    ProfileRow("Offset", "none", {"one": (0.0, None), "two": (3.0, None)}),
]
FOREST = [
    ForestRow("two", "sync_c", "Sync-C", "", 40, -0.3, -0.5, -0.1, -0.6, -1.0, -0.2, 0.001),
    ForestRow("three", "sync_c", "Sync-C", "", 40, 0.1, -0.1, 0.3, 0.2, -0.2, 0.6, 0.4),
    ForestRow("three", "wer", "WER", "", 40, 0.0, 0.0, 0.0, None, None, None, 1.0),
]
PACED = [Paced("fast", 3.0, 0.2, (2.8, 3.2)), Paced("slow", 5.0, 4.0), Paced("worse", 2.9, 4.5)]
LINE = Extrapolation(2.0, 0.1, 50.0, (50, 100, 200), (3.0, 2.5, 2.25))
CURVES = {"one": [np.cos(np.arange(31) / 5)] * 3, "many": [np.cos(np.arange(31) / 5)] * 80, "empty": []}
LEARNING = [plots.Checkpoint(10000, 0.2, (0.15, 0.25)), plots.Checkpoint(0, 0.9), plots.Checkpoint(5000, 0.4)]
DOTS = [
    plots.Dot("step 1", 6.0, (5.8, 6.2), difference=0.0),
    plots.Dot("step 2", 5.9, (5.7, 6.1), True, 0, -0.1, (-0.2, 0.0), 0.25, ("equivalent", "equivalent")),
    plots.Dot("step $3$", 8.0, None, False, None, None, None, None, ("not judged", "not judged")),
    plots.Dot("step 4", None, verdicts=("not judged", "not judged")),
    plots.Dot("step 5", 5.5, (5.3, 5.7), True, 1, -0.5, (-0.6, -0.4), 0.25, ("worse", "worse")),
]
DRAWN = {
    "distribution": lambda: plots.distribution("Sync-C ↑", "", SPREADS),
    "profile": lambda: plots.profile(["one", "two", "three"], ROWS, real="one"),
    "forest": lambda: plots.forest("one", FOREST),
    "speed": lambda: plots.quality_speed("Sync-C ↑", "higher", PACED),
    "learning": lambda: plots.learning_curve("WER ↓", "lower", LEARNING, real=0.05),
    "history": lambda: plots.history("Sync-C ↑", "higher", DOTS, ("vs previous", "vs first"), "step 1"),
    "one checkpoint": lambda: plots.history("WER ↓", "lower", DOTS[:1], ("vs previous", "vs first"), "step 1"),
    "sample size": lambda: plots.sample_size("FID", {"one": LINE, "two": LINE}),
    "curves": lambda: plots.sync_curves("Sync distance", range(-15, 16), CURVES),
}
SHOWN = {
    "distribution": ["real", "a $x^2$ & <b>", "whole", "no score on 12 clips", "Sync-C ↑"],
    "profile": ["one (real)", "two", "three", "Sync-C ↑", "WER ↓"],
    "forest": ["Paired differences with one", "two", "three", "Sync-C"],
    "speed": ["fast", "slow", "worse"],
    "learning": ["WER ↓ over training", "training step", "real", "10000"],
    "history": [
        "Sync-C ↑",
        "step 1",
        "step $3$",
        "step 5",
        "difference from step 1, in the gate's margin",
        "vs previous",
        "vs first",
        "worse",
        "better",
        "equivalent",
        "undecided",
        "not judged",
    ],
    "one checkpoint": ["WER ↓", "step 1"],
    "sample size": ["∞", "50", "100", "200", "FID against the number of clips"],
    "curves": ["one +1", "many +1"],
}


@pytest.mark.parametrize("name", DRAWN)
def test_plots_say_what_they_show_and_are_the_same_each_time(name: str) -> None:
    import matplotlib

    settings = dict(matplotlib.rcParams)
    figure = DRAWN[name]()
    text = plots.svg(figure)
    assert text == plots.svg(DRAWN[name]())
    assert dict(matplotlib.rcParams) == settings
    assert not any(line in text for line in ("<dc:date>", "matplotlib.org"))
    words = [" ".join("".join(node.itertext()).split()).replace("−", "-")
             for node in ElementTree.fromstring(text).iter("{http://www.w3.org/2000/svg}text")]  # fmt: skip
    for expected in SHOWN[name]:
        assert expected in words, words
    dark = plots.darkened(text)
    assert DARK.ink in dark and LIGHT.ink not in dark and DARK.ink not in text


def test_names_that_look_like_colours_are_not_darkened() -> None:
    named = f"{LIGHT.ink} {LIGHT.colours[0].lower()} <x style='fill: {LIGHT.ink}'>"
    text = plots.svg(plots.distribution(named, "", [Spread(named[:20], [1.0, 2.0], 1.5)]))
    darkened = plots.darkened(text)
    words = [
        "".join(node.itertext()) for node in ElementTree.fromstring(darkened).iter("{http://www.w3.org/2000/svg}text")
    ]
    assert named in words and named[:20] in words and DARK.ink in darkened


def test_no_figure_is_kept_by_pyplot() -> None:
    import sys

    if "matplotlib.pyplot" in sys.modules:
        assert sys.modules["matplotlib.pyplot"].get_fignums() == []
    for draw in DRAWN.values():
        draw()
    assert "matplotlib.pyplot" not in sys.modules or sys.modules["matplotlib.pyplot"].get_fignums() == []


@pytest.mark.parametrize(
    ("draw", "reason"),
    [
        (lambda: plots.distribution("x", "", [Spread("a", [])]), "no clip has a score"),
        (lambda: plots.profile(["one"], ROWS), "at least two systems"),
        (lambda: plots.profile(["one", "two"], ROWS[2:]), "no quantity has different values"),
        (lambda: plots.forest("one", FOREST[2:]), "at least 20 clips"),
        (lambda: plots.forest("one", []), "at least 20 clips"),
        (lambda: plots.quality_speed("x", "higher", PACED[:1]), "recorded generation speed"),
        (lambda: plots.learning_curve("x", "higher", LEARNING[:1]), "evaluate --step"),
        (lambda: plots.history("x", "higher", DOTS[3:4], ("a", "b"), "c"), "no checkpoint has a value"),
        (lambda: plots.sample_size("FID", {}), "could be extrapolated"),
        (lambda: plots.sync_curves("x", range(31), {"one": []}), "no clip has such a curve"),
    ],
)
def test_absent_data_is_a_reason(draw, reason: str) -> None:
    with pytest.raises(NothingToPlot, match=reason):
        draw()


def test_a_history_joins_what_compares_and_tells_verdicts_by_form() -> None:
    figure = plots.history("Sync-C ↑", "higher", DOTS, ("vs previous", "vs first"), "step 1")
    values, differences, verdicts = figure.axes
    joined = [line.get_xdata() for line in values.lines if line.get_linewidth() == 0.9]
    assert [list(map(float, each)) for each in joined] == [[0, 1], [1, 4]], "past step 3, which is hollow"
    dots = {line.get_xdata()[0]: line.get_markerfacecolor() for line in values.lines if line.get_marker() == "o"}
    assert dots.pop(2) == "none" and set(dots) == {0, 1, 4} and "none" not in dots.values()
    bands = [sorted(path.get_extents().intervaly) for each in differences.collections for path in each.get_paths()]
    assert bands == [[-0.25, 0.25]] * 2
    forms = {
        (x, y): line.get_marker() for line in verdicts.lines
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
    }  # fmt: skip
    assert [forms[x, y] for y in (0, 1) for x in (1, 2, 3, 4)] == ["o", "x", "x", "v"] * 2 and (0, 0) not in forms
    looks = {(each.get_marker(), each.get_markerfacecolor() == "none") for each in figure.legends[0].legend_handles}
    assert len(looks) == 5, "no two verdicts look alike without colour"
    upwards = [plots.history("x", way, DOTS, ("a", "b"), "c").axes for way in ("higher", "lower")]
    assert [[axis.yaxis_inverted() for axis in axes[:2]] for axes in upwards] == [[False] * 2, [True] * 2]


def test_of_many_checkpoints_some_are_named_the_first_and_last_among_them() -> None:
    dots = [plots.Dot(f"step {place}", float(place)) for place in range(60)]
    (axis,) = plots.history("x", "higher", dots, ("a", "b"), "c").axes
    ticks = axis.get_xticks()
    assert len(ticks) <= 13 and (ticks[0], ticks[-1]) == (0, 59)
    assert [each.get_text() for each in axis.get_xticklabels()] == [f"step {place}" for place in ticks]


def test_profile_puts_the_best_at_one_and_the_worst_at_zero() -> None:
    higher, lower, _ = ROWS
    assert [scaled(higher, value) for value in (5.0, 6.0, 7.0)] == [0.0, 0.5, 1.0]
    assert [scaled(lower, value) for value in (0.3, 0.2, 0.1)] == pytest.approx([0.0, 0.5, 1.0])


@pytest.mark.parametrize("direction", ["higher", "lower"])
def test_the_front_holds_exactly_those_that_nobody_beats(direction: str) -> None:
    random = np.random.default_rng(3)
    for _ in range(50):
        systems = [Paced(str(index), float(quality), float(speed))
                   for index, (quality, speed) in enumerate(random.integers(1, 6, (7, 2)))]  # fmt: skip
        sign = 1 if direction == "higher" else -1

        def beaten(one: Paced, sign: int = sign, systems: list[Paced] = systems) -> bool:
            return any(
                sign * other.value >= sign * one.value and other.real_time_factor <= one.real_time_factor
                and (other.value, other.real_time_factor) != (one.value, one.real_time_factor) for other in systems
            )  # fmt: skip

        expected = {(one.value, one.real_time_factor) for one in systems if not beaten(one)}
        found = [(one.value, one.real_time_factor) for one in plots.pareto_front(direction, systems)]
        assert set(found) == expected and len(found) == len(expected)
        assert found == sorted(found, key=lambda point: point[1])


def _luminance(colour: str) -> float:
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize(("theme", "paper"), [(LIGHT, "#fdfdfb"), (DARK, "#131518")])
def test_everything_stands_out_from_the_page(theme: plots.Theme, paper: str) -> None:
    """WCAG 2.1: 3:1 for marks, 4.5:1 for text."""

    def contrast(colour: str) -> float:
        light, dark = sorted((_luminance(colour), _luminance(paper)), reverse=True)
        return (light + 0.05) / (dark + 0.05)

    assert all(contrast(colour) >= 3 for colour in theme.colours)
    assert contrast(theme.ink) >= 7 and contrast(theme.soft) >= 4.5


def test_the_papers_are_those_of_the_page() -> None:
    from importlib import resources

    style = resources.files("reports.page").joinpath("assets", "report.css").read_text()
    assert re.findall(r"--paper: (#\w+)", style) == ["#fdfdfb", "#131518"]


def test_curves_have_the_offsets_of_their_metrics() -> None:
    from t2av_bench.extractors.syncnet import compare
    from t2av_bench.gridface.extractors import sync as gridface_sync
    from t2av_bench.metrics import metric_class, metric_ids
    from t2av_bench.metrics.envelope import correlation_curve

    curves = {id: metric_class(id).curves[0] for id in metric_ids() if metric_class(id).curves}
    assert {id.split("/")[0] for id in curves} == {"sync", "envelope"} and "sync/gridface" in curves
    assert {id for id in metric_ids() if id.startswith("sync/")} < set(curves)
    random = np.random.default_rng(1)
    embeddings = random.standard_normal((120, 16))
    for shift in (-6, 0, 4):
        result = compare(embeddings[20:100], embeddings[20 + shift : 100 + shift])
        for id in ("sync/exact", "sync/joonson", "sync/syncnet-python", "sync/crop"):
            assert curves[id].lowest
            assert curves[id].offsets[int(np.argmin(result.curve))] == result.offset == shift
        unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
        result = gridface_sync.compare(unit[20:100], unit[20 + shift : 100 + shift])
        assert curves["sync/gridface"].lowest
        assert curves["sync/gridface"].offsets[int(np.argmin(result.curve))] == result.offset == shift
    motion = random.uniform(0, 1, 120)
    for shift in (-6, 0, 4):
        curve = correlation_curve(motion[20:100], motion[20 + shift : 100 + shift])
        assert curves["envelope/haar"].offsets[int(np.argmax(curve))] == shift
        assert not curves["envelope/haar"].lowest


def test_systems_differ_in_colour_and_marker() -> None:
    from reports.plots.style import colour, marker

    looks = [(colour(index), marker(index)) for index in range(40)]
    assert len(set(looks)) == 40
    assert all(one[1] != two[1] for one, two in product(looks[:7], looks[:7]) if one is not two)


LONG = [f"A system with a long name, number {index}" for index in range(8)]
WITH_LONG_NAMES = {
    "distribution": lambda: plots.distribution("Sync-C ↑", "frames", [Spread(name, [1.0, 2.0], 1.5) for name in LONG]),
    "profile": lambda: plots.profile(
        LONG, [ProfileRow(f"Quantity {row} (GridFace)‡", "higher", {name: (row + place, None)
               for place, name in enumerate(LONG)}) for row in range(6)], real=LONG[2],
    ),
    "forest": lambda: plots.forest("first", [
        ForestRow(name, f"q{row}", f"Quantity {row}", "", 40, 0.1, -0.1, 0.3, 0.2, -0.2, 0.6, 0.4)
        for row in range(3) for name in LONG
    ]),
    # Half of them at one place, as systems of one kind are.
    "speed": lambda: plots.quality_speed("Sync-C ↑", "higher", [
        Paced(name, 0.7 + 0.001 * (place % 4), 0.2 + (place > 3)) for place, name in enumerate(LONG)
    ]),
    "sample size": lambda: plots.sample_size("FID", dict.fromkeys(LONG, LINE)),
    "curves": lambda: plots.sync_curves("Sync distance", range(-15, 16), {name: CURVES["one"] for name in LONG}),
}  # fmt: skip


@pytest.mark.parametrize("name", WITH_LONG_NAMES)
def test_no_label_lies_on_another_or_is_cut_off(name: str) -> None:
    """By matplotlib's own boxes, as they are when the figure has been laid out."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.text import Text

    figure = WITH_LONG_NAMES[name]()
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    window = figure.bbox
    texts = [each for each in figure.findobj(Text) if each.get_visible() and each.get_text().strip()]
    axes = [axis for axis in figure.axes if axis.get_visible()]
    ticks = {tick for axis in axes for line in (axis.xaxis, axis.yaxis) for tick in line.get_ticklabels()}
    shown = {tick for axis in axes for line in (axis.xaxis, axis.yaxis) for tick in line.get_ticklabels()
             if _within(tick.get_window_extent(), axis.bbox, line is axis.xaxis) and tick.get_text()}  # fmt: skip
    boxes = {each: each.get_window_extent() for each in texts if each not in ticks or each in shown}
    assert len(boxes) > 5
    for each, box in boxes.items():
        assert window.x0 - 1 <= box.x0 and box.x1 <= window.x1 + 1 and box.y0 >= window.y0 - 1, each.get_text()
    pairs = [(one, other) for one, other in product(boxes, boxes) if id(one) < id(other)]
    assert [(one.get_text(), other.get_text()) for one, other in pairs if _covers(boxes[one], boxes[other])] == []


def _within(box, axes, across: bool) -> bool:
    """Whether a tick's label belongs to the part of the axis that is drawn; matplotlib keeps others beyond its ends."""
    middle, low, high = (
        (box.x0 + box.x1, axes.x0, axes.x1) if across else (box.y0 + box.y1, axes.y0, axes.y1)
    )  # fmt: skip
    return low - 1 <= middle / 2 <= high + 1


def _covers(one, other) -> bool:
    """Whether two boxes share more than a pixel in both directions."""
    return min(one.x1, other.x1) - max(one.x0, other.x0) > 1 and min(one.y1, other.y1) - max(one.y0, other.y0) > 1
