"""What a row needs and this machine has not costs that row alone: it is told before, and shown after."""

import json

import pytest
from experiment_factory import ROW, cli, unheard, world, write  # noqa: F401
from media_factory import moving_pattern, write_clip

from t2av_bench.experiment.config import load
from t2av_bench.experiment.run import preview, run

LOST = ROW.replace('"noise"', '"lost"') + 'benchmark = "elsewhere/items.jsonl"\n'
NAMED = ROW.replace('"noise"', '"lost"') + 'label = "Lost"\nbenchmark = "mine"\n'
PLACE = '[manifests]\nmine = "elsewhere/items.jsonl"\n'


def test_a_row_without_its_items_is_shown_with_the_reason_beside_the_others(tmp_path):
    file = write(tmp_path, NAMED + ROW, PLACE)
    done = cli(file)
    assert done.exit_code == 2, done.output
    reason = f"there is no manifest at {tmp_path / 'elsewhere' / 'items.jsonl'}: put the items there, or say where"
    assert reason in done.stderr
    for suffix in ("md", "tex", "html", "csv"):
        text = (tmp_path / "out" / "tables" / f"all.{suffix}").read_text()
        assert text.index("noise") < text.index("Lost")
    text = (tmp_path / "out" / "tables" / "all.md").read_text().replace("\\", "")
    assert "| Lost" in text and f"¹ {reason}" in text and not (tmp_path / "out" / "clips" / "lost").exists()
    document = json.loads(cli(file, "--json").stdout)
    assert document["unscored"].keys() == {"lost"} and [row["name"] for row in document["rows"]] == ["noise"]


def test_its_items_are_where_the_command_says(tmp_path):
    file = write(tmp_path, NAMED, PLACE)
    found = load(file, {"manifests": {"mine": tmp_path / "data" / "items.jsonl"}})
    assert run(found, unheard, unheard).rows[0].made == 3
    typed = cli(file, "--manifest", f"mine={tmp_path / 'data' / 'items.jsonl'}", "--dry-run", "--json")
    (row,) = json.loads(typed.stdout)
    assert typed.exit_code == 0 and (row["made"], row["missing"]) == (3, [])


def test_a_system_that_has_another_row_of_its_name_gets_a_note(tmp_path):
    file = write(tmp_path, NAMED.replace('"Lost"', '"noise"') + ROW, PLACE)
    assert cli(file).exit_code == 2
    text = (tmp_path / "out" / "tables" / "all.md").read_text()
    assert text.count("| noise") == 1 and "noise: there is no manifest at" in text


def test_scores_of_a_row_that_lost_its_items_are_not_shown_as_todays(tmp_path):
    file = write(tmp_path, LOST + ROW)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "items.jsonl").write_text('{"id": "a", "text": "one", "language": "en"}\n')
    cli(file)
    (tmp_path / "elsewhere" / "items.jsonl").write_text("")
    done = cli(file)
    assert done.exit_code == 2 and "holds no items" in done.stderr
    rows = (tmp_path / "out" / "tables" / "all.md").read_text().splitlines()
    (line,) = [line for line in rows if line.startswith("| lost")]
    assert {cell.strip() for cell in line.split("|")[3:-1]} == {"–¹"}


def test_under_published_rows_it_stands_among_the_measured_ones(tmp_path):
    (tmp_path / "theirs").mkdir()
    write_clip(tmp_path / "theirs" / "a.mp4", moving_pattern(5))
    rows = '[[rows]]\nname = "psnr"\nclips = "theirs"\n' + NAMED
    head = f'tables = ["paper:1"]\n{PLACE}'
    done = cli(write(tmp_path, rows, head))
    assert done.exit_code == 2
    text = (tmp_path / "out" / "tables" / "paper-1.md").read_text()
    assert text.index("Talker-T2AV") < text.index("Measured here") < text.index("psnr") < text.index("| Lost")
    lines = (tmp_path / "out" / "tables" / "paper-1.csv").read_text().splitlines()
    assert [line.split(",")[1] for line in lines if line.startswith(("MoVA", "Lost"))] == ["published", "measured"]


def test_nothing_but_lost_rows_still_makes_the_published_table(tmp_path):
    assert cli(write(tmp_path, NAMED, f'tables = ["paper:2"]\n{PLACE}')).exit_code == 2
    text = (tmp_path / "out" / "tables" / "paper-2.tex").read_text()
    assert text.index("FLOAT") < text.index("Measured here") < text.index("Lost &")


