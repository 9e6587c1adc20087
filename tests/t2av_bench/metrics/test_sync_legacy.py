"""The reference tools' own files: what their transcoding does to the offset, and how they make a clip value."""

import shutil

import numpy as np
import pytest
from media_factory import write_clip
from sync_factory import LEFT, EnvelopeNetwork, GivenBoxes, hidden_signal, pair, stage, talking_audio

from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.extractors import syncnet
from t2av_bench.extractors.syncnet import SyncResult
from t2av_bench.faces.track import Track
from t2av_bench.media.clip import Clip
from t2av_bench.metrics import create, sync, sync_legacy

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg program")
pytest.importorskip("python_speech_features")


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch):
    monkeypatch.setattr(syncnet, "syncnet", lambda device: EnvelopeNetwork())
    for module in (sync, sync_legacy):
        monkeypatch.setattr(module, "s3fd", lambda device: GivenBoxes(lambda _: [LEFT]))


@pytest.fixture(scope="module")
def clip_path(tmp_path_factory):
    """132 frames in sync with sound at 24 kHz, as Talker-T2AV writes its clips."""
    from t2av_bench.media.resample import resample

    signal = hidden_signal(132)
    audio = resample(talking_audio(signal), 16000, 24000)
    frames = stage(132, {LEFT: signal}, width=220)
    return write_clip(tmp_path_factory.mktemp("legacy") / "clip.mp4", frames, audio, audio_rate=24000)


@needs_ffmpeg
@pytest.mark.parametrize(
    ("id", "offset", "last_frame"), [("sync/exact", 0, 131), ("sync/joonson", 1, 131), ("sync/syncnet-python", 2, 131)]
)
def test_the_transcoding_moves_pictures_against_sound(id, offset, last_frame, clip_path):
    """The AVI starts the pictures 80 ms and the sound 46 ms late: +1 frame together, +2 against the clip's own sound.

    The AVI holds 134 pictures of which OpenCV reads 132: the last two are never tracked.
    """
    found = create(id).measure(pair(Clip(clip_path)))
    suffix = "_exact" if id == "sync/exact" else ""
    assert found.values[f"sync_offset{suffix}"] == offset
    assert found.values[f"sync_c{suffix}"] > 1
    (track,) = found.detail["tracks"]
    assert (track["first_frame"], track["last_frame"]) == (0, last_frame)


@needs_ffmpeg
def test_a_clip_without_a_face_fails_with_the_reason(clip_path, monkeypatch):
    monkeypatch.setattr(sync_legacy, "s3fd", lambda device: GivenBoxes(lambda _: []))
    with pytest.raises(Unscorable, match="no face found in any of 134 frames"):
        create("sync/joonson").measure(pair(Clip(clip_path)))


@pytest.mark.parametrize("id", ["sync/joonson", "sync/syncnet-python"])
def test_without_the_program_the_metric_does_not_apply(id, clip_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(NotApplicable, match="'ffmpeg' program"):
        create(id).measure(pair(Clip(clip_path)))
    assert create(id).protocol.libraries["ffmpeg"] == "absent"


def result(confidence, distance, offset):
    return SyncResult(offset, distance, confidence, np.full(31, distance))


def tracks(*lengths):
    return [Track(np.arange(n), np.tile([0.0, 0.0, 120.0, 120.0], (n, 1)), n) for n in lengths]


def test_syncnet_python_takes_the_best_of_all_tracks():
    outcomes = [result(3.0, 9.0, -4), result(5.0, 9.5, 2), result(4.0, 8.0, 1)]
    found = create("sync/syncnet-python")._summarise(tracks(60, 70, 80), outcomes)
    assert found.values == {
        "sync_c": 5.0, "sync_d": 8.0, "sync_offset": -4.0, "sync_d_zero": 9.5, "sync_in_tolerance": 0.0
    }  # fmt: skip
    assert found.detail["chosen_track"] == 1
    found = create("sync/joonson")._summarise(tracks(160, 170, 180), outcomes)
    assert found.values == {
        "sync_c": 4.0, "sync_d": 8.0, "sync_offset": 1.0, "sync_d_zero": 8.0, "sync_in_tolerance": 1.0
    }  # fmt: skip


def test_a_track_without_audio_is_left_out_or_is_the_reason():
    outcomes = ["too short: sound", result(2.0, 9.0, 3)]
    assert create("sync/syncnet-python")._summarise(tracks(60, 70), outcomes).values["sync_offset"] == 3
    with pytest.raises(Unscorable, match="too short: sound"):
        create("sync/syncnet-python")._summarise(tracks(60), outcomes[:1])
    with pytest.raises(Unscorable, match="too short: sound"):
        create("sync/joonson")._summarise(tracks(170, 160), outcomes)


def test_protocols_differ_in_rules_and_state_the_program():
    joonson, package = create("sync/joonson").protocol, create("sync/syncnet-python").protocol
    assert joonson.parameters["tracks"]["min_track"] == 100 and package.parameters["tracks"]["min_track"] == 50
    assert joonson.parameters["shots"]["threshold"] == 30 and package.parameters["shots"]["threshold"] == 27
    assert "ffmpeg" in joonson.libraries
    assert len({joonson.fingerprint, package.fingerprint, create("sync/exact").protocol.fingerprint}) == 3


@needs_ffmpeg
def test_a_whole_clip_equals_syncnet_python_on_the_same_weights(tmp_path, monkeypatch):
    """The package's own pipeline, from file to number, with the same random SyncNet and the same boxes."""
    torch = pytest.importorskip("torch")
    from sync_factory import random_syncnet
    from syncnet_python.syncnet_pipeline import PipelineConfig, SyncNetPipeline
    from syncnet_python.SyncNetInstance import SyncNetInstance

    signal = hidden_signal(58, seed=2)
    box = (40.25, 30.5, 161.75, 150.0)
    frames = stage(58, {LEFT: signal}, width=220)
    frames[:, 60:120, 60:140] = np.random.default_rng(0).integers(0, 256, (58, 60, 80, 3))
    path = write_clip(tmp_path / "clip.mp4", frames, talking_audio(signal))
    noise = np.random.default_rng(0).integers(0, 256, (8, 224, 224, 3), dtype=np.uint8)
    network = random_syncnet(noise)

    class Boxes:
        def detect_faces(self, image, conf_th, scales):
            return np.array([[*box, 1.0]])

    official = object.__new__(SyncNetPipeline)
    official.cfg, official.device, official.s3fd = PipelineConfig(), "cpu", Boxes()
    official.syncnet = SyncNetInstance(net=network, device="cpu")
    with torch.no_grad():
        offsets, confidences, distances, best, least, _, has_face = official.inference(str(path))
    assert has_face and len(offsets) == 1

    monkeypatch.setattr(syncnet, "syncnet", lambda device: syncnet.SyncNet(network))
    monkeypatch.setattr(sync_legacy, "s3fd", lambda device: GivenBoxes(lambda _: [box]))
    values = create("sync/syncnet-python").measure(pair(Clip(path))).values
    assert values["sync_offset"] == offsets[0]
    assert values["sync_c"] == pytest.approx(best, abs=1e-3) and values["sync_d"] == pytest.approx(least, abs=1e-3)
    assert best > 0.1 and least > 1
