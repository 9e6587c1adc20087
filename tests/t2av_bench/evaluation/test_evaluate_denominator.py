"""Nobody leaves the denominator unseen: what ``evaluate`` says and returns when clips or metrics are missing."""

import hashlib
import json
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile
from typer.testing import CliRunner

from t2av_bench.api.runs import missing_metrics
from t2av_bench.cli.main import app
from t2av_bench.evaluation.config import EvaluateConfig
from t2av_bench.evaluation.evaluate import RunError, evaluate
from t2av_bench.evaluation.reasons import count
from t2av_bench.results.aggregate import Summary
from t2av_bench.results.columns import Column
from t2av_bench.results.store import Store
from t2av_bench.scores import Quantity, Score


@pytest.fixture(autouse=True)
def _plugged(fake_metrics):
    pass


def sounds(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for index, name in enumerate(names):
        samples = np.random.default_rng(index).standard_normal(8000) * 1000
        wavfile.write(folder / f"{name}.wav", 16000, samples.astype(np.int16))
    return folder


def asked(tmp_path: Path, *more: str, metrics: str = "fake/level,fake/spread", reference: bool = True):
    """What the command line answers."""
    words = ["evaluate", "--generated", str(tmp_path / "made"), "--out", str(tmp_path / "run"), "--workers", "1"]
    words += ["--metrics", metrics, *(["--reference", str(tmp_path / "real")] if reference else [])]
    return CliRunner().invoke(app, [*words, *more])


def stored(tmp_path: Path) -> dict[tuple[str, str], object]:
    with Store(tmp_path / "run" / "results.db") as store:
        return {(row.clip, row.metric): row.score for row in store.scores()}


def inputs(tmp_path: Path, metric: str = "fake/level") -> dict[str, str]:
    with Store(tmp_path / "run" / "results.db") as store:
        return {row["clip"]: row["inputs"] for row in store.measurements(metric)}


@pytest.mark.parametrize("manifest", [False, True])
def test_a_clip_that_the_next_checkpoint_lacks_is_a_loss_and_no_other_item(tmp_path, manifest):
    """The gate fails; it must not call the two runs incomparable because of the lost clip's reference."""
    ids = [f"{index:02}" for index in range(24)]
    sounds(tmp_path / "made", *ids)
    sounds(tmp_path / "real", *ids)
    lines = [json.dumps({"id": id, "reference": f"real/{id}.wav"}) for id in ids]
    (tmp_path / "items.jsonl").write_text("\n".join(lines), encoding="utf-8")
    more = ["--manifest", str(tmp_path / "items.jsonl")] if manifest else []
    assert asked(tmp_path, *more, metrics="fake/level").exit_code == 0
    (tmp_path / "run").rename(tmp_path / "before")
    (tmp_path / "made" / "07.wav").unlink()
    assert asked(tmp_path, *more, metrics="fake/level").exit_code == 1

    def judged():
        return CliRunner().invoke(app, ["regress", str(tmp_path / "before"), str(tmp_path / "run")])

    found = judged()
    assert found.exit_code == 1 and "Regression: 1 clip lost" in found.stdout, found.output
    lost = "UPDATE clips SET reference_digest = {} WHERE clip = '07'"
    with sqlite3.connect(tmp_path / "run" / "results.db") as database:
        database.execute(lost.format("NULL"))
    assert judged().exit_code == 1, "a run of an earlier version, which kept no such digest"
    with sqlite3.connect(tmp_path / "run" / "results.db") as database:
        database.execute(lost.format("'other'"))
    assert judged().exit_code == 2, "another reference is another item, with or without a clip"


def test_clips_that_are_missing_are_counted_and_end_in_exit_status_1(tmp_path):
    sounds(tmp_path / "made", "a", "b")
    sounds(tmp_path / "real", "a", "b", "c", "d", "e")
    done = asked(tmp_path)
    assert done.exit_code == 1
    assert "(2/5)" in done.stdout
    assert "note: 3 of 5 items failed: no clip in made/ is named 'c' (likewise d, e)" in done.stderr
    told = "  3 clips  c, d, e: no clip in made/ is named 'c' (the others alike)  [fake/level, fake/spread]"
    assert told in done.stderr
    assert asked(tmp_path, "--max-failures", "3").exit_code == 0


def test_reasons_come_worst_first_and_failed_apart_from_not_applicable(tmp_path):
    sounds(tmp_path / "made", "a", "face_1", "face_2", "raise", "other")
    sounds(tmp_path / "real", "a", "face_1", "face_2", "raise")
    document = json.loads(asked(tmp_path, "--json").stdout)
    assert document["exit_status"] == 1 and document["missing"] == []
    failed = document["reasons"]["failed"]
    assert [(reason["clips"], reason["metrics"]) for reason in failed] == [(2, ["fake/level"]), (1, ["fake/level"])]
    assert failed[0]["reason"] == "no face found in any of 10 frames" and failed[0]["examples"] == ["face_1", "face_2"]
    assert document["reasons"]["not_applicable"] == [
        {
            "reason": "no reference is named 'other'", "alike": False, "clips": 1, "metrics": ["fake/spread"],
            "examples": ["other"],
        }
    ]  # fmt: skip
    shown = asked(tmp_path).stderr
    assert shown.index("failed:\n  2 clips  face_1, face_2: no face") < shown.index("raise: unexpected ZeroDivision")
    assert shown.index("ZeroDivisionError") < shown.index("not applicable:\n  1 clip  other: no reference")


def test_a_metric_that_was_asked_for_and_scored_nothing_is_exit_status_1(tmp_path):
    sounds(tmp_path / "made", "a", "b")
    done = asked(tmp_path, reference=False)
    assert done.exit_code == 1 and "fake/spread: no clip was scored: exit status 1" in done.stderr
    assert asked(tmp_path, "--allow-missing", reference=False).exit_code == 0
    assert asked(tmp_path, "--metrics", "fake/level", reference=False).exit_code == 0


@pytest.mark.parametrize(
    ("metrics", "scored", "missing"),
    [
        (("all",), {"fake/level"}, []),
        (("all", "fake/spread"), {"fake/level"}, ["fake/spread"]),
        (("fake/length",), {"fake/level"}, ["fake/length"]),
        (("all",), set(), ["fake/length", "fake/level"]),
    ],
    ids=["all", "all and a name", "a name", "all, but nothing is scored"],
)
def test_what_all_brought_in_may_be_missing_unless_nothing_is_scored(tmp_path, metrics, scored, missing):
    config = EvaluateConfig(generated=tmp_path, metrics=metrics)
    columns = []
    for id in ("fake/level", "fake/length"):
        score = Score.ok(1.0) if id in scored else Score.failed("no audio stream")
        columns.append(Column(id, "0", Quantity("x", "X", "none"), False, Summary(score, int(id in scored), 3)))
    assert missing_metrics(config, columns) == missing


def test_a_line_without_language_or_with_more_keys_is_scored(tmp_path):
    sounds(tmp_path / "made", "a", "b")
    lines = [{"id": "a", "text": "hello"}, {"id": "b", "speaker": "s1", "video": 7, "mood": "calm"}]
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = asked(tmp_path, "--manifest", str(tmp_path / "items.jsonl"), metrics="fake/level", reference=False)
    assert done.exit_code == 0, done.stderr
    with Store(tmp_path / "run" / "results.db") as store:
        item = store.clips()[1]["item"]
    assert (item["speaker"], item["video"], item["mood"]) == ("s1", "7", "calm")


def test_hostile_lines_cost_themselves_alone(tmp_path):
    sounds(tmp_path / "made", "good", "also good")
    lines = [
        b'{"id": "good", "text": "one\xe2\x80\xa8two", "language": "en"}', b'{"id": "\xff"}', b'{"id": "good"}', b"",
        b'{"id": "' + b"y" * 998 + b'"}', b'{"id": "' + b"y" * 998 + b'"}', b'{"id": "n", "x": ' + b"1" * 5000 + b"}",
        b'{"id": "s", "text": "\\ud800"}', b'{"id": "i", "x": 1e999}',
        b'{"id": "d", "x": ' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"id": "a", "id": "b"}', b'{"id": "also good", "x": {"": [true, null]}}', b"null", b'"good"', b"[1]", b"7",
    ]  # fmt: skip
    (tmp_path / "items.jsonl").write_bytes(b"\r\n".join(lines))
    done = asked(tmp_path, "--manifest", str(tmp_path / "items.jsonl"), metrics="fake/level", reference=False)
    assert done.exit_code == 1, done.stderr
    found = stored(tmp_path)
    assert len(found) == len(lines) - 1
    assert {clip for (clip, _), score in found.items() if score.value is not None} == {"good", "also good"}


