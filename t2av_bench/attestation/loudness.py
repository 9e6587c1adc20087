"""A clip's loudness over time in a line of text, by which a shifted sound is known without the clip that it was.

One character a frame at 25 fps: the level of its 640 samples at 16 kHz in steps of 1.5 dB, 64 steps, loudest last.
"""

import numpy as np

from t2av_bench.extractors.syncnet import SAMPLES_PER_FRAME

SIGNS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_STEP_DB = 1.5
_LIKE = 0.8
FARTHEST = 25


def line(audio: np.ndarray) -> str:
    """(n,) int16 at 16 kHz -> n // 640 characters of ``SIGNS``; digital silence is ``A``."""
    whole = audio[: len(audio) // SAMPLES_PER_FRAME * SAMPLES_PER_FRAME].astype(np.float64)
    power = np.mean((whole.reshape(-1, SAMPLES_PER_FRAME) / 32768) ** 2, axis=1)
    below = -10 * np.log10(np.maximum(power, 1e-30))
    steps = np.clip(len(SIGNS) - 1 - np.floor(below / _STEP_DB), 0, len(SIGNS) - 1).astype(int)
    return "".join(SIGNS[step] for step in steps)


def delay(heard: str, expected: str) -> int | None:
    """Frames by which ``heard`` comes later than ``expected``, within ±25; None where they are not the same sound.

    The same: a correlation of at least 0.8 at the best shift, over at least half of the shorter line.
    """
    given, wanted = (np.array([SIGNS.index(sign) for sign in text], np.float64) for text in (heard, expected))
    best: tuple[float, int] | None = None
    for shift in sorted(range(-FARTHEST, FARTHEST + 1), key=abs):  # of equal ones the nearest to 0
        late, early = given[max(0, shift) :], wanted[max(0, -shift) :]
        count = min(len(late), len(early))
        if 2 * count < min(len(given), len(wanted)) or count < 3:
            continue
        late, early = late[:count], early[:count]
        if late.std() == 0 or early.std() == 0:
            continue
        like = float(np.corrcoef(late, early)[0, 1])
        if best is None or like > best[0] + 1e-9:
            best = like, shift
    return best[1] if best and best[0] >= _LIKE else None
