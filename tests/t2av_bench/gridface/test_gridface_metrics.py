"""GridFace's lip sync and feature distances: the mathematics, the committed networks on unseen clips, bad input."""

import numpy as np
import pytest
from media_factory import write_lossless

pytest.importorskip("torch", reason="the networks and the drawn face need torch")
pytest.importorskip("cv2", reason="OpenCV is not installed")
pytest.importorskip("espeakng_loader", reason="the synthesizer's package is not installed")

from t2av_bench.benchmarks.manifest import Item
from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.gridface.data import corpus, damage
from t2av_bench.gridface.extractors import features as gridface_features
from t2av_bench.gridface.extractors import sync as gridface_sync
from t2av_bench.gridface.metrics.features import FDClipGridFace, FDFrameGridFace, window_starts
from t2av_bench.gridface.metrics.sync import SyncGridFace
from t2av_bench.gridface.models import checkpoints
from t2av_bench.gridface.models import loading as extractor_checkpoints
from t2av_bench.gridface.training import extractors as training
from t2av_bench.gridface.training import features as training_features
from t2av_bench.gridface.training import sync as training_sync
from t2av_bench.gridface.validation import lip_sync as validity
from t2av_bench.gridface.validation import page as validity_page
from t2av_bench.media.clip import Clip
from t2av_bench.media.encode import write_mp4
from t2av_bench.metrics.base import Pair, Settings

NAMES = ("sync", "frame_features", "clip_features")
FEW = 8


@pytest.fixture(scope="module")
def real():
    """Clips of eight persons whom no network saw, through H.264 and AAC."""
    return validity.clips(corpus.utterances("test-en", FEW))


@pytest.fixture(scope="module")
def takes():
    """The same persons with other sentences."""
    return validity.clips(corpus.utterances("test-en", 40 + FEW)[40:])


def _pair(path, clip: validity.Clip, reference=None, audio_rate: int = 16000, **options) -> Pair:
    write_mp4(path, clip.frames, clip.audio, audio_rate=audio_rate, **options)
    return Pair(Item(id="clip"), Clip(path), reference)


# The mathematics


def _embeddings(count: int, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).standard_normal((count, 16))
    return values / np.linalg.norm(values, axis=1, keepdims=True)


@pytest.mark.parametrize("offset", [-15, -4, 0, 1, 15])
def test_a_known_shift_is_found_with_syncnets_sign(offset):
    """Sound window i - offset belongs to picture window i: positive where the audio is early."""
    source = _embeddings(120)
    result = gridface_sync.compare(source[20:90], source[20 + offset : 90 + offset])
    assert result.offset == offset
    assert result.distance == pytest.approx(0, abs=1e-12) and result.confidence == pytest.approx(np.sqrt(2), abs=0.1)


def test_the_curve_is_the_mean_distance_over_common_windows():
    seen, heard = _embeddings(30, 1), _embeddings(30, 2)
    result = gridface_sync.compare(seen, heard)
    for offset, value in zip(range(15, -16, -1), result.curve, strict=True):
        pairs = [np.sqrt(np.sum((seen[i] - heard[i - offset]) ** 2)) for i in range(30) if 0 <= i - offset < 30]
        assert value == pytest.approx(np.mean(pairs), abs=1e-12)
    assert result.confidence == pytest.approx(np.median(result.curve) - result.curve.min())


def test_confidence_does_not_depend_on_length():
    """Repeating a period of 31 windows leaves every offset's mean alone, which padding with zeros would not."""
    seen, heard = np.tile(_embeddings(31, 3), (12, 1)), np.tile(_embeddings(31, 4), (12, 1))
    short, long = (gridface_sync.compare(seen[:n], heard[:n]) for n in (31 * 2 + 15, 31 * 11 + 15))
    # Shifted means lose up to 15 windows at the ends, so equality holds only approximately.
    assert short.confidence == pytest.approx(long.confidence, abs=0.05)
    with pytest.raises(ValueError, match="at least 23 windows"):
        gridface_sync.compare(seen[:22], heard[:40])


