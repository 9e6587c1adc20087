"""Constant frame rate: which source frame stands in which slot of the output grid.

The rule is that of the reference sync pipelines, which write ``ffmpeg -i IN -r 25 video.avi`` and then read the
images of that file. Both steps are followed in the order of the program (ffmpeg 5.1), in memory:

1. *Placing* (ffmpeg's variable-rate synchronisation, which it chooses for AVI). A frame at ``p = time * rate`` that
   lasts ``d`` slots is compared with the next free slot ``n``. It is dropped where it ends at least 0.6 slot before
   ``n`` (``p + d - n <= -0.6``); it takes slot ``n`` where it ends within 0.6 of ``n``, or begins before ``n`` and
   ends less than one slot after the rounded position; otherwise it takes the slot nearest to ``p`` (ties to even).
   ``d`` is the frame's own duration rounded to whole slots, or, where that is 0 (sources of 50 frames/s and more),
   the source's mean frame distance, at most 1.
2. *Filling*. A gap of ``g`` empty slots shows the frame before it ``g - 1`` times and the frame after it twice (once
   early, once in its own slot), so a gap of one slot repeats the later frame; before the first frame there is only
   that one to show. After the last frame the middle one of the last three repeat counts is appended.

For 60 frames at 30 frames/s this keeps source frames 1..10, 12..16, 18..22, ... and emits 51; a source at the output
rate comes through untouched. ffmpeg's ``fps=25`` filter is another rule and selects other frames.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from t2av_bench.media.errors import MediaError

# ffmpeg computes positions with 16 fractional bits and moves them off exact midpoints by half a unit of that.
_FRACTION_BITS = 16
# A longer hole between two frames is a broken timestamp, not a pause: filling it would invent minutes of video.
LONGEST_GAP_SECONDS = 60


@dataclass(slots=True)
class RateConverter:
    """Step through source frames in order; say how often to show the previous frame and then this one.

    rate: output frames per second.
    source_rate: mean frame rate of the source, for frames that last less than half a slot; ``None`` if unknown.
    """

    rate: Fraction
    source_rate: Fraction | None = None
    _next_slot: int = 0
    _filled: int = 0
    _repeats: tuple[int, int, int] = (0, 0, 0)

    def place(self, time: Fraction, duration: Fraction | None = None) -> tuple[int, int]:
        """(times to show the previous frame, times to show this one) for a frame at ``time`` seconds.

        ``duration`` in seconds, ``None`` where the container does not say. (0, 0) drops the frame.
        """
        position = _position(time, self.rate)
        length = float(round(duration * self.rate)) if duration is not None else 0.0
        if length <= 0:
            length = min(1.0, float(self.rate / self.source_rate)) if self.source_rate else 1.0
        early = position - self._next_slot
        end = early + length
        if end <= -0.6:
            return 0, 0
        if end > 0.6:
            self._next_slot = round(position if early >= 0 else float(self._next_slot))
        gap = self._next_slot - self._filled
        self._next_slot += 1
        if gap > LONGEST_GAP_SECONDS * self.rate:
            raise MediaError(
                f"the video's timestamps jump from {float(self._filled / self.rate):.2f} s to {float(time):.2f} s: "
                f"at most {LONGEST_GAP_SECONDS} s without a frame are accepted; re-encode the file"
            )
        first = self._filled == 0
        self._filled = self._next_slot
        previous = max(gap - 1, 0)
        self._repeats = (previous, *self._repeats[:2])
        return (0, gap + 1) if first else (previous, gap + 1 - previous)

    def finish(self) -> int:
        """How often to show the last frame again after the end."""
        return sorted(self._repeats)[1]


def grid_indices(
    times: Iterable[Fraction],
    durations: Iterable[Fraction | None],
    rate: Fraction | int,
    source_rate: Fraction | None = None,
) -> list[int]:
    """Index of the source frame in each output slot (see the module's rule).

    times, durations: of each source frame, in seconds from the container's zero, in display order.
    """
    converter = RateConverter(Fraction(rate), source_rate)
    slots: list[int] = []
    for index, (time, duration) in enumerate(zip(times, durations, strict=True)):
        previous, current = converter.place(time, duration)
        slots += slots[-1:] * previous + [index] * current
    return slots + slots[-1:] * converter.finish()


def _position(time: Fraction, rate: Fraction) -> float:
    scale = 1 << _FRACTION_BITS
    exact = time * rate * scale
    whole = math.floor(exact + Fraction(1, 2)) if exact >= 0 else math.ceil(exact - Fraction(1, 2))
    return whole / scale + math.copysign(0.5 / scale, whole if whole else -1)
