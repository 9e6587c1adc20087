"""What systems that follow a length are told, and that readers learn of it where it was the answer's."""

import json

import numpy as np
import pytest
from experiment_factory import carry_out, cli, items, log, only_made, unheard, world, write  # noqa: F401
from scipy.io import wavfile
from typer.testing import CliRunner

import t2av_bench as tb
from t2av_bench.cli.main import app
from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.experiment.config import load
from t2av_bench.experiment.run import run
from t2av_bench.generation.lengths import RATES, estimated_seconds, policy, read_rates, with_length
from t2av_bench.media.encode import write_mp4
from t2av_bench.metrics.tempo import characters
from t2av_bench.systems import system_class
from t2av_bench.systems.base import Request
from t2av_bench.utils.config import ConfigError


def row(name="obedient", **fields):
    lines = [
        f"{key} = {json.dumps(value)}" for key, value in ({"name": name, "system": f"fake-{name}"} | fields).items()
    ]
    return "\n".join(["[[rows]]", *lines, ""])


def told(tmp_path):
    return [float(line.split()[1]) if line.split()[1] != "None" else None
            for line in log(tmp_path) if line.startswith("told")]  # fmt: skip


def test_an_estimate_is_a_margin_and_the_letters_at_the_language_s_rate():
    rates = {"en": 12.0, "zh": 4.0}
    assert estimated_seconds("Four, and 8 of us!", "en", rates) == pytest.approx(0.6 + 12 / 12)
    assert estimated_seconds("早上好。", "zh-CN", rates) == pytest.approx(0.6 + 3 / 4)
    assert estimated_seconds("Hyvää päivää", "fi", rates) == pytest.approx(0.6 + 11 / 12), "as English"
    assert estimated_seconds("おはよう", "ja", rates) == pytest.approx(0.6 + 4 / RATES["ja"]), (
        "the benchmark knows none"
    )


@pytest.mark.parametrize(
    ("text", "language"),
    [("Good morning", "en"), ("早上好", "zh"), ("朝のコーヒー", "ja"), ("안녕하세요", "ko"), ("7", "en")],
)
def test_without_a_language_the_writing_tells_it(text, language):
    assert estimated_seconds(text, None) == estimated_seconds(text, language)


@pytest.mark.parametrize(
    "text", ["It's 12:30, isn't it?", "ｆｕｌｌ width ½", "早上好，世界！", "Ça\u00a0va — naïve", "été"]
)
def test_what_counts_is_what_the_tempo_metric_counts(text):
    assert estimated_seconds(text, "en", {"en": 1.0}) == pytest.approx(0.6 + characters(text))


def test_a_text_without_letters_has_no_length():
    with pytest.raises(NotApplicable, match="no letter"):
        estimated_seconds("…", "en")


def test_rates_stand_in_the_benchmark_s_own_file(tmp_path):
    manifest = tmp_path / "test" / "items.jsonl"
    manifest.parent.mkdir()
    assert read_rates(manifest) == {}
    (tmp_path / "benchmark.toml").write_text('name = "x"\n[rates]\nen = 9.5\nzh = 3\n')
    assert read_rates(manifest) == {"en": 9.5, "zh": 3}
    (manifest.parent / "benchmark.toml").write_text("[rates]\nen = 8.0\n")
    assert read_rates(manifest) == {"en": 8.0}, "the nearest counts"
    for wrong in ("en = 0", 'en = "fast"', "en = true", "en = inf"):
        (manifest.parent / "benchmark.toml").write_text(f"[rates]\n{wrong}\n")
        with pytest.raises(ValueError, match="positive numbers"):
            read_rates(manifest)


def test_whoever_follows_no_length_is_told_none_and_what_drives_a_clip_decides():
    class Obedient:
        follows_length = True

    class Free:
        follows_length = False

    assert [policy(None, task, Obedient) for task in ("t2av", "tts", "a2v", "v2a")] == [
        "estimate", "native", "native", "native"
    ]  # fmt: skip
    assert policy("reference", "tts", Obedient) == "reference"
    assert {policy(given, "t2av", Free) for given in (None, "estimate", "reference")} == {"native"}
    known = {id: system_class(id).follows_length for id in ("ltx-2", "ovi", "f5-tts", "embedded-espeak")}
    assert known == {"ltx-2": True, "ovi": False, "f5-tts": True, "embedded-espeak": False}


