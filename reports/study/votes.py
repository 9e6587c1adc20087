"""A study's answers as votes: who preferred which clip of an item, for ``t2av_bench.agreement``."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from reports.study.answers import choice_of, collect, read_key
from reports.study.merge import checks_failed
from t2av_bench.agreement.votes import Aspect, Votes
from t2av_bench.errors import ItemError
from t2av_bench.utils.text import some


def study_votes(paths: Sequence[Path], key_path: Path, *, failed_checks: int = 0) -> Votes:
    """One aspect, the study's question: of two clips the one that more participants preferred; as many are a tie.

    Who counts is as in ``merge``. Raises ItemError where nobody does.
    """
    key = read_key(key_path)
    everybody, refused, repeated = collect(paths, key)
    dropped = [each.participant for each in everybody if checks_failed(each, key) > failed_checks]
    items, systems = sorted(key.items), key.systems
    wins = np.zeros((len(items), len(systems), len(systems)))
    met = np.zeros(wins.shape, dtype=bool)
    unplayable = 0
    for participant in everybody:
        if participant.participant in dropped:
            continue
        for answer in participant.answers:
            trial = key.trials[answer.trial]
            if trial.check:
                continue
            chosen = choice_of(answer, trial)
            if chosen is None:
                unplayable += 1
                continue
            item, (one, two) = items.index(trial.item), (systems.index(system) for system in trial.systems)
            met[item, one, two] = met[item, two, one] = True
            if chosen != "tie":
                winner, loser = (one, two) if chosen == 0 else (two, one)
                wins[item, winner, loser] += 1
    if not met.any():
        reasons = [f"{file}: {reason}" for file, reason in refused.items()]
        raise ItemError("no answer counts" + "".join(f"\n  {each}" for each in [*reasons, *(
            f"participant {name} failed attention checks" for name in dropped)]))  # fmt: skip
    preferences = np.where(met, np.sign(wins - wins.swapaxes(1, 2)), np.nan)
    notes = [f"{len(everybody) - len(dropped)} participants; of two clips the one that more of them prefer counts."]
    if dropped:
        who = f"{len(dropped)}: {some(dropped)}"
        notes.append(f"Dropped for failing more than {failed_checks} attention checks: {who}.")
    if unplayable:
        notes.append(f"{unplayable} trials could not be played and are left out.")
    if repeated:
        notes.append(f"Sent more than one file, the latest counts: {', '.join(repeated)}.")
    notes += [f"Refused {Path(file).name}: {reason}." for file, reason in refused.items()]
    return Votes(tuple(items), tuple(systems), {key.question: Aspect(preferences)}, notes=tuple(notes))


def find_key(answers: Path) -> Path:
    """The ``key.json`` beside or above a file or folder of answers, or here. Raises ItemError."""
    folder = (answers if answers.is_dir() else answers.parent).resolve()
    for place in (folder, folder.parent, Path()):
        if (place / "key.json").is_file():
            return place / "key.json"
    raise ItemError("there is no key.json here, nor beside or above the answers: name it with --key")
