"""What comes from a metric, made fit to be kept, or a reason that names the metric and what was wrong.

A metric may be anybody's plug-in: its numbers may be NaN or text, its facts NumPy arrays, its reasons empty. One odd
answer costs one clip its score, never the run.
"""

import json
import math
from collections.abc import Mapping, Sequence, Set
from numbers import Integral, Real
from typing import Any

import numpy as np

from t2av_bench.metrics.base import Measurement, Metric, SetMetric
from t2av_bench.scores import Quantity, Score
from t2av_bench.utils.reasons import kind, reason, said
from t2av_bench.utils.terminal_text import printable

NO_REASON = "the metric gave no value and no reason"
MOST_DETAIL = 16_000_000


class OddAnswer(Exception):
    """A metric's answer that cannot be kept; the message is the reason."""


def check(metric: Metric, answer: Any, *, of_set: bool = False) -> Measurement:
    """A measurement of plain numbers, texts and arrays. Values of a wrong kind become reasons of their quantities.

    of_set: the answer is one of ``aggregate``: values for all clips. Raises OddAnswer where nothing of it can be kept.
    """
    if not isinstance(answer, Measurement):
        raise OddAnswer(f"{metric.id} gave {kind(answer)} instead of a Measurement")
    by_features = isinstance(metric, SetMetric) and not of_set
    declared = [quantity.name for quantity in metric.quantities]
    for name, part in (("values", answer.values), ("reasons", answer.reasons), ("detail", answer.detail),
                       ("features", answer.features), ("inapplicable", answer.inapplicable)):  # fmt: skip
        if not isinstance(part, Mapping):
            raise OddAnswer(f"{metric.id} gave {kind(part)} as {name}, expected a dict")
    if unknown := [name for name in answer.values if name not in declared]:
        raise OddAnswer(
            f"{metric.id} gave values that it does not declare: {_listed(unknown)}; it declares {_listed(declared)}"
        )
    values: dict[str, float] = {}
    reasons: dict[str, str] = {}
    for name in declared:
        reasons[name] = reason(answer.reasons.get(name), NO_REASON)
        if name in answer.values and (answer.values[name] is not None or name not in answer.reasons):
            try:
                values[name] = _number(answer.values[name])
            except ValueError as error:
                reasons[name] = f"{metric.id} gave {error} for {name!r}, expected a number"
    features = {} if of_set else {_feature_name(metric, name): _array(metric, name, array, by_features)
                                  for name, array in answer.features.items()}  # fmt: skip
    if by_features and not features:
        raise OddAnswer(f"{metric.id} compares sets of clips, and gave no features of this one")
    inapplicable = {name: reason(answer.inapplicable[name], NO_REASON) for name in declared
                    if name in answer.inapplicable}  # fmt: skip
    weight, detail = _weight(metric, answer.weight), _detail(metric, answer.detail)
    return Measurement(values, reasons, weight, detail, features, inapplicable)


def score(quantity: Quantity, measurement: Measurement) -> Score:
    """A quantity's score, from a checked measurement: its value, or why there is none."""
    value = measurement.values.get(quantity.name)
    if value is None and quantity.name in measurement.inapplicable:
        return Score.not_applicable(measurement.inapplicable[quantity.name])
    if value is None:
        return Score.failed(measurement.reasons.get(quantity.name, NO_REASON))
    if not _inside_interval(value, quantity):
        return Score.failed(f"the metric gave {value}, outside of {quantity.interval}")
    return Score.ok(value, measurement.weight)


def json_ready(value: Any) -> Any:
    """Equal content in what JSON has: NumPy numbers and arrays become numbers and lists, sets become sorted lists,
    numbers that are not finite null, lone surrogates escapes. Raises ValueError for what has no such form.
    """
    if value is None or isinstance(value, bool | np.bool_):
        return None if value is None else bool(value)
    if isinstance(value, str):
        return printable(str(value))
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        number = float(value)
        return number if math.isfinite(number) else None
    if isinstance(value, np.ndarray):
        return json_ready(value.tolist())
    if isinstance(value, Mapping):
        found = {_key(key): json_ready(each) for key, each in value.items()}
        if len(found) < len(value):
            raise ValueError("keys that are equal as text")
        return found
    if isinstance(value, Set):
        return sorted((json_ready(each) for each in value), key=lambda each: (type(each).__name__, json.dumps(each)))
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return [json_ready(each) for each in value]
    raise ValueError(f"{kind(value)}, which has no form in JSON")


def _key(key: Any) -> str:
    if isinstance(key, str):
        return printable(str(key))
    if key is None or isinstance(key, bool | np.bool_ | Integral | Real):
        return json.dumps(json_ready(key))
    raise ValueError(f"{kind(key)} as a key")


def _detail(metric: Metric, detail: Mapping[str, Any]) -> dict[str, Any]:
    try:
        found = json_ready(detail)
        size = len(json.dumps(found, ensure_ascii=False, allow_nan=False))
    except RecursionError as error:
        raise OddAnswer(f"{metric.id} gave a detail that is nested too deep, or holds itself") from error
    except Exception as error:  # whatever a foreign object does when it is looked at
        raise OddAnswer(f"{metric.id} gave a detail that cannot be kept: {said(error)}") from error
    if size > MOST_DETAIL:
        raise OddAnswer(
            f"{metric.id} gave a detail of {size / 1e6:.0f} MB; at most {MOST_DETAIL / 1e6:.0f} MB are kept"
        )
    return found


def _number(value: Any) -> float:
    if not isinstance(value, Real) or isinstance(value, bool | np.bool_):
        raise ValueError(reason(value, "None"))
    try:
        return float(value)
    except (OverflowError, ValueError, TypeError) as error:
        raise ValueError(f"{kind(value)} that is no number here ({said(error)})") from error


def _weight(metric: Metric, weight: Any) -> float:
    try:
        number = _number(weight)
    except ValueError as error:
        raise OddAnswer(f"{metric.id} gave {error} as weight, expected a number of at least 0") from error
    if not math.isfinite(number) or number < 0:
        raise OddAnswer(f"{metric.id} gave the weight {number:g}, expected a number of at least 0")
    return number


def _feature_name(metric: Metric, name: Any) -> str:
    if not isinstance(name, str) or not name or name != printable(name):
        raise OddAnswer(f"{metric.id} gave features under {reason(name, 'no name')}, expected a name")
    return name


def _array(metric: Metric, name: str, given: Any, finite: bool) -> np.ndarray:
    try:
        array = np.asarray(given)
    except Exception as error:
        raise OddAnswer(f"{metric.id} gave {kind(given)} as features {name!r}, expected an array") from error
    if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:  # what a safetensors file can hold
        raise OddAnswer(f"{metric.id} gave features {name!r} of dtype {array.dtype}, expected float32")
    if finite and not np.isfinite(array).all():
        raise OddAnswer(f"{metric.id} gave features {name!r} that are not all finite")
    return array


def _inside_interval(value: float, quantity: Quantity) -> bool:
    low, high = quantity.interval
    slack = 1e-6  # float rounding of a perfect score is no reason to refuse it
    return math.isfinite(value) and (low is None or value >= low - slack) and (high is None or value <= high + slack)


def _listed(names: Sequence[Any]) -> str:
    shown = ", ".join(reason(name, "''") for name in names[:5])
    return shown + (f" and {len(names) - 5} more" if len(names) > 5 else "")
