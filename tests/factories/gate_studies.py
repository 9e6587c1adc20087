"""Runs of the gate on scores that were measured once: which damage it finds, and how often it raises a false alarm.

``gate_scores.json`` holds the scores of a baseline and of files made from the same output, by ``bench/gate_power.py``:
encoded otherwise, with late sound, with a frozen picture. A study draws clips from it, with all their scores, damages
some, and asks the gate.

Of the real clips the bundled recogniser hears half of the words wrong, and other ones after every encoding (an SD of
0.47 a clip): nothing can be told from that. Their word errors are those of a recogniser that we made up, with as many
words as the clips have: 4 in 100 wrong, and 3 in 1,000 heard otherwise after encoding.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from t2av_bench.comparison.gate import Gate, regress
from t2av_bench.metrics import create, metric_ids
from t2av_bench.results.recorded import ItemRecord, QuantityRecord, Recorded
from t2av_bench.scores import Protocol, Quantity, Status

SCORES = Path(__file__).with_name("gate_scores.json")
DRAWS, FLIPS = 300, 2000
AGAIN = ("finer", "faster", "second")
DAMAGE = ("120 ms late", "25 % frozen", "10 % missing", "WER +5 points")

Rows = dict[str, list[float | None]]


def read_scores() -> dict[str, Any]:
    return json.loads(SCORES.read_text())


def known_quantities() -> dict[str, tuple[str, Quantity]]:
    """Quantity name -> metric and quantity; distances between sets as means of their pseudo-values."""
    found: dict[str, tuple[str, Quantity]] = {}
    for id in metric_ids():
        for quantity in create(id).quantities:
            found.setdefault(quantity.name, (id, quantity))
    return found


class Pool:
    """The measured clips of one kind (``gridface``, ``real``)."""

    def __init__(self, part: Mapping[str, Any]) -> None:
        self.variants: dict[str, Rows] = part["variants"]
        self.words: Rows = part.get("words", {})
        self.speakers: list[str] = part["speakers"]
        self.size: int = part["clips"]
        self.known = known_quantities()
        if "wer_pocketsphinx" in self.words:
            self._make_up_errors(self.words.pop("wer_pocketsphinx"))

    def _make_up_errors(self, counts: list[float | None]) -> None:
        random = np.random.default_rng(30)
        words = np.array([count or 1.0 for count in counts])
        wrong = random.binomial(words.astype(int), 0.04)
        self.words["wer"] = words.tolist()
        for name, rows in self.variants.items():
            for old in ("wer_pocketsphinx", "wer_utterance_pocketsphinx"):
                rows.pop(old, None)
            flips = [
                random.binomial((int(right), int(bad)), 0.003) for right, bad in zip(words - wrong, wrong, strict=True)
            ]
            change = np.array([more - less for more, less in flips]) if name == "second" else 0
            rows["wer"] = ((wrong + change) / words).tolist()

    def rows(self, variant: str, chosen: np.ndarray) -> Rows:
        """The scores of drawn clips in one variant."""
        return {name: [values[i] for i in chosen] for name, values in self.variants[variant].items()}

    def recorded(self, name: str, rows: Rows, chosen: np.ndarray, *, grouped: bool) -> Recorded:
        """Scores as a run that the gate reads."""
        ids = [f"{place:03d}" for place in range(len(chosen))]
        items = {
            id: ItemRecord(id, "en", None, None, None, f"{name} {id}", self.speakers[i] if grouped else None)
            for id, i in zip(ids, chosen, strict=True)
        }
        found = Recorded(name, Path(name), items, {}, {})
        for quantity_name, values in rows.items():
            metric, quantity = self.known[quantity_name]
            found.protocols[metric] = Protocol(metric)
            kept = {id: value for id, value in zip(ids, values, strict=True) if value is not None}
            missing = {id: (str(Status.FAILED), "no value") for id in ids if id not in kept}
            corpus = quantity_name.replace("_utterance", "")
            weights = None
            if corpus in self.words:
                weights = {id: self.words[corpus][i] or 1.0 for id, i in zip(ids, chosen, strict=True) if id in kept}
            found.quantities[metric, quantity_name] = QuantityRecord(
                metric, quantity, False, None, None, tuple(kept), missing, kept, weights
            )
        return found


def drawn(pool: Pool, random: np.random.Generator, clips: int) -> np.ndarray:
    """Clips drawn without repetition, or with it where there are fewer."""
    return np.sort(random.choice(pool.size, clips, replace=clips > pool.size))


def null_pair(pool: Pool, random: np.random.Generator, clips: int, *, grouped: bool = False) -> Gate:
    """The same clips, encoded otherwise."""
    chosen = drawn(pool, random, clips)
    pair = random.permutation(("base", random.choice(AGAIN)))
    return _judged(pool, pool.rows(pair[0], chosen), pool.rows(pair[1], chosen), chosen, grouped)


def damaged_pair(
    pool: Pool, damage: str, random: np.random.Generator, clips: int, *, grouped: bool = False
) -> Gate:  # fmt: skip
    """The same clips with one kind of damage."""
    chosen = drawn(pool, random, clips)
    after = _DAMAGE[damage](pool, random, chosen)
    return _judged(pool, pool.rows("base", chosen), after, chosen, grouped)


def _judged(pool: Pool, before: Rows, after: Rows, chosen: np.ndarray, grouped: bool) -> Gate:
    runs = [pool.recorded(name, rows, chosen, grouped=grouped) for name, rows in (("a", before), ("b", after))]
    # A quantity that no clip of the damaged run has is lost on all clips, as it would be in a real one.
    for key, record in runs[0].quantities.items():
        if key not in runs[1].quantities:
            runs[1].protocols.setdefault(key[0], runs[0].protocols[key[0]])
            missing = {id: (str(Status.FAILED), "no value") for id in runs[0].items}
            runs[1].quantities[key] = QuantityRecord(*key[:1], record.quantity, False, None, "lost", (), missing, {})
    return regress(*runs, draws=DRAWS, flips=FLIPS)


def _late(pool: Pool, random: np.random.Generator, chosen: np.ndarray) -> Rows:
    return pool.rows("late", chosen)


def _frozen(pool: Pool, random: np.random.Generator, chosen: np.ndarray) -> Rows:
    return _mixed(pool, "frozen", random, chosen, 0.25)


def _missing(pool: Pool, random: np.random.Generator, chosen: np.ndarray) -> Rows:
    gone = set(random.permutation(len(chosen))[: round(0.1 * len(chosen))].tolist())
    rows = pool.rows("second", chosen)
    return {name: [None if i in gone else value for i, value in enumerate(values)] for name, values in rows.items()}


def _more_errors(pool: Pool, random: np.random.Generator, chosen: np.ndarray) -> Rows:
    """Of the words that were right, five in a hundred more are wrong: on average 5 points."""
    rows = pool.rows("second", chosen)
    for name, words in pool.words.items():
        if name not in rows:  # the stand-in, whose place the made-up recogniser has taken
            continue
        for place, clip in enumerate(chosen):
            value, count = rows[name][place], words[clip]
            if value is not None and count:
                right = max(0, round(count * (1 - value)))
                wrong = value + random.binomial(right, min(1.0, 0.05 * count / max(1, right))) / count
                rows[name][place] = wrong
                utterance = name.replace("wer", "wer_utterance", 1)
                if utterance in rows:
                    rows[utterance][place] = wrong
    return rows


def _mixed(pool: Pool, variant: str, random: np.random.Generator, chosen: np.ndarray, share: float) -> Rows:
    """Some of the clips of a variant, the others encoded again."""
    hit = set(random.permutation(len(chosen))[: round(share * len(chosen))].tolist())
    calm, bad = pool.rows("second", chosen), pool.rows(variant, chosen)
    empty = [None] * len(chosen)
    return {name: [bad.get(name, empty)[i] if i in hit else calm[name][i] for i in range(len(chosen))] for name in calm}


_DAMAGE: dict[str, Callable[[Pool, np.random.Generator, np.ndarray], Rows]] = dict(
    zip(DAMAGE, (_late, _frozen, _missing, _more_errors), strict=True)
)
