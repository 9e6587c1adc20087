"""The media matrix: the same two seconds in a hundred wrappings show and sound the same.

What is right is arithmetic: slot k of the 25 fps grid shows the picture nearest in time to k/25 s after the first
picture, and a sound of the moment t is heard at t. ``media_matrix_factory`` knows which picture and which sound belongs
to each moment; ``bench/media_matrix.py`` prints what is measured here.
"""

import os
import shutil
import subprocess
from dataclasses import replace
from fractions import Fraction
from itertools import combinations
from pathlib import Path

import av
import numpy as np
import pytest
from media_matrix_cases import ALL_RATES, AUDIO, LAYOUTS, TIMINGS, VIDEO, all_rows, covering_rows, matrix
from media_matrix_factory import FLASHES, SECONDS, Case, picture_number, source_sound, write_case
from media_matrix_measure import GRID, RATE, burst_moment, measure

from t2av_bench.benchmarks.manifest import Item
from t2av_bench.errors import MediaError
from t2av_bench.media.clip import Clip
from t2av_bench.metrics import create
from t2av_bench.metrics.base import Pair

# Containers count in milliseconds (mkv, webm, flv, wmv; edit lists of mp4 too): nothing can be placed better.
TICK_MS = 1.0
# What the file does not state, so no reader can know it; ms by which the sound is heard late.
# AVI has neither stamps nor a field for the encoder's delay, and the decoders of these codecs do not know it either.
# AMR's synthesis filter moves an onset a little forward, in every container.
UNSTATED_MS = {
    ("avi", "aac"): 1024 / 48,
    ("avi", "ac3"): 256 / 48,
    ("avi", "mp3"): 1105 / 44.1,
    ("avi", "wma"): 2048 / 44.1,
    ("3gp", "amr"): -1.25,
}
# AC-3's encoder writes no frame for its own delay: so many samples fewer come out than went in.
LOST_SECONDS = {"ac3": 256 / 48000}
# PSNR against an mp4 of the same pictures: lossy codecs differ; a picture too early or late gives less than 25.
LEAST_PSNR = {"gif": 18}  # eight bits of colour
# STOI against the mp4's AAC: 20 ms of shift give less than 0.7.
LEAST_STOI = {"amr": 0.8}  # telephone band

CASES = matrix()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("matrix")


