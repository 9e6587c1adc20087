"""Agreement of two sides on pairs of clips: pairwise accuracy and Kendall's tau-b, with intervals over items.

accuracy: of the pairs that people decided and the metric judges, those in which both prefer the same clip; a tie of the
metric counts half. tau: Kendall's tau-b over pairs that both judge, people's ties included,

    Σ people · metric / √(Σ people² · Σ metric²),

which is the usual one where all pairs of some clips are compared (Kendall 1945), and needs no complete ranking. Sums go
over all items (or systems): an item with more decided pairs counts more.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial, reduce
from typing import Any

import numpy as np

from t2av_bench.errors import Unscorable
from t2av_bench.statistics.intervals import LEAST_CLIPS, LEAST_UNITS, LEVEL, Interval, bootstrap, exact_share
from t2av_bench.statistics.seeding import generator

RIGHT, DECIDED, PRODUCT, PEOPLE, METRIC = range(5)


@dataclass(frozen=True, slots=True)
class _Formula:
    """parts: which sums of ``parts`` it looks at. of: these (n, ...) -> (...), NaN where it has no value.

    name: for the seed. ends: what it cannot leave. without: why there is no value.
    """

    name: str
    parts: list[int]
    of: Callable[[np.ndarray], np.ndarray]
    ends: tuple[float, float]
    without: str


_ACCURACY = _Formula("accuracy", [RIGHT, DECIDED], lambda sums: sums[0] / sums[1], (0, 1),
                     "people decided no pair that it judges")  # fmt: skip
_TAU = _Formula("tau", [PRODUCT, PEOPLE, METRIC], lambda sums: sums[0] / np.sqrt(sums[1] * sums[2]), (-1, 1),
                "one side ties all pairs, or there is none")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its 95 % interval, or the reason why there is none of either."""

    value: float | None
    interval: Interval | None = None
    reason: str | None = None

    def as_dict(self) -> dict[str, Any]:
        return {"value": self.value, "interval": asdict(self.interval) if self.interval else None,
                "reason": self.reason}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Agreement:
    """accuracy: 0 to 1; tau: −1 to 1.

    judged: pairs that people decided and the metric judges, of ``decided`` that people decided, of ``compared`` that
    they voted on. ties: of the metric, among the judged. items: those with a judged pair.
    """

    accuracy: Estimate
    tau: Estimate
    judged: int
    decided: int
    compared: int
    ties: int
    items: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"accuracy": self.accuracy.as_dict(), "tau": self.tau.as_dict()}


def parts(people: np.ndarray, metric: np.ndarray) -> np.ndarray:
    """Signs of pairs (...) -> (5, ...): what RIGHT, DECIDED, PRODUCT, PEOPLE and METRIC are sums of; 0 for no pair."""
    both = ~(np.isnan(people) | np.isnan(metric))
    h, m = np.where(both, people, 0.0), np.where(both, metric, 0.0)
    decided = h != 0
    right = decided * np.where(m == 0, 0.5, h == m)
    return np.stack([right * both, decided.astype(np.float64), h * m, h * h, m * m])


def within_items(people: np.ndarray, metric: np.ndarray, items: Sequence[str], *context: str) -> Agreement:
    """Signs (items, systems, systems) of both sides. context: for the seed, with the items' names."""
    h, m = _upper(people), _upper(metric)
    sums = parts(h, m).sum(-1)  # (5, items)
    counts = _counts(h, m, (sums[DECIDED] > 0).sum())
    clips = _clips(people, metric)
    used = np.flatnonzero(sums[PEOPLE] + sums[METRIC] > 0)

    def interval(formula: _Formula, drawn: np.ndarray) -> Interval:
        _enough(clips, len(drawn))
        mine = sums[formula.parts][:, drawn]
        return _interval(lambda index: formula.of(mine[:, index].sum(-1)), len(drawn), items, formula.name, *context)

    total, decided = sums.sum(-1), np.flatnonzero(sums[DECIDED])
    accuracy, tau = (
        _estimate(formula, total[formula.parts], partial(interval, formula, drawn), len(drawn))
        for formula, drawn in ((_ACCURACY, decided), (_TAU, used))
    )
    return Agreement(accuracy, tau, **counts)


