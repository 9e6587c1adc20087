"""The embedded motion codec: exact drawing, an encoder that reads mouths of people it never saw, and who is who."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the portrait is drawn by torch")

from reference_model.codecs import MotionCodec, SourceRenderer  # noqa: E402
from t2av_bench.errors import NotApplicable  # noqa: E402
from t2av_bench.gridface.data import corpus  # noqa: E402
from t2av_bench.gridface.models import checkpoints  # noqa: E402
from t2av_bench.gridface.models.identity_gallery import IdentityGallery, UnknownIdentity  # noqa: E402
from t2av_bench.gridface.models.motion_codec import DrawnMotionCodec  # noqa: E402
from t2av_bench.gridface.models.motion_encoder import load_encoder  # noqa: E402
from t2av_bench.gridface.portrait.portrait import Portrait  # noqa: E402
from t2av_bench.gridface.speech.visemes import MOTION_NAMES, MOTION_SIZE, SPEECH_SIZE  # noqa: E402
from t2av_bench.gridface.training import identity_gallery as training_gallery  # noqa: E402
from t2av_bench.gridface.training import motion as training_motion  # noqa: E402
from t2av_bench.gridface.validation.motion import encode, encode_alone, explained, h264, read, samples, unseen  # noqa: E402
from t2av_bench.validation.pictures import blur  # noqa: E402


@pytest.fixture(scope="module")
def codec():
    return DrawnMotionCodec.load()


@pytest.fixture(scope="module")
def clips():
    """Eight frames of each of 24 persons of the test splits: fewer would hold hardly any f or v."""
    return samples(unseen(6))


@pytest.fixture(scope="module")
def reading(codec, clips):
    return read(codec, clips)


def _tensor(pictures: np.ndarray) -> torch.Tensor:
    """(n, H, W, 3) uint8 -> (n, 3, H, W) in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


def test_stands_where_the_models_expect_a_motion_codec(codec, clips):
    assert isinstance(codec, MotionCodec)
    assert (codec.latent_dim, codec.image_size, codec.frame_rate) == (16, 128, 25)
    renderer: SourceRenderer = codec.source(_tensor(clips[0].pictures[:1]))
    assert renderer.identities == [clips[0].identity]


def test_normalisation_is_undone_and_makes_training_motion_standard(codec):
    motion = training_motion.mouth_and_head_tracks("train", 60)
    latents = codec.normalize(torch.from_numpy(motion))
    torch.testing.assert_close(codec.denormalize(latents), torch.from_numpy(motion), atol=1e-6, rtol=1e-5)
    # Heads wander slowly: 60 clips are few to know their mean.
    assert latents.mean(0).abs().max() < 0.4 and (latents.std(0) - 1).abs().max() < 0.3


def test_decoding_is_the_renderer(codec, clips):
    """Two sources at once, each in its own motion: the frames of the corpus, to the rounding of a byte."""
    two = clips[3], clips[11]
    latents = torch.stack([codec.normalize(torch.from_numpy(clip.motion)) for clip in two])
    frames = codec.source(torch.cat([_tensor(clip.pictures[:1]) for clip in two])).render(latents)
    assert frames.shape == (2, 8, 3, 128, 128)
    for decoded, clip in zip(frames, two, strict=True):
        difference = (decoded - _tensor(clip.pictures)).abs() * 127.5
        assert difference.max() <= 1.01


def test_rendering_in_pieces_is_rendering_at_once(codec, clips):
    renderer = codec.source(_tensor(clips[0].pictures[:1]))
    latents = torch.randn(1, 70, MOTION_SIZE, generator=torch.Generator().manual_seed(0)).clamp(-1.5, 1.5)
    pieces = [renderer.render(part) for part in latents.split(4, 1)]
    torch.testing.assert_close(torch.cat(pieces, 1), renderer.render(latents), atol=1e-5, rtol=0)


# What can hardly be seen: a tongue behind closed teeth, an iris that moves by a fifth of a pixel.
_HIDDEN = [MOTION_NAMES.index("tongue"), MOTION_NAMES.index("gaze_y")]


def test_people_are_read_whom_the_encoder_never_saw(reading):
    named = dict(zip(MOTION_NAMES, reading.r2.round(2), strict=True))
    assert np.delete(reading.r2, _HIDDEN).min() > 0.8, named
    assert reading.mouth > 0.8 and np.delete(reading.r2, _HIDDEN)[: SPEECH_SIZE - 1].mean() > 0.9, named
    assert reading.psnr > 38 and reading.ssim > 0.985
    assert reading.recognised == 1.0


