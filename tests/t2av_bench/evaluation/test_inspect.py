"""``inspect`` says what is in a file: asked of what was written, and of ffprobe. Broken files have reasons."""

import json
import os
import re
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import broken_media
import numpy as np
import pytest
from media_factory import audio_only, moving_pattern, tone, truncated_clip, write_clip
from media_matrix_factory import Case, write_case
from typer.testing import CliRunner

from t2av_bench.cli.main import app
from t2av_bench.evaluation.inspection import inspect


def seen(*arguments) -> tuple[int, str]:
    ran = CliRunner().invoke(app, ["inspect", *map(str, arguments)])
    assert ran.exception is None or isinstance(ran.exception, SystemExit), ran.exception
    return ran.exit_code, ran.stdout


def test_streams_choice_and_reasons(tmp_path):
    path = write_case(tmp_path, Case("mkv", "h264", "opus", Fraction(30), layout="second sound"))
    facts = inspect(path)
    kinds = [(stream["kind"], stream["codec"], stream["chosen"], stream["why"]) for stream in facts["streams"]]
    assert kinds == [
        ("video", "h264", True, "the only video stream"),
        ("audio", "opus", False, "stream 2 is taken"),
        ("audio", "opus", True, "marked as default"),
    ]
    video, _, sound = facts["streams"]
    assert video["size"] == [128, 96] and video["rate"] == 30 and "default" in sound["dispositions"]
    assert (sound["rate"], sound["channels"], sound["layout"]) == (48000, 1, "mono")
    assert facts["problems"] == []


@pytest.mark.parametrize(
    ("case", "why"),
    [(Case("mov", "prores", "pcm", layout="time code"), "neither pictures nor sound"),
     (Case("mkv", "h264", "pcm", layout="attachment"), "neither pictures nor sound"),
     (Case("mp4", "h264", "aac", layout="cover"), "a still picture"),
     (Case("avi", "mpeg4", "pcm", layout="second video"), "stream 0 is taken")],
    ids=lambda value: value.name if isinstance(value, Case) else "",
)  # fmt: skip
def test_what_is_left_says_why(case, why, tmp_path):
    left = [stream["why"] for stream in inspect(write_case(tmp_path, case))["streams"] if not stream["chosen"]]
    assert left == [why]


@pytest.mark.parametrize(
    ("rate", "repeated", "dropped"),
    [(Fraction(25), 0, 0), (Fraction(24), 2, 0), (Fraction(12), 26, 0), (Fraction(30), 0, 10), (Fraction(60), 0, 70)],
)
def test_conversion_is_counted(rate, repeated, dropped, tmp_path):
    """Two seconds are fifty slots: what is missing is repeated, what is too many is dropped."""
    pictures = inspect(write_case(tmp_path, Case("mp4", "h264 B", "aac", rate)))["pictures"]
    assert (pictures["source"], pictures["slots"]) == (2 * rate, 50)
    assert (pictures["repeated"], pictures["dropped"]) == (repeated, dropped)


@pytest.mark.parametrize(
    ("case", "begins", "priming", "stamp"),
    [
        # x264 and the muxer shift nothing; AAC's priming is declared by an edit list.
        (Case("mp4", "h264", "aac"), 0.0, 1024, 0.0),
        (Case("mkv", "h264", "opus"), 0.0, 312, 0.0),
        (Case("mkv", "h264", "pcm", timing="late"), 0.3, 0, 0.0),
        (Case("mkv", "h264", "pcm", timing="early"), -0.24, 0, 0.24),
        (Case("ts", "h264", "aac", timing="shifted"), -1024 / 48000, 0, 10.0),
        (Case("mp4", "h264 B", "aac", timing="edit list"), 0.0, None, 0.0),
        (Case("mov", "h264", "pcm", timing="edit list in a picture"), -0.02, None, 0.02),
    ],
    ids=lambda value: value.name if isinstance(value, Case) else "",
)
def test_the_clock_is_that_of_the_file(case, begins, priming, stamp, tmp_path):
    clock = inspect(write_case(tmp_path, case))["clock"]
    assert clock["zero"] == "the first picture" and clock["constant_rate"] == 25
    # Matroska rounds to milliseconds.
    assert clock["first_sample"] == pytest.approx(begins, abs=0.001)
    assert clock["zero_stamp"] == pytest.approx(stamp, abs=0.001)
    assert priming is None or clock["priming_samples"] == priming


def test_sound_alone_and_pictures_alone(tmp_path):
    alone = inspect(audio_only(tmp_path / "a.wav"))
    assert alone["pictures"] is None and alone["clock"]["zero"] == "the first sample" and alone["problems"] == []
    assert alone["sound"]["seconds"] == pytest.approx(2.0)
    assert alone["sound"]["peak_dbfs"] == pytest.approx(20 * np.log10(0.3), abs=0.01)
    mute = inspect(write_clip(tmp_path / "mute.mp4", moving_pattern(10)))
    assert mute["sound"] is None and mute["pictures"]["slots"] == 10 and mute["problems"] == []
    silent = inspect(audio_only_silence(tmp_path / "silent.wav"))
    assert silent["sound"]["peak_dbfs"] is None


def audio_only_silence(path: Path) -> Path:
    return write_clip(path, audio=np.zeros(16000, np.float32), audio_codec="pcm_s16le")


def test_the_sound_beside_a_silent_video_is_said(tmp_path):
    path = write_clip(tmp_path / "a.mp4", moving_pattern(25))
    write_clip(tmp_path / "a.wav", None, tone(0.75), audio_codec="pcm_s16le")
    facts = inspect(path)
    assert facts["sound"]["file"] == "a.wav" and facts["sound"]["seconds"] == 0.75 and facts["problems"] == []
    assert "sound     in a.wav: 0.750 s at 16000 Hz" in seen(path)[1]
    audio_only(tmp_path / "a.flac")
    assert inspect(path)["problems"] == ["2 files are named 'a': a.flac, a.wav"]