def test_a_dry_run_tells_all_of_it_and_changes_nothing(tmp_path):
    rows = (NAMED + ROW + '[[rows]]\nname = "finished"\nclips = "theirs"\n'
            + ROW.replace('"noise"', '"file"') + 'options = { checkpoint = "mine.txt" }\n')  # fmt: skip
    file = write(tmp_path, rows, PLACE)
    done = cli(file, "--dry-run", "--json")
    assert done.exit_code == 2
    found = {row["name"]: row["missing"] for row in json.loads(done.stdout)}
    assert {name: [each["kind"] for each in missing] for name, missing in found.items()} == {
        "lost": ["items"], "noise": [], "finished": ["clips"], "file": ["system"],
    }  # fmt: skip
    assert found["file"][0]["what"] == f"option checkpoint: there is no {tmp_path / 'mine.txt'}"
    text = cli(file, "--dry-run").stdout
    assert "- items mine: there is no manifest at" in text and "(--manifest mine=FILE)" in text
    assert not (tmp_path / "out").exists()


def test_what_a_system_and_a_metric_lack_is_told_with_the_commands(tmp_path, monkeypatch):
    monkeypatch.setenv("T2AV_BENCH_WEIGHTS", str(tmp_path / "none"))
    head = 'metrics = ["fvd/styleganv"]\n'
    rows = '[[rows]]\nname = "theirs"\nsystem = "sonic"\ntask = "a2v"\n'
    file = write(tmp_path, rows)
    file.write_text(file.read_text().replace('metrics = ["fake/level", "fake/length"]\n', head))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (row,) = preview(load(file))
    system, metric = row.missing
    assert system.lack.commands == ("t2av-bench systems recipe sonic", "t2av-bench systems doctor sonic")
    assert "nothing says where its python and its checkout are" in system.lack.what
    assert system.lack.licences == ("code and weights: CC BY-NC-SA 4.0",)
    assert metric.lack.commands == ("t2av-bench weights fetch --for fvd/styleganv --accept research",)
    assert metric.lack.licences[0].startswith("i3d_torchscript: I3D Apache-2.0")


def test_a_system_that_is_set_up_lacks_the_weights_that_are_not_there(tmp_path, monkeypatch):
    settings = tmp_path / "systems.toml"
    settings.write_text('[sonic]\npython = "python3"\ncheckout = "sonic"\n')
    monkeypatch.setenv("T2AV_BENCH_SYSTEMS", str(settings))
    (tmp_path / "sonic" / "checkpoints" / "Sonic").mkdir(parents=True)
    from t2av_bench import systems

    (found,) = systems.system_class("sonic").missing()
    assert "checkpoints/yoloface_v5m.pt" in found.what and "checkpoints/Sonic," not in found.what
    assert found.commands[0] == "t2av-bench systems recipe sonic"
    cascade = systems.system_class("cascaded").missing(tts="f5-tts", a2v="sonic")
    assert [each.commands[0].split()[-1] for each in cascade] == ["f5-tts", "sonic"]


def test_a_generator_of_ones_own_needs_the_codecs_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("T2AV_BENCH_WEIGHTS", str(tmp_path / "none"))
    from t2av_bench import systems

    kind = systems.system_class("talker-t2av")
    (published,), (own,) = kind.missing(), kind.missing(checkpoint=tmp_path / "mine.safetensors")
    assert published.what.startswith("weights talker_t2av, whisperx_vae") and own.what.startswith(
        "weights whisperx_vae"
    )
    assert "talker_t2av " not in own.commands[0] and "whisperx_vae" in own.commands[0]
    assert "qwen3_0_6b" in own.what and "qwen3_0_6b" not in published.what, "the published folder has its tokenizer"


def test_a_damaged_manifest_is_missing_items_too(tmp_path):
    (tmp_path / "data" / "items.jsonl").write_text("")
    (row,) = preview(load(write(tmp_path)))
    assert [(each.kind, each.name) for each in row.missing] == [("items", "items.jsonl")]
    assert "holds no items" in row.missing[0].lack.what


def test_more_items_than_there_are_cost_the_row_that_asks_for_them(tmp_path):
    result = run(load(write(tmp_path, ROW + "items = 9\n" + LOST.replace("elsewhere", "data"))), unheard, unheard)
    assert [row.row.name for row in result.rows] == ["lost"]
    assert "has 3 items, 9 are wanted" in result.unscored["noise"]


@pytest.mark.parametrize("name", ["gridfce", "no-such-set"])
def test_a_misspelt_benchmark_is_refused_as_before(tmp_path, name):
    with pytest.raises(ValueError, match=f"there is no benchmark '{name}', nor a manifest"):
        load(write(tmp_path, ROW + f'benchmark = "{name}"\n'))