def test_sound_rows_lie_where_the_sound_is_and_ignore_volume():
    audio = np.random.default_rng(0).standard_normal(640 * 20).astype(np.float32) * 1e-4
    audio[640 * 10 : 640 * 11] += np.random.default_rng(1).standard_normal(640).astype(np.float32)
    rows = gridface_sync.log_mel(audio)
    assert rows.shape == (80, 40)
    energy = np.exp(5 * rows).mean(1)
    assert (np.arange(80) * energy).sum() / energy.sum() == pytest.approx(41.5, abs=0.3)
    assert energy[40:44].sum() > 0.9 * energy.sum()
    speech = np.random.default_rng(2).standard_normal(16000)
    np.testing.assert_allclose(gridface_sync.log_mel(speech), gridface_sync.log_mel(0.1 * speech), atol=1e-4)


def test_the_mouth_box_holds_what_the_mouth_does():
    from t2av_bench.gridface.portrait.portrait import Portrait

    random = np.random.default_rng(0)
    changed, total = 0.0, 0.0
    for person in corpus.identities("test-en")[:8]:
        motion = np.zeros((6, 16), np.float32)
        motion[:, 8:13] = random.normal(0, 0.3, (6, 5))
        moved = motion.copy()
        moved[:, 0], moved[:, 2] = [0.2, 1, 0.5, 0, 0.3, 0.1], [0, 0, 0, 1, 0.6, 0]
        portrait = Portrait(person)
        first, second = portrait.render(motion), portrait.render(moved)
        total += np.abs(first.astype(float) - second).mean(-1).sum()
        changed += np.abs(gridface_sync.mouths(first).astype(float) - gridface_sync.mouths(second)).sum()
    assert changed > 0.8 * total


def test_windows_of_a_clip():
    assert list(window_starts(16)) == [0, 0, 0, 0]
    assert list(window_starts(64)) == [0, 16, 32, 48]


def test_damage_does_what_it_says():
    frames = np.random.default_rng(0).integers(0, 256, (12, 20, 20, 3), dtype=np.uint8)
    assert sorted(f.tobytes() for f in damage.shuffle(frames)) == sorted(f.tobytes() for f in frames)
    assert (damage.halve_rate(frames)[5] == frames[4]).all() and len({f.tobytes() for f in damage.freeze(frames)}) == 1
    assert (damage.jitter(frames, 1)[:, 8:12, 8:12] != frames[:, 8:12, 8:12]).any()
    motion = np.random.default_rng(1).random((50, 16)).astype(np.float32)
    weak = damage.weaken_mouth(motion, 0.5)
    np.testing.assert_allclose(weak[:, :6].std(0), 0.5 * motion[:, :6].std(0), rtol=1e-4)
    assert (weak[:, 6:] == motion[:, 6:]).all() and (damage.smooth_mouth(motion, 1)[:, 6:] == motion[:, 6:]).all()


# The bundled networks


ASKED = {
    "blurred, 1 pixel", "blurred, 2 pixels", "grain, 5 %", "grain, 10 %", "frozen", "shuffled", "jitter, 1 pixel",
    "jitter, 3 pixels",
}  # fmt: skip


def test_sync_finds_offsets_and_strangers(real):
    rows = {row.name: row for row in validity.sync_rows(real[:6])}
    sync, stranger = rows["in sync"], rows[validity.STRANGER]
    for name, row in rows.items():
        if name.startswith("audio "):
            assert row.within(1) == 1, name
    assert sync.within(1) == 1 and sync.within(0) >= 0.8
    assert validity.separation(sync.confidences, stranger.confidences) == 1
    assert sync.confidences.mean() > 2.5 * stranger.confidences.mean()
    assert sync.distances.max() < stranger.distances.min()
    levels = [rows[f"noise at {d} dB"].confidences.mean() for d in (20, 10, 0)]
    assert sync.confidences.mean() > levels[0] > levels[1] > levels[2]
    blurs = [rows[f"blurred, {s}"].confidences.mean() for s in ("1 pixel", "2 pixels", "4 pixels")]
    assert sync.confidences.mean() > blurs[1] > blurs[2]
    assert rows["frozen picture"].confidences.max() < sync.confidences.min()


