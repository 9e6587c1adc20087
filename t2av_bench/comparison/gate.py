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

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from t2av_bench.comparison.comparable import NotComparable, choose, item_differences, revision_problem, shared_grouping
from t2av_bench.comparison.margins import DEFAULT_MARGINS, Margin
from t2av_bench.comparison.verdicts import ALPHA, ORDER, Gate, Undecided, Verdict, Word
from t2av_bench.errors import Unscorable
from t2av_bench.results.recorded import QuantityRecord, Recorded
from t2av_bench.scores import Quantity, Status
from t2av_bench.statistics.intervals import LEAST_CLIPS
from t2av_bench.statistics.paired import Difference, paired_differences
from t2av_bench.statistics.permutation import FLIPS, holm
from t2av_bench.statistics.planning import clips_if_it_stays, clips_to_decide
from t2av_bench.statistics.samples import Grouping, Sample
from t2av_bench.utils.text import counted, some

Key = tuple[str, str]
"""(metric id, quantity name)."""


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


@dataclass(frozen=True, slots=True)
class Pair:
    """Two systems that the gate is asked about, with the margins by name of a quantity."""

    baseline: Recorded
    candidate: Recorded
    margins: Mapping[str, Margin] = field(default_factory=lambda: DEFAULT_MARGINS)


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
    pair = Pair(baseline, candidate, DEFAULT_MARGINS if margins is None else margins)
    keys = choose(baseline.quantities, quantities)
    allowed = choose(baseline.quantities, waived) if waived else ()
    (found,) = regress_all(
        [pair], [keys], waived=allowed, alpha=alpha, lost_allowed=lost_allowed, undecided=undecided, grouped=grouped,
        draws=draws, flips=flips,
    )  # fmt: skip
    if isinstance(found, NotComparable):
        raise found
    return found


