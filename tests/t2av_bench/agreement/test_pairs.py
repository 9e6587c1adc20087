"""Agreement on pairs, against scipy, pairs counted one by one, and a plain bootstrap."""

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import kendalltau

from t2av_bench.agreement.pairs import difference, within_items, within_systems
from t2av_bench.agreement.panel import name_alone
from t2av_bench.agreement.votes import preferences_of

ITEMS, SYSTEMS = 24, 4
NAMES = [f"{at:02d}" for at in range(ITEMS)]


def ratings(seed: int, levels: int = 4, missing: float = 0.0) -> np.ndarray:
    """Made-up ratings (items, systems) with ties, some of them missing."""
    random = np.random.default_rng(seed)
    found = random.integers(1, levels + 1, (ITEMS, SYSTEMS)).astype(float)
    found[random.random(found.shape) < missing] = np.nan
    return found


def related(people: np.ndarray, seed: int, noise: float = 1.5) -> np.ndarray:
    """A metric that follows people with noise, coarse enough to tie."""
    return np.round(people + noise * np.random.default_rng(seed).standard_normal(people.shape))


def counted(people: np.ndarray, metric: np.ndarray) -> dict[str, float]:
    """Rows are strata: every pair in a row looked at on its own."""
    right = judged = decided = compared = ties = product = of_people = of_metric = 0.0
    for h, m in zip(people, metric, strict=True):
        for a, b in combinations(range(len(h)), 2):
            if np.isnan(h[a]) or np.isnan(h[b]):
                continue
            compared += 1
            voted = int(h[a] > h[b]) - int(h[a] < h[b])
            decided += voted != 0
            if np.isnan(m[a]) or np.isnan(m[b]):
                continue
            said = int(m[a] > m[b]) - int(m[a] < m[b])
            product += voted * said
            of_people += voted != 0
            of_metric += said != 0
            if voted:
                judged += 1
                ties += said == 0
                right += 1 if said == voted else 0.5 if said == 0 else 0
    return {"accuracy": right / judged, "tau": product / np.sqrt(of_people * of_metric), "judged": judged,
            "decided": decided, "compared": compared, "ties": ties}  # fmt: skip


def check(found, expected: dict[str, float]) -> None:
    assert found.accuracy.value == pytest.approx(expected["accuracy"], abs=1e-12)
    assert found.tau.value == pytest.approx(expected["tau"], abs=1e-12)
    for key in ("judged", "decided", "compared", "ties"):
        assert getattr(found, key) == expected[key], key


@pytest.mark.parametrize("seed", range(6))
def test_agreement_is_what_pairs_counted_one_by_one_say(seed):
    people = ratings(seed, missing=0.1 * (seed % 3))
    metric = related(ratings(seed), seed + 50)
    metric[np.random.default_rng(seed).random(metric.shape) < 0.15] = np.nan
    expected = counted(people, metric)
    assert expected["ties"] > 0 and expected["judged"] < expected["decided"] < expected["compared"]
    check(within_items(preferences_of(people), preferences_of(metric), NAMES), expected)
    check(within_systems(preferences_of(people.T), preferences_of(metric.T), NAMES), counted(people.T, metric.T))


@pytest.mark.parametrize("seed", range(6))
def test_tau_of_one_ranking_is_scipys(seed):
    people = ratings(seed)
    metric = related(people, seed)
    one = within_items(preferences_of(people[:1]), preferences_of(metric[:1]), NAMES[:1])
    expected = kendalltau(people[0], metric[0], variant="b").statistic
    assert (one.tau.value is None) if np.isnan(expected) else one.tau.value == pytest.approx(expected, abs=1e-12)
    metric[3, 1] = people[4, 2] = np.nan
    for item in (3, 4):  # of the clips that have both
        there = ~np.isnan(people[item] + metric[item])
        found = within_items(preferences_of(people[[item]]), preferences_of(metric[[item]]), NAMES[:1])
        expected = kendalltau(people[item, there], metric[item, there], variant="b").statistic
        assert (
            (found.tau.value is None) if np.isnan(expected) else found.tau.value == pytest.approx(expected, abs=1e-12)
        )
    people, metric = ratings(seed), related(ratings(seed), seed)
    for system in range(SYSTEMS):
        h, m = people[:, system], metric[:, system]
        found = within_systems(preferences_of(h[None]), preferences_of(m[None]), NAMES, intervals=False)
        assert found.tau.value == pytest.approx(kendalltau(h, m, variant="b").statistic, abs=1e-12)


