"""Two systems on the same clips: the difference, its interval, its p-value, and what could have been seen."""

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import scipy

from t2av_bench.errors import Unscorable
from t2av_bench.statistics.components import median_deviation
from t2av_bench.statistics.intervals import (
    DRAWS,
    LEVEL,
    Drawn,
    Interval,
    Statistic,
    bootstraps,
    check_enough,
    median_interval,
)
from t2av_bench.statistics.permutation import FLIPS, sign_flip_p, swap_ps
from t2av_bench.statistics.planning import difference_found
from t2av_bench.statistics.samples import Sample
from t2av_bench.statistics.seeding import generator

POWER = 0.8


@dataclass(frozen=True, slots=True)
class Difference:
    """Second minus first, on the clips that both scored.

    first, second: set values on those clips. deviation: SD over clips of the difference (of pseudo-values for ratios
    and distances between sets; where clips belong to groups, the SD that as many independent clips would have), whence
    the number of clips that a decision needs. interval: None for too few clips, see ``intervals.check_enough``. p:
    two-sided, not corrected for other tests. shift: of signed shifts, the median of the clips' differences, which need
    not be the difference of the medians. units: groups of clips, or clips. trials: clips or words of a share or rate
    whose difference only exact counts can bound, else None.
    """

    first: float
    second: float
    clips: int
    deviation: float
    interval: Interval | None
    p: float
    shift: float | None = None
    units: int | None = None
    unit: str = "clips"
    trials: float | None = None

    @property
    def value(self) -> float:
        return self.second - self.first if self.shift is None else self.shift

    @property
    def described(self) -> str:
        clips = f"{self.clips} clip" + "s" * (self.clips != 1)
        return clips if self.units in (None, self.clips) else f"{clips} of {self.units} {self.unit}"

    def gain(self, direction: str) -> float:
        """The difference with the better direction as positive; a shift (``none``) gains by coming nearer to 0."""
        if direction == "none":
            return abs(self.first) - abs(self.first + self.value)
        return self.value if direction == "higher" else -self.value

    def detectable(self, *, alpha: float = 0.05, tests: int = 1) -> float | None:
        """The true difference that these clips find with 80 % probability, at level α among so many tests.

        None where no difference could be: too few units for any sign pattern to be rare enough.
        """
        units = self.units or self.clips
        needed = 1 + math.ceil(math.log2(tests / alpha))  # 2^(1-k) <= α/tests: units that must all point one way
        z = scipy.stats.norm.ppf(1 - alpha / tests / 2)
        if units < needed or units <= z * z / 2:
            return None
        deviation = self.deviation * math.sqrt(units / self.clips)
        found = difference_found(deviation, units, alpha=alpha / tests, power=POWER) if deviation else 0.0
        if self.shift is not None:
            return max(found, 1.0)  # offsets are whole frames
        if self.trials:
            # Of clips that are in or out, or of words that are right or wrong, so many must change sides.
            found = max(found, float(scipy.stats.beta.ppf(POWER, needed, max(1.0, self.trials - needed + 1))))
        return found

    def as_dict(self) -> dict[str, Any]:
        return {
            "first": self.first, "second": self.second, "difference": self.value, "clips": self.clips,
            "units": self.units or self.clips, "unit": self.unit, "deviation": self.deviation,
            "interval": asdict(self.interval) if self.interval else None, "p": self.p,
        }  # fmt: skip


ROW = {"first": "float64", "second": "float64", "difference": "float64", "low": "float64", "high": "float64"}


def as_row(found: Difference | None) -> dict[str, Any]:
    """A difference, or that there is none, in the columns ``ROW`` of a DataFrame, and its ``clips``."""
    if found is None:
        return {name: None for name in ROW} | {"clips": 0}
    ends = found.interval
    return {
        "first": found.first, "second": found.second, "difference": found.value, "low": ends.low if ends else None,
        "high": ends.high if ends else None, "clips": found.clips,
    }  # fmt: skip


def paired_difference(
    first: Sample, second: Sample, *context: str, draws: int = DRAWS, flips: int = FLIPS
) -> Difference:
    """Compare two systems on the clips that both scored; groups (of the first sample) are drawn and swapped whole.

    context: quantity and protocol fingerprint, for the seed. Raises Unscorable where they share no clip or no weight.
    """
    (found,) = paired_differences([(first, second)], *context, draws=draws, flips=flips)
    if isinstance(found, Unscorable):
        raise found
    return found


