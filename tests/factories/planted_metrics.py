"""A plug-in whose numbers do with a clip's damage what they are planted to do. Installed by ``plugin_factory``.

The grade is read from the clip's folder (``blur-0.5``); each clip has an own level, so that only pairs tell.
"""

from typing import ClassVar

import numpy as np

from t2av_bench.errors import Unscorable
from t2av_bench.metrics.base import Measurement, Metric, SetMetric
from t2av_bench.scores import Protocol, Quantity

# What a number does at the four grades of ``blur``: what is planted, and with the claim "down" the verdict.
NAMES = ("one", "two", "three", "four")
BLUR = ("0.5", "1", "2", "4")
COURSES = {
    "falling": ((-0.1, -0.2, -0.3, -0.4), "right"),
    "saturating": ((-0.1, -0.3, -0.3, -0.3), "right"),
    "constant": ((0.0, 0.0, 0.0, 0.0), "blind"),
    "rising": ((0.1, 0.2, 0.3, 0.4), "wrong"),
    "returning": ((-0.1, -0.4, -0.2, -0.3), "not monotone"),
    "detour": ((0.2, 0.1, -0.1, -0.2), "not monotone"),
}


def level_of(pair) -> tuple[float, int | None]:
    """The clip's own level with some scatter, which the set's mean has none of; and the place of the grade of blur."""
    name, _, grade = pair.generated.path.parent.name.partition("-")
    step = BLUR.index(grade) if name == "blur" else None
    own = NAMES.index(pair.item.id)
    return 5 + own + 0.01 * (-1) ** (own + (step or 0)), step


class Planted(Metric):
    id, title, paper = "planted/courses", "Planted", "none"
    quantities = tuple(Quantity(name, name, "none") for name in (*COURSES, "steady", "nervous", "nearly_steady"))
    validity: ClassVar = {
        **{name: {"blur": "down"} for name in COURSES},
        "steady": {"blur": "same"}, "nervous": {"blur": "same"}, "nearly_steady": {"blur": "same"},
    }  # fmt: skip

    @property
    def protocol(self):
        return Protocol(self.id)

    def measure(self, pair):
        level, step = level_of(pair)
        values = {
            course: level + (planted[step] if step is not None else 0) for course, (planted, _) in COURSES.items()
        }
        values |= {"steady": level, "nervous": level + (step or 0), "nearly_steady": level + 0.02 * (step or 0)}
        return Measurement(values)


class PlantedSet(SetMetric):
    """The mean over the set."""

    id, title, paper = "planted_set/mean", "Planted", "none"
    quantities = (Quantity("planted_mean", "Mean", "lower", aggregate="set"),)
    validity: ClassVar = {"planted_mean": {"blur": "down"}}

    @property
    def protocol(self):
        return Protocol(self.id)

    def measure(self, pair):
        level, step = level_of(pair)
        return Measurement(features={"level": np.array([level - (0 if step is None else 1 + step)], np.float32)})

    def aggregate(self, features):
        if len(features) < 2:
            raise Unscorable("a mean needs two clips")
        return Measurement({"planted_mean": float(np.mean([each["level"] for each in features], dtype=np.float64))})