def regress_all(
    pairs: Sequence[Pair],
    keys: Sequence[Sequence[Key]],
    *,
    waived: Collection[Key] = (),
    alpha: float = ALPHA,
    lost_allowed: int = 0,
    undecided: Undecided = "report",
    grouped: bool = True,
    draws: int = 10_000,
    flips: int = FLIPS,
) -> list[Gate | NotComparable]:
    """``regress`` of several pairs, each as if it were the only one; keys: of each baseline, the quantities to judge.

    Pairs that share clips and protocols share what is drawn of them, which is what takes long.
    """
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha is {alpha}; expected a probability such as 0.05")
    asked = [_Asked.of(pair, mine, waived, grouped) for pair, mine in zip(pairs, keys, strict=True)]
    differences = _differences(asked, draws, flips)
    return [
        NotComparable(each.problems) if each.problems else each.gate(found, alpha, lost_allowed, undecided)
        for each, found in zip(asked, differences, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A pair with the quantities that can be judged, or what stands against judging any. by: what groups its clips."""

    pair: Pair
    keys: list[Key]
    left_out: list[Key]
    problems: list[str]
    by: Grouping | None

    @classmethod
    def of(cls, pair: Pair, keys: Sequence[Key], waived: Collection[Key], grouped: bool) -> "_Asked":
        baseline, candidate = pair.baseline, pair.candidate
        problems = item_differences(baseline, candidate)
        left_out = [key for key in keys if key in waived and metric_problems(key[0], [key], baseline, candidate)]
        keys = [key for key in keys if key not in left_out]
        for metric in dict.fromkeys(metric for metric, _ in keys):
            problems += metric_problems(metric, keys, baseline, candidate)
        if not keys:
            why = (
                "every quantity is waived" if left_out
                else f"{baseline.path} holds no quantity that can be better or worse"
            )  # fmt: skip
            problems.append(f"nothing to judge: {why}")
        return cls(pair, keys, left_out, problems, shared_grouping(baseline, candidate) if grouped else None)

    def gate(
        self, differences: Mapping[Key, Difference | str], alpha: float, lost_allowed: int, undecided: Undecided
    ) -> Gate:  # fmt: skip
        baseline, candidate, margins = self.pair.baseline, self.pair.candidate, self.pair.margins
        found = []
        for key in self.keys:
            before, difference = baseline.quantities[key], differences[key]
            reason = difference if isinstance(difference, str) else None
            found.append(
                Verdict(
                    key[0], before.quantity, baseline.protocols[key[0]].fingerprint, "not judged",
                    None if isinstance(difference, str) else difference, reason=reason,
                    lost=before.lost(candidate.quantities[key]), empty=not before.scored,
                )
            )  # fmt: skip
        same = all(
            item.generated and item.generated == candidate.items[id].generated for id, item in baseline.items.items()
        )
        verdicts = judge(found, margins, alpha=alpha, identical=same)
        notes = _notes(baseline, candidate, self.keys, self.left_out, self.by)
        notes += raised_note(margins, {each.quantity.name: each.quantity.label for each in verdicts})
        return Gate(
            baseline.name, candidate.name, len(baseline.items), tuple(verdicts), tuple(notes), alpha, lost_allowed,
            undecided,
        )  # fmt: skip


def _differences(asked: Sequence[_Asked], draws: int, flips: int) -> list[dict[Key, Difference | str]]:
    """Of each pair, every quantity's paired difference on the clips that both scored, or why there is none."""
    found: list[dict[Key, Difference | str]] = [{} for _ in asked]
    together: dict[tuple[str, str], list[tuple[int, Key, tuple[Sample, Sample]]]] = {}
    for place, each in enumerate(asked):
        for key in () if each.problems else each.keys:
            before, after = each.pair.baseline.quantities[key], each.pair.candidate.quantities[key]
            try:
                samples = _samples(before, after, each.by)
            except Unscorable as error:
                found[place][key] = str(error)
            else:
                context = before.name, each.pair.baseline.protocols[key[0]].fingerprint
                together.setdefault(context, []).append((place, key, samples))
    for context, mine in together.items():
        differences = paired_differences([samples for *_, samples in mine], *context, draws=draws, flips=flips)
        for (place, key, _), difference in zip(mine, differences, strict=True):
            if isinstance(difference, Unscorable):
                found[place][key] = str(difference)
            else:
                finite = np.isfinite(difference.value)
                found[place][key] = difference if finite else "the difference is not finite"
    return found


def _samples(before: QuantityRecord, after: QuantityRecord, by: Grouping | None) -> tuple[Sample, Sample]:
    """Both systems on the clips that both scored. Raises Unscorable where there are too few, or none."""
    common = sorted(set(before.scored) & set(after.scored))
    if not before.scored:
        raise Unscorable(f"the baseline has no value ({before.reason or 'no clip was scored'})")
    if len(common) < LEAST_CLIPS:
        found = counted(len(common)) if common else "no clip"
        raise Unscorable(f"scored on both sides: {found}; the gate judges {LEAST_CLIPS} or more")
    return before.sample(common).grouped(by), after.sample(common).grouped(by)


def _notes(
    baseline: Recorded, candidate: Recorded, keys: Sequence[Key], left_out: Sequence[Key], by: Grouping | None
) -> list[str]:  # fmt: skip
    notes = [f"Waived, for the candidate lacks them: {', '.join(name for _, name in left_out)}."] if left_out else []
    notes += group_note(by)
    extra = sorted({metric for metric, _ in candidate.quantities} - {metric for metric, _ in baseline.quantities})
    if extra:
        notes.append(f"The candidate alone was also scored by {', '.join(extra)}: not judged.")
    for key in keys:
        more = sorted(set(candidate.quantities[key].scored) - set(baseline.quantities[key].scored))
        if more:
            notes.append(f"{key[1]}: the candidate scored {len(more)} clips that the baseline failed on: {some(more)}.")
    return notes


def group_note(by: Grouping | None) -> list[str]:
    """A sentence on what is drawn and tested, where that is not the clips."""
    if by is None:
        return []
    clips, count = len(by.groups), len(set(by.groups.values()))
    if count > 1:
        return [f"{clips} clips of {count} {by.unit}, which are drawn and tested as a whole."]
    return [f"All {clips} clips are of one group ({by.unit}): the answer holds for it alone."]


def raised_note(margins: Mapping[str, Margin], labels: Mapping[str, str]) -> list[str]:
    """A sentence on margins that an error budget raised. labels: quantity -> what a reader sees."""
    raised = [
        f"{label} {margin} ({margin.raised})" for name, label in labels.items()
        if (margin := margins.get(name)) and margin.raised
    ]  # fmt: skip
    if not raised:
        return []
    return [
        "Margins raised from the default (in brackets) to what encoding alone makes, by the error budget: "
        f"{', '.join(raised)}."
    ]


def metric_problems(
    metric: str, keys: Sequence[Key], baseline: Recorded, candidate: Recorded
) -> list[str]:  # fmt: skip
    """Why a candidate's quantities of one metric, of the keys, must not be compared with a baseline's."""
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