def test_feature_distances_rise_with_damage(real, takes):
    asked = [kind for kind in validity.PICTURE_DAMAGE + validity.MOVEMENT_DAMAGE if kind[0] in ASKED]
    unknown = validity.clips(corpus.utterances("dub", FEW))
    rows = {row.name: row for row in validity.feature_rows(real, takes, unknown, asked)}
    floor = rows["real (the floor)"]

    def frame(*names: str) -> list[float]:
        return [rows[name].frame for name in names]

    def clip(*names: str) -> list[float]:
        return [rows[name].clip for name in names]

    def rises(values: list[float]) -> bool:
        return all(first < second for first, second in zip(values, values[1:], strict=False))

    assert rises([floor.frame, *frame("blurred, 1 pixel", "blurred, 2 pixels")])
    assert rises([floor.frame, *frame("grain, 5 %", "grain, 10 %")])
    assert rows["other persons"].frame > 2 * floor.frame
    assert rises([floor.clip, *clip("jitter, 1 pixel", "jitter, 3 pixels")])
    assert min(clip("frozen", "shuffled")) > floor.clip
    own = [rows[name].frame_own for name in ("blurred, 1 pixel", "blurred, 2 pixels")]
    assert own[0] > 0 and rises(own)


def test_the_metrics_agree_with_the_validity_functions(real, takes, tmp_path):
    """From files, frames and audio arrive as they were measured; a clip against itself is at distance 0."""
    write_lossless(tmp_path / "a.mkv", real[0].frames, real[0].audio, fit_audio=True)
    write_lossless(tmp_path / "b.mkv", takes[0].frames, takes[0].audio, fit_audio=True)
    pair = Pair(Item(id="a"), Clip(tmp_path / "a.mkv"), Clip(tmp_path / "b.mkv"))
    expected = validity.score(real[0])
    found = [SyncGridFace(Settings(batch_size=size)).measure(pair).values for size in (1, 32)]
    assert found[0] == found[1]
    assert found[0]["sync_c_gridface"] == pytest.approx(expected.confidence, abs=1e-3)
    assert found[0]["sync_offset_gridface"] == expected.offset
    measured = FDFrameGridFace().measure(Pair(Item(id="a"), pair.generated, pair.generated)).features
    np.testing.assert_allclose(measured["generated"], validity.features(real[:1]).frames, atol=1e-4)
    for metric in (FDFrameGridFace(), FDClipGridFace()):
        itself = metric.measure(Pair(Item(id="a"), pair.generated, pair.generated)).features
        other = metric.measure(pair).features
        assert metric.aggregate([itself, itself]).values[metric.quantities[0].name] == pytest.approx(0, abs=1e-6)
        assert metric.aggregate([other, other]).values[metric.quantities[0].name] > 0
    with pytest.raises(Unscorable, match="at least 2"):
        metric.aggregate([other])


# Odd and bad input


