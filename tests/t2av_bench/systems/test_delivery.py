"""Files that programs wrote become clips: whole ones stay as they are, of others the original is kept."""

import json
from fractions import Fraction

import numpy as np
import pytest
from fake_systems import Noise
from scipy.io import wavfile

from t2av_bench.generation.records import remove_clip
from t2av_bench.media.clip import Clip
from t2av_bench.media.encode import write_mp4
from t2av_bench.systems.base import GenerationFailed, Request, native_seed
from t2av_bench.systems.delivery import deliver, finished
from t2av_bench.systems.output import names_of, staged

RATE = Fraction(30000, 1001)


@pytest.fixture
def native(tmp_path):
    """Nine pictures (0.3003 s), left half dark and right half bright; 0.33 s of sound."""
    pictures = np.full((9, 32, 64, 3), 40, np.uint8)
    pictures[:, :, 32:] = 200
    path = tmp_path / "native" / "i000001.mp4"
    path.parent.mkdir()
    write_mp4(path, [pictures], 0.1 * np.ones(5280, np.float32), frame_rate=RATE, audio_rate=16_000)
    return path


def delivered(tmp_path, video, audio=None, edits=(), task="a2v", **known):
    request = Request("a", tmp_path / "out" / f"a{'.wav' if task == 'tts' else '.mp4'}", task=task, scene="a kitchen")
    names = names_of(request)
    with staged(names) as folder:
        clip = deliver(Noise(0.1), request, names, folder, finished(video, audio, edits, **known))
    return clip, json.loads(clip.record.read_text()), request


def kept(tmp_path):
    folder = tmp_path / "out" / ".native"
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.is_dir() else {}


def test_a_finished_mp4_stays_byte_for_byte_and_both_lengths_are_measured(native, tmp_path):
    clip, record, _ = delivered(tmp_path, native, native_seed=native_seed(2**31 - 2))
    assert clip.video.read_bytes() == native.read_bytes() and not kept(tmp_path)
    assert (clip.frame_count, clip.frame_rate, clip.audio_rate) == (9, RATE, 16_000)
    assert clip.audio_samples >= 5280, "the codec may fill its last block"
    assert wavfile.read(clip.audio)[1].shape == (clip.audio_samples,)
    assert (record["frames"], record["frame_rate"], record["scene"]) == (9, "30000/1001", "a kitchen")
    assert record["native_seed"] == 1 and "edits" not in record


def test_an_edit_makes_another_file_and_the_original_is_kept_until_the_next_clip(native, tmp_path):
    edit = {"crop": [36, 2, 24, 28]}
    clip, record, request = delivered(tmp_path, native, edits=[edit])
    assert kept(tmp_path) == {"a.mp4": native.read_bytes()} and clip.edits == (edit,) and record["edits"] == [edit]
    assert record["native_files"][0]["file"] == native.name
    frames = np.concatenate(list(Clip(clip.video, frame_rate=RATE).frames()))
    assert frames.shape == (9, 28, 24, 3) and abs(int(np.median(frames)) - 200) < 4
    delivered(tmp_path, native)
    assert not kept(tmp_path)
    delivered(tmp_path, native, edits=[edit])
    other = tmp_path / "out" / ".native" / "ab.mp4"
    other.write_bytes(b"another item's")
    remove_clip(request.out)
    assert kept(tmp_path) == {"ab.mp4": b"another item's"}


def test_sound_of_its_own_file_and_other_containers(native, tmp_path):
    sound = tmp_path / "native" / "i000001.wav"
    wavfile.write(sound, 24_000, (3000 * np.sin(np.arange(9600) / 5)).astype(np.int16))
    clip, _, _ = delivered(tmp_path, native, sound)
    assert kept(tmp_path) == {"a.mp4": native.read_bytes(), "a.wav": sound.read_bytes()}
    assert (clip.frame_count, clip.audio_samples, clip.audio_rate) == (9, 9600, 24_000)
    assert Clip(clip.video).info.has_audio and Clip(clip.video, frame_rate=RATE).frame_count == 9
    assert len(Clip(clip.video).audio(24_000)) >= 9600, "longer sound is not cut to the pictures"
    clip, _, _ = delivered(tmp_path, None, sound, task="tts")
    assert clip.video is None and clip.audio_samples == 9600


@pytest.mark.parametrize(
    ("edit", "why"),
    [({"crop": [50, 0, 16, 16]}, "inside of the picture, which is 64x32"), ({"crop": [0, 0, 15, 16]}, "even sides"),
     ({"crop": [-2, 0, 16, 16]}, "inside"), ({"turn": 90}, "unknown edit"), ({"crop": ["0", 0, 2, 2]}, "unknown")],
)  # fmt: skip
def test_an_edit_that_cannot_be_made_is_a_reason(native, tmp_path, edit, why):
    with pytest.raises(GenerationFailed, match=why):
        delivered(tmp_path, native, edits=[edit])
    assert not list(tmp_path.glob("out/*")) and not kept(tmp_path)


def test_files_without_picture_or_sound_are_reasons(native, tmp_path):
    silent = tmp_path / "silent.mp4"
    write_mp4(silent, [np.zeros((3, 32, 32, 3), np.uint8)])
    with pytest.raises(GenerationFailed, match=r"made no sound: silent\.mp4"):
        finished(silent)
    sound = tmp_path / "sound.wav"
    wavfile.write(sound, 16_000, np.ones(1600, np.int16))
    with pytest.raises(GenerationFailed, match=r"made no picture: sound\.wav"):
        finished(sound)
    with pytest.raises(GenerationFailed, match="wrote no file"):
        finished(None)


@pytest.mark.parametrize(("seed", "native"), [(0, 1), (2**31 - 3, 2**31 - 2), (2**31 - 2, 1), (2**63 - 1, 8)])
def test_native_seeds_are_positive_and_fit_in_31_bits(seed, native):
    assert native_seed(seed) == native
