"""Training on speaking faces without pictures: it learns, is the same again, and goes on where it was."""

import hashlib
import json

import numpy as np
import pytest
from mesh_sync_factory import features

from t2av_bench.mesh_sync import data, evaluation, network, recipe
from t2av_bench.mesh_sync.batches import Material, Spoiling
from t2av_bench.mesh_sync.data import Published
from t2av_bench.mesh_sync.features import MIRRORED
from t2av_bench.mesh_sync.network import MeshSyncNetwork
from t2av_bench.mesh_sync.score import score
from t2av_bench.mesh_sync.training import train

PLAIN = Spoiling(*[0.0] * 12)
SMALL = {"width": 24, "size": 16, "windows": 8, "length": 60, "dropout": 0.0}
CLIPS = [features(120, seed) for seed in range(12)]


@pytest.fixture(scope="module")
def learnt():
    return train(CLIPS, 0, 60, spoiling=PLAIN, **SMALL)


def test_it_learns_what_belongs_together_and_says_when_it_is_apart(learnt):
    net = MeshSyncNetwork([learnt])
    own = score(features(200, 77), net)
    assert abs(own.offset_ms) < 15 and own.confidence > 0.2
    late = score(features(200, 77, lag_rows=10), net)
    assert late.offset_ms == pytest.approx(own.offset_ms - 100, abs=15)
    stranger = evaluation.with_sound(features(200, 77), features(200, 78).sound)
    assert score(stranger, net).confidence < own.confidence / 3


def test_the_same_seed_gives_the_same_network_and_another_one_does_not(learnt):
    again = train(CLIPS, 0, 60, spoiling=PLAIN, **SMALL)
    assert all(np.array_equal(again[name], learnt[name]) for name in learnt)
    short = [train(CLIPS, seed, 2, **SMALL) for seed in (0, 0, 1)]
    assert all(np.array_equal(short[0][name], short[1][name]) for name in learnt)
    assert any(not np.array_equal(short[0][name], short[2][name]) for name in learnt)


def test_without_spoiling_a_batch_holds_the_clips_themselves():
    material = Material(CLIPS, 60)
    random = np.random.default_rng(0)
    mouths, sounds, clips = material.draw(random, 6, PLAIN)
    assert mouths.shape == (6, 165, 60) and sounds.shape == (6, 40, 240)
    for mouth, number in zip(mouths, clips, strict=True):
        own = CLIPS[number].mouth - np.median(CLIPS[number].mouth, 0)
        mirrored = own[:, list(MIRRORED)] * (-1, 1, 1)
        best = min(_nearest(mouth.T, each.reshape(120, -1) / material.spread) for each in (own, mirrored))
        assert best < 0.15 * np.abs(mouth).mean()  # between two frames, of which the window is a mean


def _nearest(window, clip):
    """Mean distance to the best place of the clip, between whose frames the window may lie."""
    fractions = [(whole, part) for whole in range(len(clip) - 61) for part in (0.0, 0.25, 0.5, 0.75)]
    return min(
        np.abs((1 - part) * clip[whole : whole + 60] + part * clip[whole + 1 : whole + 61] - window).mean()
        for whole, part in fractions
    )


