"""Decoded audio to one mono signal on the file's time line (see ``timeline``; the down-mix is in ``mono``).

- The signal starts at zero, the first picture: a later start is filled with silence, an earlier one cut, to the sample.
  Without pictures, or without time stamps, it starts with its first sample. What decoders know to be priming is gone.
- Inside the stream time stamps are followed only where they leave the sample count by more than 0.1 s (silence or a
  cut), which is ffmpeg's rule for ``-async 1``; smaller jitter is ignored.
- Rounding of time stamps to milliseconds is averaged out where all of them agree with the sample count.
- Encoder padding after the end that an mp4 track declares is cut (less than one codec frame).
"""

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from t2av_bench.errors import MediaError
from t2av_bench.media.mono import channels, gains

FOLLOW_TIMESTAMPS_BEYOND_SECONDS = Fraction(1, 10)
LONGEST_GAP_SECONDS = 60
# No AAC, MP3, Opus or Vorbis frame is longer.
_LONGEST_CODEC_FRAME = 8192
# A mix this far below its loudest channel (40 dB) is what two channels of opposite sign leave of each other.
_CANCELLED = 1e-4


@dataclass(frozen=True, slots=True)
class Sound:
    """samples: (n,) float32 mono; rate: samples per second, as stored in the file."""

    samples: np.ndarray
    rate: int


@dataclass(slots=True)
class SoundCollector:
    """Collects decoded audio frames in order.

    zero: in seconds on the container's clock, or None where the first sample is zero; time_base: seconds per tick.
    longest: seconds that are accepted. declared_end: end of the track in seconds where the container states it to the
    sample.
    """

    zero: Fraction | None
    time_base: Fraction
    longest: float
    declared_end: Fraction | None = None
    rate: int = 0
    _layout: str = ""
    _gains: np.ndarray = field(default_factory=lambda: np.ones(1))
    _chunks: list[np.ndarray] = field(default_factory=list)
    _length: int = 0
    # Where the first sample stands (in samples from zero), by the first time stamp; what later ones say beside it.
    _start: Fraction | None = None
    _spread: tuple[Fraction, Fraction] = (Fraction(0), Fraction(0))
    _contiguous: bool = True
    _mixed: float = 0.0
    _loudest: np.ndarray = field(default_factory=lambda: np.zeros(1))

    @property
    def seconds(self) -> float:
        return self._length / self.rate if self.rate else 0.0

    def add(self, frame: Any) -> None:
        """Append one ``av.AudioFrame``."""
        rate, layout = frame.sample_rate, frame.layout.name
        if not self.rate:
            self.rate, self._layout, self._gains = rate, layout, gains(frame.layout)
            self._loudest = np.zeros(len(self._gains))
        elif (rate, layout) != (self.rate, self._layout):
            raise MediaError(
                f"the audio changes from {self.rate} Hz, {self._layout} to {rate} Hz, {layout} at {self.seconds:.2f} s"
                ": re-encode it"
            )
        each = channels(frame)
        samples = (self._gains @ each).astype(np.float32)
        if len(each) > 1:
            self._loudest += (each * each).sum(axis=1)
            self._mixed += float(samples @ samples)
        if frame.pts is not None:
            samples = self._follow(samples, frame.pts * self.time_base)
        self._chunks.append(samples)
        self._length += len(samples)
        if self.seconds > self.longest:
            raise MediaError(too_long(self.longest))

    def _follow(self, samples: np.ndarray, time: Fraction) -> np.ndarray:
        """Place a frame by its time stamp; the samples to append."""
        if self.zero is None:
            self.zero = time - Fraction(self._length, self.rate)
        position = (time - self.zero) * self.rate
        if self._start is None:
            self._start = position - self._length
            return samples
        distance = position - self._start - self._length
        if abs(distance) <= FOLLOW_TIMESTAMPS_BEYOND_SECONDS * self.rate:
            if self._contiguous:
                self._spread = min(self._spread[0], distance), max(self._spread[1], distance)
            return samples
        self._contiguous = False
        if distance < 0:
            return samples[round(-distance) :]
        if distance > LONGEST_GAP_SECONDS * self.rate:
            raise MediaError(
                f"the audio's timestamps jump from {self.seconds:.2f} s to {float(time - self.zero):.2f} s: "
                f"at most {LONGEST_GAP_SECONDS} s without audio are accepted; re-encode the file"
            )
        return np.concatenate([np.zeros(round(distance), np.float32), samples])

    def finish(self) -> Sound:
        """The whole signal; MediaError where it is empty, holds NaN or infinite samples, or cancels itself."""
        samples = np.concatenate(self._chunks) if self._chunks else np.zeros(0, np.float32)
        self._chunks = []
        if not len(samples):
            raise MediaError("the audio stream holds no samples")
        samples = self._placed(samples)
        finite = np.isfinite(samples)
        if not finite.all():
            bad = np.flatnonzero(~finite)
            raise MediaError(
                f"{len(bad)} of {len(samples)} audio samples are NaN or infinite, the first at "
                f"{bad[0] / self.rate:.3f} s: the writer of this file is at fault; decode it again"
            )
        if self._loudest.max() > 0 and self._mixed < _CANCELLED * float((self._gains**2 * self._loudest).max()):
            raise MediaError(
                f"the {len(self._gains)} audio channels cancel each other in the mono mix (one is the other's "
                "opposite): write one channel, or invert one of them"
            )
        return Sound(samples, self.rate)

    def _start_samples(self) -> Fraction:
        """Where the first sample stands, in samples from zero, with the rounding of the time stamps averaged out.

        Each of them allows a range as wide as its tick. Beginning with the first picture is the likeliest place in what
        all of them allow; else it is the middle.
        """
        start = self._start or Fraction(0)
        (low, high), tick = self._spread, self.time_base * self.rate
        if high - low > tick:
            return start
        if start + high - tick / 2 <= 0 <= start + low + tick / 2:
            return Fraction(0)
        return start + (low + high) / 2

    def _placed(self, samples: np.ndarray) -> np.ndarray:
        offset = round(self._start_samples())
        end = len(samples)
        if self.declared_end is not None and self.zero is not None:
            declared = round((self.declared_end - self.zero) * self.rate) - offset
            if 0 < end - declared < _LONGEST_CODEC_FRAME and declared > 0:
                end = declared
        samples = samples[:end]
        if offset > LONGEST_GAP_SECONDS * self.rate:
            raise MediaError(
                f"the sound begins {offset / self.rate:.2f} s after the first picture: at most {LONGEST_GAP_SECONDS} s "
                "are accepted; re-encode the file"
            )
        if offset > 0:
            return np.concatenate([np.zeros(offset, np.float32), samples])
        if -offset >= len(samples):
            raise MediaError(f"the sound ends {-(offset + len(samples)) / self.rate:.2f} s before the first picture")
        return samples[-offset:]


def too_long(longest: float) -> str:
    """The reason for sound or pictures beyond the limit."""
    return f"it lasts longer than {longest:g} s, the most that is decoded (--max-seconds): cut it, or raise the limit"
