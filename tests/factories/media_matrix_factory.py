"""Writes one clip in many wrappings: what a file shows and sounds at each moment is known to the sample.

The picture tells its own number (a bar code of eight bits), moves (a soft disc) and flashes white three times; the
sound is noise that swells like speech, with a burst that begins at the very moment of each flash. All moments are on
the *content's* time line: picture n belongs to ``Case.times[n]``, and the sound of the moment t is
``source_sound(t, ...)``. How a file is written (shifted, cut, late) moves stamps and content together, so a right
reader always finds flash and burst together.

PyAV alone writes the files; the same case gives the same bytes.
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import cache, cached_property
from math import gcd
from pathlib import Path
from typing import Any

import av
import numpy as np

WIDTH, HEIGHT = 128, 96
SECONDS = 2
FLASHES = (Fraction(10, 25), Fraction(23, 25), Fraction(36, 25))
FLASH_SECONDS = Fraction(12, 100)
BURST_SECONDS = 0.06
RATE = 48000
_SOUND_FROM = -2  # seconds of the content's time line at which the source sound begins

# Steps in ms between pictures of variable rate: phone cameras and screen recorders mix all of these.
_VARIABLE_STEPS = (40, 33, 67, 20, 90, 17, 40, 50, 33, 34)


@dataclass(frozen=True, slots=True)
class VideoCodec:
    """encoder, its pixel format and options."""

    encoder: str
    pixel_format: str = "yuv420p"
    options: tuple[tuple[str, str], ...] = ()
    bit_rate: int | None = None


_X264 = (("preset", "ultrafast"), ("crf", "10"), ("g", "25"))
_X265 = "log-level=none:pools=none:frame-threads=1:bframes=2:keyint=25"
VIDEO_CODECS = {
    "h264": VideoCodec("libx264", options=(*_X264, ("bf", "0"))),
    "h264 B": VideoCodec("libx264", options=(*_X264, ("bf", "2"), ("b_strategy", "0"))),
    "h265": VideoCodec(
        "libx265", options=(("preset", "ultrafast"), ("crf", "10"), ("forced-idr", "1"), ("x265-params", _X265))
    ),
    "vp9": VideoCodec(
        "libvpx-vp9", options=(("deadline", "realtime"), ("cpu-used", "8"), ("lag-in-frames", "5"), ("crf", "12")),
        bit_rate=4_000_000,
    ),
    "vp8": VideoCodec("libvpx", options=(("deadline", "realtime"), ("cpu-used", "8")), bit_rate=4_000_000),
    "mpeg4": VideoCodec("mpeg4", options=(("bf", "0"),), bit_rate=6_000_000),
    "mpeg4 B": VideoCodec("mpeg4", options=(("bf", "2"),), bit_rate=6_000_000),
    "mpeg2 B": VideoCodec("mpeg2video", options=(("bf", "2"),), bit_rate=8_000_000),
    "mjpeg": VideoCodec("mjpeg", "yuvj420p", (("qmin", "2"), ("qmax", "3"))),
    "prores": VideoCodec("prores_ks", "yuv422p10le"),
    "ffv1": VideoCodec("ffv1", "yuv420p"),
    "gif": VideoCodec("gif", "rgb8"),
}  # fmt: skip
# encoder, sample format, rate, channels
AUDIO_CODECS = {
    "aac": ("aac", "fltp", 48000, 1),
    "mp3": ("libmp3lame", "fltp", 44100, 1),
    "opus": ("libopus", "flt", 48000, 1),
    "vorbis": ("vorbis", "fltp", 48000, 2),
    "ac3": ("ac3", "fltp", 48000, 1),
    "wma": ("wmav2", "fltp", 44100, 1),
    "flac": ("flac", "s16", 48000, 2),
    "pcm": ("pcm_s16le", "s16", 44100, 1),
    "pcm48": ("pcm_s16le", "s16", 48000, 2),
    "mp2": ("mp2", "s16", 48000, 1),
    "amr": ("libopencore_amrnb", "s16", 8000, 1),
}
_LAYOUTS = {1: "mono", 2: "stereo"}
FORMATS = {"mkv": "matroska", "ts": "mpegts", "wmv": "asf", "m2ts": "mpegts", "mpg": "mpeg", "ogv": "ogg"}


@dataclass(frozen=True)
class Case:
    """One file: container and codecs, picture rate (``None``: variable), order and extra streams, and timing.

    layout: video first, sound first, second video, second sound, cover, attachment, time code, fragments (an mp4
        without an index of the whole).
    timing: together; late, early (the sound begins so much after, before the first picture); longer, shorter; edit
        list (the file hides a run-up of both streams); edit list in a picture (it begins between two pictures, as a
        cut at any time without encoding leaves it); shifted (stamps begin at 10 s); wrapped (the clock of a
        transport stream starts again after a second); no first stamps (the stamps of the first half second are lost).
    """

    container: str
    video: str | None
    audio: str | None
    rate: Fraction | None = Fraction(25)
    layout: str = "video first"
    timing: str = "together"

    @property
    def name(self) -> str:
        rate = "variable" if self.rate is None else f"{float(self.rate):.5g}"
        parts = (self.container, self.video, self.audio, rate, self.layout, self.timing)
        return "-".join(part.replace(" ", "_") for part in parts if part)

    @property
    def file_name(self) -> str:
        return f"{self.name}.{self.container}"

    @property
    def hidden(self) -> int:
        """Pictures before the file's zero, which an edit list hides."""
        return 5 if self.timing.startswith("edit list") else 0

    @cached_property
    def times(self) -> tuple[Fraction, ...]:
        """Moment of each picture that is shown; the first is 0."""
        if self.rate is not None:
            return tuple(Fraction(n) / self.rate for n in range(round(SECONDS * self.rate)))
        steps = (40, 80, 40, 120, 40, 40) if self.container == "avi" else _VARIABLE_STEPS
        times, index = [Fraction(0)], 0
        while (time := times[-1] + Fraction(steps[index % len(steps)], 1000)) < SECONDS:
            times.append(time)
            index += 1
        return tuple(times)

    @property
    def sound_interval(self) -> tuple[Fraction, Fraction]:
        """Moments at which the sound in the file begins and ends; below zero it is not heard."""
        start, end = Fraction(0), Fraction(SECONDS)
        if self.timing == "late":
            start = Fraction(3, 10)
        elif self.timing == "early":
            start = -self.lead
        elif self.hidden:
            start = -Fraction(self.hidden) / (self.rate or 25)
        elif self.timing == "longer":
            end += Fraction(2, 5)
        elif self.timing == "shorter":
            end -= Fraction(1, 2)
        return start, end

    @property
    def lead(self) -> Fraction:
        """Seconds by which early sound comes before the first picture: whole pictures, as AVI can count no others."""
        return Fraction(6, 25) if self.rate is None else Fraction(int(self.rate * Fraction(6, 25))) / self.rate

    @property
    def shift(self) -> Fraction:
        """What the file's stamps are ahead of the moments."""
        if self.timing == "early":
            return self.lead
        shifts = {
            "shifted": Fraction(10),
            "no first stamps": Fraction(-1, 2),
            # The clock of MPEG has 33 bits at 90 kHz.
            "wrapped": Fraction((1 << 33) - 90000, 90000),
            "edit list in a picture": Fraction(1, 50),
        }
        return shifts.get(self.timing, Fraction(0))

    def nearest(self, time: Fraction) -> int:
        """Number of the picture nearest to a moment (ties: the earlier)."""
        return min(range(len(self.times)), key=lambda n: (abs(self.times[n] - time), n))


