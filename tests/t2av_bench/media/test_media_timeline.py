"""Clocks of awkward files: order, missing time stamps, rounding, streams that are neither picture nor sound, limits."""

import itertools
import os
import subprocess
import sys
from fractions import Fraction

import av
import media_factory as factory
import numpy as np
import pytest

from t2av_bench.errors import MediaError
from t2av_bench.media.clip import Clip
from t2av_bench.media.limits import Limits
from t2av_bench.media.timeline import Timeline

FRAMES = 50


def numbers(clip):
    return [factory.frame_number(frame) for batch in clip.frames() for frame in batch]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """An mp4 with B frames, and noise that shows every shift."""
    path = tmp_path_factory.mktemp("source") / "a.mp4"
    factory.write_clip(
        path, factory.moving_pattern(FRAMES), factory.noise(2.0, 48000), audio_rate=48000,
        video_options={"bf": "2", "preset": "medium", "g": "100"},
    )  # fmt: skip
    return path


def remux(source, target, streams="va", change=None, options=None):
    """Copy packets, unchanged but for what ``change`` does to them; ``streams``: their order."""
    with av.open(str(source)) as given, av.open(str(target), "w", container_options=options or {}) as output:
        kinds = {"v": given.streams.video, "a": given.streams.audio}
        copies = {}
        for kind in streams:
            stream = kinds[kind][0]
            copies[stream.index] = output.add_stream_from_template(stream)
        counts = dict.fromkeys(copies, 0)
        for packet in given.demux([stream for kind in set(streams) for stream in kinds[kind]]):
            if packet.dts is None:
                continue
            index = packet.stream.index
            if change is not None:
                change(packet, counts[index])
            counts[index] += 1
            packet.stream = copies[index]
            output.mux(packet)
    return target


def lag(heard, expected, at=20000, length=40000, most=4000):
    """Samples by which ``heard`` is late, by the best match of its middle."""
    padded = np.pad(heard, (most, most + len(expected)))
    pieces = [np.dot(expected[at : at + length], padded[at + most + s : at + most + s + length])
              for s in range(-most, most + 1)]  # fmt: skip
    return int(np.argmax(pieces)) - most


@pytest.mark.parametrize("name", ["a.mkv", "a.mov", "a.ts", "a.flv", "a.3gp", "a.mp4"])
@pytest.mark.parametrize("order", ["va", "av"])
def test_a_stream_copy_gives_the_source(tmp_path, source, name, order):
    clip, original = Clip(remux(source, tmp_path / name, order)), Clip(source)
    np.testing.assert_array_equal(
        np.concatenate(list(clip.frames())), np.concatenate(list(original.frames())), err_msg=name
    )
    assert abs(lag(clip.audio(48000), original.audio(48000))) <= 24  # half a millisecond


def test_audio_alone_has_the_same_zero_as_audio_beside_pictures(tmp_path, source):
    path = remux(source, tmp_path / "a.mkv", "av")
    beside = Clip(path)
    assert beside.frame_count == FRAMES
    np.testing.assert_array_equal(Clip(path).audio(), beside.audio())


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_decoding_times_alone_keep_every_picture_in_order(tmp_path, codec):
    """AVI has no showing times: with B frames the pictures carry those of decoding, out of order."""
    options = {"bf": "2", "b_strategy": "0"} | ({"preset": "medium"} if codec == "libx264" else {})
    path = factory.write_clip(
        tmp_path / "a.avi", factory.moving_pattern(FRAMES), video_codec=codec, video_options=options
    )
    clip = Clip(path)
    assert numbers(clip) == list(range(FRAMES))


@pytest.mark.parametrize("frames", ["0", "1", "2", "3"])
def test_sound_beside_decoding_times_is_in_step(tmp_path, frames):
    """ASF stamps its sound truly, and pictures with the times of their decoding."""
    path = factory.write_clip(
        tmp_path / "a.wmv", factory.moving_pattern(FRAMES), factory.noise(2.0, 44100), audio_rate=44100,
        video_options={"bf": frames, "preset": "medium", "b-pyramid": "none"},
    )  # fmt: skip
    clip = Clip(path)
    assert numbers(clip) == list(range(FRAMES))
    assert abs(lag(clip.audio(44100), factory.noise(2.0, 44100))) <= 44


