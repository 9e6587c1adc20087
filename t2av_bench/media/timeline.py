"""The clock of a file: what zero is, when each picture is shown, and where the sound begins. See docs/time_line.md.

Zero is the first picture that is shown; in a file without pictures, the first sample after declared priming. Containers
disagree on everything else: they shift all streams so that nothing is negative, round to milliseconds, state decoding
times in place of showing times, or state nothing at all. So the time stamps of all packets are read first (nothing is
decoded for it, except up to the first picture), and one clock a stream is made of them:

- Pictures are shown in the order in which the decoder gives them, at their own time stamps.
- Where a container only knows decoding times (AVI and ASF, whose showing times are the library's guess), the n-th
  picture is shown at the n-th of them; elsewhere this is told by showing times that rise in decoding order although the
  codec reorders. Sound that has times of its own (not in AVI) follows by as much as decoding runs ahead.
- Time stamps that are rounded to milliseconds are put back on the constant rate that they agree with everywhere.
- AVI cannot state a late start: writers hold the first picture for longer instead. It is taken to last as long as the
  others, so that the second one comes right after it.
- Pictures without a time stamp follow the one before at the nominal rate; at the beginning they precede the first
  picture that has one.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from statistics import median_low
from typing import Any

from t2av_bench.errors import MediaError
from t2av_bench.media.limits import Limits
from t2av_bench.media.probe import audio_stream, open_media, prepare_pictures, video_stream
from t2av_bench.media.rate import LONGEST_GAP_SECONDS

# Parameters of every protocol that looks at pictures or listens.
PICTURE_CLOCK = "zero at the first picture; nearest picture to each slot, the earlier of two"
SOUND_CLOCK = "by time stamps, zero at the first picture"

# Coarser ticks are the author's own choice of times, not a rounding.
_COARSEST_ROUNDING = Fraction(1, 500)
_COMMON_RATES = [
    Fraction(rate) / slower
    for rate in (8, 10, 12, Fraction(25, 2), 15, 16, 18, 20, 24, 25, 30, 48, 50, 60, 90, 100, 120)
    for slower in (1, Fraction(1001, 1000))
]
_FASTEST = 240
# Containers that store decoding times alone: what is said of showing times is the library's guess.
_DECODING_TIMES = ("avi", "asf")
# Containers in which sound alone begins at zero unless somebody wanted it to begin later.
_STATES_START = ("mov", "matroska", "ogg")
# Where neither packets nor header know a rate (a lone picture).
_ASSUMED_RATE = Fraction(25)


@dataclass(frozen=True, slots=True)
class Timeline:
    """The clocks of one file; times in seconds on the container's own clock.

    zero: the first picture that is shown; None without pictures (the first sample is zero then) or where no packet has
    a time stamp.
    rate: pictures per second: the constant rate that all time stamps agree with (``constant``), else the nominal one.
    sound_zero: the same moment on the sound's clock. The two differ where an edit list begins inside a picture, and
    where pictures have the times of their decoding, which is some pictures before they are shown.
    origin: time of a picture on the grid of the constant rate.
    order: showing times of the pictures, first to last, where the container states decoding times only; else None.
    pictures: packets with pictures. seconds: from the first to the last packet of pictures, and of sound.
    """

    zero: Fraction | None = None
    sound_zero: Fraction | None = None
    rate: Fraction = _ASSUMED_RATE
    constant: bool = False
    origin: Fraction = Fraction(0)
    order: tuple[Fraction, ...] | None = None
    pictures: int = 0
    picture_seconds: float = 0.0
    sound_seconds: float = 0.0

    def clock(self) -> "PictureClock":
        """A clock for one pass over the pictures."""
        return PictureClock(self)


class PictureClock:
    """Gives each picture of a pass its time in seconds from zero, in the order in which they are shown."""

    def __init__(self, timeline: Timeline) -> None:
        self._line = timeline
        self._zero = timeline.zero or Fraction(0)
        self._count = 0
        self._last: Fraction | None = None

    def time(self, stamp: Fraction | None) -> Fraction:
        """Time of the next picture; ``stamp`` is its time stamp in seconds, if it has one. MediaError out of order."""
        line, number = self._line, self._count
        self._count += 1
        if line.order is not None:
            beyond = max(0, number - len(line.order) + 1)
            found = line.order[min(number, len(line.order) - 1)] + beyond / line.rate
        elif stamp is None:
            found = Fraction(0) if self._last is None else self._last + 1 / line.rate
            self._last = found
            return found
        else:
            found = stamp
        if line.constant:
            found = line.origin + round((found - line.origin) * line.rate) / line.rate
        found = max(found - self._zero, Fraction(0))
        if self._last is not None and found < self._last:
            if self._last - found > 1 / line.rate:
                raise MediaError(
                    f"the video's timestamps run back from {float(self._last):.2f} s to {float(found):.2f} s: "
                    "re-encode the file"
                )
            found = self._last
        self._last = found
        return found

    def until(self, duration: Fraction | None) -> Fraction:
        """End of the last picture in seconds from zero; ``duration`` is what its time stamp's owner says."""
        step = 1 / self._line.rate
        return (self._last or Fraction(0)) + (max(step, duration) if duration else step)


