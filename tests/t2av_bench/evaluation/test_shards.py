"""Parts of an evaluation made side by side become the run that one machine would have made."""

import json
import shlex
import shutil
from pathlib import Path

import pytest
from evaluate_factory import FAKES, make_clips
from typer.testing import CliRunner

import t2av_bench as tb
from t2av_bench.cli.main import app
from t2av_bench.evaluation.config import ConfigError
from t2av_bench.evaluation.evaluate import RunError
from t2av_bench.results.store import Store, StoreError

NAMES = ["a", "b raises", "c", "d", "e", "f", "g"]


@pytest.fixture(scope="module")
def world(tmp_path_factory, fake_metrics_of_module) -> Path:
    """Eight items: one has no clip, and one metric cannot measure another; evaluated at once, and in three parts."""
    folder = tmp_path_factory.mktemp("shards")
    make_clips(folder / "made", NAMES)
    make_clips(folder / "real", [*NAMES, "lost"], seed=1)
    tb.evaluate(**asked(folder), out=folder / "alone")
    shards(folder, folder / "apart", 3)
    return folder


def asked(folder: Path) -> dict:
    return {
        "generated": folder / "made", "reference": folder / "real", "metrics": FAKES, "workers": 1, "name": "system",
    }  # fmt: skip


def shards(world: Path, out: Path, parts: int, **more) -> list[Path]:
    return [
        tb.evaluate(**asked(world), out=out, shard=f"{index}/{parts}", **more).path for index in range(1, parts + 1)
    ]


@pytest.fixture
def apart(world: Path, tmp_path: Path) -> list[Path]:
    """The three parts, to do with as one likes."""
    copy = shutil.copytree(world / "apart", tmp_path / "apart")
    return [copy / f"shard-{index}-of-3" for index in (1, 2, 3)]


def contents(folder: Path) -> dict:
    """All that readers of a run see, but when and by how many commands it was made."""
    with Store(folder / "results.db") as store:
        claim, features, shard = (store.setting(key) for key in ("claim", "features", "shard"))
        return {
            "claim": claim, "features": features, "shard": shard, "clips": store.clips(), "scores": store.scores(),
            "sets": store.set_scores(), "protocols": store.protocols(), "finished": store.finished(),
        }  # fmt: skip


def test_merged_shards_are_the_run_of_one_machine(world, apart):
    alone, before = tb.open_run(world / "alone"), {folder: contents(folder) for folder in apart}
    merged = tb.merge([apart[2], apart[0], apart[1]])
    assert merged.path == apart[0].parent and {folder: contents(folder) for folder in apart} == before
    assert contents(merged.path) == contents(alone.path)
    assert all(row.score.value for row in contents(merged.path)["sets"]), "the distance between sets has a value"
    assert merged.summary.equals(alone.summary) and merged.scores.equals(alone.scores)
    assert (merged.exit_status, merged.missing, merged.failed_clips) == (1, [], 2) == (
        alone.exit_status, alone.missing, alone.failed_clips
    )  # fmt: skip
    one, other = (tb.table([each], intervals=True) for each in (alone, merged))
    assert "Spread" in one.to_markdown()
    for form in ("to_markdown", "to_csv", "to_latex", "to_html"):
        assert getattr(one, form)() == getattr(other, form)(), form
    kept = {path.relative_to(alone.path): path.read_bytes() for path in alone.path.rglob("*.safetensors")}
    features = (merged.path / "features").rglob("*.safetensors")
    assert kept and kept.keys() <= {path.relative_to(merged.path) for path in features}


def test_merged_shards_know_the_groups_of_their_items(world, tmp_path):
    """The labels, and the features behind a plug-in's distance between sets, come from the shards; moved, too."""
    moods = dict(zip(NAMES, ("calm", "loud", "calm", "calm", "loud", None, "calm"), strict=True))
    lines = [json.dumps({"id": name, **({"mood": mood} if mood else {})}) for name, mood in moods.items()]
    (tmp_path / "items.jsonl").write_text("\n".join(lines))
    given = asked(world) | {"manifest": tmp_path / "items.jsonl"}
    alone = tb.evaluate(**given, out=tmp_path / "alone")
    made = [tb.evaluate(**given, out=tmp_path / "apart", shard=f"{index}/2").path for index in (1, 2)]
    tb.merge(made, out=tmp_path / "whole")
    shutil.rmtree(tmp_path / "apart")
    moved = shutil.move(tmp_path / "whole", tmp_path / "elsewhere")
    one, other = (tb.table(run, by="mood") for run in (alone, moved))
    assert one.to_json() == other.to_json()
    assert {row.texts[0]: row.clips for row in other.rows} == {"all": 7, "calm": 4, "loud": 2, "not stated": 1}
    spread = other.to_frame().set_index("mood").spread
    calm = tb.evaluate(
        **asked(world) | {"generated": _only(world, tmp_path, moods, "calm")},
        out=tmp_path / "calm alone",
    )
    assert spread["calm"] == calm.summary.set_index("quantity").loc["spread"].value != spread["all"]


def _only(world: Path, place: Path, moods: dict, mood: str) -> Path:
    folder = place / mood
    folder.mkdir()
    for path in (world / "made").iterdir():
        if moods.get(path.stem) == mood:
            shutil.copy(path, folder)
    return folder


