"""A model's checkpoints in order: what each scores, and what the gate says of every step.

Two questions are asked of a checkpoint, for each finds what the other misses: against the one before it (what has this
step done?) and against a reference, the first one or a saved baseline (what have all of them done together? steps
within the margin add up). What two checkpoints cannot be asked costs that question alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from os import PathLike
from typing import Any

from t2av_bench.comparison.checkpoints import AGAINST, Against, Answer, Checkpoint, History, Point
from t2av_bench.comparison.comparable import NotComparable, choose, item_differences, shared_grouping
from t2av_bench.comparison.gate import Key, Pair, group_note, metric_problems, raised_note, regress_all
from t2av_bench.comparison.margins import beyond, margins_of
from t2av_bench.comparison.verdicts import ALPHA, ORDER, Gate, Verdict
from t2av_bench.errors import Unscorable
from t2av_bench.results.budget import Budget
from t2av_bench.results.recorded import QuantityRecord, Recorded
from t2av_bench.results.run import system_names
from t2av_bench.scores import Status
from t2av_bench.statistics.intervals import DRAWS, intervals
from t2av_bench.statistics.permutation import FLIPS
from t2av_bench.statistics.samples import Grouping, Sample


def history(
    runs: Sequence[Recorded],
    *,
    baseline: Recorded | None = None,
    margins: str | PathLike[str] | Mapping[str, Any] | None = None,
    budget: Budget,
    quantities: Sequence[str] | None = None,
    alpha: float = ALPHA,
    lost_allowed: int = 0,
    grouped: bool = True,
    draws: int = DRAWS,
    flips: int = FLIPS,
) -> History:
    """Checkpoints, oldest first, each against the one before and against a reference: ``baseline``, or the first one.

    What can be compared of two is what ``regress`` says of them, with the metrics that one of them lacks, or measured
    by another protocol, waived. The options are those of ``gate.regress`` and ``margins.margins_between``.
    Raises ValueError without a run, for an unknown quantity or margin, and where no run has any.
    """
    if not runs:
        raise ValueError("a history needs runs, oldest first: t2av-bench history RUN RUN")
    every = [*runs, *([baseline] if baseline else [])]
    chosen = choose(dict.fromkeys(key for run in every for key in run.quantities), quantities)
    shown = [key for key in chosen if any(key in run.quantities and _applies(run.quantities[key]) for run in every)]
    if not shown:
        raise ValueError("no run has a score of a quantity that can be better or worse")
    names, reference = system_names(every), len(runs) if baseline else 0
    nearest = _nearest(every, names, reference, len(runs), shown)
    # Each pair once: of the second checkpoint, the one before is the first.
    asked = list(dict.fromkeys(
        (other, place) for (place, _), mine in nearest.items() for other in mine.values() if isinstance(other, int)
    ))  # fmt: skip
    known = [name for run in every for _, name in run.quantities]
    sides = dict.fromkeys([reference, *(before for before, _ in asked)])
    scales = {place: margins_of(margins, known, beyond(budget, every[place])) for place in sides}
    pairs = [Pair(every[before], every[after], scales[before]) for before, after in asked]
    gates = regress_all(
        pairs, [[key for key in shown if key in pair.baseline.quantities] for pair in pairs], waived=shown,
        alpha=alpha, lost_allowed=lost_allowed, grouped=grouped, draws=draws, flips=flips,
    )  # fmt: skip
    found = dict(zip(asked, gates, strict=True))
    answers = {which: _answer(which, mine, found, names) for which, mine in nearest.items()}
    groups = [shared_grouping(run, run) if grouped else None for run in every]
    points = _points(every, reference, shown, names, groups, draws)
    checkpoints = [
        Checkpoint(names[place], run.path, len(run.items), points[place],
                   *(answers.get((place, against)) for against in AGAINST))
        for place, run in enumerate(every)
    ]  # fmt: skip
    records = {key: next(run.quantities[key] for run in every if key in run.quantities) for key in chosen}
    notes = [note for by in groups for note in group_note(by)]
    labels = {record.name: record.quantity.label for record in records.values()}
    notes += [note for each in scales.values() for note in raised_note(each, labels)]
    notes += _false_alarms(alpha, len(asked)) + _not_shown([records[key] for key in chosen if key not in shown])
    return History(
        tuple(checkpoints[: len(runs)]), {key: (records[key].quantity, records[key].stand_in) for key in shown},
        checkpoints[reference] if baseline else None, len(asked), alpha, tuple(dict.fromkeys(notes)),
    )  # fmt: skip


def _applies(record: QuantityRecord) -> bool:
    """Whether there is a score, or a failure that says something of the clips."""
    statuses = {status for status, _ in record.missing.values()}
    return bool(record.scored) or statuses != {str(Status.NOT_APPLICABLE)}


def _false_alarms(alpha: float, comparisons: int) -> list[str]:
    if comparisons < 2:
        return []
    return [
        f"α = {alpha:g} holds for each comparison of two checkpoints, over its quantities together. {comparisons} were "
        f"made: were nothing to change, up to {alpha * comparisons:.2g} of them would raise a false alarm on average."
    ]


def _not_shown(records: Sequence[QuantityRecord]) -> list[str]:
    found: dict[str, list[str]] = {}
    for record in records:
        found.setdefault(str(record.reason), []).append(record.name)
    return [f"Not shown, not applicable: {', '.join(names)}: {reason}." for reason, names in found.items()]


def _nearest(
    runs: Sequence[Recorded], names: Sequence[str], reference: int, checkpoints: int, keys: Sequence[Key]
) -> dict[tuple[int, Against], dict[Key, int | str]]:  # fmt: skip
    """Of each checkpoint and question, the run that each quantity is compared with, by its place, or why there is none.

    It is the nearest before that compares: a checkpoint that does not costs its own cells alone.
    """
    comparable = _Comparable(runs, names)
    found: dict[tuple[int, Against], dict[Key, int | str]] = {}
    for place in range(checkpoints):
        if place:
            others = range(place - 1, -1, -1)
            found[place, "previous"] = {key: comparable.nearest(others, place, key) for key in keys}
        if place != reference:
            found[place, "reference"] = {key: comparable.nearest([reference], place, key) for key in keys}
    return found


class _Comparable:
    """Which quantities of two runs, by their places, the gate can be asked about."""

    def __init__(self, runs: Sequence[Recorded], names: Sequence[str]) -> None:
        self._runs, self._names = runs, names
        self._items = cache(lambda before, after: "; ".join(item_differences(runs[before], runs[after])))

    def nearest(self, others: Sequence[int], place: int, key: Key) -> int | str:
        """The first of the other runs that a run's quantity compares with; where there is none, why not the first."""
        first = None
        for other in others:
            reason = self._reason(other, place, key)
            if reason is None:
                return other
            first = first or reason
        return str(first)

    def _reason(self, before: int, after: int, key: Key) -> str | None:
        runs, names = [self._runs[before], self._runs[after]], [self._names[before], self._names[after]]
        if lacking := [name for run, name in zip(runs, names, strict=True) if key not in run.quantities]:
            return f"{key[1]} ({key[0]}) was not measured in {' and '.join(lacking)}"
        protocols = [run.protocols[key[0]] for run in runs]
        if protocols[0].fingerprint != protocols[1].fingerprint:
            difference = protocols[0].difference(protocols[1])
            return f"measured by another protocol in {names[1]} than in {names[0]} ({difference})"
        return self._items(before, after) or "; ".join(metric_problems(key[0], [key], *runs)) or None


