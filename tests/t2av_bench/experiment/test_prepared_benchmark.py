"""A prepared benchmark in an experiment: found by its name, or said how to prepare."""

import re

import pytest
from experiment_factory import scores, unheard, world  # noqa: F401
from media_factory import noise, write_clip

from t2av_bench.benchmarks.info import heads, info_text
from t2av_bench.evaluation.config import ConfigError
from t2av_bench.experiment.config import load
from t2av_bench.experiment.run import preview, run


def prepared(folder, count=3):
    """As ``data prepare`` leaves LibriTTS."""
    split = folder / "libritts-test-clean" / "test"
    (split / "clips").mkdir(parents=True)
    lines = []
    for number in range(count):
        write_clip(split / "clips" / f"u{number}.wav", audio=noise(0.5, seed=number), audio_codec="pcm_s16le")
        lines.append(f'{{"id": "u{number}", "text": "Some words.", "reference": "clips/u{number}.wav", '
                     f'"speaker": "{number % 2}"}}\n')  # fmt: skip
    (split / "items.jsonl").write_text("".join(lines))
    info = heads()["libritts-test-clean"].model_copy(update={"splits": {"test": count}})
    (split.parent / "benchmark.toml").write_text(info_text(info))


def config(tmp_path, split="test", items="", data='data = "mine"'):
    file = tmp_path / "run.toml"
    file.write_text(f'out = "out"\nbenchmark = "LibriTTS-test-clean"\n{data}\nmetrics = ["fake/level"]\nworkers = 1\n'
                    '[[rows]]\nname = "a"\nsystem = "fake-noise"\ntask = "tts"\n'
                    f'split = "{split}"\n{items}')  # fmt: skip
    return file


def test_a_row_names_it_as_it_names_gridface(tmp_path):
    prepared(tmp_path / "mine")
    loaded = load(config(tmp_path))
    assert [row.items for row in preview(loaded)] == [3]
    result = run(loaded, unheard, unheard)
    assert result.rows[0].made == 3 and not result.failed_clips
    assert len(scores(tmp_path / "out", "a")) >= 3
    manifest = (tmp_path / "out" / "items" / "a.jsonl").read_text()
    assert '"speaker": "1"' in manifest and "libritts-test-clean-test/clips/u0.wav" in manifest


def test_a_part_of_it_and_what_it_does_not_have(tmp_path):
    prepared(tmp_path / "mine")
    assert [row.items for row in preview(load(config(tmp_path, items="items = 2")))] == [2]
    with pytest.raises(ConfigError, match="libritts-test-clean test has 3 items, got 4"):
        load(config(tmp_path, items="items = 4"))
    with pytest.raises(ConfigError, match="libritts-test-clean has no split 'dev'"):
        load(config(tmp_path, split="dev"))


def test_one_that_is_not_prepared_says_how(tmp_path, monkeypatch):
    monkeypatch.setenv("T2AV_BENCH_DATA", str(tmp_path / "nothing"))
    loaded = load(config(tmp_path, data=""))
    (lacking,) = (each for row in preview(loaded) for each in row.missing if each.kind == "items")
    assert lacking.lack.commands[0] == "t2av-bench data show libritts-test-clean"
    result = run(loaded, unheard, unheard)
    assert not result.rows and list(result.unscored) == ["a"]
    assert re.search("data prepare libritts-test-clean --source FOLDER --out .*nothing", result.unscored["a"])
