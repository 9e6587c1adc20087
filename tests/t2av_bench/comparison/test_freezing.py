"""A regression set: the items, files and scores of a run, against which checkpoints are judged."""

import hashlib
import json
import os
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
from run_factory import FID, SYNC_C, UTMOS, WER, frames, make_run, names
from typer.testing import CliRunner

import t2av_bench as tb
from t2av_bench.benchmarks.info import read_info
from t2av_bench.benchmarks.manifest import read_manifest
from t2av_bench.cli.main import app
from t2av_bench.comparison.freezing import freeze
from t2av_bench.errors import ItemError
from t2av_bench.gridface.data import build
from t2av_bench.metrics.distances import frechet_distance
from t2av_bench.results import read
from t2av_bench.results.run import open_run
from t2av_bench.results.store import Store
from t2av_bench.scores import Score

COUNT = 30


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def scored(tmp_path):
    """A run whose items name references, voices and labels; UTMOS measured nothing."""
    random = np.random.default_rng(0)
    ids = names(COUNT)
    folder = make_run(
        tmp_path / "run",
        {SYNC_C: list(random.normal(5, 1, COUNT)), WER: list(random.random(COUNT)), FID: [1.0] * COUNT,
         UTMOS: [Score.not_applicable("weights are missing")] * COUNT},
        features=frames(1, COUNT, 0.3),
    )  # fmt: skip
    media = tmp_path / "media"
    media.mkdir()
    (media / "voice.wav").write_bytes(b"one voice for all")
    with Store(folder / "results.db", create=True) as store:
        rows = store.clips()
        items = []
        for row in rows:
            reference = media / f"{row['clip']}.MP4"
            reference.write_bytes(f"picture of {row['clip']}".encode())
            item = row["item"] | {"reference_voice": str(media / "voice.wav"), "mood": "calm", "tags": ["a"],
                                  "audio": str(media / "absent.wav"), "generated": None}  # fmt: skip
            items.append((row["clip"], item, row["generated"], str(reference), None))
        store.put_clips(items)
        for id, row in zip(ids, rows, strict=True):
            store.put_digests(id, row["digest"], sha256(media / f"{id}.MP4"))
    return folder


def changed(run: Path, clip: str, **values):
    with Store(run / "results.db", create=True) as store:
        rows = [row | (values if row["clip"] == clip else {}) for row in store.clips()]
        store.put_clips((row["clip"], row["item"], row["generated"], row["reference"], row["reason"]) for row in rows)


def lines(found) -> list[dict]:
    return [json.loads(line) for line in found.manifest.read_text().splitlines()]


def test_the_folder_holds_all_that_the_items_name(scored, tmp_path):
    found = freeze(open_run(scored), tmp_path / "frozen")
    written = lines(found)
    assert [line["id"] for line in written] == list(found.items) == names(COUNT) and not found.left_out
    for line in written:
        reference = found.manifest.parent / line["reference"]
        assert reference.read_bytes() == f"picture of {line['id']}".encode()
        assert reference.name == f"{sha256(reference)[:16]}.mp4"
        assert (found.manifest.parent / line["reference_voice"]).read_bytes() == b"one voice for all"
        assert (line["mood"], line["tags"], line["language"]) == ("calm", ["a"], "en")
        assert "audio" not in line, "the sound of the old clips is not the candidate's"
    assert len(list((tmp_path / "frozen" / "regression" / "media").iterdir())) == COUNT + 1, "one file a content"
    shutil.rmtree(tmp_path / "media")
    entries = read_manifest(found.manifest)
    assert all(entry.reason is None and Path(entry.item.reference).is_file() for entry in entries)


def test_the_baseline_is_the_runs_on_these_items(scored, tmp_path):
    found = freeze(open_run(scored), tmp_path / "frozen", ids=names(COUNT)[3:25])
    kept, whole = read(tmp_path / "frozen"), open_run(scored).recorded
    assert kept.items == {id: whole.items[id] for id in found.items}
    assert {quantity for _, quantity in kept.quantities} == {"sync_c", "wer", "fid"}
    for key in (("sync/joonson", "sync_c"), ("wer/whisper-large-v3", "wer")):
        expected = {id: whole.quantities[key].values[id] for id in found.items}
        assert kept.quantities[key].values == expected
        assert kept.quantities[key].value == pytest.approx(np.mean(list(expected.values())))
    mine = frames(1, COUNT, 0.3)[3:25]
    sides = [np.concatenate([each[side] for each in mine]).astype(np.float32) for side in ("generated", "reference")]
    fid = kept.quantities["fid/clean", "fid"]
    assert fid.value == pytest.approx(frechet_distance(*sides), rel=1e-5)
    assert np.mean(list(fid.values.values())) == pytest.approx(fid.value, rel=1e-5), "what each of these clips adds"
    config = tomllib.loads(found.config.read_text())
    assert config == {
        "manifest": "regression/items.jsonl",
        "metrics": ["sync/joonson", "wer/whisper-large-v3", "fid/clean"],
    }
    assert any("utmos/strong-v1: no value" in note for note in found.notes)


def test_the_folder_is_a_benchmark_like_any_other(scored, tmp_path, monkeypatch):
    found = freeze(open_run(scored), tmp_path / "My Set", items=21)
    info = read_info(found.folder)
    assert (info.name, info.splits, info.languages, info.licence.id) == (
        "my-set", {"regression": 21}, ("en",), "not stated"
    )  # fmt: skip
    assert info.ours["items"] == "drawn by the digests of their ids: 21 of 30" and info.tasks == (
        "t2av",
        "tts",
        "a2v",
        "v2a",
    )
    monkeypatch.setenv("T2AV_BENCH_DATA", str(tmp_path))
    shown = CliRunner().invoke(app, ["data", "show", "My Set"])
    assert shown.exit_code == 0 and "Regression set of system" in shown.stdout
    verify = ["data", "verify", str(found.folder)]
    assert CliRunner().invoke(app, verify).exit_code == 0
    file = next((found.manifest.parent / "media").iterdir())
    file.write_bytes(b"edited")
    done = CliRunner().invoke(app, verify)
    assert done.exit_code == 1 and f"regression/media/{file.name} has changed" in done.stdout


