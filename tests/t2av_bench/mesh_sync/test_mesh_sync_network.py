"""The network as numpy runs it, against torch, and what does not move its vectors."""

import numpy as np
import pytest
import torch
from mesh_sync_factory import features

from t2av_bench.errors import NotApplicable
from t2av_bench.mesh_sync import network
from t2av_bench.mesh_sync.network import Input, MeshSyncNetwork


@pytest.fixture(scope="module")
def trained():
    """A small network whose normalisations have seen something, and its folded arrays."""
    torch.manual_seed(0)
    made = network.training_network(width=24, size=16)
    made.train()
    for _ in range(20):
        made.mouth(torch.randn(8, 165, 40) * 2 + 1)
        made.sound(torch.randn(8, 40, 160) * 3 - 1)
    for layer in made.modules():
        if isinstance(layer, torch.nn.BatchNorm1d):
            torch.nn.init.uniform_(layer.weight, 0.5, 1.5)
            torch.nn.init.normal_(layer.bias)
    return made.eval(), MeshSyncNetwork([network.folded(made)])


def inputs(frames=60, seed=1):
    random = np.random.default_rng(seed)
    return Input(
        random.normal(size=(frames, 165)).astype(np.float32), random.normal(size=(4 * frames, 40)).astype(np.float32)
    )


def test_numpy_and_torch_agree(trained):
    made, ours = trained
    given = inputs()
    mouth, sound = ours.embed(given)[0]
    with torch.no_grad():
        seen = torch.nn.functional.normalize(made.mouth(torch.from_numpy(given.mouth.T[None])), dim=1)[0].T.numpy()
        heard = torch.nn.functional.normalize(made.sound(torch.from_numpy(given.sound.T[None])), dim=1)[0].T.numpy()
    np.testing.assert_allclose(mouth, seen, atol=2e-5)
    np.testing.assert_allclose(sound[::4], heard, atol=2e-5)


@pytest.mark.parametrize("phase", [1, 2, 3])
def test_between_frames_stand_the_vectors_of_the_moved_sound(trained, phase):
    _, ours = trained
    given = inputs()
    sound = ours.embed(given)[0][1]
    moved = ours.embed(Input(given.mouth, given.sound[phase:]))[0][1]
    np.testing.assert_allclose(sound[phase + 40 : -40], moved[40:-40], atol=1e-6)


def test_vectors_have_unit_length_and_do_not_know_how_long_the_clip_is(trained):
    _, ours = trained
    given = inputs(80)
    mouth, sound = ours.embed(given)[0]
    np.testing.assert_allclose(np.linalg.norm(mouth, axis=1), 1, atol=1e-5)
    part = ours.embed(Input(given.mouth[20:60], given.sound[80:240]))[0]
    np.testing.assert_allclose(part[0][10:-10], mouth[30:50], atol=1e-5)
    np.testing.assert_allclose(part[1][40:-40], sound[120:200], atol=1e-5)


def test_loudness_and_the_microphone_and_the_resting_face_leave_no_trace():
    clip = features(100, 1)
    given = network.network_input(clip)
    louder = network.sound_input(clip.sound + 3.0)
    np.testing.assert_allclose(louder, given.sound, atol=1e-4)
    moved = network.mouth_input(clip.mouth + np.random.default_rng(0).normal(size=(1, 55, 3)), clip.seen)
    np.testing.assert_allclose(moved, given.mouth, atol=1e-5)


def test_a_saved_network_is_the_same_and_tells_what_makes_it(trained, tmp_path):
    made, ours = trained
    path = tmp_path / "one.safetensors"
    network.save([network.folded(made)] * 2, path, {"seeds": [3, 4]})
    again = network.load(path)
    assert again.facts == {"seeds": [3, 4]}
    found = again.embed(inputs())
    assert len(found) == 2
    np.testing.assert_array_equal(found[1][0], ours.embed(inputs())[0][0])


def test_a_file_that_is_none_says_what_makes_one(tmp_path):
    (tmp_path / "bad.safetensors").write_bytes(b"no")
    for name in ("bad.safetensors", "absent.safetensors"):
        with pytest.raises(NotApplicable, match="t2av-bench train sync-mesh"):
            network.load(tmp_path / name)


def test_the_packaged_network_is_small_and_says_how_it_was_made():
    made = network.load()
    assert network.CHECKPOINT.stat().st_size < 4_000_000
    assert {"command", "seeds", "data_version", "updates"} <= made.facts.keys()
