"""A configuration of ``run`` that is wrong is refused before anything is made, and the message says what to type."""

import pytest

from t2av_bench import systems
from t2av_bench.cli.run_tables import check_tables
from t2av_bench.evaluation.config import ConfigError
from t2av_bench.experiment.config import load

HEAD = 'out = "out"\n'
ROW = '[[rows]]\nname = "a"\nsystem = "talker-t2av"\nsplit = "test-en"\n'

WRONG = {
    "unknown key": (HEAD + 'worker = 2\n' + ROW, "unknown key 'worker'; did you mean workers?"),
    "unknown key of a row": (HEAD + ROW + 'sytem = "x"\n', "row 'a': unknown key 'sytem'; did you mean system"),
    "no rows": (HEAD, "'rows' is missing"),
    "nameless row": (HEAD + '[[rows]]\nsystem = "talker-t2av"\n', "row 1: 'name' is missing"),
    "unknown system": (HEAD + ROW.replace("talker-t2av", "talker"), "row 'a': unknown system 'talker'; did you mean"),
    "unknown option": (HEAD + ROW + "options = { recip = 1 }\n", "no option 'recip'; did you mean recipe?"),
    "unserved task": (HEAD + ROW.replace("talker-t2av", "embedded-espeak"), "does not serve the task t2av"),
    "unknown task": (HEAD + ROW + 'task = "dub"\n', "row 'a': 'task': Input should be 't2av', 'a2v'"),
    "unknown split": (HEAD + ROW.replace("test-en", "test-eng"), "no split 'test-eng'; did you mean test-en"),
    "no split": (HEAD + ROW.replace('split = "test-en"\n', ""), "'split' is missing: gridface has train"),
    "too many items": (HEAD + ROW + "items = 201\n", "gridface test-en has 200 items, got 201"),
    "unknown benchmark": (HEAD + 'benchmark = "gridfce"\n' + ROW.replace('split = "test-en"\n', ""),
                          "no benchmark 'gridfce', nor a manifest at"),
    "split of one's own": (HEAD + 'benchmark = "run.toml"\n' + ROW, "'split' is for gridface"),
    "two rows of one name": (HEAD + ROW + ROW, "two rows are called 'a'"),
    "seed and seeds": (HEAD + ROW + "seed = 1\nseeds = [1, 2]\n", "'seed' and 'seeds' exclude each other"),
    "neither system nor clips": (HEAD + ROW.replace('system = "talker-t2av"\n', ""), "row 'a': a row has either"),
    "system and clips": (HEAD + ROW + 'clips = "."\n', "either 'system' or 'clips', a folder of finished clips"),
    "manifest that no row names": (
        HEAD + ROW + '[manifests]\n"en-200" = "items.jsonl"\n', "'manifests': no row has the benchmark 'en-200'"),
    "finished clips with options": (
        HEAD + ROW.replace('system = "talker-t2av"', 'clips = "."') + "options = { x = 1 }\n", "clips have none"),
    "seed twice": (HEAD + ROW + "seeds = [1, 1]\n", "'seeds' names a seed twice"),
    "a name that is a path": (HEAD + ROW.replace('"a"', '"../a"'), "row '../a': 'name': String should match"),
    "unknown metric": (HEAD + 'metrics = ["psrn"]\n' + ROW, "unknown metric 'psrn'; did you mean psnr"),
    "options of a metric that is not measured": (
        HEAD + 'metrics = ["psnr"]\n' + ROW + '[options."ssim/rgb"]\n', "options for ssim/rgb, which is not measured"),
    "unknown option of a metric": (
        HEAD + 'metrics = ["psnr"]\n' + ROW + '[options."psnr/rgb"]\nx = 1\n', "psnr/rgb has no option 'x'"),
    "unknown table": (HEAD + 'tables = ["papr:1"]\n' + ROW, "no table is called 'papr:1'; did you mean paper:1"),
    "no device": (HEAD + 'device = "tpu"\n' + ROW, "'device': String should match pattern"),
    "not TOML": ("= 3", "cannot read the configuration"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_explained(tmp_path, text, expected):
    (tmp_path / "run.toml").write_text(text)
    with pytest.raises(ValueError) as caught:
        check_tables(load(tmp_path / "run.toml"))
    assert expected in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["run.toml"]


def test_rows_take_the_files_defaults_and_paths_are_relative_to_it(tmp_path):
    (tmp_path / "run.toml").write_text(
        HEAD + 'metrics = ["psnr"]\ntables = ["paper:1"]\n' + ROW + 'options = { checkpoint = "mine.safetensors" }\n'
        + ROW.replace('"a"', '"b"') + 'label = "B"\nitems = 3\nmetrics = ["ssim"]\ntables = []\nseeds = [2, 3]\n'
    )  # fmt: skip
    loaded = load(tmp_path / "run.toml", {"items": 5, "workers": 3})
    first, second, third = loaded.rows
    assert loaded.config.out == tmp_path / "out" and loaded.config.workers == 3
    assert (first.label, first.metrics, first.tables, first.items, first.seed) == ("a", ("psnr",), ("paper:1",), 5, 0)
    assert first.options == {"checkpoint": tmp_path / "mine.safetensors"}
    assert (second.name, second.label, second.metrics, second.tables) == ("b-seed-2", "B (seed 2)", ("ssim",), ())
    assert (second.items, second.seed, third.seed) == (3, 2, 3)
    assert [row.name for row in load(tmp_path / "run.toml", only=("b",)).rows] == ["b-seed-2", "b-seed-3"]
    with pytest.raises(ConfigError, match="--only c: no such row"):
        load(tmp_path / "run.toml", only=("c",))


def test_an_option_that_a_system_needs_is_asked_for(tmp_path, monkeypatch):
    class Demanding:
        needs = {"t2av": ("text",)}

        @classmethod
        def load(cls, *, voice: str, device: str = "cpu"):
            raise AssertionError("a configuration is checked without loading anything")

    monkeypatch.setattr(systems.registry, "class_of", lambda id: Demanding)
    (tmp_path / "run.toml").write_text(HEAD + ROW)
    with pytest.raises(ConfigError, match="row 'a': system talker-t2av needs the option 'voice'"):
        load(tmp_path / "run.toml")
    (tmp_path / "run.toml").write_text(HEAD + ROW + 'options = { voice = "en-us" }\n')
    assert load(tmp_path / "run.toml").rows[0].options == {"voice": "en-us"}


def test_names_are_read_as_people_type_them_and_kept_as_ids(tmp_path):
    (tmp_path / "run.toml").write_text(
        HEAD + 'benchmark = "GridFace"\nmetrics = ["WB-PESQ"]\n' + ROW.replace("talker-t2av", "Talker_T2AV")
        + "[options.PESQ]\nleast_overlap = 0.5\n"
    )  # fmt: skip
    loaded = load(tmp_path / "run.toml")
    (row,) = loaded.rows
    assert (row.system, row.benchmark) == ("talker-t2av", "gridface")
    assert loaded.config.options == {"pesq/itu": {"least_overlap": 0.5}}
