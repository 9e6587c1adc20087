"""Scatter between and within groups and conditions, against the textbook, scipy and what is drawn."""

import math

import numpy as np
import pytest
from scipy import stats

from t2av_bench.errors import Unscorable
from t2av_bench.scores import Quantity
from t2av_bench.statistics.components import components, crossed
from t2av_bench.statistics.samples import Grouping, Sample


def grouped(values: np.ndarray, sizes) -> Sample:
    names = [f"g{index:03d}" for index, size in enumerate(sizes) for _ in range(size)]
    clips = {f"{group} {index:04d}": value for index, (group, value) in enumerate(zip(names, values, strict=True))}
    return Sample.of(clips).grouped(Grouping({clip: clip.split()[0] for clip in clips}))


def test_a_balanced_set_is_the_analysis_of_variance():
    # Box & Draper's form: three groups of two; mean squares 16 between and 2 within.
    between, within = components(grouped(np.array([1.0, 3, 3, 5, 7, 5]), [2, 2, 2]))
    assert within == pytest.approx(math.sqrt(2))
    assert between == pytest.approx(math.sqrt((2 * ((2 - 4) ** 2 + 0 + (6 - 4) ** 2) / 2 - 2) / 2))


def test_groups_that_differ_less_than_their_clips_have_no_part():
    between, within = components(grouped(np.array([1.0, 5, 5, 1, 1, 5]), [2, 2, 2]))
    assert between == 0 and within == pytest.approx(math.sqrt(8))


def test_unequal_groups_give_the_truth_on_average():
    random, sizes = np.random.default_rng(5), np.array([1, 2, 3, 5, 8, 13] * 10)
    found = []
    for _ in range(200):
        values = np.repeat(random.normal(0, 2, len(sizes)), sizes) + random.normal(0, 3, sizes.sum())
        found.append(np.square(components(grouped(values, sizes))))
    np.testing.assert_allclose(np.mean(found, axis=0), [4, 9], rtol=0.05)


def test_clips_on_their_own_have_all_scatter_within():
    values = np.array([1.0, 2, 4, 8])
    assert components(Sample.of(dict(enumerate_named(values)))) == (0, pytest.approx(np.std(values, ddof=1)))
    with pytest.raises(Unscorable, match="1 clip: a scatter needs at least two"):
        components(Sample.of({"a": 1.0}))


def test_the_scatter_of_a_median_is_what_medians_scatter_by():
    random, shift = np.random.default_rng(2), Quantity("o", "O", "none", aggregate="median")
    drawn = random.normal(0, 3, 20_000)
    _, within = components(Sample.of_values(shift, dict(enumerate_named(drawn))))
    medians = np.median(random.normal(0, 3, (4000, 101)), axis=1)
    assert within / math.sqrt(101) == pytest.approx(medians.std(), rel=0.05)


def conditions(table: np.ndarray) -> list[Sample]:
    """(clips, conditions) -> a sample for each condition."""
    return [Sample.of(dict(enumerate_named(column))) for column in table.T]


def test_conditions_are_the_two_way_analysis_of_variance():
    """Shrout & Fleiss (1979), table 2: six targets by four judges; table 3: MS 32.49 between judges, 1.02 residual."""
    table = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float)
    clips, judges = table.shape
    rest = table - table.mean(0) - table.mean(1)[:, None] + table.mean()
    residual = float((rest**2).sum()) / ((clips - 1) * (judges - 1))
    effect = clips * float(table.mean(0).var(ddof=1))
    assert (residual, effect) == (pytest.approx(1.02, abs=0.005), pytest.approx(32.49, abs=0.005))
    shared, own = crossed(conditions(table))
    assert own == pytest.approx(math.sqrt(residual)) and shared == pytest.approx(math.sqrt((effect - residual) / clips))


def test_two_conditions_are_the_paired_t_test():
    random = np.random.default_rng(4)
    one, two = random.normal(0, 1, 12), random.normal(1, 1, 12)
    shared, own = crossed(conditions(np.stack([one, two], axis=1)))
    assert own == pytest.approx(np.std(two - one, ddof=1) / math.sqrt(2))
    found = stats.ttest_rel(two, one).statistic
    assert shared == pytest.approx(math.sqrt((found**2 - 1) * own**2 / 12))


def test_planted_components_are_found_on_average_from_few_clips():
    """Ten clips under four conditions: no shared effect is seen in scatter alone, and a planted one whole."""
    random, found = np.random.default_rng(6), {0.0: [], 0.5: []}
    for planted, into in found.items():
        for _ in range(1500):
            effects = planted * random.standard_normal(4)
            table = random.normal(0, 3, (10, 1)) + effects + random.normal(0, 0.8, (10, 4))
            into.append(np.square(crossed(conditions(table))))
    none, some = (np.mean(each, axis=0) for each in found.values())
    assert none[1] == pytest.approx(0.64, rel=0.03) and some == pytest.approx([0.25, 0.64], rel=0.1)
    # Half of the estimates are cut off at 0; a mean change taken for a shift would be 0.064 + the cut.
    assert none[0] < 0.03


def test_groups_stand_for_their_clips():
    """Both clips of a person take a condition alike: ten persons, not twenty clips, tell of it."""
    random = np.random.default_rng(8)
    persons = [f"p{index // 2}" for index in range(20)]
    by = Grouping({f"c{index:05d}": person for index, person in enumerate(persons)})
    found = []
    for _ in range(800):
        table = np.repeat(random.normal(0, 1, (10, 3)), 2, axis=0)
        found.append(np.square(crossed([each.grouped(by) for each in conditions(table)])))
    shared, own = np.mean(found, axis=0)
    assert own / 20 == pytest.approx(1 / 10, rel=0.05), "a set of twenty such clips scatters as ten persons do"
    assert shared < 0.05


def test_medians_leave_arbitrary_clips_alone():
    random, shift = np.random.default_rng(9), Quantity("o", "O", "none", aggregate="median")
    table = random.normal(0, 1, (400, 1)) + np.array([0.0, 2.0]) + random.normal(0, 0.3, (400, 2))
    table[:8, 1] = 15  # the least curve of a clip without speech is anywhere
    shared, own = crossed([Sample.of_values(shift, dict(enumerate_named(column))) for column in table.T])
    assert shared == pytest.approx(2 / math.sqrt(2), rel=0.05)
    assert own == pytest.approx(0.3 * math.sqrt(math.pi / 2), rel=0.1)


def test_one_clip_or_one_condition_says_nothing():
    with pytest.raises(Unscorable, match="1 clip under 2 conditions"):
        crossed(conditions(np.ones((1, 2))))
    with pytest.raises(Unscorable, match="under 1 conditions"):
        crossed(conditions(np.ones((3, 1))))


def enumerate_named(values):
    return ((f"c{index:05d}", float(value)) for index, value in enumerate(values))