@pytest.mark.parametrize("late", [1, 3])
def test_a_late_start_in_avi_is_not_a_long_first_picture(tmp_path, late):
    """AVI's only way to begin late is to leave slots empty after the first picture."""
    times = [Fraction(0), *(Fraction(index + late, 25) for index in range(1, 30))]
    path = factory.write_clip(
        tmp_path / "a.avi", factory.moving_pattern(30), factory.noise(1.2), frame_times=times, video_codec="mjpeg",
        audio_codec="pcm_s16le", pixel_format="yuvj420p",
    )  # fmt: skip
    clip = Clip(path)
    assert numbers(clip) == list(range(30))
    assert clip.timeline.zero == Fraction(late, 25)
    np.testing.assert_allclose(clip.audio(), factory.noise(1.2)[640 * late :], atol=1e-4)


def test_one_core_shows_what_two_show(tmp_path, source):
    path = remux(source, tmp_path / "a.mkv", "av")
    program = (
        "import sys\nfrom t2av_bench.media.clip import Clip\nc=Clip(sys.argv[1])\n"
        "import hashlib\nh=hashlib.sha256()\n[h.update(b.tobytes()) for b in c.frames()]\n"
        "print(c.frame_count, len(c.audio()), h.hexdigest())"
    )
    cores = sorted(os.sched_getaffinity(0))
    seen = set()
    for count in {1, len(cores)}:
        run = subprocess.run(
            [sys.executable, "-c", program, path], capture_output=True, text=True, check=True,
            preexec_fn=lambda count=count: os.sched_setaffinity(0, cores[:count]),
        )  # fmt: skip
        seen.add(run.stdout)
    assert len(seen) == 1 and seen.pop().startswith(f"{FRAMES} ")


class Stamp:
    """A picture's time stamps, for clocks without files."""

    def __init__(self, line: Timeline) -> None:
        self.clock = line.clock()

    def times(self, stamps):
        return [self.clock.time(None if stamp is None else Fraction(stamp)) for stamp in stamps]


def test_pictures_without_time_stamps_lead_up_to_the_first_that_has_one():
    line = Timeline(zero=Fraction(3) - 2 / Fraction(25), rate=Fraction(25))
    expected = [Fraction(index, 25) for index in range(6)]
    assert Stamp(line).times([None, None, 3, None, Fraction(77, 25), None]) == expected


def test_time_stamps_that_run_back_are_a_reason():
    with pytest.raises(MediaError, match=r"run back from 2\.00 s to 1\.00 s"):
        Stamp(Timeline(zero=Fraction(0), rate=Fraction(25))).times([0, 2, 1])


@pytest.mark.parametrize("rate", [Fraction(24000, 1001), 24, Fraction(30000, 1001), 30, Fraction(60000, 1001), 120])
def test_milliseconds_are_put_back_on_the_rate(tmp_path, rate):
    """Matroska rounds to milliseconds; a whole second of frames later the clock must not have drifted or jittered."""
    path = factory.write_clip(tmp_path / "a.mkv", factory.moving_pattern(90), frame_rate=rate)
    line = Clip(path).timeline
    assert line.constant and line.rate % rate == 0
    clock = line.clock()
    with av.open(str(path)) as container:
        times = [clock.time(frame.pts * frame.time_base) for frame in container.decode(video=0)]
    assert times == [index / Fraction(rate) for index in range(90)]


def test_an_uneven_rate_is_left_uneven(tmp_path):
    times = [Fraction(t, 1000) for t in itertools.accumulate([0, 20, 70, 33, 48, 21, 66, 37, 90, 25])]
    path = factory.write_clip(tmp_path / "a.mkv", factory.moving_pattern(10), frame_times=times)
    assert not Clip(path).timeline.constant


@pytest.mark.parametrize("first", [3, 10])
def test_a_beginning_without_time_stamps_costs_nothing(tmp_path, source, first):
    """Negative times in Matroska reach us as none at all, for the pictures; the sound's are kept."""
    shift = Fraction(-first, 25)

    def change(packet, count):
        ticks = int(shift / packet.time_base)
        packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks

    path = remux(source, tmp_path / "a.mkv", "va", change, {"avoid_negative_ts": "disabled"})
    clip, original = Clip(path), Clip(source)
    assert numbers(clip) == list(range(FRAMES))
    assert abs(lag(clip.audio(48000), original.audio(48000))) <= 48


# -- streams that are neither picture nor sound ----------------------------------------------------------------------