def test_knowing_the_person_helps(codec, clips, reading):
    """Mouth width, brows and vertical position depend on the face's proportions."""
    true = np.concatenate([clip.motion for clip in clips])
    alone = explained(np.concatenate([encode_alone(codec, clip.pictures) for clip in clips]), true)
    for name in ("lip_width", "brow", "y"):
        assert reading.r2[MOTION_NAMES.index(name)] > alone[MOTION_NAMES.index(name)] + 0.05, name


def test_graded_blur_costs_in_order(codec, clips, reading):
    true = np.concatenate([clip.motion for clip in clips])
    mouths = [reading.mouth]
    for sigma in (1.2, 3.0):
        found = np.concatenate([encode(codec, blur(clip.pictures, sigma)) for clip in clips])
        mouths.append(explained(found, true)[:SPEECH_SIZE].mean())
    assert mouths[0] > mouths[1] + 0.01 and mouths[1] > mouths[2] + 0.05


def test_explained_variance_is_the_textbooks():
    true = np.random.default_rng(0).normal(0, 2, (4000, 16))
    assert explained(true, true) == pytest.approx(np.ones(16))
    assert explained(np.broadcast_to(true.mean(0), true.shape), true) == pytest.approx(np.zeros(16))
    noise = np.random.default_rng(1).normal(0, 1, true.shape)
    assert explained(true + noise, true) == pytest.approx(np.full(16, 0.75), abs=0.03)


def test_a_frame_is_encoded_by_itself(codec, clips):
    frames = _tensor(np.concatenate([clip.pictures for clip in clips[:5]]))
    together = codec.encode(frames[None])[0]
    torch.testing.assert_close(codec.encode(frames[7:8, None])[0], together[7:8], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(codec.encode(frames.unflatten(0, (5, 8))).flatten(0, 1), together, atol=1e-4, rtol=1e-4)


def test_persons_are_recognised_after_files_and_sizes(codec, clips):
    """JPEG, H.264, a drawing at 256 pixels made smaller; and the whole gallery is of today's drawings."""
    import cv2

    for clip in clips[::4]:
        assert codec.identify(_tensor(h264(clip.pictures, 30)[2:3])) == [clip.identity]
        assert codec.identify(_tensor(training_motion.jpeg(clip.pictures[4], 60)[None])) == [clip.identity]
        large = Portrait(clip.identity, 256).render(clip.motion[5:6])[0]
        small = cv2.resize(large, (128, 128), interpolation=cv2.INTER_AREA)
        assert codec.identify(_tensor(small[None])) == [clip.identity]


def test_gallery_holds_everybody_as_drawn_now(codec):
    everybody = training_gallery.everybody()
    assert codec.gallery.people.tolist() == everybody and len(everybody) == 340
    rest = np.zeros((1, MOTION_SIZE))
    chosen = everybody[7::47]
    people, distances = codec.gallery.nearest(np.concatenate([Portrait(who, 128).render(rest) for who in chosen]))
    assert people.tolist() == chosen and distances.max() < 4


def _strange_pictures() -> dict[str, np.ndarray]:
    known = Portrait(230, 128).render(np.zeros((1, MOTION_SIZE)))[0]
    other = Portrait(231, 128).render(np.zeros((1, MOTION_SIZE)))[0]
    ramp = np.linspace(0, 255, 128, dtype=np.uint8)
    swapped = known.copy()
    swapped[32:112, 32:96] = other[32:112, 32:96]
    return {
        "nobody of the benchmark": Portrait(98_765, 128).render(np.zeros((1, MOTION_SIZE)))[0],
        "grey": np.full((128, 128, 3), 128, np.uint8),
        "black": np.zeros((128, 128, 3), np.uint8),
        "noise": np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8),
        "landscape": np.stack([ramp[:, None].repeat(128, 1)] * 2 + [ramp[None].repeat(128, 0)], -1),
        "upside down": known[::-1],
        "another face in the same hair": swapped,
        "the wall behind a person": np.broadcast_to(known[4, 4], known.shape),
        "zoomed in": known[24:104, 24:104].repeat(2, 0).repeat(2, 1)[16:144, 16:144],
        "blue for red": known[..., ::-1],
    }


@pytest.mark.parametrize("name", _strange_pictures())
def test_nobody_is_taken_for_somebody(codec, name):
    with pytest.raises(UnknownIdentity, match=r"none of GridFace's 340 persons.*take a frame of one of the bench"):
        codec.source(_tensor(_strange_pictures()[name][None]))