def test_intervals_are_near_those_of_a_plain_bootstrap_of_items():
    people = ratings(3)
    metric = related(people, 4)
    cases = {
        "items": (within_items, people, metric, 1500, lambda index: counted(people[index], metric[index])),
        # An item drawn twice is no pair with itself: people tie it.
        "systems": (within_systems, people.T, metric.T, 300, lambda index: counted(people[index].T, metric[index].T)),
    }  # fmt: skip
    random = np.random.default_rng(7)
    for function, h, m, draws, statistic in cases.values():
        found = function(preferences_of(h), preferences_of(m), NAMES)
        resampled = [statistic(random.integers(0, ITEMS, ITEMS)) for _ in range(draws)]
        for key in ("accuracy", "tau"):
            low, high = np.quantile([each[key] for each in resampled], [0.025, 0.975])
            mine = getattr(found, key)
            assert mine.interval.low < mine.value < mine.interval.high
            assert (mine.interval.low, mine.interval.high) == pytest.approx((low, high), abs=0.2 * (high - low))


def test_items_are_drawn_whole():
    """Items in which the metric is all right or all wrong: pairs drawn alone would give less than half the width."""
    people = np.tile(np.arange(SYSTEMS, dtype=float), (ITEMS, 1))
    metric = people * np.where(np.arange(ITEMS) % 2, 1, -1)[:, None]
    found = within_items(preferences_of(people), preferences_of(metric), NAMES).accuracy
    assert found.value == 0.5
    width = found.interval.high - found.interval.low
    by_item, by_pair = (2 * 1.96 * 0.5 / np.sqrt(count) for count in (ITEMS, 6 * ITEMS))
    assert width == pytest.approx(by_item, rel=0.15) and width > 2 * by_pair


def test_a_perfect_and_a_reversed_metric_have_a_bound_by_items():
    people = ratings(1)
    for sign, value in ((1, 1.0), (-1, 0.0)):
        found = within_items(preferences_of(people), preferences_of(sign * people), NAMES)
        assert found.accuracy.value == value and found.tau.value == sign and found.ties == 0
        # Exact bound at 24 of 24: (0.05 / 2) ** (1 / 24).
        bound = 0.025 ** (1 / ITEMS)
        ends = (found.accuracy.interval.low, found.accuracy.interval.high)
        assert ends == pytest.approx((bound, 1) if sign == 1 else (0, 1 - bound), abs=1e-9)
        ends = (found.tau.interval.low, found.tau.interval.high)
        assert ends == pytest.approx((2 * bound - 1, 1) if sign == 1 else (-1, 1 - 2 * bound), abs=1e-9)


def test_reversing_a_metric_reverses_its_agreement():
    people, metric = ratings(2), related(ratings(2), 9)
    up, down = (within_items(preferences_of(people), preferences_of(sign * metric), NAMES) for sign in (1, -1))
    assert up.accuracy.value + down.accuracy.value == pytest.approx(1, abs=1e-12)
    assert up.tau.value == pytest.approx(-down.tau.value, abs=1e-12) and up.ties == down.ties > 0


