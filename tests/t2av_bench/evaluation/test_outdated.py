"""A score belongs to the files that it was made from: of others it is missing, wherever a run is read."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from evaluate_factory import by_name, command, make_clips, plan, run
from scipy.io import wavfile

from t2av_bench.results.run import open_run
from t2av_bench.results.store import Store

CHANGED = "the file has changed since"


@pytest.fixture(autouse=True)
def _plugged(fake_metrics):
    pass


def level(path: Path) -> float:
    return float(np.mean(np.square(wavfile.read(path)[1] / 32768)))


def replace_clips(folder: Path, names: list[str]) -> None:
    make_clips(folder / "made", names, seed=9)


def only(folder: Path, metric: str, names: list[str]) -> None:
    """Run one metric over the clips as they lie there."""
    asked = plan(folder / "elsewhere", names, metrics=(metric,))
    run(_at(asked, folder), folder / "run")


def _at(asked, folder):
    return asked.model_copy(update={"generated": folder / "made", "reference": folder / "real"})


def scores(folder: Path, quantity: str) -> dict:
    with Store(folder / "run" / "results.db") as store:
        return {row.clip: row.score for row in store.scores() if row.quantity == quantity}


def test_scores_of_replaced_clips_are_missing_until_they_are_measured_again(tmp_path):
    names = ["a", "b", "c"]
    run(plan(tmp_path, names), tmp_path / "run")
    replace_clips(tmp_path, names[:2])
    only(tmp_path, "fake/length", names)
    found = by_name(tmp_path / "run")
    assert (found["length"].scored, found["level"].scored, found["level"].total) == (3, 1, 3)
    (reason,) = found["level"].reasons
    assert reason.startswith(CHANGED) and "--metrics fake/level again" in reason
    assert found["level"].score.value == pytest.approx(level(tmp_path / "made" / "c.wav"), rel=1e-4)
    spread = found["spread"].score
    assert spread.value is None and "the clips have changed since" in spread.reason and "fake/spread" in spread.reason
    run(_at(plan(tmp_path / "elsewhere", names), tmp_path), tmp_path / "run")
    again = by_name(tmp_path / "run")
    assert again["level"].score.value == pytest.approx(
        np.mean([level(tmp_path / "made" / f"{name}.wav") for name in names]), rel=1e-4
    )
    assert again["spread"].score.value is not None and again["spread"].scored == 3


@pytest.mark.parametrize("what", ["truncated", "emptied", "removed", "reference", "lengthened"])
def test_whatever_becomes_of_a_file_its_old_score_goes(tmp_path, what):
    names = ["a", "b", "c"]
    run(plan(tmp_path, names), tmp_path / "run")
    path = tmp_path / ("real" if what == "reference" else "made") / "b.wav"
    data = path.read_bytes()
    if what == "removed":
        path.unlink()
    else:
        path.write_bytes({"truncated": data[:100], "emptied": b""}.get(what, data + bytes(2)))
    only(tmp_path, "fake/length", names)
    found = scores(tmp_path, "level")
    if what == "removed":
        with Store(tmp_path / "run" / "results.db") as store:  # with the clip it leaves the run, or it has failed
            assert "b" not in found or found["b"].value is None
            assert len(store.clips()) == len(found)
    else:
        assert found["b"].value is None and found["b"].reason.startswith(CHANGED)
    assert found["a"].value is not None and found["c"].value is not None
    assert by_name(tmp_path / "run")["spread"].score.value is None


def test_clips_that_came_since_are_in_the_denominator_and_the_set_score_goes(tmp_path):
    run(plan(tmp_path, ["a", "b"]), tmp_path / "run")
    names = ["a", "b", "new"]
    make_clips(tmp_path / "made", names)
    make_clips(tmp_path / "real", names, seed=1)
    only(tmp_path, "fake/length", names)
    found = by_name(tmp_path / "run")
    assert (found["level"].scored, found["level"].total, found["length"].scored) == (2, 3, 3)
    assert any(reason.startswith("not measured; run") for reason in found["level"].reasons)
    assert found["spread"].score.value is None and found["spread"].total == 3


def test_a_changed_text_is_a_changed_clip(tmp_path):
    manifest = tmp_path / "items.jsonl"
    lines = [{"id": id, "text": "hello", "language": "en"} for id in "ab"]
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    run(plan(tmp_path, ["a", "b"], manifest=manifest), tmp_path / "run")
    lines[0]["text"] = "goodbye"
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    asked = plan(tmp_path, ["a", "b"], manifest=manifest, metrics=("fake/length",))
    run(asked, tmp_path / "run")
    found = scores(tmp_path, "level")
    assert found["a"].reason.startswith(CHANGED) and found["b"].value is not None


def test_the_order_of_the_items_changes_nothing(tmp_path):
    manifest = tmp_path / "items.jsonl"
    manifest.write_text('{"id": "a"}\n{"id": "b"}\n')
    run(plan(tmp_path, ["a", "b"], manifest=manifest), tmp_path / "run")
    manifest.write_text('{"id": "b"}\n{"id": "a"}\n')
    run(plan(tmp_path, ["a", "b"], manifest=manifest, metrics=("fake/length",)), tmp_path / "run")
    found = by_name(tmp_path / "run")
    assert found["level"].scored == 2 and found["spread"].score.value is not None


def test_every_reader_shows_it(tmp_path, fake_metrics):
    names = ["a", "b", "c"]
    run(plan(tmp_path, names), tmp_path / "run")
    replace_clips(tmp_path, names)
    only(tmp_path, "fake/length", names)
    out = tmp_path / "run"
    table = subprocess.run([sys.executable, "-m", "t2av_bench.cli.main", "table", str(out)], env=fake_metrics,
                           capture_output=True, text=True)  # fmt: skip
    assert table.returncode == 0 and CHANGED in table.stdout
    shown = open_run(out)
    assert {score.value for score in shown.scores["fake/level", "level"].values()} == {None}
    recorded = shown.recorded.quantities["fake/level", "level"]
    assert not recorded.values and all(CHANGED in reason for _, reason in recorded.missing.values())
    assert shown.recorded.quantities["fake/spread", "spread"].value is None
    with Store(out / "results.db") as store:
        assert {row["status"] for row in store.measurements("fake/level")} == {"failed"}
    assert {(row["metric"], row["outdated"]) for row in shown.failures} == {("fake/level", True), ("fake/spread", True)}
    asked = command(tmp_path, out, "--json", "--name", "system")
    asked[asked.index("--metrics") + 1] = "fake/length"
    done = subprocess.run(asked, env=fake_metrics, capture_output=True, text=True)
    assert done.returncode == 0, "what was asked for is there"
    columns = {column["quantity"]: column for column in json.loads(done.stdout)["columns"]}
    assert columns["level"]["value"] is None and CHANGED in columns["level"]["reason"]
    assert columns["spread"]["value"] is None and columns["length"]["scored"] == 3