def picture(index: int, time: Fraction) -> np.ndarray:
    """(HEIGHT, WIDTH, 3) uint8: flash field above, disc in the middle, bar code of ``index`` below."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    angle = 2 * np.pi * float(time) / 2
    disc = np.exp(-((x - 64 - 45 * np.cos(angle)) ** 2 + (y - 48 - 12 * np.sin(angle)) ** 2) / 60)
    grey = 40 + 190 * disc
    grey[:24] = 235 if any(flash <= time < flash + FLASH_SECONDS for flash in FLASHES) else 20
    for bit in range(8):
        grey[72:, 16 * bit : 16 * bit + 16] = 235 if index >> bit & 1 else 20
    return np.repeat(grey.astype(np.uint8)[..., None], 3, 2)


def picture_number(shown: np.ndarray) -> int:
    """The number that ``picture`` drew on (HEIGHT, WIDTH, 3)."""
    return sum(int(shown[78:90, 16 * bit + 4 : 16 * bit + 12].mean() > 127) << bit for bit in range(8))


def is_flash(shown: np.ndarray) -> bool:
    return bool(shown[6:18, 8:-8].mean() > 127)


@cache
def _whole_sound(rate: int) -> np.ndarray:
    from t2av_bench.media.resample import resample

    moments = np.arange(_SOUND_FROM * RATE, 4 * RATE) / RATE
    noise = np.random.default_rng(0).standard_normal((2, len(moments)))
    speech = np.convolve(noise[0], np.hanning(9) / 4.5, "same") * (0.55 - 0.45 * np.cos(2 * np.pi * 4 * moments))
    bursts = np.zeros(len(moments))
    for flash in FLASHES:
        bursts[(moments >= float(flash)) & (moments < float(flash) + BURST_SECONDS)] = 1
    burst = np.convolve(noise[1], np.hanning(7) / 3.5, "same")
    sound = (0.05 * speech * (1 - bursts) + 0.3 * bursts * burst).astype(np.float32)
    sound.flags.writeable = False
    return resample(sound, RATE, rate)


def source_sound(start: Fraction | float, end: Fraction | float, rate: int) -> np.ndarray:
    """(n,) float32: the content's sound from moment ``start`` to ``end`` at ``rate`` Hz."""
    first, last = (round((float(moment) - _SOUND_FROM) * rate) for moment in (start, end))
    return _whole_sound(rate)[first:last]


