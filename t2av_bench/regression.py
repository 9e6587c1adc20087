"""The regression gate: is a candidate worse than a baseline, and could we have seen it?

Per quantity, with d the candidate's difference in the better direction, m the margin, and on the same clips:

- ``equivalent``: the whole 95 % interval of d lies inside (−m, +m).
- ``worse`` / ``better``: not equivalent, and d differs from 0 by the paired permutation test, after Holm's correction
  for the number of quantities judged.
- ``undecided``: neither; ``clips_to_decide`` says how many clips would tell.
- ``not judged``: there is no paired difference, for the reason given.

Alarms are corrected for their number, because any one of them fails the gate; equivalence is not, because passing
needs all of them (an intersection-union test). Coverage comes on top: a clip that the baseline scored and the
candidate did not is a loss, whatever the means say. See docs/regression.md for the reasoning.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from t2av_bench.baselines_file import QuantityRecord, Recorded
from t2av_bench.comparable import NotComparable, choose, item_differences, protocol_difference
from t2av_bench.items import some
from t2av_bench.margins import DEFAULT_MARGINS, Margin
from t2av_bench.scores import Quantity, Status, Unscorable
from t2av_bench.statistics.paired import Difference, paired_difference
from t2av_bench.statistics.permutation import holm
from t2av_bench.statistics.planning import clips_if_it_stays, clips_to_decide

Word = Literal["worse", "undecided", "not judged", "better", "equivalent"]
ORDER: tuple[Word, ...] = ("worse", "undecided", "not judged", "better", "equivalent")
ALPHA = 0.05
# Fewer clips carry no statement of equivalence: bootstrap intervals of a handful of equal values have no width.
LEAST_EQUIVALENT = 20


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate says of one quantity.

    difference: candidate − baseline (positive is larger, not better), None where nothing could be paired.
    p: corrected for all quantities judged. margin: in the quantity's unit, None where none is declared.
    clips_to_decide: for ``undecided`` only. reason: why it is undecided or not judged. lost: clips that the baseline
    scored and the candidate did not, with the candidate's reasons.
    """

    metric: str
    quantity: Quantity
    fingerprint: str
    word: Word
    difference: Difference | None = None
    p: float | None = None
    margin: float | None = None
    margin_text: str | None = None
    clips_to_decide: int | None = None
    reason: str | None = None
    lost: dict[str, str] = field(default_factory=dict)

    @property
    def gain(self) -> float | None:
        """The difference with the better direction as positive."""
        if self.difference is None:
            return None
        return self.difference.value * (1 if self.quantity.direction == "higher" else -1)

    def as_dict(self) -> dict[str, Any]:
        return {
            "metric": self.metric, "quantity": self.quantity.name, "label": self.quantity.label,
            "direction": self.quantity.direction, "unit": self.quantity.unit, "fingerprint": self.fingerprint,
            "verdict": self.word, **(self.difference.as_dict() if self.difference else {"difference": None}),
            "p_holm": self.p, "margin": self.margin, "margin_declared": self.margin_text,
            "clips_to_decide": self.clips_to_decide, "reason": self.reason, "lost": self.lost,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Gate:
    """The gate's answer. verdicts: worst first. lost_allowed: clips that may be lost. strict: open questions fail."""

    baseline: str
    candidate: str
    items: int
    verdicts: tuple[Verdict, ...]
    notes: tuple[str, ...] = ()
    alpha: float = ALPHA
    lost_allowed: int = 0
    strict: bool = False

    @property
    def lost(self) -> dict[str, str]:
        """Clips that some quantity lost, with the first reason."""
        found: dict[str, str] = {}
        for verdict in self.verdicts:
            for clip, reason in verdict.lost.items():
                found.setdefault(clip, reason)
        return dict(sorted(found.items()))

    @property
    def coverage_regressed(self) -> bool:
        return len(self.lost) > self.lost_allowed

    def fails(self, verdict: Verdict) -> bool:
        """Whether this verdict alone fails the gate."""
        return verdict.word == "worse" or (self.strict and verdict.word in ("undecided", "not judged"))

    @property
    def regressed(self) -> bool:
        return self.coverage_regressed or any(self.fails(verdict) for verdict in self.verdicts)

    def as_dict(self) -> dict[str, Any]:
        return {
            "comparable": True, "regressed": self.regressed, "baseline": self.baseline, "candidate": self.candidate,
            "items": self.items, "alpha": self.alpha, "strict": self.strict,
            "coverage": {"regressed": self.coverage_regressed, "allowed": self.lost_allowed, "lost": self.lost},
            "quantities": [verdict.as_dict() for verdict in self.verdicts], "notes": list(self.notes),
        }  # fmt: skip


def decide(
    quantity: Quantity,
    differences: Difference,
    p: float,
    margin: float | None,
    *,
    tests: int = 1,
    alpha: float = ALPHA,
    identical: bool = False,
) -> tuple[Word, int | None, str | None]:
    """Verdict, clips that would decide, and reason. p: corrected. identical: the systems' files are the same ones."""
    gain = differences.value * (1 if quantity.direction == "higher" else -1)
    enough = differences.clips >= LEAST_EQUIVALENT
    if identical and gain == 0:
        return "equivalent", None, "the same files"
    if margin and enough and differences.interval and differences.interval.inside(-margin, margin):
        return "equivalent", None, None
    if p <= alpha and gain != 0:
        return ("better" if gain > 0 else "worse"), None, None
    if margin is None:
        reason = "no margin is declared: only a proven difference can be told"
        needed = clips_if_it_stays(differences.deviation, gain, None, tests=tests, alpha=alpha)
        return "undecided", max(needed, differences.clips + 1) if needed else None, reason
    if margin == 0:
        return "undecided", None, "the margin is a share of the baseline's value, which is 0: declare an absolute one"
    if not differences.deviation:
        # Every clip differs alike: only their number is missing.
        return "undecided", max(LEAST_EQUIVALENT, differences.clips + 1), f"fewer than {LEAST_EQUIVALENT} clips"
    designed = clips_to_decide(differences.deviation, margin, tests=tests, alpha=alpha)
    as_it_is = clips_if_it_stays(differences.deviation, gain, margin, tests=tests, alpha=alpha) or 0
    needed = max(designed, as_it_is, differences.clips + 1, LEAST_EQUIVALENT)
    return "undecided", needed, f"{differences.clips} clips cannot tell 0 from a loss of {margin:.3g}"


def judge(
    entries: Sequence[tuple[str, Quantity, str, Difference | None, Margin | None, bool, dict[str, str], str | None]],
    *,
    alpha: float = ALPHA,
) -> list[Verdict]:
    """All quantities together, so that Holm's correction knows their number; worst first.

    Each entry: metric, quantity, fingerprint, difference (or None with a reason), margin, whether the files are
    identical, lost clips, reason.
    """
    tested = [entry[3].p for entry in entries if entry[3] is not None]
    corrected = iter(holm(tested).tolist())
    verdicts = []
    for metric, quantity, fingerprint, difference, margin, identical, lost, reason in entries:
        text = str(margin) if margin else None
        if difference is None:
            verdicts.append(
                Verdict(metric, quantity, fingerprint, "not judged", reason=reason, margin_text=text, lost=lost)
            )
            continue
        p = next(corrected)
        amount = margin.absolute(difference.first) if margin else None
        word, needed, why = decide(quantity, difference, p, amount, tests=len(tested), alpha=alpha, identical=identical)
        verdicts.append(Verdict(metric, quantity, fingerprint, word, difference, p, amount, text, needed, why, lost))
    return sorted(verdicts, key=lambda verdict: ORDER.index(verdict.word))


def regress(
    baseline: Recorded,
    candidate: Recorded,
    *,
    margins: Mapping[str, Margin] | None = None,
    quantities: Sequence[str] | None = None,
    alpha: float = ALPHA,
    lost_allowed: int = 0,
    strict: bool = False,
    draws: int = 10_000,
) -> Gate:
    """Judge a candidate against a baseline. Raises NotComparable where the two must not be compared, with each reason.

    quantities: names of quantities, metrics or families to judge; all of the baseline's by default.
    """
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha is {alpha}; expected a probability such as 0.05")
    keys = choose(baseline.quantities, quantities)
    problems = item_differences(baseline, candidate)
    for metric in dict.fromkeys(metric for metric, _ in keys):
        problems += _metric_problems(metric, keys, baseline, candidate)
    if not keys:
        problems.append(f"{baseline.path} holds no quantity with a better direction")
    if problems:
        raise NotComparable(problems)
    margins = DEFAULT_MARGINS if margins is None else margins
    same = all(
        item.generated and item.generated == candidate.items[id].generated for id, item in baseline.items.items()
    )
    entries = []
    for key in keys:
        before, after = baseline.quantities[key], candidate.quantities[key]
        fingerprint = baseline.protocols[key[0]].fingerprint
        lost = {
            clip: after.missing.get(clip, ("", "not measured"))[1] for clip in before.scored
            if clip not in set(after.scored)
        }  # fmt: skip
        difference, reason = _difference(before, after, fingerprint, draws)
        entries.append((key[0], before.quantity, fingerprint, difference, margins.get(key[1]), same, lost, reason))
    extra = sorted({metric for metric, _ in candidate.quantities} - {metric for metric, _ in baseline.quantities})
    notes = [f"The candidate alone was also scored by {', '.join(extra)}: not judged."] if extra else []
    for key in keys:
        more = set(candidate.quantities[key].scored) - set(baseline.quantities[key].scored)
        if more:
            notes.append(f"{key[1]}: the candidate scored {len(more)} clips that the baseline failed on: {some(more)}.")
    return Gate(
        baseline.name, candidate.name, len(baseline.items), tuple(judge(entries, alpha=alpha)), tuple(notes),
        alpha, lost_allowed, strict,
    )  # fmt: skip


def _metric_problems(
    metric: str, keys: Sequence[tuple[str, str]], baseline: Recorded, candidate: Recorded
) -> list[str]:
    if metric not in candidate.protocols:
        return [f"{candidate.path} was not scored by {metric}: evaluate it with --metrics …,{metric}"]
    one, other = baseline.protocols[metric], candidate.protocols[metric]
    if one.fingerprint != other.fingerprint:
        return [
            f"{metric} was measured by another protocol: {one.fingerprint} in {baseline.path}, {other.fingerprint} in "
            f"{candidate.path} ({protocol_difference(one, other)}); measure both alike, or save a new baseline"
        ]
    problems = []
    for key in keys:
        if key[0] != metric:
            continue
        after = candidate.quantities.get(key)
        if after is None:
            problems.append(f"{candidate.path} has no {key[1]} although {metric} was measured")
        elif baseline.quantities[key].scored and not after.scored:
            statuses = {status for status, _ in after.missing.values()}
            if statuses == {str(Status.NOT_APPLICABLE)}:
                reason = next(iter(after.missing.values()))[1]
                problems.append(f"{key[1]} does not apply to any clip of {candidate.path}: {reason}")
    return problems


def _difference(
    before: QuantityRecord, after: QuantityRecord, fingerprint: str, draws: int
) -> tuple[Difference | None, str | None]:
    """The paired difference on the clips that both scored, or why there is none."""
    common = sorted(set(before.scored) & set(after.scored))
    try:
        if not before.scored:
            raise Unscorable(f"the baseline has no value ({before.reason or 'no clip was scored'})")
        if not common:
            raise Unscorable("no clip was scored on both sides")
        found = paired_difference(before.sample(common), after.sample(common), before.name, fingerprint, draws=draws)
    except Unscorable as error:
        return None, str(error)
    return (found, None) if np.isfinite(found.value) else (None, "the difference is not finite")
