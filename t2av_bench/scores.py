"""Scores, and what makes two of them comparable.

A score is a value or a reason, never a stand-in: there is no 0, -1 or NaN for "could not be measured".
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from functools import cache
from importlib import metadata
from typing import Any, Literal


class Status(StrEnum):
    """What became of one measurement."""

    OK = "ok"
    FAILED = "failed"
    NOT_APPLICABLE = "not_applicable"


@dataclass(frozen=True, slots=True)
class Score:
    """One quantity of one clip, or of one set of clips.

    ``weight`` is 1 except for ratios (word error rate: number of reference words), so that the weighted mean
    of the clips is the corpus value. A failed clip has the weight that it would have had, or 0 where nobody knows it.
    """

    status: Status
    value: float | None = None
    reason: str | None = None
    weight: float = 1.0

    def __post_init__(self) -> None:
        if (self.status is Status.OK) != (self.value is not None and math.isfinite(self.value)):
            raise ValueError(f"a score is a finite value or a reason, got {self.status} with value {self.value!r}")
        if (self.status is Status.OK) == bool(self.reason):
            raise ValueError(f"a score is a value or a reason, got {self.status} with reason {self.reason!r}")

    @classmethod
    def ok(cls, value: float, weight: float = 1.0) -> "Score":
        return cls(Status.OK, float(value), None, float(weight))

    @classmethod
    def failed(cls, reason: str, weight: float = 1.0) -> "Score":
        return cls(Status.FAILED, reason=reason, weight=float(weight))

    @classmethod
    def not_applicable(cls, reason: str) -> "Score":
        return cls(Status.NOT_APPLICABLE, reason=reason)


@dataclass(frozen=True, slots=True)
class Quantity:
    """One number that a metric prints: a table column.

    name: column name in code, CLI and tables (``sync_c``). Embedded extractors use other names than published ones.
    label: what a reader sees (``Sync-C``).
    direction: which way is better; ``none`` for descriptive numbers (offset).
    interval: smallest and largest possible value, ``None`` where unbounded.
    aggregate: how clips make a set value. ``mean``: plain mean; ``weighted``: mean weighted by ``Score.weight``;
        ``median``: of a signed shift, best at 0 although its direction is ``none``; ``set``: computed from all clips'
        features.
    penalty: value that a failed clip counts as in the penalised mean: a number, ``"worst"`` for the set's worst
        value, or ``None`` where no penalised mean is defined.
    """

    name: str
    label: str
    direction: Literal["higher", "lower", "none"]
    unit: str = ""
    interval: tuple[float | None, float | None] = (None, None)
    decimals: int = 3
    aggregate: Literal["mean", "weighted", "median", "set"] = "mean"
    penalty: float | Literal["worst"] | None = None

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> "Quantity":
        """From what a run keeps of it."""
        return cls(**{**document, "interval": tuple(document["interval"])})

    @property
    def is_shift(self) -> bool:
        """Whether it is a signed shift, the better the nearer to 0."""
        return self.aggregate == "median"

    @property
    def frame(self) -> float:
        """Of a shift: one frame at 25 fps, in the quantity's unit."""
        return 40.0 if self.unit == "ms" else 1.0

    @property
    def is_error_rate(self) -> bool:
        """Whether it counts errors among words: a clip that fails has got all of them wrong."""
        whole = self.interval[0] == 0 and self.penalty == 1.0
        return self.direction == "lower" and (self.aggregate == "weighted" or (self.aggregate == "mean" and whole))


@dataclass(frozen=True, slots=True)
class Protocol:
    """Everything that can move a metric's numbers, apart from the media themselves.

    id: ``family/variant``, for example ``sync/exact``.
    parameters: every constant of the protocol that has an alternative (detector, thresholds, resampler, ...).
    weights: weights id -> sha256 (``None`` while the file is missing).
    libraries: distribution name -> version, for those whose release can move a number.
    """

    id: str
    parameters: dict[str, Any] = field(default_factory=dict)
    weights: dict[str, str | None] = field(default_factory=dict)
    libraries: dict[str, str] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits; equal exactly where all fields are equal. Also the cache key."""
        canonical = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def difference(self, other: "Protocol") -> str:
        """What differs between this protocol and another, in words."""
        found = []
        for part in ("parameters", "weights", "libraries"):
            left, right = getattr(self, part), getattr(other, part)
            for key in sorted(left.keys() | right.keys()):
                if left.get(key) != right.get(key) or (key in left) != (key in right):
                    found.append(f"{key} {_short(left, key)} against {_short(right, key)}")
        return "; ".join(found) or "another id"


def _short(part: dict[str, Any], key: str) -> str:
    if key not in part:
        return "none"
    text = part[key] if isinstance(part[key], str) else json.dumps(part[key], ensure_ascii=False)
    return text if len(text) <= 24 else text[:12] + "…"


LIBRARIES = (
    "av", "numpy", "scipy", "torch", "torchvision", "opencv-contrib-python", "soxr", "onnxruntime", "transformers"
)  # fmt: skip
"""Distributions of which another version may give another number, whatever is measured."""


def library_versions(*distributions: str) -> dict[str, str]:
    """Installed versions by distribution name; an absent one is ``"absent"``.

    Local build tags (``2.13.0+cpu``) are cut: the same release built for another device is the same protocol.
    """
    found = {}
    for name in distributions:
        try:
            found[name] = _version(name)
        except metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


@cache
def _version(distribution: str) -> str:
    """Read once: it takes a millisecond, protocols ask for every measurement, and what is imported stays imported."""
    return metadata.version(distribution).split("+")[0]


def with_variant(name: str, metric: str, among: Sequence[str], gap: str = "") -> str:
    """A quantity's name or label; behind it the metric's variant, ``wer[pocketsphinx]``, where several of ``among`` are
    called so."""
    return name if among.count(name) == 1 else f"{name}{gap}[{metric.partition('/')[2]}]"