def write_case(folder: Path, case: Case) -> Path:
    """Write the file of a case and return its path."""
    path = folder / case.file_name
    options = {"fflags": "+bitexact"}
    # AVI: else the writer moves the pictures by as much as the sound's priming is negative, rounded to a whole picture.
    if case.timing == "no first stamps" or case.container == "avi":
        options["avoid_negative_ts"] = "disabled"
    if case.layout == "fragments":
        options["movflags"] = "frag_keyframe+delay_moov+default_base_moof"
    with av.open(str(path), "w", format=FORMATS.get(case.container), container_options=options) as output:
        packets = _encode(output, case)
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            output.mux(packet)
    return path


def _encode(output: Any, case: Case) -> list[Any]:
    """Add the streams of a case in its order and return their packets, not in order of time."""
    tracks: dict[str, Any] = {}
    wanted = [name for name in ("video", "audio") if getattr(case, name)]
    if case.layout == "sound first":
        wanted.reverse()
    # A file that marks its default stream has the decoy first; in others the first stream is the one to take.
    marks = case.container in ("mp4", "mov", "mkv", "webm", "3gp")
    for decoy, kind in (("second video", "video"), ("second sound", "audio")):
        if case.layout == decoy:
            wanted.insert(wanted.index(kind) + (0 if marks else 1), f"{kind} decoy")
    for name in wanted:
        kind = name.split()[0]
        tracks[name] = _add_video(output, case) if kind == "video" else _add_audio(output, case)
        if marks and case.layout in ("second video", "second sound"):
            tracks[name].disposition = 0 if name.endswith("decoy") else av.stream.Disposition.default
    if case.layout == "time code":
        tracks["video"].metadata["timecode"] = "01:00:00:00"
    if case.layout == "attachment":
        output.add_attachment("letters.ttf", "application/x-truetype-font", bytes(range(256)) * 4)
    cover = None
    if case.layout == "cover" and case.container == "mkv":
        image = _cover(av.CodecContext.create("mjpeg", "w"))
        output.add_attachment("cover.jpg", "image/jpeg", b"".join(bytes(packet) for packet in image))
    elif case.layout == "cover":
        cover = output.add_stream("mjpeg", rate=1)
        cover.disposition = av.stream.Disposition.attached_pic
    packets = []
    for name, track in tracks.items():
        decoy = name.endswith("decoy")
        packets += _pictures(track, case, decoy) if name.startswith("video") else _sound(track, case, decoy)
    return packets if cover is None else packets + _cover(cover)


