"""The regression gate: is a candidate worse than a baseline, and could we have seen it?

Per quantity, with d the candidate's difference in the better direction, m the margin, and on the same clips:

- ``equivalent``: the whole 95 % interval of d lies inside (−m, +m).
- ``worse`` / ``better``: not equivalent, and d differs from 0 by the paired permutation test, after Holm's correction
  for the number of quantities judged. Of a signed shift, worse is further from 0.
- ``undecided``: neither; ``clips_to_decide`` says how many clips would tell.
- ``not judged``: there is no paired difference, for the reason given.

Every verdict says which true difference these clips would have found. Alarms are corrected for their number, because
any one of them fails the gate; equivalence is not, because passing needs all of them (an intersection-union test).
Coverage comes on top: a clip that the baseline scored and the candidate did not is a loss, whatever the means say. See
docs/regression.md for the reasoning.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from t2av_bench.comparison.comparable import NotComparable, choose, item_differences, revision_problem, shared_grouping
from t2av_bench.comparison.margins import DEFAULT_MARGINS, Margin
from t2av_bench.comparison.verdicts import ALPHA, ORDER, Gate, Undecided, Verdict, Word
from t2av_bench.errors import Unscorable
from t2av_bench.results.recorded import QuantityRecord, Recorded
from t2av_bench.scores import Quantity, Status
from t2av_bench.statistics.intervals import LEAST_CLIPS
from t2av_bench.statistics.paired import Difference, paired_difference
from t2av_bench.statistics.permutation import FLIPS, holm
from t2av_bench.statistics.planning import clips_if_it_stays, clips_to_decide
from t2av_bench.statistics.samples import Grouping
from t2av_bench.utils.text import some


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
    gain = differences.gain(quantity.direction)
    if identical and differences.value == 0:
        return "equivalent", None, "the same files"
    enough = differences.clips >= LEAST_CLIPS
    if margin and enough and differences.interval and differences.interval.inside(-margin, margin):
        return "equivalent", None, None
    if p <= alpha and gain != 0:
        return ("better" if gain > 0 else "worse"), None, None
    if p <= alpha and differences.value != 0:
        return "undecided", None, "it has moved, and is as far from 0 as before"
    if margin is None:
        reason = "no margin is declared: only a proven difference can be told"
        needed = clips_if_it_stays(differences.deviation, gain, None, tests=tests, alpha=alpha)
        return "undecided", max(needed, differences.clips + 1) if needed else None, reason
    if margin == 0:
        return "undecided", None, "the margin is a share of the baseline's value, which is 0: declare an absolute one"
    more = differences.clips + 1
    reason = f"{differences.described} cannot tell 0 from a loss of {margin:.3g}"
    if not differences.deviation:
        # Every clip differs alike, or none does: the interval narrows with their number alone.
        width = differences.interval.high - differences.interval.low if differences.interval else 0.0
        return "undecided", max(LEAST_CLIPS, more, int(differences.clips * width / (2 * margin)) + 1), reason
    designed = clips_to_decide(differences.deviation, margin, tests=tests, alpha=alpha)
    as_it_is = clips_if_it_stays(differences.deviation, gain, margin, tests=tests, alpha=alpha) or 0
    return "undecided", max(designed, as_it_is, more, LEAST_CLIPS), reason


def judge(
    found: Sequence[Verdict], margins: Mapping[str, Margin], *, alpha: float = ALPHA, identical: bool = False
) -> list[Verdict]:
    """All quantities together, so that Holm's correction knows their number; worst first.

    found: ``not judged`` yet, with the difference that there is. identical: the systems' files are the same ones.
    """
    tested = [verdict.difference.p for verdict in found if verdict.difference]
    corrected = iter(holm(tested).tolist())
    verdicts = []
    for verdict in found:
        margin, difference = margins.get(verdict.quantity.name), verdict.difference
        verdict = replace(verdict, margin_text=str(margin) if margin else None)
        if difference:
            p, tests = next(corrected), len(tested)
            amount = margin.absolute(difference.first) if margin else None
            word, needed, why = decide(
                verdict.quantity, difference, p, amount, tests=tests, alpha=alpha, identical=identical
            )
            verdict = replace(
                verdict, word=word, p=p, margin=amount, detectable=difference.detectable(alpha=alpha, tests=tests),
                clips_to_decide=needed, reason=why,
            )  # fmt: skip
        verdicts.append(verdict)
    return sorted(verdicts, key=lambda verdict: ORDER.index(verdict.word))


def regress(
    baseline: Recorded,
    candidate: Recorded,
    *,
    margins: Mapping[str, Margin] | None = None,
    quantities: Sequence[str] | None = None,
    waived: Sequence[str] = (),
    alpha: float = ALPHA,
    lost_allowed: int = 0,
    undecided: Undecided = "report",
    grouped: bool = True,
    draws: int = 10_000,
    flips: int = FLIPS,
) -> Gate:
    """Judge a candidate against a baseline. Raises NotComparable where the two must not be compared, with each reason.

    quantities: names of quantities, metrics or families to judge; all of the baseline's by default. waived: those that
    the candidate may lack. grouped: clips of one speaker (or source video) are drawn and tested together; without it
    the answer holds for these speakers alone. draws, flips: of the bootstrap and of the permutation test.
    """
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha is {alpha}; expected a probability such as 0.05")
    keys = choose(baseline.quantities, quantities)
    problems = item_differences(baseline, candidate)
    allowed = set(choose(baseline.quantities, waived)) if waived else set()
    left_out = [key for key in keys if key in allowed and _metric_problems(key[0], [key], baseline, candidate)]
    keys = [key for key in keys if key not in left_out]
    for metric in dict.fromkeys(metric for metric, _ in keys):
        problems += _metric_problems(metric, keys, baseline, candidate)
    if not keys:
        why = (
            "every quantity is waived" if left_out else f"{baseline.path} holds no quantity that can be better or worse"
        )
        problems.append(f"nothing to judge: {why}")
    if problems:
        raise NotComparable(problems)
    margins = DEFAULT_MARGINS if margins is None else margins
    same = all(
        item.generated and item.generated == candidate.items[id].generated for id, item in baseline.items.items()
    )
    by = shared_grouping(baseline, candidate) if grouped else None
    found = []
    for key in keys:
        before, after = baseline.quantities[key], candidate.quantities[key]
        fingerprint = baseline.protocols[key[0]].fingerprint
        difference, reason = _difference(before, after, fingerprint, by, draws, flips)
        found.append(
            Verdict(
                key[0], before.quantity, fingerprint, "not judged", difference, reason=reason, lost=before.lost(after),
                empty=not before.scored,
            )
        )  # fmt: skip
    verdicts = judge(found, margins, alpha=alpha, identical=same)
    notes = _notes(baseline, candidate, keys, left_out, by)
    mine = {each.quantity.name: each.quantity.label for each in verdicts}
    raised = [f"{label} {margin} ({margin.raised})" for name, label in mine.items()
              if (margin := margins.get(name)) and margin.raised]  # fmt: skip
    if raised:
        notes.append(
            "Margins raised from the default (in brackets) to what encoding alone makes, by the error budget: "
            f"{', '.join(raised)}."
        )
    return Gate(
        baseline.name, candidate.name, len(baseline.items), tuple(verdicts), tuple(notes), alpha, lost_allowed,
        undecided,
    )  # fmt: skip


def _notes(
    baseline: Recorded, candidate: Recorded, keys: Sequence[tuple[str, str]], left_out: Sequence[tuple[str, str]],
    by: Grouping | None,
) -> list[str]:  # fmt: skip
    notes = [f"Waived, for the candidate lacks them: {', '.join(name for _, name in left_out)}."] if left_out else []
    if by:
        count = len(set(by.groups.values()))
        notes.append(
            f"{len(by.groups)} clips of {count} {by.unit}, which are drawn and tested as a whole." if count > 1
            else f"All {len(by.groups)} clips are of one group ({by.unit}): the answer holds for it alone."
        )  # fmt: skip
    extra = sorted({metric for metric, _ in candidate.quantities} - {metric for metric, _ in baseline.quantities})
    if extra:
        notes.append(f"The candidate alone was also scored by {', '.join(extra)}: not judged.")
    for key in keys:
        more = sorted(set(candidate.quantities[key].scored) - set(baseline.quantities[key].scored))
        if more:
            notes.append(f"{key[1]}: the candidate scored {len(more)} clips that the baseline failed on: {some(more)}.")
    return notes


def _metric_problems(
    metric: str, keys: Sequence[tuple[str, str]], baseline: Recorded, candidate: Recorded
) -> list[str]:
    keys = [key for key in keys if key[0] == metric]
    if not keys:
        return []
    if metric not in candidate.protocols:
        return [
            f"{candidate.path} was not scored by {metric}: evaluate it with --metrics …,{metric}, or leave it out on "
            f"purpose with --waive {metric}"
        ]
    if problem := revision_problem(metric, baseline, candidate):
        return [problem]
    problems = []
    for key in keys:
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
    before: QuantityRecord, after: QuantityRecord, fingerprint: str, by: Grouping | None, draws: int, flips: int
) -> tuple[Difference | None, str | None]:
    """The paired difference on the clips that both scored, or why there is none."""
    common = sorted(set(before.scored) & set(after.scored))
    try:
        if not before.scored:
            raise Unscorable(f"the baseline has no value ({before.reason or 'no clip was scored'})")
        if len(common) < LEAST_CLIPS:
            counted = f"{len(common)} clip{'s' * (len(common) != 1)}" if common else "no clip"
            raise Unscorable(f"scored on both sides: {counted}; the gate judges {LEAST_CLIPS} or more")
        samples = [record.sample(common).grouped(by) for record in (before, after)]
        found = paired_difference(samples[0], samples[1], before.name, fingerprint, draws=draws, flips=flips)
    except Unscorable as error:
        return None, str(error)
    return (found, None) if np.isfinite(found.value) else (None, "the difference is not finite")