def test_what_identifies_a_measurement_is_what_it_was_until_a_field_that_counts_is_set(tmp_path):
    sounds(tmp_path / "made", "a", "b")
    manifest = tmp_path / "items.jsonl"

    def measured(**fields: object) -> dict[str, str]:
        line = {"id": "a", "text": "hello", "language": "en"} | fields
        manifest.write_text(json.dumps(line) + "\n" + '{"id": "b"}\n')
        done = asked(tmp_path, "--manifest", str(manifest), metrics="fake/level", reference=False)
        assert done.exit_code == 0, done.stderr
        return inputs(tmp_path)

    digests = {name: hashlib.sha256((tmp_path / "made" / f"{name}.wav").read_bytes()).hexdigest() for name in "ab"}
    expected = {}
    for name, said in (("a", ["hello", "en"]), ("b", [None, None])):
        text = json.dumps([[digests[name], None, None, None], *said])
        expected[name] = hashlib.sha256(text.encode()).hexdigest()
    assert measured() == expected
    labels = {"speaker": "s", "video": "v", "dataset": "d", "tags": ["t"], "licence": "l", "mood": "calm"}
    assert measured(**labels) == expected
    changed = measured(scene="a kitchen")
    assert changed["a"] != expected["a"] and changed["b"] == expected["b"]