def test_broken_files_have_reasons_and_cost_the_others_nothing(tmp_path):
    whole = write_clip(tmp_path / "whole.mp4", moving_pattern(25), tone(1.0))
    text = tmp_path / "text.mp4"
    text.write_text("This is not a video. " * 50)
    code, printed = seen(text, tmp_path / "gone.mp4", truncated_clip(tmp_path / "cut.mp4"), whole)
    assert code == 1
    blocks = printed.split("\n\n")
    assert len([block for block in blocks if block.strip()]) == 4
    for block, reason in zip(
        blocks, ("is text, not a media file", "does not exist", "is truncated", None), strict=False
    ):
        assert ("problem" in block) == (reason is not None)
        assert reason is None or reason in block
    assert "25 at 25/s become 25 at 25/s (1.00 s): 0 repeated, 0 dropped" in blocks[3]
    assert seen(whole)[0] == 0


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return broken_media.write_whole(tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize(
    ("make", "message"), broken_media.FRAME_CASES + broken_media.AUDIO_CASES,
    ids=lambda value: getattr(value, "__name__", ""),
)  # fmt: skip
def test_whatever_is_wrong_is_a_problem_and_no_traceback(make, message, tmp_path, whole, monkeypatch):
    monkeypatch.chdir(tmp_path)
    facts = inspect(make(tmp_path, whole))
    # A file without the kind of stream that the message is about is all right here.
    if not re.search("has no (video|audio) stream", message):
        assert any(re.search(message, problem) for problem in facts["problems"]), facts["problems"]
    json.dumps(facts)


def test_damaged_sound_is_no_damage_to_the_pictures(tmp_path):
    samples = tone(1.0)
    samples[500] = np.nan
    path = write_clip(tmp_path / "nan.mkv", moving_pattern(25), samples, audio_codec="pcm_f32le")
    facts = inspect(path)
    assert facts["pictures"]["slots"] == 25 and facts["sound"] is None
    assert len(facts["problems"]) == 1 and "NaN" in facts["problems"][0]


def test_json_holds_one_object_a_file(tmp_path):
    path = write_clip(tmp_path / "a.mp4", moving_pattern(25), tone(1.0))
    code, printed = seen("--json", path, tmp_path / "gone.mp4")
    first, second = json.loads(printed)
    assert code == 1 and first == json.loads(json.dumps(inspect(path)))
    assert second["problems"] and second["streams"] == []


def test_names_that_are_no_text_or_steer_a_terminal(tmp_path):
    whole = write_clip(tmp_path / "a.mp4", moving_pattern(5))
    for name in (b"caf\xe9.mp4", b"\x1b[31mred.mp4", "\u202egp4.mp4".encode()):
        path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
        shutil.copy(whole, path)
        code, printed = seen(path)
        assert code == 0 and "\x1b" not in printed and "\u202e" not in printed and "5 at 25/s" in printed
        assert json.loads(seen("--json", path)[1])[0]["pictures"]["slots"] == 5


def test_faces_are_counted_or_a_reason_given(tmp_path, clips_folder, monkeypatch):
    pytest.importorskip("cv2")
    monkeypatch.setenv("T2AV_BENCH_WEIGHTS", str(tmp_path))
    faceless = inspect(write_clip(tmp_path / "a.mp4", moving_pattern(25)), faces=True)["faces"]
    assert faceless["tracks"] == [] and faceless["reason"] == "no face found in any of 25 frames"
    talker = clips_folder / "talker_reference.mp4"
    if not talker.is_file():
        pytest.skip(f"{talker.name} is not in {clips_folder}")
    tracks = inspect(talker, faces=True)["faces"]["tracks"]
    assert len(tracks) == 1 and tracks[0]["last_frame"] - tracks[0]["first_frame"] > 100
    assert "faces     haar: frames" in seen("--faces", talker)[1]


@pytest.mark.skipif(shutil.which("ffprobe") is None, reason="no ffprobe to compare with")
@pytest.mark.parametrize(
    "case",
    [Case("mp4", "h264 B", "aac", Fraction(30)), Case("mkv", "vp9", "flac", Fraction(24), timing="early"),
     Case("avi", "mjpeg", "mp3"), Case("ts", "h264", "ac3", timing="shifted"), Case("mov", "prores", "pcm", None)],
    ids=lambda case: case.name,
)  # fmt: skip
def test_stream_facts_are_those_of_ffprobe(case, tmp_path):
    path = write_case(tmp_path, case)
    told = subprocess.run(
        ["ffprobe", "-v", "error", "-show_streams", "-of", "json", path], check=True, capture_output=True
    ).stdout
    for ours, theirs in zip(inspect(path)["streams"], json.loads(told)["streams"], strict=True):
        assert (ours["index"], ours["kind"]) == (theirs["index"], theirs["codec_type"])
        assert ours["codec"] in (theirs["codec_name"], f"{theirs['codec_name']}float", f"lib{theirs['codec_name']}")
        assert ours["start"] == pytest.approx(float(theirs["start_time"]), abs=1e-6)
        if ours["kind"] == "video":
            assert ours["size"] == [theirs["width"], theirs["height"]]
            assert ours["rate"] == pytest.approx(float(Fraction(theirs["avg_frame_rate"])), rel=1e-3)
        else:
            assert (ours["rate"], ours["channels"]) == (int(theirs["sample_rate"]), theirs["channels"])