def with_attachment(source, path):
    """Matroska with a font attached."""
    with av.open(str(source)) as given, av.open(str(path), "w") as output:
        output.add_attachment("font.ttf", "application/x-truetype-font", b"\x00\x01\x00\x00" + bytes(400))
        copies = {stream.index: output.add_stream_from_template(stream) for stream in given.streams}
        for packet in given.demux():
            if packet.dts is not None:
                packet.stream = copies[packet.stream.index]
                output.mux(packet)
    return path


def with_time_code(source, path):
    """A QuickTime time-code track, which ffmpeg writes for a stream with that metadata."""
    with av.open(str(source)) as given, av.open(str(path), "w", format="mov") as output:
        copies = {stream.index: output.add_stream_from_template(stream) for stream in given.streams}
        copies[given.streams.video[0].index].metadata["timecode"] = "01:00:00:00"
        for packet in given.demux():
            if packet.dts is not None:
                packet.stream = copies[packet.stream.index]
                output.mux(packet)
    with av.open(str(path)) as container:
        assert any(stream.type == "data" for stream in container.streams)
    return path


@pytest.mark.parametrize(("make", "name"), [(with_attachment, "a.mkv"), (with_time_code, "a.mov")])
def test_other_streams_are_passed_over(tmp_path, source, make, name):
    clip, original = Clip(make(source, tmp_path / name)), Clip(source)
    assert numbers(clip) == list(range(FRAMES))
    assert abs(lag(clip.audio(48000), original.audio(48000))) <= 24


def test_an_unknown_video_codec_is_named_and_the_sound_is_heard(tmp_path, source):
    data = remux(source, tmp_path / "a.mkv").read_bytes()
    assert data.count(b"V_MPEG4/ISO/AVC") == 1
    path = tmp_path / "unknown.mkv"
    path.write_bytes(data.replace(b"V_MPEG4/ISO/AVC", b"V_NOSUCH/CODEC1"))
    clip = Clip(path)
    assert clip.info.has_video and clip.info.video_codec is None
    with pytest.raises(MediaError, match="unknown codec 'V_NOSUCH/CODEC1'"):
        list(clip.frames())
    assert abs(lag(clip.audio(48000), Clip(source).audio(48000))) <= 48


# -- limits ----------------------------------------------------------------------------------------------------------


def test_clips_beyond_the_limits_are_reasons(source):
    with pytest.raises(MediaError, match=r"a.mp4: it lasts longer than 1 s, .*--max-seconds"):
        list(Clip(source, limits=Limits(seconds=1)).frames())
    with pytest.raises(MediaError, match=r"the sound: it lasts longer than 1 s"):
        Clip(source, limits=Limits(seconds=1)).audio()
    with pytest.raises(MediaError, match=r"50 pictures of 128x96, .*--max-gigapixels"):
        list(Clip(source, limits=Limits(gigapixels=1e-4)).frames())
    assert len(Clip(source, limits=Limits(seconds=3, gigapixels=1)).audio()) == 32000


def test_hours_of_silence_cost_no_memory(tmp_path):
    """Ten hours of nothing are a few megabytes of FLAC, and gigabytes of samples."""
    path = tmp_path / "long.flac"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("flac", rate=8000, layout="mono", format="s16")
        piece = np.zeros((1, 1 << 20), np.int16)
        for index in range(3 * 3600 * 8000 // (1 << 20)):
            frame = av.AudioFrame.from_ndarray(piece, format="s16", layout="mono")
            frame.sample_rate, frame.time_base, frame.pts = 8000, Fraction(1, 8000), index << 20
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    with pytest.raises(MediaError, match="--max-seconds"):
        Clip(path).audio()


def test_large_pictures_come_in_small_batches_and_do_not_pile_up(tmp_path):
    """Memory of a pass over 60 pictures of 6 megapixels: a few of them, not all (1 GB as RGB)."""
    path = tmp_path / "large.mp4"
    frame = av.VideoFrame(3072, 2048, "yuv420p")
    for plane in frame.planes:
        plane.update(bytes([100]) * plane.buffer_size)
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 3072, 2048, "yuv420p"
        for index in range(60):
            frame.pts, frame.time_base = index, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    # Not getrusage: a child begins with the largest size of the process that started it.
    measure = (
        "import sys\nfrom t2av_bench.media.clip import Clip\n"
        "c=Clip(sys.argv[1],frame_budget=0)\nn=[len(b) for b in c.frames()]\nassert sum(n)==60 and max(n)<=3, n\n"
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    run = subprocess.run([sys.executable, "-c", measure, path], capture_output=True, text=True, check=True)
    assert int(run.stdout) < 450_000  # kilobytes
