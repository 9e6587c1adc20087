"""A plug-in metric whose answers are odd; which one, the clip's name says. Installed by ``plugin_factory``."""

import os
import subprocess
import sys
import time
from decimal import Decimal
from fractions import Fraction

import numpy as np

from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.metrics.base import Measurement, Metric, SetMetric
from t2av_bench.scores import Protocol, Quantity

A, B = Quantity("odd_a", "A", "higher", interval=(0.0, 1.0)), Quantity("odd_b", "B", "higher", aggregate="weighted")


class Unshowable:
    def __repr__(self):
        raise RuntimeError("no picture of me")

    __str__ = __repr__


class Rude(Exception):
    def __str__(self):
        raise RuntimeError("no words")


def ok(a=0.5, b=1.0, **more):
    return Measurement({"odd_a": a, "odd_b": b}, **more)


def raising(error):
    raise error


def circle():
    found = {}
    found["self"] = found
    return found


def nested(depth):
    found = []
    for _ in range(depth):
        found = [found]
    return found


# name -> the answer, and what the reason of odd_a says (None: it has its value, because nothing is lost)
ANSWERS = {
    "plain": (lambda: ok(), None),
    "numpy": (lambda: ok(np.float32(0.5), np.int64(1)), None),
    "decimal": (lambda: ok(Fraction(1, 2), 1), None),
    "detail_nan": (lambda: ok(detail={"x": float("nan"), "y": [float("inf")]}), None),
    "detail_numpy": (lambda: ok(detail={"x": np.float32(2), "y": np.arange(3), "z": np.bool_(True)}), None),
    "detail_set": (lambda: ok(detail={"x": {3, 1, 2}, "y": (1, 2), "z": frozenset("ab")}), None),
    "detail_surrogate": (lambda: ok(detail={"x": "\ud800", "\udfff": "\x00\x1b[31m"}), None),
    "detail_keys": (lambda: ok(detail={1: "x", None: "y", np.int64(7): 0}), None),
    "detail_equal_keys": (lambda: ok(detail={2: "x", "2": "y"}), "detail"),
    "detail_bytes": (lambda: ok(detail={"x": b"\xff"}), "detail that cannot be kept: bytes"),
    "detail_object": (lambda: ok(detail={"x": Unshowable()}), "detail that cannot be kept: Unshowable"),
    "detail_tuple_key": (lambda: ok(detail={(1, 2): "x"}), "tuple as a key"),
    "detail_circle": (lambda: ok(detail=circle()), "nested too deep"),
    "detail_deep": (lambda: ok(detail={"x": nested(100_000)}), "nested too deep"),
    "detail_huge": (lambda: ok(detail={"x": "y" * 20_000_000}), "20 MB"),
    "detail_digits": (lambda: ok(detail={"x": 10**5000}), "detail that cannot be kept"),
    "detail_list": (lambda: ok(detail=[1]), "gave list as detail"),
    "value_true": (lambda: ok(True), "bool True"),
    "value_numpy_true": (lambda: ok(np.bool_(True)), "bool"),
    "value_text": (lambda: ok("0.5"), "0.5"),
    "value_complex": (lambda: ok(0.5 + 0j), "complex"),
    "value_none": (lambda: ok(None), "None"),
    "value_array": (lambda: ok(np.array([0.5])), "ndarray"),
    "value_decimal": (lambda: ok(Decimal("0.5")), "Decimal"),
    "value_nan": (lambda: ok(float("nan")), "nan"),
    "value_inf": (lambda: ok(float("-inf")), "inf"),
    "value_giant": (lambda: ok(10**400), "int"),
    "value_unshowable": (lambda: ok(Unshowable()), "Unshowable"),
    "value_undeclared": (lambda: Measurement({"odd_a": 0.5, "odd_c": 1.0}), "does not declare: odd_c"),
    "values_list": (lambda: Measurement([0.5]), "gave list as values"),
    "values_key": (lambda: Measurement({7: 0.5}), "does not declare: int 7"),
    "weight_nan": (lambda: ok(weight=float("nan")), "weight"),
    "weight_none": (lambda: ok(weight=None), "weight"),
    "weight_negative": (lambda: ok(weight=-1), "weight -1"),
    "weight_true": (lambda: ok(weight=True), "weight"),
    "weight_text": (lambda: ok(weight="1"), "weight"),
    "weight_numpy": (lambda: ok(weight=np.float64(2)), None),
    "reason_empty": (lambda: Measurement({"odd_b": 1.0}, {"odd_a": ""}), "no value and no reason"),
    "reason_blank": (lambda: Measurement({"odd_b": 1.0}, {"odd_a": " \n"}), "no value and no reason"),
    "reason_none": (lambda: Measurement({"odd_b": 1.0}, {"odd_a": None}), "no value and no reason"),
    "reason_number": (lambda: Measurement({"odd_b": 1.0}, {"odd_a": 404}), "404"),
    "reason_surrogate": (lambda: Measurement({"odd_b": 1.0}, {"odd_a": "so \ud800\x9b31m"}), "so \\ud800\\u009b31m"),
    "reason_long": (lambda: Measurement({"odd_b": 1.0}, {"odd_a": "x" * 10**7}), "xxx"),
    "reason_list": (lambda: Measurement({"odd_b": 1.0}, ["no"]), "gave list as reasons"),
    "inapplicable": (lambda: Measurement({"odd_b": 1.0}, inapplicable={"odd_a": "no text"}), "no text"),
    "inapplicable_empty": (lambda: Measurement({"odd_b": 1.0}, inapplicable={"odd_a": ""}), "no value and no reason"),
    "inapplicable_beside": (lambda: ok(inapplicable={"odd_a": "no text"}), None),
    "inapplicable_list": (lambda: Measurement({"odd_b": 1.0}, inapplicable=["odd_a"]), "gave list as inapplicable"),
    "features_object": (lambda: ok(features={"x": np.array([None])}), "dtype object"),
    "features_complex": (lambda: ok(features={"x": np.array([1j])}), "dtype complex"),
    "features_ragged": (lambda: ok(features={"x": [[1, 2], [3]]}), "expected an array"),
    "features_name": (lambda: ok(features={3: np.zeros(2)}), "int 3"),
    "features_list": (lambda: ok(features={"x": [1.0, 2.0]}), None),
    "answer_none": (lambda: None, "gave None instead of a Measurement"),
    "answer_dict": (lambda: {"odd_a": 0.5}, "gave dict instead of a Measurement"),
    "answer_class": (lambda: Measurement, "gave type instead of a Measurement"),
    "raise_empty": (lambda: raising(Unscorable()), "Unscorable without a message"),
    "raise_number": (lambda: raising(Unscorable(7)), "7"),
    "raise_surrogate": (lambda: raising(Unscorable("\udcff")), "\\udcff"),
    "raise_rude": (lambda: raising(Rude()), "Rude"),
    "raise_not_applicable": (lambda: raising(NotApplicable("")), "NotApplicable without a message"),
    "raise_exit": (lambda: sys.exit(0), "SystemExit"),
    "raise_interrupt": (lambda: raising(KeyboardInterrupt()), "KeyboardInterrupt"),
    "raise_base": (lambda: raising(BaseException("base")), "base"),
    "print": (lambda: shout() or ok(), None),
}  # fmt: skip