def within_systems(
    people: np.ndarray, metric: np.ndarray, items: Sequence[str], *context: str, intervals: bool = True
) -> Agreement:
    """Signs (systems, items, items) of both sides, summed over the systems."""
    h, m = _upper(people), _upper(metric)
    # (5, items, items), of which every pair stands twice; one system at a time: there may be many items.
    sums = reduce(np.add, map(parts, people, metric)) / 2
    counts = _counts(h, m, (sums[DECIDED].any(-1)).sum())
    drawn = np.flatnonzero((sums[PEOPLE] + sums[METRIC]).any(-1))
    clips = _clips(people, metric)

    def interval(formula: _Formula) -> Interval:
        if not intervals:
            raise Unscorable("none is made for a single system")
        _enough(clips, len(drawn))
        mine = sums[formula.parts][:, drawn[:, None], drawn]

        def statistic(index: np.ndarray) -> np.ndarray:
            times = _times(index, len(drawn))
            return formula.of(np.stack([(times @ part * times).sum(-1) for part in mine]))

        return _interval(statistic, len(drawn), items, f"{formula.name} within", *context)

    total = sums.sum((-2, -1))
    accuracy, tau = (
        _estimate(each, total[each.parts], partial(interval, each)) for each in (_ACCURACY, _TAU)
    )  # fmt: skip
    return Agreement(accuracy, tau, **counts)


def difference(
    people: np.ndarray, metric: np.ndarray, other: np.ndarray, items: Sequence[str], *context: str
) -> tuple[Estimate, int]:
    """Accuracy of ``metric`` minus that of ``other``, within items, on the pairs that both judge; and how many."""
    missing = np.isnan(metric) | np.isnan(other)
    sides = [np.where(missing, np.nan, side) for side in (metric, other)]
    one, two = (parts(_upper(people), _upper(side)).sum(-1) for side in sides)
    drawn = np.flatnonzero(one[DECIDED])
    gains = np.stack([one[RIGHT] - two[RIGHT], one[DECIDED]])
    clips = _clips(people, sides[0])

    def interval() -> Interval:
        _enough(clips, len(drawn))
        if not gains[0].any():
            raise Unscorable("no item tells them apart")
        mine = gains[:, drawn]
        return _interval(lambda index: _ACCURACY.of(mine[:, index].sum(-1)), len(drawn), items, "difference", *context)

    return _estimate(_ACCURACY, gains.sum(-1), interval), int(one[DECIDED].sum())


def _upper(signs: np.ndarray) -> np.ndarray:
    """(n, k, k) -> (n, k (k - 1) / 2): each pair once."""
    return signs[:, *np.triu_indices(signs.shape[-1], 1)]


def _clips(people: np.ndarray, metric: np.ndarray) -> int:
    """How many clips are part of a pair that both judge."""
    return int((~np.isnan(people) & ~np.isnan(metric) & ~np.eye(people.shape[-1], dtype=bool)).any(-1).sum())


def _enough(clips: int, items: int) -> None:
    """Raises Unscorable below the least number of clips or items for any interval."""
    if clips < LEAST_CLIPS or items < LEAST_UNITS:
        raise Unscorable(
            f"{clips} clips of {items} items; an interval needs at least {LEAST_CLIPS} clips of {LEAST_UNITS} items"
        )


def _counts(people: np.ndarray, metric: np.ndarray, items: int) -> dict[str, int]:
    decided = ~np.isnan(people) & (people != 0)
    judged = decided & ~np.isnan(metric)
    return {
        "judged": int(judged.sum()), "decided": int(decided.sum()), "compared": int((~np.isnan(people)).sum()),
        "ties": int((judged & (metric == 0)).sum()), "items": int(items),
    }  # fmt: skip


def _estimate(formula: _Formula, sums: np.ndarray, interval: Callable[[], Interval], items: int = 0) -> Estimate:
    """sums: (n,), those that the formula looks at. items: of how many a value at an end is a share; 0: of none.

    At an end all resamples agree, and the bound is that of a share of the items.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        value = float(formula.of(sums))
    if not np.isfinite(value):
        return Estimate(None, reason=formula.without)
    try:
        found = interval()
    except Unscorable as error:
        return Estimate(value, reason=str(error))
    if found.low == found.high:
        low, high = formula.ends
        if not items or value not in formula.ends:
            return Estimate(value, reason="all resamples agree")
        one, other = exact_share(items if value == high else 0, items)
        found = Interval(low + (high - low) * one, low + (high - low) * other, LEVEL, "Clopper-Pearson over items")
    return Estimate(value, found)


def _interval(
    statistic: Callable[[np.ndarray], np.ndarray], count: int, items: Sequence[str], *context: str
) -> Interval:  # fmt: skip
    found = bootstrap(statistic, count, generator("panel", items, *context))
    if not np.isfinite([found.low, found.high]).all():
        raise Unscorable("too few items have a pair that tells: some resamples hold none")
    return found


def _times(index: np.ndarray, count: int) -> np.ndarray:
    """Indices (..., n) -> how often each is among them (..., count)."""
    flat = index.reshape(-1, index.shape[-1])
    shifted = flat + count * np.arange(len(flat))[:, None]
    found = np.bincount(shifted.ravel(), minlength=count * len(flat)).astype(np.float64)
    return found.reshape(*index.shape[:-1], count)