def test_a_limit_is_for_trying_and_costs_nothing_that_is_finished(tmp_path):
    sounds(tmp_path / "made", "a", "b", "c")
    first = asked(tmp_path, "--limit", "2", metrics="fake/level", reference=False)
    assert first.exit_code == 0 and "note: the first 2 of 3 items are evaluated (--limit)" in first.stderr
    assert {clip for clip, _ in stored(tmp_path)} == {"a", "b"}
    assert asked(tmp_path, metrics="fake/level", reference=False).exit_code == 0
    refused = asked(tmp_path, "--limit", "1", metrics="fake/level", reference=False)
    assert refused.exit_code == 2 and "would drop the scores of 2 more clips" in refused.stderr
    assert {clip for clip, _ in stored(tmp_path)} == {"a", "b", "c"}


def test_references_that_a_limit_left_out_do_not_fail(tmp_path):
    sounds(tmp_path / "made", "a", "b")
    sounds(tmp_path / "real", "a", "b", "c", "d")
    assert asked(tmp_path, "--limit", "2").exit_code == 0


def test_everything_that_is_wrong_is_said_at_once_and_nothing_is_made(tmp_path):
    done = asked(
        tmp_path, "--manifest", str(tmp_path / "absent.jsonl"), "--option", "fake/level.gain=loud",
        metrics="fake/level,fake/lenght",
    )  # fmt: skip
    assert done.exit_code == 2
    for problem in (
        "unknown metric 'fake/lenght'; did you mean fake/length", f"{tmp_path / 'made'} is not a folder",
        f"{tmp_path / 'real'} is not a folder", "cannot read the manifest", "options of metric fake/level: gain",
    ):  # fmt: skip
        assert problem in done.stderr
    assert "5 problems" in done.stderr and not (tmp_path / "run").exists()