def paired_differences(
    pairs: Sequence[tuple[Sample, Sample]], *context: str, draws: int = DRAWS, flips: int = FLIPS
) -> list[Difference | Unscorable]:
    """``paired_difference`` of several pairs of one quantity, or why there is none.

    Pairs that share the same clips share what is drawn of them, which is what takes long.
    """
    found: list[Difference | Unscorable] = []
    matched: dict[int, tuple[Sample, Sample]] = {}
    together: dict[tuple[tuple[str, ...], int], list[int]] = {}
    for place, (first, second) in enumerate(pairs):
        common = sorted(set(first.clips) & set(second.clips))
        try:
            if not common:
                raise Unscorable("no clip was scored on both sides")
            first, second = first.on(common), second.on(common)
            second = replace(second, groups=first.groups, unit=first.unit)
            untested = untested_difference(first, second)
        except Unscorable as error:
            found.append(error)
            continue
        matched[place] = first, second
        interval = None
        with suppress(Unscorable):
            check_enough(first)
            unchanged = np.array_equal(first.numerators, second.numerators)
            if first.median:
                change = replace(first, numerators=second.numerators - first.numerators)
                interval = median_interval(change, generator("paired interval", common, *context), draws=draws)
            elif untested.trials is not None and (first.groups is None or unchanged):
                interval = _matched(first, second, untested.trials)
            else:
                together.setdefault((first.clips, first.units), []).append(place)
        found.append(replace(untested, interval=interval))
    ends: dict[int, Interval] = {}
    for (clips, units), places in together.items():
        random = generator("paired interval", clips, *context)
        statistics = [_difference_of(*matched[place]) for place in places]
        ends |= zip(places, bootstraps(statistics, units, random, draws=draws), strict=True)
    p_values = dict(zip(matched, paired_ps(list(matched.values()), *context, flips=flips), strict=True))
    return [
        each if isinstance(each, Unscorable)
        else replace(each, interval=ends.get(place, each.interval), p=p_values[place])
        for place, each in enumerate(found)
    ]  # fmt: skip


def paired_detectable(first: Sample, second: Sample, *, tests: int = 1) -> float | None:
    """``Difference.detectable`` alone; both samples cover the same clips."""
    return untested_difference(first, replace(second, groups=first.groups, unit=first.unit)).detectable(tests=tests)


def untested_difference(first: Sample, second: Sample) -> Difference:
    """``paired_difference`` of samples of the same clips, without what needs draws: its interval, its p-value (1 here).

    Of signed shifts it is the median of the clips' differences: a few clips whose shift is arbitrary do not move it.
    """
    exact = (first.share and second.share) or (first.rate and np.array_equal(first.numerators, second.numerators))
    trials = float(first.trials.sum() + second.trials.sum()) / 2 if exact else None
    if first.median:
        change = second.numerators - first.numerators
        shift = float(np.median(change))
        deviation = median_deviation(change)
    else:
        shift = None
        scatter = second.by_group().pseudo_values - first.by_group().pseudo_values
        deviation = float(np.std(scatter, ddof=1)) * math.sqrt(len(first) / len(scatter)) if len(scatter) > 1 else 0.0
    return Difference(
        first.value, second.value, len(first), deviation, None, 1.0, shift, first.units, first.unit, trials
    )


def paired_p(first: Sample, second: Sample, *context: str, flips: int = FLIPS) -> float:
    """The two-sided p-value of ``paired_difference`` alone; both samples cover the same clips.

    Of signed shifts by the signs of Wilcoxon's ranks; a clip that did not move counts for none (Pratt 1959).
    """
    return paired_ps([(first, second)], *context, flips=flips)[0]


def paired_ps(pairs: Sequence[tuple[Sample, Sample]], *context: str, flips: int = FLIPS) -> list[float]:
    """``paired_p`` of several pairs of one quantity, in order; pairs of the same clips share their patterns."""
    found: dict[int, float] = {}
    swapped: dict[int, tuple[Sample, Sample]] = {}
    for place, (first, second) in enumerate(pairs):
        second = replace(second, groups=first.groups, unit=first.unit)
        if first.median:
            change = second.numerators - first.numerators
            signed = np.bincount(first.membership, np.sign(change) * scipy.stats.rankdata(np.abs(change)))
            found[place] = float(sign_flip_p(signed, generator("swap", first.clips, *context), flips=flips))
        elif first.share and second.share and first.groups is None:
            found[place] = _mcnemar_p(first, second)
        else:
            swapped[place] = first.by_group(), second.by_group()
    found |= zip(swapped, swap_ps(list(swapped.values()), *context, flips=flips), strict=True)
    return [found[place] for place in range(len(pairs))]


def _difference_of(first: Sample, second: Sample) -> Statistic:
    """The difference of two samples as a statistic of drawn units."""
    first, second = first.by_group(), second.by_group()
    if first.plain and second.plain:
        differences = second.numerators - first.numerators
        return lambda drawn: drawn(differences).mean(-1)

    def statistic(drawn: Drawn) -> np.ndarray:
        ratios = [drawn(side.numerators).sum(-1) / drawn(side.denominators).sum(-1) for side in (first, second)]
        return ratios[1] - ratios[0]

    return statistic


def _matched(first: Sample, second: Sample, trials: float) -> Interval:
    """Of a difference of shares of the same clips (or of words, none of which changed): Bonett & Price 2012.

    Adding one clip to each kind of change gives a width where none changed, about ±2.8 / n.
    """
    change = second.numerators - first.numerators
    gained, lost = ((float(np.sum(np.maximum(sign * change, 0.0))) + 1) / (trials + 2) for sign in (1, -1))
    centre = gained - lost
    reach = scipy.stats.norm.ppf((1 + LEVEL) / 2) * math.sqrt((gained + lost - centre**2) / (trials + 2))
    return Interval(max(-1.0, centre - reach), min(1.0, centre + reach), method="Bonett-Price")


def _mcnemar_p(first: Sample, second: Sample) -> float:
    """Exact: of the clips that changed sides, as many should have gone either way."""
    change = second.numerators - first.numerators
    changed = int(np.count_nonzero(change))
    return float(scipy.stats.binomtest(int(np.sum(change > 0)), changed).pvalue) if changed else 1.0