@pytest.fixture(scope="module")
def twins(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("twins")


def half_step_ms(case: Case) -> float:
    """Half the longest distance of neighbouring pictures."""
    return 500 * float(max(late - early for early, late in zip(case.times, case.times[1:], strict=False)))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_file_shows_and_sounds_what_was_put_into_it(case, folder, twins):
    path = write_case(folder, case)
    found = measure(case, path, twins)
    if case.video:
        assert abs(len(found.shown) - SECONDS * GRID) <= (0 if case.rate == GRID else 1)
        right = [case.nearest(Fraction(slot, GRID)) for slot in range(len(found.shown))]
        if case.rate == GRID:
            assert found.shown == right == list(range(SECONDS * GRID))
        for slot, (shown, nearest) in enumerate(zip(found.shown, right, strict=True)):
            distance, least = (abs(case.times[n] - Fraction(slot, GRID)) for n in (shown, nearest))
            assert float(distance - least) * 1000 <= TICK_MS, f"slot {slot} shows {shown}, not {nearest}"
        assert found.worst <= half_step_ms(case) + TICK_MS
        assert abs(found.bias - found.ideal_bias) < 0.5
        assert abs(found.bias) <= (1 if case.rate else half_step_ms(case)), "one side is favoured"
        assert found.psnr >= LEAST_PSNR.get(case.video, 30)
    if case.audio:
        unstated = UNSTATED_MS.get((case.container, case.audio), 0)
        assert found.burst_errors and np.abs(np.array(found.burst_errors) - unstated).max() <= 1
        end = float(case.sound_interval[1])
        # Some containers do not state where the last block of the codec ends; none is longer than 2048 samples.
        least = end - LOST_SECONDS.get(case.audio, 0) - 0.001
        assert least <= found.seconds <= end + 0.05 + max(unstated, 0) / 1000
        if found.stoi is not None and not unstated:
            assert found.stoi >= LEAST_STOI.get(case.audio, 0.98)
    if case.video and case.audio:
        bound = 1 if case.rate == GRID else half_step_ms(case) + TICK_MS
        assert len(found.flash_errors) == len(found.burst_errors)
        assert np.abs(np.array(found.flash_errors) + unstated).max() <= bound


def test_every_pair_of_compatible_levels_stands_in_the_matrix():
    pairs = {pair for row in covering_rows() for pair in combinations(enumerate(row), 2)}
    assert pairs == {pair for row in all_rows() for pair in combinations(enumerate(row), 2)}
    assert len(CASES) == len(set(CASES)) <= 120
    for name, levels in (("container", VIDEO), ("rate", ALL_RATES)):
        assert {getattr(case, name) for case in CASES} >= set(levels)
    for name, table in (("video", VIDEO), ("audio", AUDIO), ("layout", LAYOUTS), ("timing", TIMINGS)):
        assert {getattr(case, name) for case in CASES} >= set().union(*table.values())


@pytest.mark.parametrize("shift", [-40.25, -0.5, 0, 16.5, 200])
def test_the_burst_is_found_to_a_tenth_of_a_sample(shift):
    """Shifts in samples, by a phase in the spectrum."""
    sound = source_sound(0, 2, RATE).astype(np.float64)
    phase = np.exp(-2j * np.pi * np.fft.rfftfreq(len(sound)) * shift)
    moved = np.fft.irfft(np.fft.rfft(sound) * phase, len(sound))
    assert burst_moment(moved, Fraction(23, 25)) * RATE == pytest.approx(0.92 * RATE + shift, abs=0.1)


def copied(source: Path, target: Path, reverse: bool = False, container: str | None = None) -> Path:
    """The packets of a file in another one, streams in the same or the reverse order."""
    with av.open(str(source)) as read, av.open(str(target), "w", format=container) as written:
        streams = list(read.streams)
        to = {stream.index: written.add_stream_from_template(stream) for stream in streams[:: -1 if reverse else 1]}
        packets = [packet for packet in read.demux() if packet.size]
        for stream in streams:
            # Matroska states no times of decoding: the first ones have to be made up.
            own = [packet for packet in packets if packet.stream_index == stream.index]
            known = next(index for index, packet in enumerate(own) if packet.dts is not None)
            for index in range(known):
                own[index].dts = own[known].dts - (known - index) * own[known].duration
        if container == "avi" and streams[0].codec_context.name == "h264" and source.suffix == ".mp4":
            annexb = av.bitstream.BitStreamFilterContext("h264_mp4toannexb", streams[0])
            packets = [
                new for packet in packets for new in (annexb.filter(packet) if packet.stream_index == 0 else [packet])
            ]
        for packet in packets:
            packet.stream = to[packet.stream_index]
            written.mux(packet)
    return target


COPIES = [
    (Case("mp4", "h264 B", "aac"), ("mp4", "mov", "mkv", "avi", "ts", "flv", "3gp")),
    (Case("mp4", "h264", "mp3"), ("mov", "mkv", "avi", "ts", "flv")),
    (Case("mp4", "h265", "ac3"), ("mov", "mkv", "ts")),
    (Case("mp4", "mpeg4", "pcm"), ("mov", "mkv", "avi")),
    (Case("mkv", "vp9", "opus"), ("mp4", "webm")),
    (Case("mkv", "h264 B", "flac", Fraction(30)), ("mp4",)),
    (Case("webm", "vp9", "vorbis", timing="late"), ("mp4", "mkv")),
    (Case("mov", "prores", "pcm", Fraction(24)), ("mkv",)),
    (Case("avi", "mjpeg", "ac3"), ("mp4", "mov", "mkv")),
    (Case("avi", "mpeg4", "mp3"), ("mp4", "mov", "mkv", "avi")),
    (Case("ts", "h264 B", "aac", Fraction(50), timing="shifted"), ("mp4", "mov", "mkv", "flv")),
    (Case("mp4", "h264 B", "aac", timing="edit list"), ("mov",)),
]


@pytest.mark.parametrize(
    ("case", "container", "reverse"),
    [(case, container, False) for case, containers in COPIES for container in containers]
    + [(case, containers[0], True) for case, containers in COPIES],
    ids=lambda value: value.name if isinstance(value, Case) else "reversed" * value if value in (0, 1) else value,
)
def test_a_stream_copy_scores_as_its_source(case, container, reverse, folder, tmp_path):
    pytest.importorskip("pystoi")
    pytest.importorskip("cv2")
    source = write_case(folder, case)
    format = {"mkv": "matroska", "ts": "mpegts"}.get(container, container)
    copy = copied(source, tmp_path / f"copy.{container}", reverse, format)
    pair = Pair(Item(id="clip"), Clip(copy), Clip(source))
    assert create("psnr/rgb").measure(pair).values["psnr"] >= 60
    if container == "avi" != case.container:
        # AVI counts in pictures and knows no priming: the sound is a little off, by how much no reader can tell.
        bursts = [burst_moment(pair.generated.audio(RATE), true) for true in FLASHES]
        errors = [1000 * (burst - float(true)) for burst, true in zip(bursts, FLASHES, strict=True)]
        assert np.ptp(errors) < 0.1 and abs(errors[0]) <= UNSTATED_MS.get(("avi", case.audio), 0) + 20
    else:
        assert create("stoi/pystoi").measure(pair).values["stoi"] >= 0.998


ORDERS = [
    Case("mp4", "h264 B", "aac", layout="sound first"),
    Case("mkv", "vp9", "opus", Fraction(30), layout="second video"),
    Case("mkv", "h264 B", "mp3", layout="second sound"),
    Case("avi", "mpeg4", "wma", layout="sound first"),
    Case("avi", "h264 B", "pcm"),
    Case("wmv", "mpeg4", "wma", layout="second video"),
    Case("ts", "h265", "aac", layout="sound first", timing="shifted"),
    Case("mov", "h264", "pcm", None, layout="time code"),
]


@pytest.mark.parametrize("case", ORDERS, ids=lambda case: case.name)
def test_neither_cores_nor_order_of_asking_change_anything(case, folder):
    path = write_case(folder, case)
    cores = os.sched_getaffinity(0)
    answers = []
    try:
        for affinity in (cores, {min(cores)}):
            os.sched_setaffinity(0, affinity)
            for sound_first in (True, False):
                clip = Clip(path)
                heard = clip.audio(RATE) if sound_first else None
                frames = np.concatenate(list(clip.frames()))
                answers.append((frames, clip.audio(RATE) if heard is None else heard))
            # Too little memory to keep pictures: decoded twice.
            clip = Clip(path, frame_budget=0)
            assert np.array_equal(clip.frames_at([7])[0], frames[7])
            answers.append((np.concatenate(list(clip.frames())), clip.audio(RATE)))
    finally:
        os.sched_setaffinity(0, cores)
    for frames, heard in answers[1:]:
        assert np.array_equal(frames, answers[0][0]) and np.array_equal(heard, answers[0][1])


@pytest.mark.parametrize("container", sorted(VIDEO))
def test_the_order_of_the_streams_changes_nothing(container, folder):
    video, audio = VIDEO[container][-1], AUDIO[container][-1]
    first = Clip(write_case(folder, Case(container, video, audio)))
    second = Clip(write_case(folder, Case(container, video, audio, layout="sound first")))
    assert np.array_equal(np.concatenate(list(first.frames())), np.concatenate(list(second.frames())))
    assert np.array_equal(first.audio(RATE), second.audio(RATE))


# Sound alone: zero is the first sample after what the file declares as priming.
ALONE = {
    "wav": ("pcm", 0), "flac": ("flac", 0), "m4a": ("aac", 0), "mka": ("aac", 0), "mp3": ("mp3", 0),
    "ogg": ("vorbis", 0), "opus": ("opus", 0), "avi": ("ac3", 256 / 48), "ac3": ("ac3", 256 / 48),
    "aac": ("aac", 1024 / 48), "wma": ("wma", -2048 / 44.1),
}  # fmt: skip


@pytest.mark.parametrize("suffix", ALONE)
def test_sound_alone_begins_after_its_declared_priming(suffix, folder):
    """Raw AAC and AC-3 and AVI declare none: the encoder's delay is heard. WMA's decoder drops a block too many."""
    codec, unstated = ALONE[suffix]
    case = Case(suffix, None, codec)
    path = write_case(folder, case)
    for true in (Fraction(10, 25), Fraction(36, 25)):
        assert burst_moment(Clip(path).audio(RATE), true) * 1000 == pytest.approx(float(true) * 1000 + unstated, abs=1)


@pytest.mark.skipif(shutil.which("ffprobe") is None, reason="no ffmpeg programs to compare with")
@pytest.mark.parametrize(
    "case",
    [Case("mp4", "h264 B", "aac", Fraction(30)), Case("mkv", "h265", "aac", Fraction(60), timing="early"),
     Case("ts", "h264 B", "ac3", Fraction(50), timing="shifted"), Case("mov", "h264", "pcm", None),
     Case("avi", "mpeg4", "mp3", Fraction(24))],
    ids=lambda case: case.name,
)  # fmt: skip
def test_the_pictures_are_those_nearest_by_the_times_of_another_decoder(case, folder, tmp_path):
    """Debian's ffmpeg decodes the pictures and ffprobe gives their times; the rule is applied to these."""
    path = write_case(folder, case)
    quiet = ["-v", "error", "-i", path]
    raw = subprocess.run(
        ["ffmpeg", "-nostdin", *quiet, "-map", "0:v:0", "-vsync", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24",
         "-"], check=True, capture_output=True,
    ).stdout  # fmt: skip
    numbers = [picture_number(picture) for picture in np.frombuffer(raw, np.uint8).reshape(-1, 96, 128, 3)]
    printed = subprocess.run(
        ["ffprobe", *quiet, "-select_streams", "v:0", "-show_entries", "frame=best_effort_timestamp_time",
         "-of", "csv=p=0"], check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    times = [Fraction(line.strip(",")) for line in printed.split()]
    assert len(times) == len(numbers)
    shown = [picture_number(frame) for batch in Clip(path).frames() for frame in batch]
    for slot, number in enumerate(shown):
        distances = [abs(time - times[0] - Fraction(slot, GRID)) for time in times]
        nearest = [numbers[n] for n, distance in enumerate(distances) if distance <= min(distances) + Fraction(1, 1000)]
        assert number in nearest


def test_lost_stamps_cost_no_picture_or_give_a_reason(folder, twins):
    """Pictures of which not one has a stamp: raw streams carry none, and their rate is all that is known."""
    case = Case("h264", "h264", None)
    found = measure(case, write_case(folder, case), twins)
    assert found.shown == list(range(SECONDS * GRID))


def test_what_cannot_be_read_says_so(folder, tmp_path):
    path = write_case(folder, replace(CASES[0]))
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(MediaError):
        list(Clip(cut).frames())