def test_a_draw_is_part_of_every_larger_one_and_in_the_runs_order(scored, tmp_path):
    draws = [freeze(open_run(scored), tmp_path / str(n), items=n).items for n in (5, 12, 29)]
    assert [len(draw) for draw in draws] == [5, 12, 29]
    assert set(draws[0]) < set(draws[1]) < set(draws[2])
    assert all(list(draw) == sorted(draw) for draw in draws) and list(draws[1]) != names(12)


def test_the_same_command_again_changes_nothing_and_another_set_is_refused(scored, tmp_path):
    out = tmp_path / "frozen"
    freeze(open_run(scored), out, items=20)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    (next((out / "regression" / "media").iterdir())).unlink()
    (out / "baseline.json").unlink()  # as if interrupted
    freeze(open_run(scored), out, items=20)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    with pytest.raises(ItemError, match=r"another regression set \(items.jsonl differs\): name another --out"):
        freeze(open_run(scored), out, items=10)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("x")
    with pytest.raises(ItemError, match="holds files, but no regression set"):
        freeze(open_run(scored), mine)


def test_a_bad_item_is_left_out_with_its_reason_and_costs_no_other(scored, tmp_path):
    first, second, third, fourth = names(4)
    media = tmp_path / "media"
    (media / f"{first}.MP4").write_bytes(b"another take")
    (media / f"{second}.MP4").unlink()
    changed(scored, third, reason="no clip in made/ is named so")
    with Store(scored / "results.db", create=True) as store:
        rows = store.clips()
        rows[3]["item"]["identity_image"] = str(media / "face.png")
        store.put_clips((row["clip"], row["item"], row["generated"], row["reference"], row["reason"]) for row in rows)
    done = CliRunner().invoke(app, ["data", "freeze", str(scored), "--out", str(tmp_path / "frozen"), "--json"])
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert found["items"] == names(COUNT)[4:]
    assert "has changed since it was scored" in found["left_out"][first]
    assert f"{second}.MP4 is not there" in found["left_out"][second]
    assert "the run has no clip of it: no clip in made/" in found["left_out"][third]
    assert "identity image" in found["left_out"][fourth] and "face.png is not there" in found["left_out"][fourth]
    drawn = freeze(open_run(scored), tmp_path / "drawn", items=26)
    assert len(drawn.items) == 26, "others take the places of those that cannot be taken"


def test_links_share_the_files_where_the_system_can(scored, tmp_path):
    found = freeze(open_run(scored), tmp_path / "frozen", media="link", items=3)
    for line in lines(found):
        assert os.path.samefile(found.manifest.parent / line["reference"], tmp_path / "media" / f"{line['id']}.MP4")
    assert any("'regress' judges nothing below 20" in note for note in found.notes)


def test_what_is_wrong_is_explained(scored, tmp_path):
    run = open_run(scored)
    with pytest.raises(ItemError, match=r"has no item 'clip_0001'; did you mean"):
        freeze(run, tmp_path / "a", ids=["clip_0001"])
    with pytest.raises(ItemError, match="has 30 items, 31 are wanted"):
        freeze(run, tmp_path / "a", items=31)
    with pytest.raises(ItemError, match="exclude each other"):
        freeze(run, tmp_path / "a", items=3, ids=["clip_000"])
    assert not (tmp_path / "a").exists()
    (tmp_path / "ids.txt").write_text("clip_004\r\n\nclip_002\n", encoding="utf-8-sig")
    done = CliRunner().invoke(
        app, ["data", "freeze", str(scored), "--out", str(tmp_path / "b"), "--ids", str(tmp_path / "ids.txt")]
    )
    assert done.exit_code == 0 and "2 items in" in done.stdout and "t2av-bench regress" in done.stdout
    assert read(tmp_path / "b").items.keys() == {"clip_002", "clip_004"}


def experiment(folder: Path, manifest: Path, metrics: list[str], *systems: str) -> Path:
    rows = "".join(f'[[rows]]\nname = "{name}"\nsystem = "embedded-{name}"\n' for name in systems)
    file = folder / "run.toml"
    file.write_text(
        f'out = "out"\nbenchmark = "{os.path.relpath(manifest, folder)}"\nmetrics = {json.dumps(metrics)}\n{rows}'
    )
    return file


def test_gridface_a_damaged_system_is_caught_and_the_same_one_passes(tmp_path):
    manifest = build.build(tmp_path / "gridface", ["test-en"], 20, workers=1)["test-en"]
    first, later = tmp_path / "first", tmp_path / "later"
    first.mkdir(), later.mkdir()
    baseline = tb.run(experiment(first, manifest, ["stoi", "psnr"], "real"))["real"]
    frozen = baseline.freeze(tmp_path / "frozen")
    shutil.rmtree(tmp_path / "gridface"), shutil.rmtree(first)
    metrics = tomllib.loads(frozen.config.read_text())["metrics"]
    runs = tb.run(experiment(later, frozen.manifest, metrics, "real", "stranger"))
    same, worse = (tb.regress(frozen.folder, runs[name]) for name in ("real", "stranger"))
    assert same.status == 0, same.to_markdown()
    assert worse.status == 1, worse.to_markdown()
    assert {each.quantity.name for each in worse.verdicts if each.word == "worse"} >= {"stoi", "psnr"}