@pytest.mark.parametrize("name", Spoiling.__dataclass_fields__)
def test_every_kind_of_spoiling_changes_a_batch_and_keeps_it_finite(name):
    material = Material(CLIPS, 60)
    changed = Spoiling(
        **{**{each: 0.0 for each in Spoiling.__dataclass_fields__}, name: 0.9 if name != "speed" else 0.1}
    )
    plain = material.draw(np.random.default_rng(5), 12, PLAIN)
    spoilt = material.draw(np.random.default_rng(5), 12, changed)
    assert all(np.isfinite(each).all() for each in spoilt)
    assert any(not np.allclose(left, right) for left, right in zip(plain[:2], spoilt[:2], strict=True))


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A list of six clips whose features are made instead of measured."""
    clips = [(f"mocha-generation/{k}.mp4", str(k).encode(), "test" if k > 3 else "train") for k in range(6)]
    for path, content, _ in clips:
        (tmp_path / "data" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / path).write_bytes(content)
    entries = [[path, hashlib.sha256(content).hexdigest(), split, path[-5]] for path, content, split in clips]
    listing = tmp_path / "clips.json"
    listing.write_text(json.dumps({"source": "a/b", "commit": "c" * 40, "clips": entries}), encoding="utf-8")
    monkeypatch.setattr(data, "LIST", listing)
    monkeypatch.setattr(data, "mesh_sync_features", lambda clip: features(120, int(clip.path.stem)))
    monkeypatch.setattr(data.Repository, "published", lambda self: {"mocha-generation/4.mp4": Published(0, 5.0, 7.0)})
    monkeypatch.setattr(evaluation, "RUNS", tmp_path / "runs.jsonl")
    data.listed.cache_clear()
    yield tmp_path / "data"
    data.listed.cache_clear()


def test_a_finished_seed_is_not_trained_again(repository, tmp_path, monkeypatch):
    out = tmp_path / "out"
    steps = []
    made = recipe.make(repository, out, None, seeds=(3, 5), updates=2, on_step=steps.append)
    first = made.read_bytes()
    assert [step.phase for step in steps if step.phase.startswith("training")] == ["training seed 3"] * 2 + [
        "training seed 5"
    ] * 2
    facts = network.load(made).facts
    assert facts["seeds"] == [3, 5] and facts["clips"] == 4 and facts["updates"] == 2
    assert facts["command"] == "t2av-bench train sync-mesh --seed 3 --seed 5 --updates 2"
    monkeypatch.setattr(recipe, "train", lambda *given, **more: pytest.fail("trained again"))
    assert recipe.make(repository, out, None, seeds=(3, 5), updates=2).read_bytes() == first
    (out / "seed5-2.safetensors").unlink()
    with pytest.raises(pytest.fail.Exception, match="trained again"):
        recipe.make(repository, out, None, seeds=(3, 5), updates=2)


def test_a_folder_of_other_data_is_refused(repository, tmp_path, monkeypatch):
    recipe.make(repository, tmp_path / "out", None, seeds=(0,), updates=1)
    monkeypatch.setattr(recipe, "data_version", lambda: "another")
    with pytest.raises(ValueError, match=r"seed0-1.safetensors is of other data .*another.*choose another --out"):
        recipe.make(repository, tmp_path / "out", None, seeds=(0,), updates=1)


@pytest.mark.parametrize("seeds", [(), (1, 1)])
def test_seeds_are_different_and_some(seeds, tmp_path):
    with pytest.raises(ValueError, match="seeds are different whole numbers, at least one"):
        recipe.make(tmp_path, tmp_path, None, seeds=seeds)


def test_a_look_at_the_test_clips_is_logged(repository, tmp_path, learnt):
    weights = tmp_path / "net.safetensors"
    network.save([learnt], weights, {})
    for _ in range(2):
        numbers = recipe.evaluate(repository, weights, None, "test")
    lines = [json.loads(line) for line in (tmp_path / "runs.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(lines) == 2 and lines[0]["what"] == "mochabench test"
    assert lines[0]["weights"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert numbers["listed"] == numbers["scored"] == 2 and lines[1]["auc"] == numbers["auc"]


def test_where_the_package_cannot_be_written_the_numbers_are_told_and_logged_beside_the_network(
    repository, tmp_path, monkeypatch, learnt
):
    weights = tmp_path / "net.safetensors"
    network.save([learnt], weights, {})
    packaged = tmp_path / "absent" / "runs.jsonl"
    monkeypatch.setattr(evaluation, "RUNS", packaged)
    notices = []
    assert recipe.evaluate(repository, weights, None, "test", notice=notices.append)["scored"] == 2
    assert notices[0].startswith(f"this look cannot be logged in {packaged}: No such file")
    assert notices[2].endswith(f"runs.jsonl to {packaged} before the numbers are published")
    assert json.loads((tmp_path / "runs.jsonl").read_text(encoding="utf-8"))["what"] == "mochabench test"
    (tmp_path / "runs.jsonl").unlink()
    (tmp_path / "runs.jsonl").mkdir()  # neither can be written
    assert recipe.evaluate(repository, weights, None, "test", notice=notices.append)["scored"] == 2
    assert len(notices) == 5


def test_a_look_at_anybodys_clips_is_logged_beside_the_network_alone(tmp_path, monkeypatch, learnt):
    (tmp_path / "mine").mkdir()
    (tmp_path / "out").mkdir()
    for name in ("1.mp4", "2.mp4", "notes.txt"):
        (tmp_path / "mine" / name).touch()
    monkeypatch.setattr(evaluation, "mesh_sync_features", lambda clip: features(120, int(clip.path.stem)))
    monkeypatch.setattr(evaluation, "RUNS", tmp_path / "package.jsonl")
    weights = tmp_path / "out" / "net.safetensors"
    network.save([learnt], weights, {})
    numbers = recipe.evaluate_folder(tmp_path / "mine", weights, None, lambda text: None)
    line = json.loads((tmp_path / "out" / "runs.jsonl").read_text(encoding="utf-8"))
    assert line["what"] == "folder mine" and line["listed"] == numbers["listed"] == 2
    assert not (tmp_path / "package.jsonl").exists()


def test_a_folder_without_a_clip_that_can_be_scored_is_an_error_that_says_so(tmp_path, learnt):
    weights = tmp_path / "net.safetensors"
    network.save([learnt], weights, {})
    with pytest.raises(ValueError, match="none of 0 clips can be scored: give clips of at least 2 s"):
        recipe.evaluate_folder(tmp_path, weights, None, lambda text: None)


def test_one_person_alone_has_no_stranger(learnt):
    cases = [evaluation.Case(f"c{k}", "one", features(130, k)) for k in range(2)]
    numbers = evaluation.evaluate(cases, MeshSyncNetwork([learnt]), 2)
    assert numbers["auc"] is None and numbers["mean_c_stranger"] is None and numbers["planted_exact"][0] == 1.0


def test_numbers_of_an_evaluation_are_those_of_other_implementations(learnt):
    from scipy.stats import mannwhitneyu, spearmanr

    net = MeshSyncNetwork([learnt])
    random = np.random.default_rng(0)
    cases = [
        evaluation.Case(f"c{k}", f"p{k // 2}", features(130, 100 + k), Published(0, float(random.normal()), 1.0 * k))
        for k in range(14)
    ]
    numbers = evaluation.evaluate(cases, net, 15)
    own = [score(case.features, net) for case in cases]
    expected = spearmanr([each.confidence for each in own], [case.published.confidence for case in cases]).statistic
    value, low, high = numbers["spearman_c"]
    assert value == pytest.approx(expected, abs=1e-4) and low < value < high
    strange = [score(each, net).confidence for each in evaluation._strangers(cases)]
    share = mannwhitneyu([each.confidence for each in own], strange).statistic / 14**2
    assert numbers["auc"][0] == pytest.approx(share, abs=1e-4)
    assert numbers["listed"] == 15 and numbers["scored"] == 14 and numbers["persons"] == 7
    assert numbers["planted_within_1"][0] == 1.0 and numbers["offset_within_1"][0] == 1.0


def test_few_persons_have_no_interval(learnt):
    cases = [evaluation.Case(f"c{k}", f"p{k}", features(130, k)) for k in range(3)]
    numbers = evaluation.evaluate(cases, MeshSyncNetwork([learnt]), 3)
    assert numbers["auc"][1:] == [None, None] and "spearman_c" not in numbers


def test_the_command_trains_and_looks_and_says_what_is_wrong(repository, tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from t2av_bench.cli.train import train_app

    monkeypatch.setattr(network, "CHECKPOINT", tmp_path / "box" / "sync_mesh.safetensors")
    asked = ["sync-mesh", "--data", str(repository), "--out", str(tmp_path / "out"), "--seed", "4", "--updates", "2"]
    done = CliRunner().invoke(train_app, [*asked, "--evaluate", "test", "--install"])
    assert done.exit_code == 0, done.output
    made = tmp_path / "out" / "sync_mesh.safetensors"
    path, _, numbers = done.stdout.partition("\n")
    assert path == str(made) and json.loads(numbers)["listed"] == 2
    assert made.read_bytes() == network.CHECKPOINT.read_bytes()
    refused = CliRunner().invoke(train_app, [*asked[:2], str(tmp_path / "absent"), *asked[3:]])
    assert refused.exit_code == 2 and "git clone https://github.com/a/b" in " ".join(refused.output.split())
