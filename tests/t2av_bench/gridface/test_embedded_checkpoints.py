"""The bundled checkpoints: what goes in comes out, and nothing else does."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from t2av_bench.errors import NotApplicable
from t2av_bench.gridface.models import checkpoints

DETAILS = {
    "command": "t2av-bench train embedded tiny-seed0", "seed": 0, "data_version": "1", "updates": 5000,
    "parameters": 3_300_000,
}  # fmt: skip


@pytest.fixture
def trained(tmp_path):
    file = tmp_path / "trained.safetensors"
    file.write_bytes(b"weights")
    return file


@pytest.fixture
def box(tmp_path):
    return tmp_path / "box"


def test_a_model_comes_back_with_its_facts(trained, box):
    details = DETAILS | {
        "scores": {"wer_gridface": 0.0525, "note": 'öffne "das"\n\\'}, "curve": [[0, 2.5], [1000, 0.5]], "ema": True,
    }  # fmt: skip
    checkpoints.add("tiny-seed0", trained, details, box)
    checkpoints.add("tiny-seed1", trained, DETAILS, box)
    assert checkpoints.names(box) == ["tiny-seed0", "tiny-seed1"]
    found = checkpoints.path("tiny-seed0", box)
    assert found.parent == box and found.read_bytes() == b"weights"
    # sha256 of b"weights", from the shell's sha256sum.
    digest = "9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c"
    assert checkpoints.digest("tiny-seed0", box) == digest
    facts = checkpoints.facts("tiny-seed0", box)
    assert {key: facts[key] for key in details} == details


def test_a_new_model_takes_the_place_of_the_old_one(trained, box):
    old = checkpoints.add("tiny", trained, DETAILS, box)
    trained.write_bytes(b"better weights")
    new = checkpoints.add("tiny", trained, DETAILS | {"updates": 9000}, box)
    assert checkpoints.path("tiny", box) == new and new.read_bytes() == b"better weights"
    assert not old.exists() and checkpoints.facts("tiny", box)["updates"] == 9000
    assert {path.name for path in box.iterdir()} <= {new.name, "index.toml", ".index.toml.lock"}


def test_scores_are_added_without_touching_the_file(trained, box):
    checkpoints.add("tiny", trained, DETAILS, box)
    checkpoints.describe("tiny", {"scores": {"wer_gridface": 0.05}}, box)
    assert checkpoints.facts("tiny", box)["scores"] == {"wer_gridface": 0.05}
    assert checkpoints.facts("tiny", box)["updates"] == 5000 and checkpoints.path("tiny", box).is_file()
    with pytest.raises(ValueError, match="sha256 of a checkpoint follow"):
        checkpoints.describe("tiny", {"sha256": "0" * 64}, box)


def test_a_damaged_missing_or_unknown_model_names_the_command(trained, box):
    file = checkpoints.add("tiny-seed0", trained, DETAILS, box)
    file.write_bytes(b"weighty")
    with pytest.raises(NotApplicable, match="'tiny-seed0' refused.*the table states.*train embedded tiny-seed0$"):
        checkpoints.path("tiny-seed0", box)
    file.unlink()
    with pytest.raises(NotApplicable, match="'tiny-seed0'.*are missing: reinstall.*train embedded tiny-seed0$"):
        checkpoints.path("tiny-seed0", box)
    with pytest.raises(ValueError, match="unknown weights id 'tiny-sed0'; did you mean tiny-seed0"):
        checkpoints.path("tiny-sed0", box)
    with pytest.raises(ValueError, match="unknown weights id 'x'"):
        checkpoints.path("x", box / "empty")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[broken", "cannot read the weights table .*index.toml"),
        ("x = 1", "index.toml has an entry without its facts"),
        ("[x]\nfile = 'a'", "index.toml has an entry without its facts: 'data_version'"),
        ("[x]\nfile = '../../a'\nsha256 = '{digest}'\ndata_version = '1'\nparameters = 1", "stays in its folder"),
        ("[x]\nfile = 'a'\nsha256 = 'abc'\ndata_version = '1'\nparameters = 1", r"entry \[x\]: 'sha256'"),
    ],
)
def test_a_damaged_index_is_said(box, text, reason):
    box.mkdir()
    (box / "index.toml").write_text(text.replace("{digest}", "0" * 64))
    with pytest.raises(ValueError, match=reason):
        checkpoints.names(box)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("../tiny", {}, "a checkpoint's name has letters"),
        ("tiny", {"loss": float("nan")}, "of tiny: facts are .*finite numbers"),
        ("tiny", {"scores": {"wer": None}}, "of tiny: facts are .*NoneType"),
    ],
)
def test_what_the_index_cannot_hold_is_refused_before_anything_is_written(trained, box, name, changes, message):
    with pytest.raises(ValueError, match=message):
        checkpoints.add(name, trained, DETAILS | changes, box)
    with pytest.raises(ValueError, match="lacks seed: it could not be made again"):
        checkpoints.add("tiny", trained, {key: value for key, value in DETAILS.items() if key != "seed"}, box)
    assert not box.exists()


def test_trainings_that_end_together_lose_nothing(trained, box):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: checkpoints.add(f"tiny-seed{number}", trained, DETAILS, box), range(16)))
    assert len(checkpoints.names(box)) == 16


def test_the_checkpoints_of_this_project_are_whole():
    for name in checkpoints.names():
        assert checkpoints.path(name).is_file()
        assert set(checkpoints.REQUIRED) <= checkpoints.facts(name).keys()
    assert sum(path.stat().st_size for path in checkpoints.FOLDER.iterdir()) < 50e6
