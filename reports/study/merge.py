"""From answers to a table: screening, win matrix, Bradley-Terry scores and pairwise win rates with intervals.

The participant is the unit of resampling: answers of one person are not independent. Intervals are percentile
bootstrap intervals with the level widened for few participants (``statistics.intervals``), seeded by the participants.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from reports.study.answers import Answers, Key, choice_of, collect, read_key
from reports.study.bradley_terry import determined, fit, obstacle
from t2av_bench.errors import ItemError
from t2av_bench.statistics.intervals import LEVEL, exact_share, expanded_level
from t2av_bench.statistics.seeding import generator
from t2av_bench.utils.text import escape

DRAWS = 5000
LEAST_PARTICIPANTS = 5
MOST_MENDED = 0.05  # share of resamples without finite scores above which there is no interval
FORMAT = "t2av-bench study scores"


def merge(paths: Sequence[Path], key_path: Path, *, failed_checks: int = 0) -> dict[str, Any]:
    """Everything that a study's answers say, as a JSON document; ``scores`` is None where ``refusal`` says why.

    failed_checks: attention checks that a participant may fail and still count. Raises ItemError where nobody counts.
    """
    key = read_key(key_path)
    everybody, refused, repeated = collect(paths, key)
    dropped = failing(everybody, key, failed_checks)
    counted = [each for each in everybody if each.participant not in dropped]
    if not counted:
        reasons = [f"{file}: {reason}" for file, reason in refused.items()]
        reasons += [f"participant {name} failed {count} attention checks" for name, count in dropped.items()]
        raise ItemError("no participant counts" + "".join(f"\n  {reason}" for reason in reasons or ["no file given"]))
    wins = np.stack([win_matrix(each, key) for each in counted])
    names = [each.participant for each in counted]
    ties = sum(answer.choice == "tie" for each in counted for answer in _real(each, key))
    return {
        "format": FORMAT, "version": 1, "study": key.study, "title": key.title, "question": key.question,
        "systems": key.systems, "participants": names, "trials": int(wins.sum()), "ties": ties,
        "unplayable": unplayable(counted, key), "level": LEVEL, "draws": DRAWS, "failed_checks_allowed": failed_checks,
        "dropped": dropped, "refused": refused, "repeated": repeated, "wins": wins.sum(0).tolist(),
        **analyse(wins, key.systems, names, key.study),
    }  # fmt: skip


def _real(answers: Answers, key: Key) -> list[Any]:
    return [answer for answer in answers.answers if not key.trials[answer.trial].check]


def failing(everybody: Iterable[Answers], key: Key, allowed: int) -> dict[str, int]:
    """Participants who failed more attention checks than are allowed -> how many they failed.

    A check fails where the intact clip was not chosen: with a tie or an unplayable clip, too.
    """
    failed = {}
    for each in everybody:
        checks = [(answer, key.trials[answer.trial]) for answer in each.answers]
        failed[each.participant] = sum(choice_of(answer, trial) != 0 for answer, trial in checks if trial.check)
    return {name: count for name, count in failed.items() if count > allowed}


def unplayable(counted: Iterable[Answers], key: Key) -> int:
    """How many trials could not be played, attention checks aside."""
    return sum(answer.choice == "unplayable" for each in counted for answer in _real(each, key))


def preferences(answers: Answers, key: Key) -> Iterator[tuple[str, int, int, float]]:
    """(item, two systems, win of the first: 1, 0, or half of a tie) of every trial that could be played."""
    for answer in _real(answers, key):
        trial = key.trials[answer.trial]
        chosen = choice_of(answer, trial)
        if chosen is not None:
            first, second = (key.systems.index(system) for system in trial.systems)
            yield trial.item, first, second, 0.5 if chosen == "tie" else 1.0 - chosen


def win_matrix(answers: Answers, key: Key) -> np.ndarray:
    """(S, S): how often this participant preferred the row's system to the column's; a tie is half a win each."""
    wins = np.zeros((len(key.systems),) * 2)
    for _, first, second, won in preferences(answers, key):
        wins[first, second] += won
        wins[second, first] += 1 - won
    return wins


def analyse(
    wins: np.ndarray, systems: Sequence[str], participants: Sequence[str], *context: str, draws: int = DRAWS
) -> dict[str, Any]:
    """Scores and win rates from (participants, S, S) win matrices: ``scores``, ``refusal``, ``pairs``, ``notes``."""
    order = np.argsort(np.asarray(participants))
    wins, total = wins[order], wins.sum(0)
    count = len(wins)
    notes: list[str] = []
    resampled = None
    if count >= LEAST_PARTICIPANTS:
        random = generator("study", participants, *context)
        drawn = random.multinomial(count, np.full(count, 1 / count), draws)
        resampled = (drawn @ wins.reshape(count, -1)).reshape(draws, *total.shape)
    else:
        notes.append(f"{count} participants; an interval needs at least {LEAST_PARTICIPANTS}")
    result: dict[str, Any] = {"scores": None, "refusal": obstacle(total, systems), "notes": notes}
    if result["refusal"] is None:
        ends = None if resampled is None else _score_interval(resampled, total, count, notes)
        values = fit(total)
        result["scores"] = {
            name: {"value": float(values[index]), "interval": ends[index] if ends else None,
                   "trials": float(total[index].sum() + total[:, index].sum())}
            for index, name in enumerate(systems)
        }  # fmt: skip
    result["pairs"] = [
        _pair(wins, resampled, first, second, systems) for first, second in combinations(range(len(systems)), 2)
        if total[first, second] + total[second, first] > 0
    ]  # fmt: skip
    return result


def _score_interval(resampled: np.ndarray, total: np.ndarray, count: int, notes: list[str]) -> list[list[float]] | None:
    finite = determined(resampled)
    mended = int((~finite).sum())
    if mended > MOST_MENDED * len(resampled):
        notes.append(
            f"no intervals of the scores: {mended} of {len(resampled)} resamples have a system that never lost, or "
            "never met the others; more participants are needed"
        )
        return None
    if mended:
        notes.append(
            f"{mended} of {len(resampled)} resamples have no finite scores; in these half a win was added to either "
            "side of every pair that was compared"
        )
        resampled = resampled + 0.5 * (~finite)[:, None, None] * ((total + total.T) > 0)
    return _ends(fit(resampled), count)


def _ends(values: np.ndarray, count: int) -> list[list[float]]:
    level = expanded_level(LEVEL, count)
    low, high = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return [[float(a), float(b)] for a, b in zip(low, high, strict=True)]


def _pair(
    wins: np.ndarray, resampled: np.ndarray | None, first: int, second: int, systems: Sequence[str]
) -> dict[str, Any]:
    """How often the first system was preferred, ties counting half, with its interval."""
    total = wins.sum(0)
    trials = total[first, second] + total[second, first]
    rate = total[first, second] / trials
    judges = int(((wins[:, first, second] + wins[:, second, first]) > 0).sum())
    interval = None
    if resampled is not None and judges >= LEAST_PARTICIPANTS:
        if rate in (0, 1):
            # All resamples agree here, but other participants need not: the exact binomial interval over participants.
            interval = [*exact_share(int(rate) * judges, judges)]
        else:
            games = resampled[:, first, second] + resampled[:, second, first]
            met = games > 0  # with few participants some resamples hold nobody who saw this pair
            interval = _ends((resampled[met, first, second] / games[met])[:, None], judges)[0]
            interval = [max(0.0, interval[0]), min(1.0, interval[1])]
    return {"first": systems[first], "second": systems[second], "rate": float(rate), "interval": interval,
            "trials": float(trials), "participants": judges}  # fmt: skip


def markdown(document: dict[str, Any]) -> str:
    """The document as Markdown: scores best first, pairs, and who was counted."""
    lines = [f"**{escape(document['question'])}**", ""]
    if document["scores"] is None:
        lines += [f"No Bradley-Terry scores: {escape(document['refusal'])}.", ""]
    else:
        lines += ["| system | Bradley-Terry score ↑ (log odds) | trials |", "|---|---:|---:|"]
        ranked = sorted(document["scores"].items(), key=lambda entry: (-entry[1]["value"], entry[0]))
        for name, score in ranked:
            lines.append(f"| {escape(name)} | {score['value']:+.2f}{_interval(score['interval'], '+.2f')} "
                         f"| {score['trials']:.0f} |")  # fmt: skip
        lines.append("")
    if document["pairs"]:
        lines += ["| preferred | to | win rate | trials | participants |", "|---|---|---:|---:|---:|"]
    for pair in document["pairs"]:
        first, second, rate, ends = pair["first"], pair["second"], pair["rate"], pair["interval"]
        if rate < 0.5:
            first, second, rate, ends = second, first, 1 - rate, ends and [1 - ends[1], 1 - ends[0]]
        lines.append(f"| {escape(first)} | {escape(second)} | {rate:.1%}{_interval(ends, '.1%')} "
                     f"| {pair['trials']:.0f} | {pair['participants']} |")  # fmt: skip
    lines += ["", *(f"- {escape(fact)}" for fact in facts(document)), ""]
    return "\n".join(lines)


def facts(document: dict[str, Any]) -> list[str]:
    """What a reader must know about the numbers, in sentences."""
    dropped = ", ".join(f"{name} ({count})" for name, count in document["dropped"].items())
    told = [
        f"{document['trials']} answers of {len(document['participants'])} participants; {document['ties']} ties, "
        "each counted as half a win for either side.",
        f"{document['level']:.0%} bootstrap intervals over participants; scores are log odds with zero mean.",
        f"Dropped for failing more than {document['failed_checks_allowed']} attention checks: "
        + (f"{len(document['dropped'])}: {dropped}." if dropped else "nobody."),
    ]
    told += left_out(document["unplayable"], document["repeated"], document["refused"])
    return told + [f"{note[:1].upper()}{note[1:]}." for note in document["notes"]]


def left_out(unplayable: int, repeated: Sequence[str], refused: Mapping[str, str]) -> list[str]:
    """Which trials and files do not count, in sentences."""
    told = []
    if unplayable:
        told.append(f"{unplayable} trials could not be played and are left out.")
    if repeated:
        told.append(f"Sent more than one file, the latest counts: {', '.join(repeated)}.")
    return told + [f"Refused {Path(file).name}: {reason}." for file, reason in refused.items()]


def _interval(ends: list[float] | None, form: str) -> str:
    return f" [{ends[0]:{form}}, {ends[1]:{form}}]" if ends else ""