def _cover(encoder: Any) -> list[Any]:
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 64, 64, "yuvj420p", Fraction(1)
    frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), (200, 30, 30), np.uint8), format="rgb24")
    frame.pts, frame.time_base = 0, Fraction(1)
    return encoder.encode(frame.reformat(format="yuvj420p")) + encoder.encode(None)


def _add_video(output: Any, case: Case) -> Any:
    codec = VIDEO_CODECS[case.video]
    stream = output.add_stream(codec.encoder, rate=case.rate or 25, options=dict(codec.options))
    stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, codec.pixel_format
    if codec.bit_rate:
        stream.bit_rate = codec.bit_rate
    stream.time_base = stream.codec_context.time_base = _picture_base(case)
    stream.codec_context.thread_count = 1
    return stream


def _picture_base(case: Case) -> Fraction:
    if case.rate is None:
        return Fraction(1, 25) if case.container == "avi" else Fraction(1, 1000)
    step, shift = 1 / case.rate, case.shift
    return Fraction(
        gcd(step.numerator * shift.denominator, shift.numerator * step.denominator),
        step.denominator * shift.denominator,
    )


def _add_audio(output: Any, case: Case) -> Any:
    encoder, kind, rate, channels = AUDIO_CODECS[case.audio]
    options = {"strict": "experimental"} if case.audio == "vorbis" else {}
    stream = output.add_stream(encoder, rate=rate, layout=_LAYOUTS[channels], format=kind, options=options)
    if case.audio in ("aac", "mp3", "opus", "ac3", "wma", "vorbis"):
        stream.bit_rate = 128_000
    stream.codec_context.thread_count = 1
    return stream


def _pictures(stream: Any, case: Case, decoy: bool) -> list[Any]:
    packets, base = [], _picture_base(case)
    run_up = [(256 - n, -n / (case.rate or Fraction(25))) for n in range(case.hidden, 0, -1)]
    for index, time in [*run_up, *enumerate(case.times)]:
        # The decoy shows the clip's end first: taken for the right one, no number would fit.
        drawn = picture(255 - index % 200, SECONDS - time) if decoy else picture(index, time)
        frame = av.VideoFrame.from_ndarray(drawn, format="rgb24").reformat(format=stream.pix_fmt)
        frame.pts, frame.time_base = round((time + case.shift) / base), base
        packets += stream.encode(frame)
    return packets + stream.encode(None)


def _sound(stream: Any, case: Case, decoy: bool) -> list[Any]:
    rate = stream.codec_context.sample_rate
    start, end = case.sound_interval
    samples = source_sound(start, end, rate)
    if decoy:
        samples = samples[::-1]
    _, kind, _, channels = AUDIO_CODECS[case.audio]
    data = np.rint(samples * 32767).astype(np.int16) if kind == "s16" else samples
    packets, first = [], round((start + case.shift) * rate)
    for position in range(0, len(data), 1024):
        piece = np.repeat(data[position : position + 1024, None], channels, 1)
        planes = piece.T if kind.endswith("p") else piece.reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(planes), format=kind, layout=_LAYOUTS[channels])
        frame.sample_rate, frame.pts, frame.time_base = rate, first + position, Fraction(1, rate)
        packets += stream.encode(frame)
    return packets + stream.encode(None)
