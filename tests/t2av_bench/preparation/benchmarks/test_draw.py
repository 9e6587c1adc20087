"""The draw by hash rank: against a slow restatement of its rule, and what may move when items come or go."""

import hashlib
from collections import Counter

import numpy as np
import pytest

from t2av_bench.preparation.benchmarks.draw import Candidate, draw, rank

BINS = {"a short": 4, "a long": 3, "b": 5}
NAME = "set/v1/"


def candidates(seed: int, count: int = 60) -> list[Candidate]:
    random = np.random.default_rng(seed)
    return [
        Candidate(f"item{number}", f"speaker{random.integers(12)}", f"clip{number // 2}", str(random.choice([*BINS])))
        for number in range(count)
    ]  # fmt: skip


def restated(given: list[Candidate], per_speaker: tuple[int, ...]) -> set[str]:
    """The rule word by word: again and again the best rank of all that may still be taken in this round."""
    chosen: list[Candidate] = []
    for most in per_speaker:
        refused: set[str] = set()
        while True:
            left = [each for each in given if each not in chosen and each.id not in refused]
            if not left:
                break
            best = min(left, key=lambda each: hashlib.sha256(f"t2av-bench/{NAME}{each.id}".encode()).digest())
            speakers, bins = (Counter(getattr(each, key) for each in chosen) for key in ("speaker", "bin"))
            free = best.clip not in {each.clip for each in chosen}
            if free and speakers[best.speaker] < most and bins[best.bin] < BINS[best.bin]:
                chosen.append(best)
            else:
                refused.add(best.id)
    return {each.id for each in chosen}


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("per_speaker", [(1,), (1, 2), (2,), (1, 2, 3)])
def test_it_is_its_rule(seed, per_speaker):
    given = candidates(seed)
    taken, reasons = draw(given, NAME, BINS, per_speaker)
    assert set(taken) == restated(given, per_speaker)
    assert taken == sorted(taken, key=lambda id: rank(NAME, id))
    assert set(taken) | set(reasons) == {each.id for each in given} and not set(taken) & set(reasons)


@pytest.mark.parametrize("seed", range(5))
def test_order_moves_nothing_and_who_is_not_taken_can_go(seed):
    given = candidates(seed)
    taken, reasons = draw(given, NAME, BINS, (1, 2))
    shuffled = [given[index] for index in np.random.default_rng(seed).permutation(len(given))]
    assert draw(shuffled, NAME, BINS, (1, 2)) == (taken, reasons)
    for gone in reasons:
        assert draw([each for each in given if each.id != gone], NAME, BINS, (1, 2))[0] == taken
    assert draw([each for each in given if each.id in taken], NAME, BINS, (1, 2))[0] == taken


@pytest.mark.parametrize("seed", range(5))
def test_who_comes_or_goes_moves_none_that_stands_before_it(seed):
    """In one round. A newcomer that is refused changes nothing at all."""
    given = candidates(seed)
    taken, _ = draw(given, NAME, BINS, (1,))
    for gone in taken:
        left, _ = draw([each for each in given if each.id != gone], NAME, BINS, (1,))
        before = taken[: taken.index(gone)]
        assert left[: len(before)] == before
    for number in range(20):
        newcomer = Candidate(f"new{number}", f"speaker{number % 12}", f"clip new{number}", "b")
        more, reasons = draw([*given, newcomer], NAME, BINS, (1,))
        before = [id for id in taken if rank(NAME, id) < rank(NAME, newcomer.id)]
        assert more[: len(before)] == before
        assert newcomer.id in more or more == taken


def test_the_name_is_the_seed():
    given = candidates(0)
    assert draw(given, NAME, BINS, (1,))[0] != draw(given, "set/v2/", BINS, (1,))[0]


def test_what_has_no_share_or_is_there_twice_is_refused():
    one = Candidate("x", "s", "c", "elsewhere")
    with pytest.raises(ValueError, match="no share for 'elsewhere'; there are a short, a long, b"):
        draw([one], NAME, BINS, (1,))
    with pytest.raises(ValueError, match="two candidates have one id"):
        draw([Candidate("x", "s", "c", "b"), Candidate("x", "t", "d", "b")], NAME, BINS, (1,))
