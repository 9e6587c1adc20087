"""What a quantity does as a damage grows, and whether that is what its metric claims.

Of each grade the change of the set value from the undamaged clips is taken on the clips that have a score in both, with
the standard error of the clips' paired differences (of pseudo-values for ratios and distances between sets). A quantity
*moves* where the change is more than that error allows (Student's t, 5 % on either side), or so many clips go that way
that a sign test says so at the same level (five of five, seven of eight), which bears clips that differ much in how far
they go; and where it would show in the decimals that tables print. Its *direction* is that of the strongest grade at
which it moves. A step back, from one grade to the next, is judged in the same way.
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import scipy

from t2av_bench.errors import Unscorable
from t2av_bench.metrics.base import Response
from t2av_bench.results.recorded import QuantityRecord
from t2av_bench.results.run import RunResult
from t2av_bench.scores import Quantity
from t2av_bench.statistics.paired import untested_difference
from t2av_bench.statistics.samples import Grouping, Sample

LEVEL = 0.95
"""One-sided: a claim says which way."""
SMALL = 0.2
"""A change below this share of the undamaged clips' standard deviation is small (Cohen 1988): ``same`` allows it."""

Verdict = Literal["right", "not monotone", "blind", "wrong", "observed", "unmeasured"]
Direction = Literal["up", "down", "same", "both"]
"""``both``: it moves, and steps back. Of grades without an order: it moves up at one and down at another."""


@dataclass(frozen=True, slots=True)
class Change:
    """What one grade does to a quantity over the set.

    control, value: of the undamaged and the damaged clips, on those that have both. error: standard error of the
    change. moved: whether it is more than that. scored, total: clips with both, and clips that there are; reasons: why
    the others have none -> how many. Without two clips there is no error, and control, value and error are None.
    """

    grade: float | str
    scored: int
    total: int
    reasons: Mapping[str, int] = field(default_factory=dict)
    control: float | None = None
    value: float | None = None
    change: float = 0.0
    error: float | None = None
    moved: bool = False

    @property
    def sign(self) -> int:
        return int(math.copysign(1, self.change)) if self.moved else 0


@dataclass(frozen=True, slots=True)
class Cell:
    """A quantity under a damage. claim: how it must move, None where its metric claims nothing.

    verdict: ``right``; ``not monotone`` (it ends as claimed, and steps back on the way); ``blind`` (it claims to move
    and does not); ``wrong`` (it moves the other way, or it moves and claims not to); ``observed`` without a claim;
    ``unmeasured`` where no grade has two clips.
    """

    metric: str
    quantity: Quantity
    damage: str
    claim: Response | None
    verdict: Verdict
    direction: Direction
    changes: tuple[Change, ...]

    @property
    def failed(self) -> bool:
        return self.verdict in ("wrong", "blind")

    @property
    def scored(self) -> int:
        """Clips of the grade that has fewest."""
        return min(change.scored for change in self.changes)

    def as_dict(self) -> dict[str, Any]:
        return {
            "metric": self.metric, "quantity": self.quantity.name, "damage": self.damage, "claim": self.claim,
            "verdict": self.verdict, "direction": self.direction, "grades": [asdict(each) for each in self.changes],
        }  # fmt: skip


def judge(
    key: tuple[str, str], damage: str, claim: Response | None, ordered: bool, control: RunResult,
    damaged: Mapping[float | str, RunResult],
) -> Cell:  # fmt: skip
    """One quantity under one damage. damaged: grade -> its run, from weak to strong where they are ``ordered``."""
    records = [run.records[key] for run in (control, *damaged.values())]
    total, by = len(control.clips), control.groups
    changes = [_change(grade, records[0], after, total, by) for grade, after in zip(damaged, records[1:], strict=True)]
    signs = [change.sign for change in changes if change.sign]
    last = signs[-1] if signs else 0
    back = -last in signs
    if ordered and last:
        steps = [_change("", *pair, total, by).sign for pair in pairwise(records)]
        back = -last in steps
    direction: Direction = "same" if not last else "both" if back else "up" if last > 0 else "down"
    verdict: Verdict = "observed"
    if all(change.error is None for change in changes):
        verdict = "unmeasured"
    elif claim == "same":
        verdict = "wrong" if any(_matters(change, records[0]) for change in changes) else "right"
    elif claim is not None:
        if not last:
            verdict = "blind"
        elif (last > 0) != (claim == "up"):
            verdict = "wrong"
        else:
            verdict = "not monotone" if back else "right"
    return Cell(key[0], records[0].quantity, damage, claim, verdict, direction, tuple(changes))


def _change(
    grade: float | str, before: QuantityRecord, after: QuantityRecord, total: int, by: Grouping | None
) -> Change:
    common = sorted(set(before.scored) & set(after.scored))
    missing = {clip: f"undamaged: {reason}" for clip, (_, reason) in before.missing.items()}
    missing = {clip: reason for clip, (_, reason) in after.missing.items()} | missing
    reasons = dict(Counter(missing.values()))
    if len(common) >= 2:
        try:
            first, second = (record.sample(common).grouped(by) for record in (before, after))
            found = untested_difference(first, second)
        except Unscorable as why:
            reasons = {str(why): total}
        else:
            error = found.deviation / math.sqrt(found.clips)
            clear = abs(found.value) > scipy.stats.t.ppf(LEVEL, (found.units or found.clips) - 1) * error
            shows = abs(found.value) >= 0.5 * 10.0**-before.quantity.decimals
            moved = shows and bool(clear or _one_way(first, second, found.value))
            return Change(
                grade, len(common), total, reasons, found.first, found.second, found.value, error, moved
            )  # fmt: skip
    return Change(grade, len(common), total, reasons)


def _one_way(before: Sample, after: Sample, change: float) -> bool:
    """Whether more clips go the way of the change than chance would have; not of groups and distances between sets."""
    if before.groups is not None or not len(before):
        return False
    signs = np.sign(after.numerators * before.denominators - before.numerators * after.denominators)
    with_it, moving = int((signs == math.copysign(1, change)).sum()), int(np.count_nonzero(signs))
    return moving > 0 and scipy.stats.binomtest(with_it, moving, alternative="greater").pvalue <= 1 - LEVEL


def _matters(change: Change, control: QuantityRecord) -> bool:
    """Whether a change is both clear and large, measured by how much undamaged clips differ among each other."""
    if not change.moved:
        return False
    scatter = float(np.std(control.sample(control.scored).pseudo_values, ddof=1))
    return abs(change.change) > SMALL * scatter


def cells(
    control: RunResult, damaged: Mapping[str, Mapping[float | str, RunResult]], ordered: Mapping[str, bool],
    claims: Mapping[str, Mapping[str, Mapping[str, Response]]],
) -> list[Cell]:  # fmt: skip
    """Every quantity of the metrics under every damage.

    damaged: damage -> grade -> run. ordered: damage -> whether its grades are. claims: metric id -> its ``validity``; a
    folder that was continued may hold metrics that nobody asked for now.
    """
    return [
        judge(key, damage, claims[key[0]].get(key[1], {}).get(damage), ordered[damage], control, runs)
        for key in control.records if key[0] in claims for damage, runs in damaged.items()
    ]  # fmt: skip
