"""Decoded audio to one mono signal on the container's time line.

- Mono is the plain average of all channels, in float64, whatever their layout.
- Integer samples are divided by 2^(bits-1), so full scale is [-1, 1); float samples are taken as they
  are, also above 1.
- The signal starts at the container's zero: a later start is filled with silence, an earlier one cut. Inside the
  stream timestamps are followed only where they leave the sample count by more than 0.1 s (silence or a cut), which is
  ffmpeg's rule for ``-async 1``; smaller jitter is ignored.
- Encoder padding after the end that an mp4 track declares is cut (less than one codec frame).
"""

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from t2av_bench.media.errors import MediaError

FOLLOW_TIMESTAMPS_BEYOND_SECONDS = Fraction(1, 10)
LONGEST_GAP_SECONDS = 60
# No AAC, MP3, Opus or Vorbis frame is longer.
_LONGEST_CODEC_FRAME = 8192

_SCALE = {"u8": 128.0, "s16": 32768.0, "s32": 2147483648.0, "s64": 9223372036854775808.0}


@dataclass(frozen=True, slots=True)
class Sound:
    """samples: (n,) float32 mono; rate: samples per second, as stored in the file."""

    samples: np.ndarray
    rate: int


@dataclass(slots=True)
class SoundCollector:
    """Collects decoded audio frames in order.

    zero: the container's zero in seconds; time_base: seconds per tick of the stream's timestamps.
    declared_end: end of the track in seconds where the container states it to the sample.
    """

    zero: Fraction
    time_base: Fraction
    declared_end: Fraction | None = None
    rate: int = 0
    _channels: int = 0
    _chunks: list[np.ndarray] = field(default_factory=list)
    _length: int = 0

    @property
    def seconds(self) -> float:
        return self._length / self.rate if self.rate else 0.0

    @property
    def started(self) -> bool:
        return self.rate > 0

    def add(self, frame: Any) -> None:
        """Append one ``av.AudioFrame``."""
        samples = mono(frame)
        rate, channels = frame.sample_rate, frame.layout.nb_channels
        first = not self.rate
        if not first and (rate, channels) != (self.rate, self._channels):
            raise MediaError(
                f"the audio changes from {self.rate} Hz, {self._channels} channels to {rate} Hz, {channels} channels "
                f"at {self.seconds:.2f} s: re-encode it"
            )
        self.rate, self._channels = rate, channels
        if frame.pts is not None:
            time = frame.pts * self.time_base - self.zero
            distance = round(time * rate) - self._length
            if first or abs(distance) > FOLLOW_TIMESTAMPS_BEYOND_SECONDS * rate:
                samples = self._follow(samples, distance, float(time))
        self._chunks.append(samples)
        self._length += len(samples)

    def _follow(self, samples: np.ndarray, distance: int, time: float) -> np.ndarray:
        if distance <= 0:
            return samples[-distance:]
        if distance > LONGEST_GAP_SECONDS * self.rate:
            raise MediaError(
                f"the audio's timestamps jump from {self.seconds:.2f} s to {time:.2f} s: "
                f"at most {LONGEST_GAP_SECONDS} s without audio are accepted; re-encode the file"
            )
        return np.concatenate([np.zeros(distance, np.float32), samples])

    def finish(self) -> Sound:
        """The whole signal; MediaError where it is empty or holds NaN or infinite samples."""
        samples = np.concatenate(self._chunks) if self._chunks else np.zeros(0, np.float32)
        self._chunks = []
        if self.declared_end is not None and self.rate:
            end = round((self.declared_end - self.zero) * self.rate)
            if 0 < len(samples) - end < _LONGEST_CODEC_FRAME and end > 0:
                samples = samples[:end]
        if not len(samples):
            raise MediaError("the audio stream holds no samples")
        finite = np.isfinite(samples)
        if not finite.all():
            bad = np.flatnonzero(~finite)
            raise MediaError(
                f"{len(bad)} of {len(samples)} audio samples are NaN or infinite, the first at "
                f"{bad[0] / self.rate:.3f} s: the writer of this file is at fault; decode it again"
            )
        return Sound(samples, self.rate)


def mono(frame: Any) -> np.ndarray:
    """(n,) float32: channel average of an ``av.AudioFrame``."""
    kind = frame.format.name.removesuffix("p")
    data = frame.to_ndarray()
    channels = frame.layout.nb_channels
    if not frame.format.is_planar:
        data = data.reshape(-1, channels).T
    if kind in ("flt", "dbl"):
        scaled = data.astype(np.float64)
    elif kind in _SCALE:
        scaled = (data.astype(np.float64) - (128.0 if kind == "u8" else 0.0)) / _SCALE[kind]
    else:
        raise MediaError(f"audio samples of format {frame.format.name!r} are not supported: convert to 16-bit PCM")
    return (scaled[0] if channels == 1 else scaled.mean(axis=0)).astype(np.float32)