def test_intervals_cover_the_chance_of_random_metrics():
    """A metric that knows nothing agrees in half of the pairs: 95 % intervals must hold 0.5 and 0 nearly always."""
    people = preferences_of(ratings(0))
    random = np.random.default_rng(11)
    draws = [within_items(people, preferences_of(random.standard_normal((ITEMS, SYSTEMS))), NAMES, str(at))
             for at in range(60)]  # fmt: skip
    # P(Binomial(60, .05) > 8) < 0.5 %.
    assert sum(not each.accuracy.interval.low <= 0.5 <= each.accuracy.interval.high for each in draws) <= 8
    assert sum(not each.tau.interval.low <= 0 <= each.tau.interval.high for each in draws) <= 8
    assert np.mean([each.accuracy.value for each in draws]) == pytest.approx(0.5, abs=0.03)


def test_a_constant_metric_is_chance_and_has_no_tau():
    people = preferences_of(ratings(0))
    found = within_items(people, np.zeros_like(people), NAMES)
    assert found.accuracy.value == 0.5 and found.ties == found.judged == found.decided
    assert found.accuracy.interval is None and found.accuracy.reason == "all resamples agree"
    assert found.tau.value is None and "ties all pairs" in found.tau.reason


def test_nothing_judged_is_a_reason_and_no_number():
    people = preferences_of(ratings(0))
    found = within_items(people, np.full_like(people, np.nan), NAMES)
    assert found.accuracy.value is None and found.tau.value is None and found.judged == found.items == 0
    assert found.accuracy.reason == "people decided no pair that it judges" and found.decided > 0


def test_few_items_have_no_interval():
    people = ratings(5)[:4]
    found = within_items(preferences_of(people), preferences_of(people), NAMES[:4])
    assert found.accuracy.value == 1 and found.accuracy.interval is None
    assert "at least 20 clips of 5 items" in found.accuracy.reason


def test_a_difference_is_on_the_pairs_that_both_judge():
    people, one, two = ratings(1), related(ratings(1), 2), related(ratings(1), 3)
    one[::3, 0], two[1::3, 1] = np.nan, np.nan
    sides = [preferences_of(each) for each in (people, one, two)]
    found, pairs = difference(*sides, NAMES)
    both = np.isnan(one + two)
    mine, other = (counted(people, np.where(both, np.nan, each)) for each in (one, two))
    assert pairs == mine["judged"] == other["judged"] < counted(people, one)["judged"]
    assert found.value == pytest.approx(mine["accuracy"] - other["accuracy"], abs=1e-12)
    assert found.interval.low < found.value < found.interval.high
    same, _ = difference(sides[0], sides[1], sides[1], NAMES)
    assert same.value == 0 and same.interval is None and same.reason == "no item tells them apart"


def test_results_depend_on_no_order_of_the_systems_and_repeat():
    people, metric = ratings(8), related(ratings(8), 8)
    first = within_items(preferences_of(people), preferences_of(metric), NAMES)
    again = within_items(preferences_of(people[:, ::-1]), preferences_of(metric[:, ::-1]), NAMES)
    assert first == again == within_items(preferences_of(people), preferences_of(metric), NAMES)


def test_the_name_alone_knows_the_other_items_and_not_its_own():
    better = np.tile([4.0, 3.0, 2.0, 1.0], (ITEMS, 1))
    people = better.copy()
    people[0] = people[0, ::-1]
    names = name_alone(preferences_of(people))
    found = within_items(preferences_of(people), preferences_of(names), NAMES)
    assert found.accuracy.value == pytest.approx((ITEMS - 1) / ITEMS), "wrong on the item that differs, and on no other"
    alone = name_alone(preferences_of(better[:1]))
    assert np.isnan(alone).all(), "one item has no others"
    # Knowing its own item, the name would win on votes without any order of systems; it must not.
    chance, cheating = [], []
    for seed in range(40):
        people = preferences_of(ratings(seed))
        every = np.tile(people.mean((0, 2)), (ITEMS, 1))
        for values, into in ((name_alone(people), chance), (every, cheating)):
            into.append(within_items(people, preferences_of(values), NAMES).accuracy.value)
    assert abs(np.mean(chance) - 0.5) < 0.04 < np.mean(cheating) - np.mean(chance)
