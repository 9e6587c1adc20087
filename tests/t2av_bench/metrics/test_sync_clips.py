"""Sync on real clips: weights loaded by id, outcomes and reasons, and syncnet-python's golden values.

The SyncNet here is random (its table row says so), so only what does not depend on training is checked; the golden
values run where the real weights are (``T2AV_BENCH_WEIGHTS``).
"""

import hashlib
import shutil

import numpy as np
import pytest
from face_factory import FACE, JACKET, picture, square_detector
from sync_factory import ArrayClip, EnvelopeNetwork, pair, random_syncnet

from t2av_bench import weights
from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.extractors import syncnet
from t2av_bench.faces import crop
from t2av_bench.faces.detect import Haar, haar
from t2av_bench.faces.find import face_tracks
from t2av_bench.media.clip import Clip
from t2av_bench.metrics import create, sync
from t2av_bench.metrics.sync import SyncExactHaar, clip_audio, score_crops, score_tracks

torch = pytest.importorskip("torch")
SYNC_IDS = ("sync/exact", "sync/exact-blazeface", "sync/exact-haar", "sync/crop")


def real(folder, name):
    path = folder / name
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    return Clip(path)


def table(folder, files):
    """A weights folder and table with these files: {id: path}."""
    rows = [
        f'[{id}]\npurpose = "test"\nfile = "{path.name}"\nlicence = "test"\ngroup = "free"\nformat = "state_dict"\n'
        f'loader = "test"\norigins = ["https://example.invalid/{path.name}"]\nsize = {path.stat().st_size}\n'
        f'sha256 = "{hashlib.sha256(path.read_bytes()).hexdigest()}"\ndigest_source = "test"\n'
        for id, path in files.items()
    ]
    (folder / "table.toml").write_text("\n".join(rows))
    return folder / "table.toml"


