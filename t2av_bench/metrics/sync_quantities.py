"""What every lip-sync metric reports, from the distances of picture and sound at 31 shifts.

Confidence, distance and offset are those of SyncNet (Chung & Zisserman 2016), and blind to a constant delay: they look
for the best shift and score that one. Two more quantities are not: the distance as the clip is played, at shift 0, and
whether the clip's offset lies inside the tolerance of ITU-R BT.1359-1, within which viewers do not notice that sound
and picture are apart: sound up to 45 ms early or 125 ms late.

The offset of a clip without detectable sync (a frozen picture, a stranger's sound) is arbitrary. Such a clip counts as
outside of the tolerance where its confidence is below a tenth of the median distance, C < 0.1 (C + D): of 24 GridFace
clips the frozen ones have at most 0.06 of it, the ones in sync at least 0.52. A stranger's sound may have more, and is
then inside by chance (5 of 31 offsets). The offset of such a clip is kept as it was found, which a median can bear.
"""

from typing import Any

import numpy as np

from t2av_bench.metrics.base import Response
from t2av_bench.scores import Quantity

MAX_SHIFT = 15
FRAME_MS = 40.0
EARLY_MS, LATE_MS = 45.0, 125.0
LEAST_DEPTH = 0.1
TOLERANCE: dict[str, Any] = {
    "standard": "ITU-R BT.1359-1", "early_ms": EARLY_MS, "late_ms": LATE_MS, "least_depth": LEAST_DEPTH,
}  # fmt: skip
"""What a protocol says of the share in tolerance."""


def quantities(suffix: str = "", note: str = "", highest: float | None = None) -> tuple[Quantity, ...]:
    """The five columns; ``suffix`` and ``note`` set a protocol's columns apart. highest: the largest distance."""
    widest = float(MAX_SHIFT)
    return (
        Quantity(f"sync_c{suffix}", f"Sync-C{note}", "higher", "", (0.0, highest), penalty=0.0),
        Quantity(f"sync_d{suffix}", f"Sync-D{note}", "lower", "", (0.0, highest), penalty="worst"),
        Quantity(f"sync_d_zero{suffix}", f"Sync-D at 0{note}", "lower", "", (0.0, highest), penalty="worst"),
        Quantity(f"sync_in_tolerance{suffix}", f"In tolerance{note}", "higher", "", (0.0, 1.0), penalty=0.0),
        Quantity(f"sync_offset{suffix}", f"Offset{note}", "none", "frames at 25 fps", (-widest, widest), 1, "median"),
    )


def claims(suffix: str = "") -> dict[str, dict[str, Response]]:
    """``Metric.validity`` of the five columns: a delay that the search reaches moves the offset, not the confidence."""
    return {
        f"sync_c{suffix}": {"freeze": "down", "mouth_frozen": "down", "mute": "down", "sound_noise": "down"},
        f"sync_d{suffix}": {"freeze": "up", "mouth_frozen": "up"},
        f"sync_d_zero{suffix}": {"freeze": "up", "mouth_frozen": "up", "desync": "up"},
        f"sync_in_tolerance{suffix}": {"desync": "down", "container": "same"},
        f"sync_offset{suffix}": {"desync": "down", "container": "same"},
    }


def inside(early_ms: float) -> bool:
    """Whether so many milliseconds, positive where the sound is early, lie within the standard's tolerance."""
    return -LATE_MS <= early_ms <= EARLY_MS


def in_tolerance(offset: float, confidence: float, distance: float) -> float:
    """1.0 or 0.0. offset: in frames at 25 fps, positive where the sound is early."""
    detected = confidence >= LEAST_DEPTH * (confidence + distance) and confidence > 0
    return float(detected and inside(offset * FRAME_MS))


def values(offset: float, confidence: float, distance: float, curve: np.ndarray, suffix: str = "") -> dict[str, float]:
    """Quantity name -> value of one clip. curve: (31,) mean distances at offsets 15 ... -15."""
    return {
        f"sync_c{suffix}": float(confidence),
        f"sync_d{suffix}": float(distance),
        f"sync_d_zero{suffix}": float(curve[MAX_SHIFT]),
        f"sync_in_tolerance{suffix}": in_tolerance(offset, confidence, distance),
        f"sync_offset{suffix}": float(offset),
    }