@pytest.mark.parametrize("rate", [24, 30])
def test_other_frame_rates_are_converted(real, tmp_path, rate):
    """The same clip at another rate: resampled in time, as a camera would have taken it."""
    clip = real[1]
    count = len(clip.frames) * rate // 25
    frames = clip.frames[np.minimum(np.arange(count) * 25 // rate, len(clip.frames) - 1)]
    values = (
        SyncGridFace().measure(_pair(tmp_path / "a.mp4", validity.Clip(frames, clip.audio), frame_rate=rate)).values
    )
    assert abs(values["sync_offset_gridface"]) <= 1
    assert values["sync_c_gridface"] > 0.5 * validity.score(clip).confidence


def test_twice_the_size_is_the_same_clip(real, tmp_path):
    import cv2

    clip = real[2]
    large = np.stack([cv2.resize(frame, (256, 256), interpolation=cv2.INTER_CUBIC) for frame in clip.frames])
    values = SyncGridFace().measure(_pair(tmp_path / "a.mp4", validity.Clip(large, clip.audio))).values
    assert values["sync_offset_gridface"] == 0
    assert values["sync_c_gridface"] == pytest.approx(validity.score(clip).confidence, abs=0.05)


def _broken(real: list[validity.Clip]) -> dict[str, tuple[validity.Clip, str]]:
    clip = real[0]
    frames, audio = clip.frames, clip.audio
    mosaic = np.random.default_rng(0).integers(0, 256, (1, 8, 8, 3), np.uint8).repeat(16, 1).repeat(16, 2)
    corner = np.full((len(frames), 256, 256, 3), 90, np.uint8)
    corner[:, :128, :128] = frames
    return {
        "no face": (validity.Clip(mosaic.repeat(len(frames), 0), audio), r"no face found in any of the 5 frames"),
        "elsewhere": (validity.Clip(corner, audio), r"not where GridFace draws it: it spans 0\.1"),
        "one frame": (validity.Clip(frames[:1], audio), r"too short: 1 frames and \d+ .* 27 of both are needed"),
        "short": (validity.Clip(frames[:26], audio[: 640 * 26]), r"too short: 26 frames and 26 frames' worth"),
        "silent": (validity.Clip(frames, np.zeros_like(audio)), "the audio is silent"),
        "wide": (validity.Clip(frames[:, 16:-16], audio), r"frames are 128x96: GridFace's pictures are square"),
        "tiny": (validity.Clip(frames[:, ::4, ::4], audio), r"frames are 32x32: .* 64x64 at least"),
    }


@pytest.mark.parametrize("kind", ["no face", "elsewhere", "one frame", "short", "silent", "wide", "tiny"])
def test_sync_says_what_is_wrong(real, tmp_path, kind):
    clip, reason = _broken(real)[kind]
    with pytest.raises(Unscorable, match=reason):
        SyncGridFace().measure(_pair(tmp_path / "a.mp4", clip, fit_audio=kind != "one frame"))


def test_no_audio_is_a_reason_for_sync_alone(real, tmp_path):
    write_mp4(tmp_path / "a.mp4", real[0].frames, None)
    clip = Clip(tmp_path / "a.mp4")
    with pytest.raises(Unscorable, match="no audio"):
        SyncGridFace().measure(Pair(Item(id="a"), clip))
    assert FDClipGridFace().measure(Pair(Item(id="a"), clip, clip)).features["generated"].shape == (4, 80)


def test_features_take_pictures_without_a_face_and_name_what_they_cannot_take(real, tmp_path):
    broken = _broken(real)
    reference = _pair(tmp_path / "real.mp4", real[0]).generated
    found = FDFrameGridFace().measure(_pair(tmp_path / "m.mp4", broken["no face"][0], reference)).features
    assert np.linalg.norm(found["generated"].mean(0) - found["reference"].mean(0)) > 5
    for kind, reason in {"one frame": "1 frames at 25 fps; 16 are needed", "wide": "128x96: GridFace's"}.items():
        pair = _pair(tmp_path / f"{kind}.mp4", broken[kind][0], reference)
        for metric in (FDFrameGridFace(), FDClipGridFace()):
            with pytest.raises(Unscorable, match=reason):
                metric.measure(pair)
            with pytest.raises(NotApplicable, match="reference"):
                metric.measure(Pair(Item(id="x"), reference, pair.generated))
    with pytest.raises(NotApplicable, match="no reference clip"):
        FDFrameGridFace().measure(Pair(Item(id="x"), reference))


# Training and checkpoints


def test_training_sees_the_training_split_alone():
    persons = {utterance.identity for utterance, *_ in training.training_clips(3, 2, 0)}
    assert persons <= set(corpus.identities("train"))
    for split in corpus.SPLITS:
        assert split == "train" or not set(corpus.identities(split)) & set(corpus.identities("train"))


TRAINERS = {
    "sync": training_sync.train,
    "frame_features": training_features.train_frames,
    "clip_features": training_features.train_clips,
}


@pytest.mark.parametrize("name", NAMES)
def test_training_repeats_itself(name, tmp_path):
    files = [
        TRAINERS[name](tmp_path / str(index), seed=seed, quiet=True, updates=2, clips=2)
        for index, seed in enumerate((0, 0, 1))
    ]
    first, second, third = (file.read_bytes() for file in files)
    assert first == second != third
    facts = training.facts_of(files[0])
    assert facts["seed"] == 0 and facts["updates"] == 2 and facts["command"] == f"t2av-bench train embedded {name}"
    assert set(checkpoints.REQUIRED) <= set(facts)
    lines = (tmp_path / "0" / f"{name}.metrics.jsonl").read_text().splitlines()
    assert len(lines) == 2 and '"loss"' in lines[-1]


@pytest.mark.parametrize("name", NAMES)
def test_the_box_holds_small_networks_with_their_facts(name):
    facts = checkpoints.facts(name)
    assert checkpoints.path(name).stat().st_size < 3_000_000
    assert facts["data_version"] == f"{corpus.NAME} {corpus.VERSION}"
    assert extractor_checkpoints.digest(name) == facts["sha256"]


def test_a_checkpoint_that_does_not_fit_says_so(tmp_path):
    from t2av_bench.gridface.models.feature_networks import ClipNetwork

    with pytest.raises(ValueError, match="sync"):
        extractor_checkpoints.load("clip_features", lambda state: ClipNetwork(), checkpoints.path("sync"))
    (tmp_path / "half.safetensors").write_bytes(checkpoints.path("clip_features").read_bytes()[:5000])
    with pytest.raises(ValueError, match="half"):
        extractor_checkpoints.load("clip_features", lambda state: ClipNetwork(), tmp_path / "half.safetensors")
    with pytest.raises(ValueError, match="unknown weights id 'sinc'; did you mean sync"):
        extractor_checkpoints.load("sinc", lambda state: ClipNetwork())


def test_networks_do_not_depend_on_the_batch(real):
    frames = real[0].frames[:20]
    one = np.concatenate([gridface_features.frame_features(frame[None]) for frame in frames])
    np.testing.assert_allclose(gridface_features.frame_features(frames), one, atol=1e-4)
    parts = [frames[:7], frames[7:]]
    np.testing.assert_array_equal(gridface_sync.stream_mouths(parts), gridface_sync.mouths(frames))


def test_the_page_shows_every_damage():
    """The page in ``docs`` has a row for all that is measured, and nothing else in its tables."""
    from pathlib import Path

    page = (Path(__file__).parents[3] / "docs" / "embedded_metrics.md").read_text(encoding="utf-8")
    every = validity.AUDIO_DAMAGE + validity.MOUTH_DAMAGE + validity.MOTION_DAMAGE
    for name, *_ in every + validity.PICTURE_DAMAGE + validity.MOVEMENT_DAMAGE:
        assert f"\n| {name} |" in page
    row = validity.SyncRow("in sync", 0, [gridface_sync.SyncResult(1, 0.5, 0.7, np.zeros(31))] * 3)
    worse = validity.SyncRow("a stranger's audio", None, [gridface_sync.SyncResult(9, 1.2, 0.1, np.zeros(31))] * 3)
    shown = validity_page.document([row, worse], [validity.FeatureRow("real", 1.0, 2.0)], 3)
    assert "| in sync | 0.700 ± 0.000 | 0.500 ± 0.000 | 0 | 0.00 | 1.00 | 1.00 |" in shown
    assert "| a stranger's audio | 0.100 ± 0.000 | 1.200 ± 0.000 | – | – | – | – |" in shown
    assert "| real | 1.0 | – | 2.0 | – |" in shown
