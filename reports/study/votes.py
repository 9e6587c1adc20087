"""A study's answers as votes: who preferred which clip of an item, for ``t2av_bench.agreement``."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from reports.study.answers import collect, read_key
from reports.study.merge import failing, left_out, preferences, unplayable
from t2av_bench.agreement.votes import Aspect, Votes
from t2av_bench.errors import ItemError
from t2av_bench.utils.text import some


def study_votes(paths: Sequence[Path], key_path: Path, *, failed_checks: int = 0) -> Votes:
    """One aspect, the study's question: of two clips the one that more participants preferred; as many are a tie.

    Who counts is as in ``merge``. Raises ItemError where nobody does.
    """
    key = read_key(key_path)
    everybody, refused, repeated = collect(paths, key)
    dropped = failing(everybody, key, failed_checks)
    counted = [each for each in everybody if each.participant not in dropped]
    items = sorted(key.items)
    wins = np.zeros((len(items), *[len(key.systems)] * 2))
    for each in counted:
        for item, first, second, won in preferences(each, key):
            wins[items.index(item), first, second] += won
            wins[items.index(item), second, first] += 1 - won
    lost = wins.swapaxes(1, 2)
    met = wins + lost > 0
    asked = Aspect(np.where(met, np.sign(wins - lost), np.nan))
    if not met.any():
        reasons = [f"{file}: {reason}" for file, reason in refused.items()]
        raise ItemError("no answer counts" + "".join(f"\n  {each}" for each in [*reasons, *(
            f"participant {name} failed attention checks" for name in dropped)]))  # fmt: skip
    notes = [f"{len(counted)} participants; of two clips the one that more of them prefer counts."]
    if dropped:
        who = f"{len(dropped)}: {some(dropped)}"
        notes.append(f"Dropped for failing more than {failed_checks} attention checks: {who}.")
    notes += left_out(unplayable(counted, key), repeated, refused)
    return Votes(tuple(items), tuple(key.systems), {key.question: asked}, notes=tuple(notes))
