"""Lengths of joint models, against a search of every length there is."""

from fractions import Fraction

import numpy as np
import pytest

from t2av_bench.systems.base import GenerationFailed
from t2av_bench.systems.external.joint import frames_asked
from t2av_bench.systems.external.ltx2 import LTX2
from t2av_bench.systems.external.mova import MOVA
from t2av_bench.systems.external.spec import spec

GRIDS = {"ltx-2": range(9, 4001, 8), "mova": range(5, 4001, 4)}


@pytest.mark.parametrize("id", GRIDS)
def test_lengths_are_the_least_of_the_grid_that_suffice(id: str) -> None:
    length = spec(id).length
    for rate in (Fraction(24), Fraction(25), Fraction(30000, 1001)):
        seconds = [*np.linspace(0.05, 12, 97), *(count / float(rate) for count in GRIDS[id][:40])]
        for each in map(float, seconds):
            found = frames_asked(length, each, rate, 30)
            # A nanosecond is what floating point may lose.
            assert found == next(count for count in GRIDS[id] if count / float(rate) >= each - 1e-9)
            if found > GRIDS[id][0]:
                assert length.expected(each, rate) == found


@pytest.mark.parametrize("id", GRIDS)
def test_a_bound_is_kept_by_the_most_frames_within_it(id: str) -> None:
    length = spec(id).length
    for bound in map(float, np.linspace(0.5, 9, 40)):
        longest = max(count for count in GRIDS[id] if count / 24 <= bound + 1e-9)
        assert frames_asked(length, 10, Fraction(24), bound) == longest
    with pytest.raises(GenerationFailed, match=f"less than {GRIDS[id][0]} frames"):
        frames_asked(length, 1, Fraction(24), (GRIDS[id][0] - 1) / 24)


def test_the_lengths_of_their_own_programs_are_on_the_grids() -> None:
    for kind in (LTX2, MOVA):
        assert kind.native_frames in GRIDS[kind.id] and kind.follows_length
        assert str(kind.native_frames) in spec(kind.id).native.length