def test_strangers_are_refused_one_by_one(codec):
    """A picture in a batch is named by its place."""
    known = Portrait(240, 128).render(np.zeros((1, MOTION_SIZE)))
    stranger = Portrait(54_321, 128).render(np.zeros((1, MOTION_SIZE)))
    with pytest.raises(UnknownIdentity, match="source image 2 of 2"):
        codec.identify(_tensor(np.concatenate([known, stranger])))
    assert issubclass(UnknownIdentity, ValueError)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda codec: codec.encode(torch.zeros(1, 2, 3, 64, 64)), r"\(N, 3, 128, 128\), got \(2, 3, 64, 64\)"),
        (lambda codec: codec.encode(torch.zeros(2, 3, 128, 128)), r"\(B, T, 3, 128, 128\)"),
        (lambda codec: codec.source(torch.full((1, 3, 128, 128), 200.0)), r"image / 127.5 - 1"),
        (lambda codec: codec.source(torch.zeros(1, 3, 128, 128, dtype=torch.uint8)), r"got torch.uint8"),
        (lambda codec: codec.source(torch.full((1, 3, 128, 128), float("nan"))), r"not finite"),
    ],
)
def test_wrong_pictures_are_named(codec, call, message):
    with pytest.raises(ValueError, match=message):
        call(codec)


def test_wrong_latents_are_named(codec, clips):
    renderer = codec.source(_tensor(clips[0].pictures[:1]))
    with pytest.raises(ValueError, match=r"\(1, T, 16\) for these sources, got \(1, 5, 40\)"):
        renderer.render(torch.zeros(1, 5, 40))
    with pytest.raises(ValueError, match=r"got \(2, 5, 16\)"):
        renderer.render(torch.zeros(2, 5, 16))


def test_missing_and_damaged_files_name_the_command(tmp_path):
    with pytest.raises(ValueError, match="unknown weights id 'motion_encoder'"):
        DrawnMotionCodec.load(tmp_path)
    for name in ("motion_encoder", "identity_gallery"):
        facts = checkpoints.facts(name)
        checkpoints.add(name, checkpoints.path(name), {k: v for k, v in facts.items() if k not in ("file", "sha256")},
                        tmp_path)  # fmt: skip
    damaged = tmp_path / checkpoints.facts("motion_encoder", tmp_path)["file"]
    content = bytearray(damaged.read_bytes())
    content[-1000] ^= 1
    damaged.write_bytes(content)
    with pytest.raises(NotApplicable, match="refused: .*: sha256 is .*t2av-bench train embedded motion_encoder"):
        DrawnMotionCodec.load(tmp_path)


def _quick(monkeypatch, folder: Path, seed: int) -> dict[str, torch.Tensor]:
    monkeypatch.setattr(training_motion, "SENTENCES", 3)
    monkeypatch.setattr(corpus, "identities", lambda split: range(2))
    path = training_motion.train(folder, seed=seed, updates=2, quiet=True)
    assert path.stat().st_size < 2e6
    return load_encoder(path).state_dict()


def test_training_is_its_seed(monkeypatch, tmp_path):
    first, again, other = (_quick(monkeypatch, tmp_path / str(i), seed) for i, seed in enumerate((3, 3, 4)))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["join.0.weight"], other["join.0.weight"])


def test_training_poses_cover_every_dimension():
    tracks = np.zeros((10, MOTION_SIZE), np.float32)
    motion = training_motion.sample_motion(np.random.default_rng(0), tracks, 2000)
    moved = (motion != 0).any(1).mean()
    assert abs(moved - training_motion.RANDOM_POSES) < 0.04
    assert (
        (motion.max(0) > 0.9).all() and motion[:, : SPEECH_SIZE + 1].min() == 0 and (motion[:, 7:].min(0) < -0.9).all()
    )


def test_gallery_of_a_few_is_built_saved_and_read(codec, tmp_path):
    built = training_gallery.build(codec.encoder, [3, 5, 230, 300])
    read_back = IdentityGallery.load(training_gallery.save(built, tmp_path))
    pictures = np.concatenate([Portrait(who, 128).render(np.full((1, MOTION_SIZE), 0.2)) for who in (300, 5, 3, 230)])
    people, distances = read_back.nearest(pictures)
    assert people.tolist() == [300, 5, 3, 230] and distances.max() < 8
    # A person's offsets are hers: the bundled ones, from other poses, agree.
    np.testing.assert_allclose(read_back.offset(people), codec.gallery.offset(people), atol=0.1)
