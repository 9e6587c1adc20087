"""Real, untidy clips decode completely and agree with an independent description and decoder.

Any folder of clips works (``T2AV_CLIPS``); facts are compared where a ``clips.json`` beside them states some.
"""

import json
import shutil
import subprocess
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from t2av_bench.errors import MediaError
from t2av_bench.media.clip import Clip

SUFFIXES = {".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v"}


def real_clips(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not found:
        pytest.skip(f"no media files in {folder}")
    return found


def facts(folder: Path) -> dict[str, dict]:
    table = folder / "clips.json"
    if not table.is_file():
        pytest.skip(f"no clips.json in {folder}")
    return {row["file"]: row for row in json.loads(table.read_text()) if (folder / row["file"]).is_file()}


def test_every_clip_decodes_to_its_announced_length(clips_folder):
    for path in real_clips(clips_folder):
        clip = Clip(path, frame_budget=0)
        count = 0
        for batch in clip.frames(16):
            assert batch.dtype == np.uint8 and batch.shape[3] == 3, path.name
            assert batch[0, ::8, ::8].std() > 1, f"{path.name}: pictures without content"
            count += len(batch)
        info = clip.info
        assert count == clip.frame_count
        if info.frame_count and info.frame_rate:
            seconds = float(info.frame_count / info.frame_rate)
            assert abs(clip.duration - seconds) <= 3 / 25, path.name
        if info.has_audio:
            audio = clip.audio()
            assert np.isfinite(audio).all() and audio.std() > 1e-5, path.name
            assert abs(len(audio) / 16000 - clip.duration) < 0.5, path.name
        else:
            with pytest.raises(MediaError, match="has no audio stream"):
                clip.audio()


def test_the_stated_facts_hold(clips_folder):
    for name, row in facts(clips_folder).items():
        clip = Clip(clips_folder / name, frame_budget=0)
        info = clip.info
        assert clip.digest == row["sha256"], name
        assert (info.width, info.height) == (row["width"], row["height"]), name
        assert float(info.frame_rate) == pytest.approx(row["fps"], abs=0.01), name
        assert info.duration == pytest.approx(row["seconds"], abs=0.05), name
        stated = None if row["audio"] is None else tuple(row["audio"])
        assert ((info.audio_codec, info.audio_rate) if info.has_audio else None) == stated, name


@pytest.mark.parametrize(
    ("name", "frames", "shape", "samples"),
    [
        # 25 frames/s: untouched. The audio track declares 5.28 s at 24 kHz to the sample.
        ("talker_output.mp4", 132, (512, 512), 84480),
        ("talker_reference.mp4", 125, (512, 512), None),
        ("hdtf_aoc.mp4", 200, (512, 512), 128000),
        # 132 frames in 133 slots: the empty second slot is how AVI begins one slot late.
        ("nawta_example.avi", 132, (528, 976), None),
        ("echo_a.mp4", 300, (512, 512), None),
    ],
)
def test_known_lengths(clips_folder, name, frames, shape, samples):
    path = clips_folder / name
    if not path.is_file():
        pytest.skip(f"{name} is not in {clips_folder}")
    clip = Clip(path, frame_budget=0)
    assert next(clip.frames(1)).shape == (1, *shape, 3)
    assert clip.frame_count == frames
    if samples is not None:
        assert len(clip.audio()) == samples


def distinct(frames, most):
    """The first pictures, without repetitions of the one before (slots that the file leaves empty)."""
    found = []
    for frame in frames:
        if not (found and np.array_equal(frame, found[-1])):
            found.append(frame)
        if len(found) == most:
            break
    return found


def test_frames_and_audio_are_those_of_the_ffmpeg_program(clips_folder):
    """First second of each clip at its own rate, bit for bit; 16 kHz audio up to the other resampler."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("no ffmpeg program to compare with")
    for path in real_clips(clips_folder):
        clip = Clip(path)
        rate = clip.info.frame_rate
        if rate is None:
            continue
        shape = next(Clip(path, frame_rate=rate, frame_budget=0).frames(1)).shape[1:]
        ours = distinct(chain.from_iterable(Clip(path, frame_rate=rate, frame_budget=0).frames(4)), 10)
        command = ["ffmpeg", "-nostdin", "-v", "error", "-i", path, "-frames:v", "12", "-vsync", "passthrough"]
        raw = subprocess.run([*command, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], capture_output=True, check=True)
        theirs = distinct(np.frombuffer(raw.stdout, np.uint8).reshape(-1, *shape), 10)
        common = min(len(ours), len(theirs))
        assert common >= min(10, clip.frame_count), path.name
        difference = np.abs(np.stack(ours[:common]).astype(np.int16) - np.stack(theirs[:common]))
        assert difference.mean() < 0.05, path.name
        if not clip.info.has_audio:
            continue
        command = ["ffmpeg", "-nostdin", "-v", "error", "-i", path, "-vn", "-ac", "1", "-ar", "16000"]
        # 16 bits, as the reference tools ask for: with float output the program adds channels at -3 dB each.
        raw = subprocess.run([*command, "-f", "s16le", "-"], capture_output=True, check=True)
        heard, expected = clip.audio(), np.frombuffer(raw.stdout, np.int16) / 32768
        # The program begins with the first sample, we with the first picture (AVI: one slot later here).
        expected = expected[round((clip.timeline.zero or 0) * 16000) :]
        common = min(len(heard), len(expected))
        assert abs(len(heard) - len(expected)) < 2048, path.name
        error = heard[:common] - expected[:common]
        # Both filters cut near 8 kHz in their own way; a lag of one sample would cost more than a fifth.
        assert error.std() < 0.1 * expected.std(), path.name