def test_a_reference_is_as_long_as_its_pictures_else_as_its_sound(tmp_path):
    write_mp4(tmp_path / "a.mp4", [np.zeros((20, 32, 32, 3), np.uint8)], np.zeros(16000), frame_rate=25)
    wavfile.write(tmp_path / "b.wav", 16000, np.ones(4000, np.int16))
    (tmp_path / "c.mp4").write_bytes(b"no video")

    def seconds(name, length="reference"):
        asked = Request("a", tmp_path / "out.mp4", text="one", reference=tmp_path / name)
        return with_length(asked, length).target_seconds

    assert (seconds("a.mp4"), seconds("b.wav")) == (0.8, 0.25)
    assert seconds("a.mp4", "native") is None
    with pytest.raises(Unscorable, match="its length was to be told"):
        seconds("c.mp4")


def test_rows_tell_their_lengths_and_clips_are_made_again_for_another(tmp_path):
    items(tmp_path, {"a": "one two", "b": "three four", "c": "five"})
    estimates = [estimated_seconds(text, "en") for text in ("one two", "three four", "five")]
    only_made(tmp_path, row())
    assert told(tmp_path) == pytest.approx(estimates)
    only_made(tmp_path, row(length="estimate"))
    assert told(tmp_path) == [], "the default said aloud is the default"
    only_made(tmp_path, row(length="reference"))
    assert told(tmp_path) == [0.5] * 3, "as long as the real sounds"
    only_made(tmp_path, row(length="native"))
    assert told(tmp_path) == [None] * 3
    (tmp_path / "data" / "benchmark.toml").write_text("[rates]\nen = 2.0\n")
    only_made(tmp_path, row())
    assert told(tmp_path) == pytest.approx([0.6 + letters / 2 for letters in (6, 9, 4)])


def test_only_a_row_that_was_told_the_answer_says_so(tmp_path):
    carry_out(tmp_path, "".join(row(f"obedient{n}", system="fake-obedient", length=length)
                                for n, length in enumerate(("estimate", "native", "reference"))))  # fmt: skip
    runs = [tmp_path / "out" / "runs" / f"obedient{n}" for n in range(3)]
    notes = [each.origin_note for each in tb.table(runs).rows]
    assert notes == ["", "", "told the length of the reference"]
    table = (tmp_path / "out" / "tables" / "all.md").read_text()
    assert "| obedient2¹" in table and "¹ obedient2: told the length of the reference." in table


def test_a_choice_that_a_system_does_not_heed_is_said_once(tmp_path):
    said = []
    run(load(write(tmp_path, row("noise", length="reference") + row("obedient", length="reference")), {}), unheard,
        said.append)  # fmt: skip
    about = [text for text in said if "length" in text]
    assert about == ["noise: length = 'reference' has no effect: fake-noise decides by itself how long it speaks"]


def test_an_item_without_a_real_clip_has_that_reason(tmp_path):
    items(tmp_path, {"a": "one"}, ('{"id": "z", "text": "two", "language": "en"}',))
    (plan,) = only_made(tmp_path, row(length="reference", task="tts"))
    assert plan.failures["z"] == "length = 'reference' needs a real clip, and the item has no 'reference'"
    assert plan.made == ["a"]


@pytest.mark.parametrize("fields", [{"task": "a2v"}, {"system": None, "clips": "."}])
def test_where_something_else_decides_the_option_is_refused(tmp_path, fields):
    given = {name: value for name, value in ({"system": "fake-noise"} | fields).items() if value is not None}
    lines = [f"{name} = {json.dumps(value)}" for name, value in ({"name": "x", "length": "native"} | given).items()]
    with pytest.raises(ConfigError, match="'length' is for t2av and tts"):
        load(write(tmp_path, "\n".join(["[[rows]]", *lines])), {})


def test_one_clip_is_told_an_estimate_or_what_was_asked(tmp_path):
    def said(*more, system="fake-obedient", task="t2av"):
        given = ["--system", system, "--task", task, "--text", "one two", "--language", "en", "--out"]
        given += [tmp_path / f"clip.{'wav' if task == 'tts' else 'mp4'}", *more]
        for name in ("--identity", "--voice") if task == "t2av" else ():
            given += [name, tmp_path / "data" / "real" / "a.wav"]
        result = CliRunner().invoke(app, ["generate", *map(str, given)])
        assert result.exit_code == 0, result.stderr
        return told(tmp_path), result.stderr

    assert said()[0] == pytest.approx([estimated_seconds("one two", "en")])
    assert said(task="tts")[0] == [None]
    assert said("--seconds", "2", task="tts")[0] == [2.0] == said("--seconds", "2")[0]
    assert "--seconds has no effect: fake-noise" in said("--seconds", "2", system="fake-noise")[1]
