"""What metrics, systems and benchmarks have in common: classes by the names that people type, and their options."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pytest
from plugin_factory import install

from t2av_bench import systems
from t2av_bench.benchmarks.registry import benchmark
from t2av_bench.benchmarks.registry import registry as benchmarks
from t2av_bench.utils.registry import Registry


class Shape:
    id = "shape"

    def __init__(
        self, given=None, *, side: int, scale: float = 1.0, filled: bool = False, at: tuple[int, ...] = (),
        kind: Literal["a", "b"] = "a", place: Path | None = None, more: Mapping[str, Any] | None = None,
        odd: "no_such_type" = None,  # noqa: F821
    ) -> None:  # fmt: skip
        self.options = {"side": side, "at": at, "place": place}


class Typed(Shape):
    id = "typed"

    def __init__(
        self, given=None, *, side: int = 1, scale: float = 1.0, filled: bool = False, at: tuple[int, ...] = (),
        kind: Literal["a", "b"] = "a", place: Path | None = None, more: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(given, side=side, at=at, place=place)


class Free(Shape):
    id = "free"

    def __init__(self, **options: Any) -> None:
        self.options = options


@pytest.fixture
def shapes(tmp_path, monkeypatch):
    """A registry of its own, with plug-ins whose ids differ in case alone."""
    source = "from {} import Shape\nclass One(Shape):\n    id = 'Round-One'\nclass Two(Shape):\n    id = 'round_one'\n"
    monkeypatch.setitem(__import__("sys").modules, "the_shapes", __import__("sys").modules[__name__])
    entries = {"Round-One": "shapes_plugged:One", "round_one": "shapes_plugged:Two"}
    install(tmp_path / "shapes", monkeypatch, entries, {"shapes_plugged": source.format("the_shapes")},
            group="t2av_bench.shapes")  # fmt: skip
    built_in = {"shape": "the_shapes:Shape", "typed": "the_shapes:Typed", "free": "the_shapes:Free"}
    return Registry("shape", built_in, Shape, given="given")


def test_ids_are_found_case_and_punctuation_aside(shapes):
    assert shapes.ids() == ["shape", "typed", "free", "Round-One", "round_one"]
    assert shapes.find("TYPED") == shapes.find(" typ-ed ") == "typed" and "Shape" in shapes and "shap" not in shapes
    assert (shapes.class_of("Round-One").id, shapes.class_of("round_one").id) == ("Round-One", "round_one")
    with pytest.raises(ValueError, match="the shape 'ROUND ONE' may be Round-One or round_one: name one of them"):
        shapes.class_of("ROUND ONE")
    with pytest.raises(ValueError, match="unknown shape 'shpae'; did you mean shape"):
        shapes.find("shpae")
    with pytest.raises(ValueError, match="unknown shape ''; there are shape, typed"):
        shapes.find("")


@pytest.mark.parametrize("options", [
    {"side": 3, "scale": 2, "filled": True, "at": [1, 2], "kind": "b", "place": "here.txt", "more": {"a": 1}},
    {"place": Path("here.txt")}, {"at": (1,)}, {"place": None, "more": None},
])  # fmt: skip
def test_values_that_fit_reach_the_class_as_they_are(shapes, options):
    made = shapes.create("typed", **options)
    assert made.options == {"side": 1, "at": (), "place": None} | {
        k: v for k, v in options.items() if k in made.options
    }


@pytest.mark.parametrize(("options", "expected"), [
    ({"sied": 1}, "shape typed has no option 'sied'; did you mean side"),
    ({"xyz": 1}, "shape typed has no option 'xyz'; there are side, scale, filled, at, kind, place, more"),
    ({"side": "3"}, "options of shape typed: side: Input should be a valid integer, got '3'"),
    ({"side": 1.5}, "side: Input should be a valid integer"), ({"side": True}, "side: Input should be a valid integer"),
    ({"filled": 1}, "filled: Input should be a valid boolean"), ({"scale": "1"}, "scale: Input should be a valid num"),
    ({"kind": "c"}, "kind: Input should be 'a' or 'b'"), ({"at": ["x"]}, "at: Input should be a valid integer"),
    ({"side": "3", "kind": "c"}, "side: Input should be a valid integer, got '3'; kind: Input should be 'a' or 'b'"),
])  # fmt: skip
def test_options_that_do_not_fit_are_refused_with_what_does(shapes, options, expected):
    with pytest.raises(ValueError) as caught:
        shapes.create("Typed", **options)
    assert expected in str(caught.value)


def test_options_that_are_needed_types_that_are_unknown_and_classes_that_take_everything(shapes):
    with pytest.raises(ValueError, match="shape shape needs the option 'side'"):
        shapes.create("shape")
    assert shapes.create("shape", side="its class judges, where types cannot be known").options["side"]
    assert shapes.create("free", whatever=1).options == {"whatever": 1}


def test_systems_and_benchmarks_are_named_so_too():
    assert systems.system_class("Talker_T2AV").id == "talker-t2av" and "EMBEDDED REAL" in systems.registry
    assert benchmark("GridFace").id == benchmarks.find("grid-face") == "gridface"
    with pytest.raises(ValueError, match="unknown system 'embedded-tts'; did you mean embedded-"):
        systems.load("embedded-tts")
    with pytest.raises(ValueError, match="unknown benchmark 'gridfaces'; did you mean gridface"):
        benchmark("gridfaces")