def test_a_place_that_cannot_be_written_to_is_refused_before_measuring(tmp_path):
    sounds(tmp_path / "made", "a")
    (tmp_path / "file").write_text("no folder")
    plan = EvaluateConfig(
        generated=tmp_path / "made", metrics=("fake/level",), out=tmp_path / "file", cache=tmp_path / "file" / "cache"
    )
    with pytest.raises(RunError, match="(?s)2 problems:.*--out .*file is not a folder.*--cache .*file is not a folder"):
        evaluate(plan, print, print)


def test_a_name_that_is_not_utf8_is_scored_or_fails_alone_and_can_be_reported(tmp_path):
    sounds(tmp_path / "made", "good")
    for folder in ("made", "real"):
        sounds(tmp_path / folder, "good")
        path = bytes(tmp_path / folder)
        for name in (b"fine\xff.wav", b"sub\xfe/deep.wav"):
            target = path + b"/" + name
            Path(target.decode("utf-8", "surrogateescape")).parent.mkdir(exist_ok=True)
            with open(target, "wb") as file:
                file.write((tmp_path / folder / "good.wav").read_bytes())
        with open(path + b"/broken\xff.wav", "wb") as file:
            file.write(b"no sound" if folder == "made" else (tmp_path / "real" / "good.wav").read_bytes())
    done = asked(tmp_path)
    assert done.exit_code == 1, done.stderr
    found = stored(tmp_path)
    assert len({found[clip, "fake/level"].value for clip in ("good", "fine\\xff", "sub\\xfe/deep")}) == 1
    assert found["broken\\xff", "fake/level"].reason.startswith("broken")
    with Store(tmp_path / "run" / "results.db") as store:
        assert all(Path(row["generated"]).is_file() for row in store.clips())
    reported = CliRunner().invoke(app, ["report", str(tmp_path / "run"), "--out", str(tmp_path / "report")])
    assert reported.exit_code == 0, reported.output


def test_reasons_that_differ_in_names_and_numbers_are_one(tmp_path):
    rows = [(f"clip{n}", "m", f"clip{n}.mp4 is truncated: {n} of 50 frames") for n in range(4)]
    rows += [("x", "m", "no audio stream"), ("x", "k", "no audio stream"), ("y", "m", "no 'audio' stream")]
    rows += [(f"deep/d{n}", "m", f"/here/deep/d{n}.mkv is a link to nowhere") for n in range(3)]
    found = count(rows)
    assert [(len(reason.clips), reason.metrics, reason.alike) for reason in found] == [
        (4, ("m",), True), (3, ("m",), True), (1, ("m", "k"), False), (1, ("m",), False)
    ]  # fmt: skip
    assert found[0].told() == "clip0.mp4 is truncated: 0 of 50 frames (likewise clip1, clip2, clip3)"


def test_all_that_is_missing_ends_in_one_command(tmp_path, monkeypatch):
    sounds(tmp_path / "made", "a")
    monkeypatch.setenv("T2AV_BENCH_WEIGHTS", str(tmp_path / "none"))
    done = asked(tmp_path, metrics="fake/level,sync/exact,utmos", reference=False)
    assert done.exit_code == 1
    of_sync = "missing: weights syncnet_v2, sfd_face: t2av-bench weights fetch --for sync/exact --accept research"
    assert f"  1 clip  a: {of_sync}  [sync/exact]" in done.stderr
    of_all = "missing: weights syncnet_v2, sfd_face, utmos22_strong: t2av-bench weights fetch --for "
    assert f"\n{of_all}sync/exact,utmos/strong-v1 --accept research\n" in done.stderr
