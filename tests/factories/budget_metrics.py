"""A plug-in whose numbers change under each variant of a clip by what is planted. Installed by ``plugin_factory``.

The variant is read from the clip's folder (``encoding-16``); each clip has a level of its own.
"""

from typing import ClassVar

from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.metrics.base import Measurement, Metric
from t2av_bench.scores import Protocol, Quantity

LEVELS = {"one": 4.0, "two": 5.0, "three": 7.0, "four": 8.0}
# Variant -> change of every clip, and of the odd ones (one, three) up and of the others down.
PLANTED = {"encoding-16": (0.25, 0.0), "encoding-18": (0.5, 0.1), "encoding-20": (-0.25, 0.0), "crop-4": (0.0, 1.0)}


def _found(pair, sign=1.0):
    shift, swing = PLANTED.get(pair.generated.path.parent.name, (0.0, 0.0))
    odd = pair.item.id in ("one", "three")
    return LEVELS[pair.item.id] + sign * (shift + (swing if odd else -swing))


class Planted(Metric):
    id, title, paper = "budget/planted", "Planted", "none"
    quantities = (Quantity("planted_up", "Up", "higher"), Quantity("planted_shy", "Shy", "higher"))
    alternatives: ClassVar = {"detector": ("budget/other",)}

    @property
    def protocol(self):
        return Protocol(self.id)

    def measure(self, pair):
        if pair.generated.path.parent.name == "container-ts" and pair.item.id == "two":
            raise Unscorable("nothing is seen in this one")
        return Measurement({"planted_up": _found(pair), "planted_shy": LEVELS[pair.item.id]})


class Other(Metric):
    """As another detector would have it: 0.3 more in every clip."""

    id, title, paper = "budget/other", "Other", "none"
    quantities = (Quantity("planted_up_other", "Up", "higher"), Quantity("planted_shy_other", "Shy", "higher"))

    @property
    def protocol(self):
        return Protocol(self.id)

    def measure(self, pair):
        return Measurement({name.name: LEVELS[pair.item.id] + 0.3 for name in self.quantities})


class Worded(Metric):
    """What holds a clip to its text notices that words are cut off, and says so."""

    id, title, paper = "budget/worded", "Worded", "none"
    quantities = (Quantity("planted_words", "Words", "lower"),)
    validity: ClassVar = {"planted_words": {"truncation": "up"}}

    @property
    def protocol(self):
        return Protocol(self.id)

    def measure(self, pair):
        if not pair.item.text:
            raise NotApplicable("no text for this item")
        return Measurement({"planted_words": LEVELS[pair.item.id]})
