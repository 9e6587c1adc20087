"""Runs and votes together: what each quantity says of each clip that people judged."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from t2av_bench.agreement.declared import Declared, Direction
from t2av_bench.agreement.votes import Votes
from t2av_bench.errors import ItemError
from t2av_bench.results.run import RunResult
from t2av_bench.scores import Protocol, Quantity, Score
from t2av_bench.utils.text import some

NO_RUN, NOT_MEASURED = "no run has the clip", "the clip's run did not measure it"
Place = tuple[int, int]
"""Positions of an item and a system among the votes."""


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """One quantity at the votes' clips. values: (items, systems), the better the higher as declared, NaN without one.

    missing: reason -> how many clips. protocol: None where no run measured a clip that people judged.
    """

    metric: str
    quantity: Quantity
    direction: Direction
    stand_in: bool
    values: np.ndarray
    missing: Counter[str]
    protocol: Protocol | None


@dataclass(slots=True)
class _Found:
    """What the runs hold of one quantity."""

    quantity: Quantity
    stand_in: bool
    scores: dict[Place, Score] = field(default_factory=dict)
    protocols: dict[str, Protocol] = field(default_factory=dict)  # by fingerprint
    clash: str | None = None


def join(runs: Sequence[RunResult], votes: Votes, said: Declared) -> tuple[list[Measured], list[str]]:
    """Every declared quantity of the runs, in their order, and notes. One without any value has its reasons.

    A clip is found by its file's digest where the votes state one, else by the names of item and system (the run's).
    Quantities are left out, with a note, where they are not declared, or runs measured them by different protocols.
    Raises ItemError where no run has any clip of the votes.
    """
    notes: list[str] = []
    covered: set[Place] = set()
    found: dict[tuple[str, str], _Found] = {}
    for run in runs:
        places = _places(run, votes, notes)
        covered |= set(places.values())
        for column in run.columns:
            key = column.metric, column.quantity.name
            mine = found.setdefault(key, _Found(column.quantity, column.stand_in))
            scores = run.scores.get(key, {})
            for clip, place in places.items():
                if clip not in scores:
                    continue
                protocol, score = run.protocols[column.metric], scores[clip]
                mine.protocols[protocol.fingerprint] = protocol
                held = mine.scores.get(place)
                if held is None or held.value is None:
                    mine.scores[place] = score
                elif score.value not in (None, held.value):
                    where = f"item {votes.items[place[0]]} of {votes.systems[place[1]]}"
                    mine.clash = mine.clash or f"{where} has two values, {held.value:g} and {score.value:g}"
    if not covered:
        raise ItemError(
            f"no run has a clip that people judged: the runs are {some(run.name for run in runs)} with clips such as "
            f"{some(clip for run in runs for clip in run.clips)}, votes are on items such as {some(votes.items)} of "
            f"{some(votes.systems)}" + (", found by the digests of their files" if votes.clips else "")
        )
    measured_ones = []
    for (metric, name), each in found.items():
        direction = said.directions.get(metric, {}).get(name)
        if reason := said.left_out.get(metric, {}).get(name):
            notes.append(f"{name} ({metric}) is not asked: {reason}.")
        elif each.quantity.aggregate == "set":
            notes.append(f"{name} ({metric}) is not asked: no clip has a value of its own.")
        elif direction is None:
            notes.append(f"{name} ({metric}) is not asked: nobody declared which way of it is better (--declared).")
        elif len(each.protocols) > 1:
            one, other = [*each.protocols.values()][:2]
            notes.append(f"{name} ({metric}) is not asked: the runs' protocols differ in {one.difference(other)}.")
        elif each.clash is not None:
            notes.append(f"{name} ({metric}) is not asked: {each.clash}.")
        else:
            measured_ones.append(_measured(metric, each, direction, votes, covered))
    return measured_ones, list(dict.fromkeys(notes))


def _places(run: RunResult, votes: Votes, notes: list[str]) -> dict[str, Place]:
    """Clip of the run -> where the votes have it."""
    with_digest = set(votes.clips.values())
    items = {name: index for index, name in enumerate(votes.items)}
    systems = {name: index for index, name in enumerate(votes.systems)}
    found, other = {}, []
    for clip, row in run.rows.items():
        named = clip, run.name
        known = votes.clips.get(row["digest"] or "")
        if known is None and clip in items and run.name in systems:
            if named in with_digest and row["digest"]:
                other.append(clip)
                continue
            known = named
        if known is not None:
            found[clip] = items[known[0]], systems[known[1]]
    if other:
        notes.append(f"{run.name}: {len(other)} files are not those that people saw: {some(other)}.")
    if beside := len(run.rows) - len(found) - len(other):
        notes.append(f"{run.name}: {beside} of {len(run.rows)} clips are none that people judged.")
    return found


def _measured(metric: str, each: _Found, direction: Direction, votes: Votes, covered: set[Place]) -> Measured:
    values = np.full((len(votes.items), len(votes.systems)), np.nan)
    missing: Counter[str] = Counter()
    for place in np.ndindex(values.shape):
        score = each.scores.get(place)
        if score is None:
            missing[NOT_MEASURED if place in covered else NO_RUN] += 1
        elif score.value is None:
            missing[str(score.reason)] += 1
        else:
            values[place] = {"higher": score.value, "lower": -score.value}.get(direction, -abs(score.value))
    protocol = next(iter(each.protocols.values()), None)
    return Measured(metric, each.quantity, direction, each.stand_in, values, missing, protocol)
