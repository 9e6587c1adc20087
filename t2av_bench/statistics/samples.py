"""Per-clip values of one quantity, as every statistic here takes them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from t2av_bench.errors import Unscorable
from t2av_bench.scores import Quantity

LEAST_CLIPS = 20
"""Fewer have no interval: see ``intervals``."""
NEEDS_CLIPS = f"an interval needs at least {LEAST_CLIPS} clips"
# What an item may say of where it comes from; the first that is named decides. In the plural for notes.
GROUP_KEYS = {"speaker": "speakers", "video": "source videos"}


@dataclass(frozen=True, slots=True)
class Grouping:
    """Which clips belong together. groups: clip -> name of its group; unit: what the groups are, in the plural."""

    groups: Mapping[str, str]
    unit: str = "speakers"


def grouping(items: Mapping[str, Mapping[str, Any]]) -> Grouping | None:
    """By ``speaker`` where some item (clip -> its document) names one, else by source ``video``; None without either.

    A clip that names none is a group of its own.
    """
    for key, unit in GROUP_KEYS.items():
        if any(item.get(key) for item in items.values()):
            named = {clip: item.get(key) for clip, item in items.items()}
            return Grouping({clip: f"{key} {name}" if name else f"clip {clip}" for clip, name in named.items()}, unit)
    return None


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Clips in the order of their ids, with the parts that make the set value Σ numerators / Σ denominators.

    clips: ids, ascending. numerators, denominators: float64 (n,). A plain mean has denominators of 1; a corpus error
    rate has the errors and the reference words of each clip; a distance between sets has its clips' pseudo-values
    (see ``influence``) over 1.
    trials: (n,) what a rate counts its errors among: words, or the clips themselves.
    median: the set value is the median of the numerators instead. rate: 0 is the least that there can be, so that
    a set without any error still has an upper bound. share: every clip is either in (1) or out (0).
    groups: of each clip, the group that is drawn and tested as a whole; None: the clip itself. unit: what groups are.
    """

    clips: tuple[str, ...]
    numerators: np.ndarray
    denominators: np.ndarray
    trials: np.ndarray = field(default_factory=lambda: np.empty(0))
    median: bool = False
    rate: bool = False
    share: bool = False
    groups: tuple[str, ...] | None = None
    unit: str = "clips"

    def __post_init__(self) -> None:
        if len(self.trials) != len(self.clips):
            object.__setattr__(self, "trials", self.denominators)

    @classmethod
    def of(cls, values: Mapping[str, float], weights: Mapping[str, float] | None = None) -> "Sample":
        """From clip id -> value, and clip id -> weight (see ``Score.weight``) where the mean is weighted."""
        clips = tuple(sorted(values))
        denominators = np.array([1.0 if weights is None else weights[clip] for clip in clips], dtype=np.float64)
        numerators = np.array([values[clip] for clip in clips], dtype=np.float64) * denominators
        if not (np.isfinite(numerators).all() and np.isfinite(denominators).all()) or (denominators < 0).any():
            raise ValueError("values must be finite, and weights finite and not negative")
        return cls(clips, numerators, denominators, denominators)

    @classmethod
    def of_values(
        cls, quantity: Quantity, values: Mapping[str, float], weights: Mapping[str, float] | None = None
    ) -> "Sample":
        """The same, of one quantity; only a corpus rate is weighted. A distance between sets has pseudo-values."""
        if quantity.aggregate == "set":
            return cls.of(values)
        found = cls.of(values, weights if quantity.aggregate == "weighted" else None)
        trials = found.denominators if weights is None else np.array([weights[clip] for clip in found.clips])
        low, high = quantity.interval
        return replace(
            found,
            trials=trials,
            median=quantity.is_shift,
            rate=quantity.is_error_rate,
            share=(low, high) == (0, 1) and found.plain and bool(np.isin(found.numerators, (0.0, 1.0)).all()),
        )

    def grouped(self, by: Grouping | None) -> "Sample":
        """The same clips, drawn and tested by group. Clips of a single group stand for themselves."""
        if by is None:
            return self
        groups = tuple(by.groups.get(clip, f"clip {clip}") for clip in self.clips)
        return replace(self, groups=groups, unit=by.unit) if len(set(groups)) > 1 else self

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def units(self) -> int:
        """How many things are drawn: groups, or clips."""
        return len(self) if self.groups is None else len(set(self.groups))

    @property
    def described(self) -> str:
        """``96 clips of 40 speakers``, or ``96 clips``."""
        clips = f"{len(self)} clip" + "s" * (len(self) != 1)
        return clips if self.groups is None else f"{clips} of {self.units} {self.unit}"

    @property
    def plain(self) -> bool:
        """Whether the set value is the plain mean of the clips."""
        return bool((self.denominators == 1.0).all())

    @property
    def value(self) -> float:
        """The set value. Raises Unscorable without clips, or where all weights are zero."""
        total = float(self.denominators.sum())
        if not total:
            raise Unscorable("all weights are zero" if self.clips else "there are no scored clips")
        return float(np.median(self.numerators)) if self.median else float(self.numerators.sum()) / total

    @property
    def pseudo_values(self) -> np.ndarray:
        """(n,): values whose plain mean is the set value, and whose scatter is that of the set value to first order."""
        value = self.value
        return value + (self.numerators - value * self.denominators) / self.denominators.mean()

    @property
    def faultless(self) -> bool:
        """A rate without a single error."""
        return self.rate and not self.numerators.any()

    @property
    def membership(self) -> np.ndarray:
        """(n,) int: number of each clip's group, groups in the order of their names."""
        if self.groups is None:
            return np.arange(len(self))
        return np.unique(self.groups, return_inverse=True)[1]

    def by_group(self) -> "Sample":
        """Groups as if they were clips, with the sums of their parts: the set value is the same. Not of a median."""
        if self.groups is None:
            return self
        members = self.membership
        numerators, denominators, trials = (
            np.bincount(members, part).astype(np.float64)
            for part in (self.numerators, self.denominators, self.trials)
        )  # fmt: skip
        return Sample(tuple(sorted(set(self.groups))), numerators, denominators, trials, rate=self.rate)

    def on(self, clips: Iterable[str]) -> "Sample":
        """The part with some of the clips. Raises KeyError for a clip that is not here."""
        position = {clip: index for index, clip in enumerate(self.clips)}
        chosen = tuple(sorted(clips))
        index = np.array([position[clip] for clip in chosen], dtype=np.intp)
        groups = None if self.groups is None else tuple(self.groups[place] for place in index)
        return replace(
            self, clips=chosen, numerators=self.numerators[index], denominators=self.denominators[index],
            trials=self.trials[index],
            groups=groups if groups and len(set(groups)) > 1 else None,
        )  # fmt: skip