def _answer(
    which: tuple[int, Against], asked: Mapping[Key, int | str],
    gates: Mapping[tuple[int, int], Gate | NotComparable], names: Sequence[str],
) -> Answer:  # fmt: skip
    """What the gate said of a checkpoint, put together where its quantities compare with different ones before it."""
    place, against = which
    reasons = {key: other for key, other in asked.items() if isinstance(other, str)}
    others = {key: other for key, other in asked.items() if isinstance(other, int)}
    verdicts: dict[Key, Verdict] = {}
    used = list(dict.fromkeys(others.values()))
    outcome: Gate | NotComparable = NotComparable(list(dict.fromkeys(reasons.values())))
    for other in used:
        gate = gates[other, place]
        assert isinstance(gate, Gate), "some quantity of the two compares"
        verdicts |= {
            key: each for each in gate.verdicts if others.get(key := (each.metric, each.quantity.name)) == other
        }
        outcome = gate
    if isinstance(outcome, Gate) and len(used) > 1:
        worst_first = sorted(verdicts.values(), key=lambda verdict: ORDER.index(verdict.word))
        outcome = replace(outcome, baseline=" and ".join(names[other] for other in used), verdicts=tuple(worst_first))
    skipped = frozenset(key for key, other in others.items() if against == "previous" and other != place - 1)
    return Answer(outcome, verdicts, reasons, {key: names[other] for key, other in others.items()}, skipped)


