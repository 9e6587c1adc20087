"""Light and CIELAB: values of the standards, and OpenCV's conversion within what its table allows."""

import cv2
import numpy as np
import pytest

from t2av_bench.metrics.colour import cielab, linear_light


def test_light_is_srgbs():
    assert linear_light(np.array([0, 255])) == pytest.approx([0, 1])
    assert linear_light(np.array([128.0])) == pytest.approx([0.21586], abs=1e-5)
    assert linear_light(np.array([5.1])) == pytest.approx([0.02 / 12.92])


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [((255, 255, 255), (100, 0, 0)), ((0, 0, 0), (0, 0, 0)), ((128, 128, 128), (53.585, 0, 0)),
     ((255, 0, 0), (53.24, 80.09, 67.20)), ((0, 255, 0), (87.73, -86.18, 83.18)),
     ((0, 0, 255), (32.30, 79.19, -107.86))],
)  # fmt: skip
def test_colours_of_the_standard(rgb, lab):
    np.testing.assert_allclose(cielab(np.array(rgb, np.uint8)), lab, atol=0.015)


def test_it_is_opencvs_conversion_within_its_tables_error():
    pixels = np.random.default_rng(0).integers(0, 256, (200, 200, 3)).astype(np.uint8)
    theirs = cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    error = np.abs(cielab(pixels) - theirs)
    assert error.mean() < 0.15 and error.max() < 2