def shout():
    print("{shouted} from Python", flush=True)
    os.write(1, b"{shouted} from C\n")
    subprocess.run(["echo", "{shouted} from a program"], check=True)


class Answers(Metric):
    id, title, paper, quantities = "odd/answers", "Odd", "none", (A, B)

    @property
    def protocol(self):
        return Protocol(self.id)

    def measure(self, pair):
        return ANSWERS[pair.item.id][0]()


class Steady(Metric):
    id, title, paper, quantities = "odd/steady", "Steady", "none", (Quantity("steady", "Steady", "none"),)

    @property
    def protocol(self):
        return Protocol(self.id)

    def measure(self, pair):
        return Measurement({"steady": 1.0})


class Set(SetMetric):
    """One whose ``aggregate`` is odd; how, the option says."""

    id, title, paper = "odd/set", "Set", "none"
    quantities = (Quantity("set_a", "A", "lower", aggregate="set"), Quantity("set_b", "B", "lower", aggregate="set"))

    def __init__(self, settings=None, how="plain"):
        super().__init__(settings)
        self.how = how

    @property
    def protocol(self):
        return Protocol(self.id, {"how": self.how})

    def measure(self, pair):
        if self.how == "no_features":
            return Measurement()
        if self.how == "features_nan":
            return Measurement(features={"x": np.array([np.nan])})
        return Measurement(features={"x": np.ones(1, dtype=np.float32)})

    def aggregate(self, features):
        good = {"set_a": 1.0, "set_b": 2.0}
        if self.how == "hang":
            time.sleep(1000)
        if self.how == "die":
            os.abort()
        if self.how == "exit":
            sys.exit(0)
        if self.how == "print":
            shout()
        return {
            "raise": lambda: raising(ZeroDivisionError("nothing")),
            "nan": lambda: Measurement(good | {"set_a": np.nan}),
            "lack": lambda: Measurement({"set_b": 2.0}), "none": lambda: None,
            "text": lambda: Measurement(good | {"set_a": "1"}),
            "detail": lambda: Measurement(good, detail={"reference_floor": np.float32(3), "x": {1}}),
        }.get(self.how, lambda: Measurement(good))()  # fmt: skip