def test_a_merged_run_goes_on_like_any_other_and_takes_its_shards_again(world, apart, tmp_path):
    merged = tb.merge(apart, out=tmp_path / "whole")
    seen: list = []
    again = tb.evaluate(**asked(world), out=merged.path, progress=seen.append)
    lost = [("lost", metric) for metric in FAKES]
    assert sorted((each.clip, each.metric) for each in seen) == sorted([("b raises", "fake/level"), *lost])
    assert again.summary.equals(merged.summary)
    assert contents(tb.merge(apart, out=merged.path).path) == contents(world / "alone")


def test_a_shard_says_what_comes_later_which_is_no_failure_of_its_own(world, apart):
    part = tb.open_run(apart[0])
    assert part.clips == ["a", "d", "g"] and (part.missing, part.exit_status) == ([], 0)
    spread = part.summary.set_index("quantity").loc["spread"]
    assert spread.status == "not_applicable" and "'t2av-bench merge' makes it of all shards" in spread.reason
    seen: list = []
    again = tb.evaluate(config=world / "apart" / apart[0].name / "evaluate.toml", progress=seen.append)
    assert seen == [] and again.path == world / "apart" / apart[0].name, "its configuration continues it"
    assert again.notices == ("shard 1/3: 3 of 8 items",)


def test_a_limit_goes_before_the_shards_and_a_shared_cache_stays_the_place_of_features(world, tmp_path):
    given = {"limit": 5, "cache": tmp_path / "cache"}
    made = shards(world, tmp_path / "apart", 2, **given)
    assert [tb.open_run(folder).clips for folder in made] == [["a", "c", "e"], ["b raises", "d"]]
    merged = tb.merge(made, out=tmp_path / "whole").path
    assert not (merged / "features").exists()
    assert contents(merged) == contents(tb.evaluate(**asked(world), out=tmp_path / "alone", **given).path)


def test_what_is_missing_is_named_with_the_command_for_it(apart):
    with Store(apart[0] / "results.db", create=True) as store:
        store.begin_session({"device": "cpu"})  # a command that was interrupted, and says only later what it was
    (apart[0] / "evaluate.toml").unlink()
    shutil.rmtree(apart[1])
    done = CliRunner().invoke(app, ["merge", str(apart[0]), str(apart[2])])
    assert done.exit_code == 2 and not (apart[0].parent / "results.db").exists()
    told, *commands = done.stderr.splitlines()
    assert f"shard 1/3 is not finished ({apart[0]}); shard 2/3 is missing" in told
    again = [CliRunner().invoke(app, shlex.split(command)[1:]).exit_code for command in commands]
    assert again == [0, 1], "two clips of the second shard fail"
    done = CliRunner().invoke(app, ["merge", *map(str, apart)])
    assert done.exit_code == 1 and "note: 3 shards of 8 items" in done.stderr and "Spread" in done.stdout


def test_shards_of_different_evaluations_are_told_apart(world, apart, tmp_path):
    def refused(*folders: Path) -> str:
        with pytest.raises((RunError, StoreError)) as caught:
            tb.merge(folders, out=tmp_path / "whole")
        assert not (tmp_path / "whole" / "results.db").exists()
        return str(caught.value)

    def changed(key: str, **values) -> str:
        other = shutil.copytree(apart[1], tmp_path / "other", dirs_exist_ok=True)
        with Store(other / "results.db", create=True) as store:
            store.set(key, store.setting(key) | values)
        return refused(apart[0], other, apart[2])

    copy = shutil.copytree(apart[1], tmp_path / "copy")
    assert refused(*apart, copy) == f"{apart[1]} and {copy} are both shard 2/3: name one"
    assert "the number of shards is 3 and 4" in changed("shard", parts=4)
    assert "the number of items is 8 and 9" in changed("shard", items=9)
    assert "the list of items is" in changed("shard", digest="0")
    assert "'name' is 'system' and 'another'" in changed("claim", name="another")
    other = tb.evaluate(**asked(world), out=tmp_path, shard="2/3", options={"fake/level": {"gain": 0.5}}).path
    assert "parameters gain of fake/level is 1.0 and 0.5; evaluate both alike" in refused(apart[0], other)
    other = tb.evaluate(**asked(world) | {"metrics": FAKES[:2]}, out=tmp_path / "fewer", shard="2/3").path
    assert "the metric fake/spread is 'measured' and None" in refused(apart[0], other)
    assert "is no shard but a run of its own" in refused(apart[0], world / "alone")
    assert "is not a run" in refused(apart[0], world / "made")


def test_a_folder_belongs_to_one_shard_and_a_run_to_one_evaluation(world, apart, tmp_path):
    with pytest.raises(RunError, match="with shard '1/3', not None; choose another"):
        tb.evaluate(**asked(world), out=apart[0])
    tb.evaluate(**asked(world) | {"name": "other", "limit": 1}, out=tmp_path / "whole")
    with pytest.raises(RunError, match="already holds a run with name 'other', not 'system'"):
        tb.merge(apart, out=tmp_path / "whole")


@pytest.mark.parametrize(("shard", "said"), [
    ("3/2", "there are shards 1/2 to 2/2"), ("0/2", "should match pattern"), ("1", "should match pattern"),
    ("1/-2", "should match pattern"), ("9/9", "there are 8 items; cut them into 8 at most"),
])  # fmt: skip
def test_shards_that_there_are_not(world, tmp_path, shard, said):
    with pytest.raises((ConfigError, RunError), match=said):
        tb.evaluate(**asked(world), out=tmp_path / "apart", shard=shard)
