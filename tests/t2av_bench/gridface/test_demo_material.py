"""The demonstration's material: the clips talk, and each system has exactly the damage that it is named after."""

import json

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
pytest.importorskip("torch", reason="the drawn face needs torch")
pytest.importorskip("espeakng_loader", reason="the synthesizer's package is not installed")

from t2av_bench.benchmarks.pairing import pair  # noqa: E402
from t2av_bench.errors import MediaError  # noqa: E402
from t2av_bench.faces.detect import haar  # noqa: E402
from t2av_bench.faces.find import face_tracks  # noqa: E402
from t2av_bench.gridface import demo  # noqa: E402
from t2av_bench.gridface.speech.synthesizer import Synthesizer  # noqa: E402
from t2av_bench.media.clip import Clip  # noqa: E402

SHIFTED = "audio_shifted_3_frames"


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """The material of the first two clips, and the progress reports of its making."""
    folder, reports = tmp_path_factory.mktemp("demo"), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "CLIPS", demo.CLIPS[:2])
        manifest = demo.make_material(folder, lambda *report: reports.append(report))
    assert manifest == folder / "manifest.jsonl"
    return folder, reports


def _clip(material, system: str, index: int = 1) -> Clip:
    parent = "reference" if system == "reference" else f"systems/{system}"
    return Clip(material[0] / parent / f"{demo.CLIPS[index].id}.mp4")


def _frames(clip: Clip) -> np.ndarray:
    return np.concatenate(list(clip.frames())).astype(np.float32)


def test_the_manifest_names_text_language_and_reference(material):
    folder, _ = material
    rows = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    assert [row["text"] for row in rows] == [clip.text for clip in demo.CLIPS[:2]]
    entries, notices = pair(folder / "systems" / "clean", manifest=folder / "manifest.jsonl")
    assert not notices and {entry.item.language for entry in entries} == {"en"}
    for entry in entries:
        assert entry.reason is None and entry.generated.is_file() and entry.reference.is_file()
        assert entry.generated.parent.name == "clean" and entry.reference.parent.name == "reference"


def test_every_system_has_every_clip_and_nothing_else(material):
    folder, _ = material
    names = {f"{clip.id}.mp4" for clip in demo.CLIPS[:2]}
    for system in demo.SYSTEMS:
        assert {path.name for path in (folder / "systems" / system).iterdir()} == names
    assert {path.name for path in (folder / "systems").iterdir()} == set(demo.SYSTEMS)


def test_progress_counts_to_the_end(material):
    _, reports = material
    assert [done for done, _, _ in reports] == list(range(1, 17)) and {total for _, total, _ in reports} == {16}


def test_reference_clips_have_a_track_that_sync_metrics_accept(material):
    for index in range(2):
        clip = _clip(material, "reference", index)
        assert (clip.info.width, clip.info.height, clip.info.frame_rate) == (256, 256, 25)
        (track,) = face_tracks(clip, haar())
        assert track.detections > 100 and len(track.frames) == clip.frame_count


def test_all_four_clips_are_long_enough_and_deterministic():
    with Synthesizer() as synthesizer:
        for clip in demo.CLIPS:
            duration = synthesizer.say(clip.text, clip.voice, rate=clip.rate, pitch=clip.pitch).duration
            assert 4.2 < duration + 0.54 < 5.6
        frames, audio = demo.make_clip(demo.CLIPS[0], synthesizer)
    with Synthesizer() as another:
        again, audio_again = demo.make_clip(demo.CLIPS[0], another)
    assert len(audio) == len(frames) * 960 and frames.shape[1:] == (256, 256, 3)
    np.testing.assert_array_equal(frames, again)
    np.testing.assert_array_equal(audio, audio_again)


def test_clean_is_close_and_encoded_again(material):
    reference, clean = _clip(material, "reference"), _clip(material, "clean")
    assert clean.digest != reference.digest
    error = np.mean((_frames(reference) - _frames(clean)) ** 2)
    assert 10 * np.log10(255**2 / error) > 36
    np.testing.assert_allclose(clean.audio(16000), reference.audio(16000), atol=0.06)


def test_shifted_audio_is_late_by_three_frames(material):
    clean, late = (_clip(material, name).audio(16000) for name in ("clean", SHIFTED))
    count = min(len(clean), len(late))
    size = 1 << 18
    spectrum = np.fft.rfft(late[:count], size) * np.conj(np.fft.rfft(clean[:count], size))
    assert np.argmax(np.fft.irfft(spectrum, size)) == 3 * 640
    np.testing.assert_array_equal(_frames(_clip(material, SHIFTED)), _frames(_clip(material, "clean")))


def test_blurred_pictures_lose_detail(material):
    sharp, blurred = (
        np.mean([cv2.Laplacian(frame, cv2.CV_32F).var() for frame in _frames(_clip(material, name))[::20]])
        for name in ("clean", "blurred")
    )
    assert blurred < 0.25 * sharp


def test_noise_has_the_stated_level():
    speech = np.sin(np.arange(48000) / 9).astype(np.float32) * 0.3
    noise = demo.add_noise(speech, 5.0, seed=1) - speech
    assert 10 * np.log10(np.mean(speech**2) / np.mean(noise**2)) == pytest.approx(5.0, abs=0.01)
    assert abs(np.corrcoef(noise[1:], noise[:-1])[0, 1]) < 0.02


def test_noisy_silent_and_faceless_systems(material):
    quiet = slice(0, 3000)
    clean, noisy = (_clip(material, name).audio(16000) for name in ("clean", "noisy"))
    assert np.std(noisy[quiet]) > 20 * np.std(clean[quiet]) and np.abs(noisy).max() < 1.05
    silent = _clip(material, "silent")
    assert silent.info.has_audio and np.abs(silent.audio(16000)).max() < 1e-4
    faceless = _frames(_clip(material, "no_face")).astype(np.uint8)
    assert not any(len(boxes) for boxes in haar().detect(faceless))


def test_exactly_one_file_is_truncated(material):
    with pytest.raises(MediaError, match="truncated"):
        _frames(_clip(material, "truncated", 0))
    whole = _clip(material, "truncated", 1)
    assert whole.digest == _clip(material, "clean", 1).digest


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "demo").write_text("")
    with pytest.raises(ValueError, match="is a file: name another folder"):
        demo.make_material(tmp_path / "demo")
