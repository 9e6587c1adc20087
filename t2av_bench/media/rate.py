"""Constant frame rate: which source picture stands in which slot of the output grid.

Slot k shows the picture whose time is nearest to k / rate (of two equally near ones the earlier). So what is shown is
never off by more than half a source frame, and no source rate is early or late on average. The grid begins with the
first picture and has as many slots as the pictures last, to the nearest whole one.

This is not what ``ffmpeg -r 25`` writes, which shows sources of 30, 50 and 60 frames/s one frame late; the ids that
promise the files of a tool which runs that command run it themselves (``media.legacy``).
"""

import math
from fractions import Fraction

from t2av_bench.errors import MediaError

# A longer hole between two pictures is a broken time stamp, not a pause: filling it would invent minutes of video.
LONGEST_GAP_SECONDS = 60
_HALF = Fraction(1, 2)


class NearestPicture:
    """Steps through source pictures in order; says how often to show each, once the next one's time is known.

    rate: slots per second.
    """

    def __init__(self, rate: Fraction) -> None:
        self.rate = rate
        self._held: Fraction | None = None
        self._filled = 0

    def place(self, time: Fraction) -> int:
        """How often the picture before is shown, now that the next one is known to come at ``time`` seconds.

        0 for the first picture, and for one that no slot is nearest to. MediaError after a hole of a minute.
        """
        held, self._held = self._held, time
        if held is None:
            return 0
        if time - held > LONGEST_GAP_SECONDS:
            raise MediaError(
                f"the video's timestamps jump from {float(held):.2f} s to {float(time):.2f} s: "
                f"at most {LONGEST_GAP_SECONDS} s without a frame are accepted; re-encode the file"
            )
        # The last slot that is no nearer to the next picture.
        return self._fill(math.floor((held + time) / 2 * self.rate) + 1)

    def finish(self, end: Fraction) -> int:
        """How often the last picture is shown, which lasts until ``end`` seconds. At least one slot is filled."""
        assert self._held is not None
        end = min(end, self._held + LONGEST_GAP_SECONDS)
        return self._fill(max(1, math.floor(end * self.rate + _HALF)))

    def _fill(self, until: int) -> int:
        shown = max(0, until - self._filled)
        self._filled += shown
        return shown
