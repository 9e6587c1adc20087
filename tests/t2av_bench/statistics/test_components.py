"""Scatter between and within groups, against the textbook's balanced case, and against what is drawn."""

import math

import numpy as np
import pytest

from t2av_bench.errors import Unscorable
from t2av_bench.scores import Quantity
from t2av_bench.statistics.components import components
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


def enumerate_named(values):
    return ((f"c{index:05d}", float(value)) for index, value in enumerate(values))