def read_timeline(path: Path, limits: Limits) -> Timeline:
    """Read all packets of the chosen streams. A file that breaks off has the clock of its intact part.

    Raises MediaError where the file cannot be opened; limits are only needed to stop early.
    """
    import av

    with open_media(path) as container:
        video, audio = video_stream(container), audio_stream(container)
        packets = _Packets(limits)
        first = _FirstPicture(video)
        try:
            for packet in container.demux():
                # A packet at the end of the file says so of its stream alone: its stream_index is always 0.
                if video is not None and packet.stream.index == video.index:
                    first.feed(packet)
                    packets.add_picture(packet)
                elif audio is not None and packet.stream.index == audio.index:
                    packets.add_sound(packet)
                if packets.enough:
                    break
        except (av.FFmpegError, MemoryError):
            pass  # the pass that decodes will say why
        kind = container.format.name
        line = _timeline(kind, video, audio, packets, first)
    late = Fraction(0)
    if packets.cut and first.position is not None and kind.startswith("mov"):
        late = _moved(path, first)
    elif line.order is not None and kind != "avi":
        late = _reordering(path) / line.rate
    return replace(line, sound_zero=None if line.zero is None else line.zero + late)


def read_sound_timeline(path: Path, limits: Limits) -> Timeline:
    """The clock of a file whose sound belongs to the pictures of another one, which are zero.

    Its own zero is the first picture where it has pictures too. Else it is the container's where that means something;
    in other containers (whose time stamps begin with the priming, or anywhere) it is the first sample.
    """
    line = read_timeline(path, limits)
    with open_media(path) as container:
        states_start = container.format.name.startswith(_STATES_START)
    return replace(line, zero=Fraction(0), sound_zero=Fraction(0)) if states_start and not line.pictures else line