@pytest.fixture
def random_weights(tmp_path, monkeypatch):
    """``syncnet_v2`` as a random network, found through the weights table like the real one."""
    noise = np.random.default_rng(0).integers(0, 256, (12, 224, 224, 3), dtype=np.uint8)
    path = tmp_path / "syncnet_v2.model"
    torch.save(random_syncnet(noise).state_dict(), path)
    monkeypatch.setenv("T2AV_BENCH_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("T2AV_BENCH_WEIGHTS_TABLE", str(table(tmp_path, {"syncnet_v2": path})))
    return path


def test_missing_weights_name_the_command(monkeypatch, tmp_path):
    monkeypatch.setenv("T2AV_BENCH_WEIGHTS", str(tmp_path))
    for id in SYNC_IDS:
        with pytest.raises(NotApplicable, match="t2av-bench weights fetch syncnet_v2"):
            create(id).measure(pair(Clip(tmp_path / "absent.mp4")))


def test_weights_are_found_by_id_and_stated_in_the_protocol(random_weights, clips_folder, monkeypatch):
    monkeypatch.setattr(Haar, "detect", lambda self, frames: [np.array([[160.0, 120, 380, 340, 9]])] * len(frames))
    found = create("sync/exact-haar").measure(pair(real(clips_folder, "talker_output.mp4")))
    assert set(found.values) == {quantity.name for quantity in create("sync/exact-haar").quantities}
    curve = found.features["sync_distance_curve"]
    assert found.values["sync_d_haar"] > 1 and np.ptp(curve) > 0.1  # the random network is not degenerate
    assert create("sync/exact-haar").protocol.weights == {"syncnet_v2": weights.digest("syncnet_v2")}


def test_a_real_clip_equals_its_pieces_put_together_by_hand(clips_folder, monkeypatch):
    monkeypatch.setattr(syncnet, "syncnet", lambda device: EnvelopeNetwork())
    clip = real(clips_folder, "talker_output.mp4")
    found = create("sync/exact-haar").measure(pair(clip))
    (track,) = found.detail["tracks"]
    assert (track["first_frame"], track["last_frame"], track["detections"]) == (0, 131, 132)
    tracks = face_tracks(clip, haar())
    crops = np.concatenate([crops for _, crops in crop.crop_tracks(clip.frames(50), tracks)])
    audio = clip_audio(clip)
    windows = min(132, len(audio) // 640) - 5
    heard = EnvelopeNetwork().embed_audio(syncnet.mfcc(audio), windows)
    by_hand = syncnet.compare(EnvelopeNetwork().embed_mouths(crops)[:windows], heard)
    np.testing.assert_allclose(found.features["sync_distance_curve"], by_hand.curve, rtol=1e-6)
    again = score_crops((crops[start : start + 7] for start in range(0, 132, 7)), lambda: audio, EnvelopeNetwork())
    np.testing.assert_array_equal(again.curve, by_hand.curve)


def test_faces_that_blazeface_and_the_mesh_agree_on_are_scored_in_columns_of_their_own(monkeypatch):
    monkeypatch.setattr(syncnet, "syncnet", lambda device: EnvelopeNetwork())
    monkeypatch.setattr(sync, "confirmed_blazeface", square_detector)
    face = np.stack([picture((60 + index // 4, 60, 120, FACE), (250, 20, 60, JACKET)) for index in range(110)])
    found = create("sync/exact-blazeface").measure(pair(ArrayClip(face, np.zeros(110 * 640, np.float32))))
    (track,) = found.detail["tracks"]  # the jacket has none
    assert track["detections"] == 110 and track["mean_width"] == pytest.approx(120, abs=2)
    assert set(found.values) == {quantity.name for quantity in create("sync/exact-blazeface").quantities}
    assert all(name.endswith("_blazeface") for name in found.values)
    jacket = face.copy()
    jacket[..., 1] = 0
    with pytest.raises(Unscorable, match="^no face found in any of 110 frames$"):
        create("sync/exact-blazeface").measure(pair(ArrayClip(jacket, np.zeros(110 * 640, np.float32))))


def test_damaged_weights_are_refused(random_weights):
    state = torch.load(random_weights, weights_only=True)
    state.pop("netfclip.3.bias")
    broken = random_weights.with_name("broken.model")
    torch.save(state, broken)
    with pytest.raises(RuntimeError, match="netfclip.3.bias"):
        syncnet._load(str(broken), None, "cpu", "float32")


@pytest.mark.parametrize("name", ["echo_a.mp4", "talker_reference.mp4"])
def test_a_real_clip_without_audio_has_no_score(name, clips_folder, monkeypatch):
    monkeypatch.setattr(syncnet, "syncnet", lambda device: EnvelopeNetwork())
    with pytest.raises(Unscorable, match="no audio stream"):
        create("sync/exact-haar").measure(pair(real(clips_folder, name)))


def test_24_and_30_frames_a_second_are_tracked_at_25(clips_folder, monkeypatch):
    monkeypatch.setattr(Haar, "detect", lambda self, frames: [np.array([[90.0, 90, 300, 300, 9]])] * len(frames))
    for name, seconds in (("lp_d10.mp4", 14.98), ("ovi_1.mp4", 5.08)):
        (track,) = face_tracks(real(clips_folder, name), haar())
        assert abs(track.frames[-1] + 1 - 25 * seconds) <= 1.5


def test_long_clips_hold_one_batch_of_frames(monkeypatch):
    """Full frames and crops stream: tracking, cropping and embedding never see more than a few dozen at once."""
    from t2av_bench.faces.track import Track

    count, held = 700, []

    def frames():
        for start in range(0, count, 32):
            yield np.zeros((min(32, count - start), 60, 80, 3), np.uint8)

    class Counting(EnvelopeNetwork):
        def embed_mouths(self, crops):
            held.append(len(crops))
            return super().embed_mouths(crops)

    boxes = np.tile([10.0, 5.0, 60.0, 50.0], (count, 1))
    track, audio = Track(np.arange(count), boxes, count), np.ones(count * 640, np.int16)
    (result,) = score_tracks(frames(), [track], audio, Counting())
    assert max(held) == 36 and result.curve.shape == (31,)


def test_the_protocol_says_what_was_used_and_loads_nothing():
    fingerprints = {create(id).protocol.fingerprint for id in SYNC_IDS}
    assert len(fingerprints) == len(SYNC_IDS)
    document = create("sync/exact").protocol.as_dict()
    assert document["parameters"]["tracks"]["min_track"] == 100 and document["parameters"]["detector"]["name"] == "s3fd"
    assert SyncExactHaar().protocol.parameters["detector"] == {"name": "haar", **Haar.PARAMETERS}
    assert set(document["weights"]) == {"syncnet_v2", "sfd_face"}


def test_published_values_of_a_public_clip(clips_folder):
    """syncnet-python 0.2.3 prints offset 1, C 4.529 and D 9.237 for this file."""
    if not (weights.is_present("syncnet_v2") and weights.is_present("sfd_face")):
        pytest.skip("the SyncNet and S3FD weights are absent: t2av-bench weights fetch syncnet_v2 sfd_face")
    if shutil.which("ffmpeg") is None:
        pytest.skip("no ffmpeg program")
    found = create("sync/syncnet-python").measure(pair(real(clips_folder, "nawta_example.avi"))).values
    assert found["sync_c"] == pytest.approx(4.529, abs=0.1)
    assert found["sync_d"] == pytest.approx(9.237, abs=0.1)
    assert found["sync_offset"] == 1
