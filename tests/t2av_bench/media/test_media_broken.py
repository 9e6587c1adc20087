"""Broken files: each gets a reason that a person understands, none crashes or hangs the process."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import broken_media as broken
import media_factory as factory
import numpy as np
import pytest

from t2av_bench.errors import MediaError
from t2av_bench.media.clip import Clip


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return broken.write_whole(tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize(("make", "message"), broken.FRAME_CASES, ids=lambda value: getattr(value, "__name__", ""))
def test_frames_of_a_broken_file_are_a_reason(tmp_path, monkeypatch, whole, make, message):
    monkeypatch.chdir(tmp_path)
    clip = Clip(make(tmp_path, whole))
    with pytest.raises(MediaError, match=message):
        list(clip.frames())
    with pytest.raises(MediaError, match=message):  # and again, from memory
        _ = clip.frame_count


NOT_FILES = [
    broken.missing, broken.directory, broken.empty, broken.symlink_loop, broken.named_pipe, broken.null_in_name
]  # fmt: skip
NOT_MEDIA = [broken.text, broken.zeros, broken.random_bytes, broken.no_moov]


@pytest.mark.parametrize("make", NOT_FILES + NOT_MEDIA, ids=lambda make: make.__name__)
def test_every_question_gets_the_reason(tmp_path, whole, make):
    path = make(tmp_path, whole)
    for ask in (lambda c: c.info, lambda c: c.audio(), lambda c: c.frames_at([0])):
        with pytest.raises(MediaError):
            ask(Clip(path))
    if make in (
        broken.missing,
        broken.directory,
        broken.empty,
        broken.symlink_loop,
        broken.named_pipe,
        broken.null_in_name,
    ):
        with pytest.raises(MediaError):
            _ = Clip(path).digest


@pytest.mark.parametrize(("make", "message"), broken.AUDIO_CASES, ids=lambda value: getattr(value, "__name__", ""))
def test_audio_of_a_broken_file_is_a_reason(tmp_path, whole, make, message):
    clip = Clip(make(tmp_path, whole))
    for _ in range(2):
        with pytest.raises(MediaError, match=message):
            clip.audio()


@pytest.mark.parametrize("make", [broken.no_audio, broken.flac_garbled], ids=lambda make: make.__name__)
def test_the_reason_does_not_depend_on_what_was_asked_first(tmp_path, whole, make):
    path = make(tmp_path, whole)
    reasons = []
    for frames_first in (True, False):
        clip = Clip(path)
        if frames_first:
            assert sum(len(batch) for batch in clip.frames()) > 0
        with pytest.raises(MediaError) as caught:
            clip.audio()
        reasons.append(str(caught.value))
        assert clip.frame_count > 0
    assert reasons[0] == reasons[1]


def test_damaged_pictures_leave_the_audio_usable(tmp_path, whole):
    clip = Clip(broken.middle_zeroed(tmp_path, whole))
    with pytest.raises(MediaError):
        list(clip.frames())
    assert len(clip.audio()) == 32000


def test_nan_audio_leaves_the_pictures_usable(tmp_path):
    audio = factory.tone(1.0)
    audio[5] = np.nan
    path = factory.write_clip(tmp_path / "a.mkv", factory.moving_pattern(25), audio, audio_codec="pcm_f32le")
    clip = Clip(path)
    assert clip.frame_count == 25
    with pytest.raises(MediaError, match="1 of 16000 audio samples are NaN"):
        clip.audio()


# -- small, but whole -----------------------------------------------------------------------------------------------


def test_one_frame_and_one_sample_are_not_errors(tmp_path):
    clip = Clip(factory.one_frame_clip(tmp_path / "a.mp4"))
    assert clip.frame_count == 1 and len(clip.audio()) == 640
    sample = Clip(broken.one_sample_at_48k(tmp_path, None))
    assert len(sample.audio(48000)) == 1


def test_an_unreadable_file_says_so(tmp_path, whole):
    path = tmp_path / "a.mp4"
    shutil.copy(whole / "front.mp4", path)
    path.chmod(0)
    if os.geteuid() != 0:
        with pytest.raises(MediaError, match="permission denied"):
            _ = Clip(path).info
        return
    # The superuser may read everything: ask as somebody else, who can still reach the folder.
    for folder in (tmp_path, *tmp_path.parents):
        if folder.owner() == "root" and str(folder).startswith("/tmp/pytest"):
            folder.chmod(0o755)
    code = (
        "import os,sys\nfrom pathlib import Path\nimport t2av_bench.media.probe as probe\nos.setuid(65534)\n"
        "try: probe.check_file(Path(sys.argv[1]))\nexcept Exception as error: print(type(error).__name__, error)"
    )
    run = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    assert "MediaError" in run.stdout and "permission denied" in run.stdout, run.stderr


def test_random_damage_never_crashes_the_process(tmp_path, whole):
    """Fifty damaged files in one child process: frames or a reason each time, and the process lives on."""
    random = np.random.default_rng(3)
    names = ["end.mp4", "front.mp4", "a.mkv", "a.avi", "f.wav"]
    for index in range(50):
        data = bytearray((whole / names[index % 5]).read_bytes())
        for _ in range(int(random.integers(1, 6))):
            start = int(random.integers(0, len(data)))
            piece = random.bytes(int(random.integers(1, 60)))
            data[start : start + len(piece)] = piece
        (tmp_path / f"{index:02d}{Path(names[index % 5]).suffix}").write_bytes(data)
    code = (
        "import sys,pathlib\nfrom t2av_bench.media.clip import Clip,MediaError\nokay=refused=0\n"
        "for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):\n"
        "    for ask in (lambda c: sum(len(b) for b in c.frames()), lambda c: c.audio(), lambda c: c.info):\n"
        "        try: ask(Clip(path)); okay+=1\n        except MediaError as error: refused+=len(str(error))>20\n"
        "print(okay, refused)"
    )
    run = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr[-2000:]
    okay, refused = map(int, run.stdout.split())
    assert okay + refused == 150 and okay and refused