class _Packets:
    """Time stamps of two streams in ticks, in file order.

    enough: they exceed what is decoded anyway. cut: an edit list leaves pictures out.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.shown: list[int | None] = []
        self.decoded: list[int | None] = []
        self.sound_first: int | None = None
        self.sound_ticks = 0
        self.sound_last: int | None = None
        self.enough = False
        self.cut = False

    def add_picture(self, packet: Any) -> None:
        if not packet.size or packet.is_discard:
            self.cut |= packet.is_discard
            return
        self.shown.append(packet.pts)
        self.decoded.append(packet.dts)
        # A tenth more than allowed: enough to know that it is too long.
        self.enough |= len(self.shown) > 1.1 * self._limits.seconds * _FASTEST

    def add_sound(self, packet: Any) -> None:
        if not packet.size:
            return
        self.sound_ticks += packet.duration or 0
        if packet.pts is not None:
            self.sound_first = packet.pts if self.sound_first is None else self.sound_first
            self.sound_last = packet.pts + (packet.duration or 0)
        self.enough |= self.sound_seconds(packet.time_base) > 1.1 * self._limits.seconds

    def sound_seconds(self, base: Fraction) -> float:
        spanned = self.sound_last - self.sound_first if self.sound_first is not None and self.sound_last else 0
        return float(max(self.sound_ticks, spanned) * base)


class _FirstPicture:
    """Decodes until a picture with a time stamp appears.

    stamp: its time stamp in ticks, None if none did; before: how many pictures without one came first. position: of its
    packet in the file.
    """

    def __init__(self, video: Any) -> None:
        self._open = video is not None and video.codec_context is not None
        self.before = 0
        self.stamp: int | None = None
        self.position: int | None = None
        self._positions: dict[int, int | None] = {}
        if self._open:
            prepare_pictures(video, threads=1)

    def feed(self, packet: Any) -> None:
        import av

        if not self._open:
            return
        if packet.pts is not None:
            self._positions[packet.pts] = packet.pos
        try:
            frames = packet.decode()
        except (av.FFmpegError, MemoryError):
            return  # a beginning that cannot be decoded is not shown
        for frame in frames:
            if frame.pts is not None:
                self.stamp, self._open = frame.pts, False
                self.position = self._positions.get(frame.pts)
                return
            self.before += 1


def _moved(path: Path, first: _FirstPicture) -> Fraction:
    """Seconds by which the library shows the first picture of an edit too early: it then begins inside one.

    The picture that the edit begins in is left out, and the next one takes its place; the sound is left where it is.
    """
    with open_media(path, {"advanced_editlist": "0"}) as container:
        video: Any = video_stream(container)
        for packet in container.demux(video):
            if packet.pos == first.position and packet.pts is not None:
                moved = (packet.pts - (first.stamp or 0)) * video.time_base
                return moved if 0 < moved * (video.average_rate or _ASSUMED_RATE) < 2 else Fraction(0)
    return Fraction(0)


def _reordering(path: Path, most: int = 32) -> int:
    """By how many pictures decoding runs ahead of showing; 0 where the first pictures come in their decoding order."""
    import av

    packets, ahead = 0, 0
    stamps: list[int] = []
    with open_media(path) as container:
        video: Any = video_stream(container)
        prepare_pictures(video, threads=1)
        for packet in container.demux(video):
            packets += 1
            try:
                frames = packet.decode()
            except (av.FFmpegError, MemoryError):
                continue
            if frames and not stamps:
                ahead = packets - 1
            stamps += [frame.pts for frame in frames if frame.pts is not None]
            if len(stamps) >= most:
                break
    return ahead if stamps != sorted(stamps) else 0


def _timeline(kind: str, video: Any, audio: Any, packets: _Packets, first: _FirstPicture) -> Timeline:
    sound_seconds = packets.sound_seconds(audio.time_base) if audio is not None else 0.0
    if video is None:
        return Timeline(sound_seconds=sound_seconds)
    base: Fraction = video.time_base
    order = _order(kind, video, packets, first)
    known = sorted(stamp for stamp in (packets.shown if order is None else order) if stamp is not None)
    times = [stamp * base for stamp in known]
    held = _held(times) if kind == "avi" else Fraction(0)
    times[:1] = [time + held for time in times[:1]]
    nominal = _nominal(video, times)
    fit = _constant(times, nominal, video, base)
    rate, origin = fit or (nominal, Fraction(0))
    # A jump of the time stamps is the decoder's to refuse: it does not make a clip long.
    gaps = (min(float(later - earlier), LONGEST_GAP_SECONDS) for earlier, later in pairwise(times))
    seconds = sum(gaps, float(1 / rate)) if times else float(len(packets.shown) / rate)
    facts: dict[str, Any] = {
        "rate": rate, "constant": fit is not None, "origin": origin, "pictures": len(packets.shown),
        "picture_seconds": seconds, "sound_seconds": sound_seconds,
    }  # fmt: skip
    if order is not None:
        shown = [order[0] * base + held, *(stamp * base for stamp in order[1:])]
        start = _on_grid(shown[0], rate, origin) if fit else shown[0]
        return Timeline(zero=start, order=tuple(shown), **facts)
    if first.stamp is not None:
        stamp = first.stamp * base + held
        start = (_on_grid(stamp, rate, origin) if fit else stamp) - first.before / rate
        return Timeline(zero=start, **facts)
    return Timeline(zero=times[0] if times else None, **facts)


def _order(kind: str, video: Any, packets: _Packets, first: _FirstPicture) -> list[int] | None:
    """Showing times in ticks where the packets only carry decoding times: those, from the first picture on."""
    if kind in _DECODING_TIMES:
        slots = [stamp for stamp in packets.decoded if stamp is not None]
        return sorted(slots) if len(slots) == len(packets.decoded) and slots else None
    codec = video.codec_context
    shown = [stamp for stamp in packets.shown if stamp is not None]
    reorders = codec is not None and codec.has_b_frames
    if not reorders or len(shown) < 2 or any(later < earlier for earlier, later in pairwise(shown)):
        return None
    decoded = packets.decoded if all(stamp is not None for stamp in packets.decoded) else packets.shown
    if any(stamp is None for stamp in decoded):
        return None
    # What stands before the first picture that can be decoded is not shown.
    skipped = bisect_left(shown, first.stamp) if first.stamp is not None and len(shown) == len(decoded) else 0
    return sorted(stamp for stamp in decoded[skipped:] if stamp is not None) or None


def _held(times: Sequence[Fraction]) -> Fraction:
    """Seconds by which the first picture is held longer than others usually are."""
    gaps = [later - earlier for earlier, later in pairwise(times)]
    usual = median_low(gaps[1:]) if len(gaps) > 2 else Fraction(0)
    return gaps[0] - usual if usual and gaps[0] > usual else Fraction(0)


def _nominal(video: Any, times: Sequence[Fraction]) -> Fraction:
    for rate in (video.guessed_rate, video.average_rate):
        if rate and 0 < rate <= _FASTEST:
            return Fraction(rate)
    if len(times) > 1 and times[-1] > times[0]:
        return (len(times) - 1) / (times[-1] - times[0])
    return _ASSUMED_RATE


def _constant(
    times: Sequence[Fraction], nominal: Fraction, video: Any, tick: Fraction
) -> tuple[Fraction, Fraction] | None:
    """(rate, origin) of a grid from which all times differ by no more than their rounding; None where there is none."""
    if len(times) < 2:
        return None
    allowed = tick if tick <= _COARSEST_ROUNDING else Fraction(0)
    common = sorted(_COMMON_RATES, key=lambda rate: abs(rate - nominal))
    candidates = [*common, nominal, *(Fraction(rate) for rate in (video.average_rate, video.base_rate) if rate)]
    for rate in dict.fromkeys(candidates):
        # A step of the grid must be much longer than the rounding, or any times would fit.
        if not (0 < rate <= _FASTEST and rate * allowed <= Fraction(1, 4)):
            continue
        low = high = Fraction(0)
        for time in times:
            distance = (time - times[0]) * rate
            off = (distance - round(distance)) / rate
            low, high = min(low, off), max(high, off)
            if high - low > allowed:
                break
        else:
            return rate, times[0] + (low + high) / 2
    return None


def _on_grid(time: Fraction, rate: Fraction, origin: Fraction) -> Fraction:
    return origin + round((time - origin) * rate) / rate