def _points(
    runs: Sequence[Recorded], reference: int, keys: Sequence[Key], names: Sequence[str],
    groups: Sequence[Grouping | None], draws: int,
) -> list[dict[Key, Point]]:  # fmt: skip
    """Of each run, every quantity with its interval. reference: the place of the one that values are seen beside."""
    found: list[dict[Key, Point]] = [{} for _ in runs]
    # Runs whose items ask for the same have the number of the first such run.
    asked = [next(place for place, other in enumerate(runs) if not item_differences(other, run)) for run in runs]
    samples: dict[tuple[str, str], dict[tuple[int, Key], Sample]] = {}
    for place, run in enumerate(runs):
        for key in keys:
            record = run.quantities.get(key)
            if record is None:
                reason = f"{key[1]} was not measured in this run: evaluate it with --metrics {key[0]}"
                found[place][key] = Point(None, None, reason, 0, len(run.items))
                continue
            fingerprint = run.protocols[key[0]].fingerprint
            point = Point(
                record.value, None, record.reason, len(record.scored), len(run.items), fingerprint,
                state=(fingerprint, asked[place], record.scored),
            )  # fmt: skip
            if record.value is not None:
                try:
                    sample = record.sample(record.scored).grouped(groups[place])
                except Unscorable as error:
                    point = replace(point, reason=str(error))
                else:
                    samples.setdefault((key[1], fingerprint), {})[place, key] = sample
            found[place][key] = point
    for context, mine in samples.items():
        for (place, key), ends in zip(mine, intervals(list(mine.values()), *context, draws=draws), strict=True):
            more = {"reason": str(ends)} if isinstance(ends, Unscorable) else {"interval": ends}
            found[place][key] = replace(found[place][key], **more)
    for key in keys:
        order = [reference, *range(len(runs))]
        first = next((place for place in order if found[place][key].value is not None), reference)
        for place, run in enumerate(runs):
            if found[place][key].value is not None and found[place][key].state != found[first][key].state:
                other = _other(run, runs[first], key, names[first], asked[place] != asked[first])
                apart = found[place][key].fingerprint != found[first][key].fingerprint
                found[place][key] = replace(found[place][key], other=other, other_protocol=apart)
    return found


def _other(run: Recorded, first: Recorded, key: Key, name: str, other_items: bool) -> str:
    """Why a value does not compare at sight with the first one's."""
    mine, theirs = run.protocols[key[0]], first.protocols[key[0]]
    if mine.fingerprint != theirs.fingerprint:
        return f"by another protocol than {name}'s ({theirs.difference(mine)})"
    if other_items:
        return f"over other items than {name}'s"
    scored, before = set(run.quantities[key].scored), set(first.quantities[key].scored)
    return f"over other clips than {name}'s: {len(before - scored)} fewer, {len(scored - before)} more"
