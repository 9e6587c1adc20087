"""Colours as they are seen: light and CIELAB of sRGB values (IEC 61966-2-1, ISO/CIE 11664-4; white point D65).

OpenCV's conversion reads a table and errs by up to 0.15 in L*, which is as much as a clip may drift.
"""

import numpy as np

# Of linear red, green and blue to X, Y and Z over those of white (0.95047, 1, 1.08883).
_TO_XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750],
                    [0.0193339, 0.1191920, 0.9503041]]) / [[0.95047], [1.0], [1.08883]]  # fmt: skip


def linear_light(values: np.ndarray) -> np.ndarray:
    """sRGB values, 0 to 255 -> light, 0 to 1, by sRGB's curve."""
    shares = values / 255
    return np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)


def cielab(pixels: np.ndarray) -> np.ndarray:
    """(..., 3) uint8 sRGB -> (..., 3) float64 L*, a*, b*."""
    xyz = linear_light(np.arange(256))[pixels] @ _TO_XYZ.T
    x, y, z = np.moveaxis(np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz * (29 / 6) ** 2 / 3 + 4 / 29), -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)
