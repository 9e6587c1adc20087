"""From clips to a certificate, on random weights: expected values are syncnet-python's, planted faults have names."""

import csv
import hashlib
import io
import json
import shutil
from copy import deepcopy

import numpy as np
import pytest
from attest_factory import joonson_files, official_blocks, official_values, one_face_s3fd, picture_clip, samples
from media_factory import write_clip
from sync_factory import delayed, random_syncnet
from typer.testing import CliRunner

import t2av_bench as tb
from t2av_bench.attestation import certificate, loudness, probes
from t2av_bench.attestation.reference import load, names
from t2av_bench.cli.main import app
from t2av_bench.faces import crop
from t2av_bench.media import legacy
from t2av_bench.media.clip import Clip
from t2av_bench.media.resample import to_int16
from t2av_bench.metrics.sync_legacy import SyncJoonson

torch = pytest.importorskip("torch")
pytest.importorskip("syncnet_python")
pytestmark = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg program")
IDS = ("a/one", "b/two")


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def git_blob(path):
    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def write_table(folder, files):
    """A weights table of these files, with the digests that they have now."""
    rows = [
        f'[{id}]\npurpose = "test"\nfile = "{path.name}"\nlicence = "test"\ngroup = "free"\nformat = "state_dict"\n'
        f'loader = "test"\norigins = ["https://example.invalid/{path.name}"]\nsize = {path.stat().st_size}\n'
        f'sha256 = "{sha256(path)}"\ndigest_source = "test"\n'
        for id, path in files.items()
    ]
    (folder / "table.toml").write_text("\n".join(rows))


def write_reference(folder, rows, files, name="small"):
    """A reference of these clips with the packaged one's rules."""
    text = load("mochabench").file.read_text().split("[weights]")
    head = text[0].replace('"mochabench"', f'"{name}"').replace("mochabench.csv", f"{name}.csv")
    head = head.replace("mocha-generation/", "clips/").replace("[-1, 0]", "[0, 0]")
    weights = "\n".join(f'{id} = "{sha256(path)}"' for id, path in files.items())
    rules = text[1].split("[parameters]")[1]
    (folder / f"{name}.toml").write_text(f"{head}[weights]\n{weights}\n\n[parameters]{rules}")
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("id", "git_blob", "sync_c", "sync_d", "offsets", "loudness"))
    writer.writerows(rows)
    (folder / f"{name}.csv").write_text(table.getvalue())
    return folder / f"{name}.toml"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Two clips, random weights, and what syncnet-python makes of the clips with them; and the run that agrees."""
    folder = tmp_path_factory.mktemp("attest")
    noise = np.random.default_rng(0).integers(0, 256, (12, 224, 224, 3), dtype=np.uint8)
    syncnet, s3fd = random_syncnet(noise), one_face_s3fd(picture_clip(1)[0][0])
    files = {"syncnet_v2": folder / "weights" / "syncnet_v2.model", "sfd_face": folder / "weights" / "sfd_face.pth"}
    (folder / "weights").mkdir()
    for path, network in zip(files.values(), (syncnet, s3fd), strict=True):
        torch.save(network.state_dict(), path)
    write_table(folder / "weights", files)
    rows = []
    for seed, id in enumerate(IDS, 1):
        path = folder / "clips" / f"{id}.mp4"
        path.parent.mkdir(parents=True)
        frames, audio = picture_clip(seed)
        write_clip(path, frames, audio)
        _, sound = joonson_files(path, folder / f"files{seed}")
        offset, c, d = official_values(path, sound, syncnet, deepcopy(s3fd))
        rows.append((id, git_blob(path), c, d, offset, loudness.line(to_int16(Clip(path).audio(16000)))))
    return folder, files, rows, write_reference(folder, rows, files)


@pytest.fixture(autouse=True)
def environment(world, monkeypatch):
    monkeypatch.setenv("T2AV_BENCH_WEIGHTS", str(world[0] / "weights"))
    monkeypatch.setenv("T2AV_BENCH_WEIGHTS_TABLE", str(world[0] / "weights" / "table.toml"))


@pytest.fixture(scope="module")
def agreed(world):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("T2AV_BENCH_WEIGHTS", str(world[0] / "weights"))
        patch.setenv("T2AV_BENCH_WEIGHTS_TABLE", str(world[0] / "weights" / "table.toml"))
        return tb.attest(str(world[3]), world[0], out=world[0] / "run", certificate=world[0] / "c.json", workers=1)


def faults(world, tmp_path, **given):
    return tb.attest(str(world[3]), given.pop("source", world[0]), out=tmp_path / "run", workers=1, **given).faults


def test_the_right_set_up_gives_syncnet_pythons_values_and_a_certificate(world, agreed):
    folder, _, rows, _ = world
    assert agreed.faults == {}
    held = certificate.read(folder / "c.json")
    for id, _, c, d, offset, _ in rows:
        assert held["values"][id]["sync_c"] == pytest.approx(c, abs=2e-2) and c > 0.05
        assert held["values"][id]["sync_d"] == pytest.approx(d, abs=2e-2) and d > 1
        assert held["values"][id]["sync_offset"] == offset
    assert held["summary"]["compared"] == held["summary"]["of"] == held["summary"]["within"] == 2
    assert held["summary"]["sync_c"]["published"] == pytest.approx(np.mean([row[2] for row in rows]))
    assert held["clips"] == {row[0]: row[1] for row in rows}
    assert held["digests"]["weights/sfd_face"] == sha256(folder / "weights" / "sfd_face.pth")
    assert {"code/t2av_bench/faces/crop.py", "code/syncnet_python/SyncNetModel.py", "library/torch",
            "decoder/ffmpeg", "reference/small.csv"} <= held["digests"].keys()  # fmt: skip


@pytest.mark.parametrize(("id", "name"), [("syncnet_v2", "checkpoint"), ("sfd_face", "detector")])
def test_other_weights_are_refused_by_name_though_a_table_states_them(id, name, world, tmp_path, monkeypatch):
    (tmp_path / "weights").mkdir()
    files = {key: shutil.copy(path, tmp_path / "weights" / path.name) for key, path in world[1].items()}
    state = torch.load(files[id], weights_only=True)
    next(iter(state.values())).mul_(1.01)
    torch.save(state, files[id])
    write_table(tmp_path / "weights", files)
    monkeypatch.setenv("T2AV_BENCH_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("T2AV_BENCH_WEIGHTS_TABLE", str(tmp_path / "weights" / "table.toml"))
    found = faults(world, tmp_path, certificate=tmp_path / "c.json")
    assert list(found) == [name] and f"other {name}: {id} has the sha256 {sha256(files[id])}" in found[name]
    assert not (tmp_path / "c.json").exists() and not (tmp_path / "run").exists()


def test_another_detector_is_refused_by_what_the_protocol_says(world, tmp_path, monkeypatch):
    from t2av_bench.faces.detect import S3FD

    monkeypatch.setattr(S3FD, "PARAMETERS", {**S3FD.PARAMETERS, "scale": 0.5})
    assert faults(world, tmp_path) == {"detector": "other detector: detector: scale 0.5, expected 0.25"}


@pytest.mark.parametrize(("constant", "value"), [("CROP_SCALE", 0.38), ("SMOOTHING", 1), ("BORDER", 90)])
def test_another_crop_is_refused_though_the_protocol_does_not_say_it(constant, value, world, tmp_path, monkeypatch):
    monkeypatch.setattr(crop, constant, value)  # crop.PARAMETERS goes on stating the old one
    found = faults(world, tmp_path)
    assert list(found) == ["crop"] and "other crop: blocks of three crops differ by" in found["crop"]


def test_another_rate_rule_is_refused(world, tmp_path, monkeypatch):
    run = legacy._run
    monkeypatch.setattr(legacy, "_run", lambda program, arguments: run(program, [
        "fps=25:round=up" if part == "PLACE" else part for part in (
            [*arguments[:-1], "-vf", "PLACE", arguments[-1]] if "-async" in arguments and "-r" in arguments
            else arguments
        )
    ]))  # fmt: skip
    found = faults(world, tmp_path)
    assert list(found) == ["rate"] and found["rate"].startswith("other rate rule: 48 frames at 24/s become")


def test_sound_that_the_pipeline_shifts_is_refused(world, tmp_path, monkeypatch):
    read = legacy._sound
    monkeypatch.setattr(legacy, "_sound", lambda *given: np.concatenate([np.zeros(640, np.int16), read(*given)]))
    found = faults(world, tmp_path)
    assert found == {"sound": "shifted sound: the transcoded sound is 65 ms late, expected 25 ms"}


def test_clips_whose_sound_was_shifted_are_refused_by_both_names(world, tmp_path):
    shutil.copytree(world[0] / "clips", tmp_path / "clips")
    frames, audio = picture_clip(2)
    write_clip(tmp_path / "clips" / "b" / "two.mp4", frames, delayed(audio, 3))
    found = faults(world, tmp_path, source=tmp_path)
    assert found == {
        "clips": "1 of 2 clips are the expected ones; changed: b/two",
        "sound": "shifted sound: that of 1 of 1 changed clips, b/two by 3 frames later",
    }


def test_values_that_differ_are_refused_with_numbers(world, agreed, tmp_path):
    """The finished run is continued: nothing is scored again."""
    folder, files, rows, _ = world
    moved = [(rows[0][0], rows[0][1], rows[0][2] + 0.15, *rows[0][3:]), rows[1]]
    reference = write_reference(folder, moved, files, "moved")
    found = tb.attest(str(reference), folder, out=folder / "run", certificate=tmp_path / "c.json", workers=1)
    assert list(found.faults) == ["values"] and not (tmp_path / "c.json").exists()
    assert "2 of 2 single-track clips compared, 1 of 2 within ±0.1" in found.faults["values"]
    assert "farthest a/one by 0.1" in found.faults["values"]
    with pytest.raises(ValueError, match="nothing to attest: values failed"):
        found.write(tmp_path / "c.json")


def test_a_certificate_says_later_what_has_changed(world, agreed, tmp_path, monkeypatch):
    folder, _, _, reference = world
    command = ["attest", str(reference), "--check", str(folder / "c.json"), "--source"]
    done = CliRunner().invoke(app, [*command, str(folder)])
    assert done.exit_code == 0, done.output
    assert "seal: the certificate is as it was written" in done.output
    assert "2 of 2 clips are the expected ones" in done.output
    held = json.loads((folder / "c.json").read_text())
    held["values"]["a/one"]["sync_c"] += 0.01
    (tmp_path / "edited.json").write_text(json.dumps(held))
    shutil.copytree(folder / "weights", tmp_path / "weights")
    (tmp_path / "weights" / "sfd_face.pth").write_bytes(b"other")
    monkeypatch.setenv("T2AV_BENCH_WEIGHTS", str(tmp_path / "weights"))
    shutil.copytree(folder / "clips", tmp_path / "clips")
    (tmp_path / "clips" / "a" / "one.mp4").write_bytes(b"other")
    steps = list(certificate.check(certificate.read(tmp_path / "edited.json"), load(str(reference)), tmp_path))
    assert [name for name, status, _ in steps if status == "failed"] == ["seal", "weights/sfd_face", "clips"]
    assert steps[-1][2] == "1 of 2 clips are the expected ones; changed: a/one"
    done = CliRunner().invoke(app, ["attest", str(reference), "--check", str(folder / "c.json"), "--json"])
    assert done.exit_code == 1
    assert {"weights/sfd_face"} == {each["name"] for each in json.loads(done.stdout) if each["status"] == "failed"}


def test_what_is_no_certificate_is_said(tmp_path):
    (tmp_path / "x.json").write_text('{"schema": 1}')
    done = CliRunner().invoke(app, ["attest", "--check", str(tmp_path / "x.json")])
    assert done.exit_code == 2 and "is no certificate of 't2av-bench attest'" in done.stderr


def test_what_is_missing_is_said_before_anything_is_scored(world, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="holds none of the clips, for example .*one.mp4: git clone"):
        faults(world, tmp_path, source=tmp_path)
    monkeypatch.setenv("T2AV_BENCH_WEIGHTS", str(tmp_path))
    with pytest.raises(ValueError, match="weights 'syncnet_v2' .* are missing"):
        faults(world, tmp_path)
    with pytest.raises(ValueError, match="no reference 'mochabnch'; did you mean mochabench"):
        tb.attest("mochabnch", tmp_path)


def test_probes_expect_what_the_reference_tools_do(tmp_path, monkeypatch):
    np.testing.assert_allclose(probes.expected_blocks(), official_blocks(tmp_path, monkeypatch), atol=0.06)
    probes.write_probe(tmp_path / "probe.mp4")
    pictures, sound = joonson_files(tmp_path / "probe.mp4", tmp_path / "files")
    assert probes.source_frames(pictures) == probes.PICTURES
    assert probes.begins(samples(sound)) - 1 == pytest.approx(probes.SOUND_LATE["sync/joonson"], abs=2e-3)


@pytest.mark.parametrize("name", names())
def test_packaged_references_are_what_was_published(name):
    """Means over the 200 single-track clips, from the repository's table; rules are those of the metric."""
    from t2av_bench import weights
    from t2av_bench.metrics import create

    reference = load(name)
    single = [row for row in reference.published.values() if row.single]
    assert (len(reference.published), len(single)) == (220, 200)
    assert np.mean([row.sync_c for row in single]) == pytest.approx(6.305832, abs=1e-6)
    assert np.mean([row.sync_d for row in single]) == pytest.approx(8.180644, abs=1e-6)
    assert sum(row.sync_c is None for row in reference.published.values()) == 2
    stated = create(reference.metric).protocol.parameters
    assert {part: stated[part] for part in reference.parameters} == reference.parameters
    assert issubclass(type(create(reference.metric)), SyncJoonson)
    table = weights.table._TABLE.read_text()
    assert all(f'sha256 = "{digest}"' in table for digest in reference.weights.values())
