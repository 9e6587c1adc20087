"""From clips to a certificate, on random weights: expected values are syncnet-python's, planted faults have names."""

import csv
import hashlib
import io
import json
import re
import shutil
from contextlib import contextmanager
from copy import deepcopy

import numpy as np
import pytest
from attest_factory import joonson_files, official_blocks, official_values, one_face_s3fd, picture_clip, samples
from media_factory import write_clip
from sync_factory import delayed, hidden_signal, random_syncnet, talking_audio
from typer.testing import CliRunner

import t2av_bench as tb
from t2av_bench.attestation import certificate, loudness, probes
from t2av_bench.attestation.agreement import Found, compare
from t2av_bench.attestation.reference import load, names
from t2av_bench.cli.main import app
from t2av_bench.faces import crop
from t2av_bench.faces.detect import S3FD, Haar
from t2av_bench.media import legacy
from t2av_bench.media.clip import Clip
from t2av_bench.media.resample import to_int16
from t2av_bench.metrics import sync_legacy
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


def write_reference(folder, rows, name="small", of="mochabench", sound=None):
    """A reference of these clips with the packaged one's rules."""
    head, rest = load(of).file.read_text().split("[weights]")
    head = re.sub(r"(?m)^(id|rows|clips|sound|offset_difference) =.*\n", "", head)
    head += f'id = "{name}"\nrows = "{name}.csv"\nclips = "clips/{{id}}.mp4"\noffset_difference = [0, 0]\n'
    head += f'sound = "{sound}"\n' if sound else ""
    digests = (f'{path.stem} = "{sha256(path)}"' for path in (folder / "weights").glob("s*.*"))
    (folder / f"{name}.toml").write_text(
        "\n".join([head, "[weights]", *digests, "", "[parameters]" + rest.split("[parameters]")[1]])
    )
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("id", "git_blob", "sync_c", "sync_d", "offsets", "loudness", "sound_git_blob", "sound_loudness"))
    writer.writerows(rows)
    (folder / f"{name}.csv").write_text(table.getvalue())
    return folder / f"{name}.toml"


def heard(path):
    """Digest and loudness of a file."""
    return git_blob(path), loudness.line(to_int16(Clip(path).audio(16000)))


def row(path, id, values=(0, 1.0, 8.0), sound=None):
    blob, line = heard(path)
    offset, c, d = values
    return (id, blob, c, d, offset, line, *(heard(sound) if sound else ("", "")))


@pytest.fixture(scope="module")
def networks():
    noise = np.random.default_rng(0).integers(0, 256, (12, 224, 224, 3), dtype=np.uint8)
    return random_syncnet(noise), one_face_s3fd(picture_clip(1)[0][0])


@pytest.fixture(scope="module")
def world(tmp_path_factory, networks):
    """A folder with two clips, random weights, a reference with made-up values."""
    folder = tmp_path_factory.mktemp("attest")
    files = {"syncnet_v2": folder / "weights" / "syncnet_v2.model", "sfd_face": folder / "weights" / "sfd_face.pth"}
    (folder / "weights").mkdir()
    for path, network in zip(files.values(), networks, strict=True):
        torch.save(network.state_dict(), path)
    write_table(folder / "weights", files)
    rows = []
    for seed, id in enumerate(IDS, 1):
        path = folder / "clips" / f"{id}.mp4"
        path.parent.mkdir(parents=True)
        write_clip(path, *picture_clip(seed))
        rows.append(row(path, id))
    return folder, files, rows, write_reference(folder, rows)


@contextmanager
def weights_of(folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("T2AV_BENCH_WEIGHTS", str(folder / "weights"))
        patch.setenv("T2AV_BENCH_WEIGHTS_TABLE", str(folder / "weights" / "table.toml"))
        yield


@pytest.fixture(autouse=True)
def environment(world):
    with weights_of(world[0]):
        yield


@pytest.fixture(scope="module")
def agreed(world, networks):
    """What syncnet-python makes of the clips with the same weights; a run that was interrupted and continued."""
    folder, _, rows, _ = world
    official = []
    for seed, (id, *_) in enumerate(rows):
        path = folder / "clips" / f"{id}.mp4"
        _, sound = joonson_files(path, folder / f"files{seed}")
        official.append(row(path, id, official_values(path, sound, networks[0], deepcopy(networks[1]))))
    reference = write_reference(folder, official, "official")
    continued = []

    def interrupt(step):
        if step.done == 1:
            raise KeyboardInterrupt

    with weights_of(folder):
        with pytest.raises(KeyboardInterrupt):
            tb.attest(str(reference), folder, out=folder / "run", workers=1, progress=interrupt)
        found = tb.attest(
            str(reference), folder, out=folder / "run", certificate=folder / "c.json", workers=1,
            progress=continued.append,
        )  # fmt: skip
    return official, reference, found, continued


def faults(world, tmp_path, **given):
    reference = given.pop("reference", world[3])
    return tb.attest(str(reference), given.pop("source", world[0]), out=tmp_path / "run", workers=1, **given).faults


@pytest.mark.slow
def test_the_right_set_up_gives_syncnet_pythons_values_and_a_certificate(world, agreed):
    folder = world[0]
    official, _, found, _ = agreed
    assert found.faults == {}
    held = certificate.read(folder / "c.json")
    for id, _, c, d, offset, *_ in official:
        assert held["values"][id]["sync_c"] == pytest.approx(c, abs=2e-2) and c > 0.05
        assert held["values"][id]["sync_d"] == pytest.approx(d, abs=2e-2) and d > 1
        assert held["values"][id]["sync_offset"] == offset
    assert held["summary"]["compared"] == held["summary"]["of"] == held["summary"]["within"] == 2
    assert held["summary"]["sync_c"]["published"] == pytest.approx(np.mean([each[2] for each in official]))
    assert held["clips"] == {f"clips/{each[0]}.mp4": each[1] for each in official}
    assert held["digests"]["weights/sfd_face"] == sha256(folder / "weights" / "sfd_face.pth")
    assert {"code/t2av_bench/faces/crop.py", "code/syncnet_python/SyncNetModel.py", "library/torch",
            "decoder/ffmpeg", "reference/official.csv"} <= held["digests"].keys()  # fmt: skip


@pytest.mark.slow
def test_an_interrupted_run_is_continued(agreed):
    assert [step.done for step in agreed[3]][-1] == 2 and min(step.done for step in agreed[3]) >= 1


@pytest.mark.slow
def test_the_command_says_where_the_certificate_is_and_names_a_fault(world, agreed, tmp_path):
    """Of the finished run, which is not scored again."""
    folder, _, _, made_up = world
    command = ["attest", "--source", str(folder), "--out", str(folder / "run"), "--workers", "1", "--certificate"]
    done = CliRunner().invoke(app, [*command, str(tmp_path / "c.json"), str(agreed[1])])
    assert done.exit_code == 0, done.output
    assert "ok       values: 2 of 2 single-track clips compared, 2 of 2 within ±0.1; means C" in done.stdout
    assert "certificate: " in done.stderr and certificate.read(tmp_path / "c.json")["id"] == "official"
    done = CliRunner().invoke(app, [*command, str(tmp_path / "none.json"), str(made_up)])
    assert done.exit_code == 1 and not (tmp_path / "none.json").exists()
    assert "failed   values: 2 of 2 single-track clips compared, 0 of 2 within" in done.stdout
    assert "refused: values; no certificate is written" in done.stderr


@pytest.mark.slow
def test_scores_of_other_code_are_not_attested(world, agreed, tmp_path):
    folder = world[0]
    shutil.copytree(folder / "run", tmp_path / "run")
    record = tmp_path / "run" / "sync-joonson.json"
    record.write_text(record.read_text().replace(certificate.bound(load(str(world[3])))["decoder/ffmpeg"], "other"))
    with pytest.raises(ValueError, match="holds scores made with another decoder/ffmpeg: give another folder"):
        faults(world, tmp_path, reference=agreed[1])


@pytest.mark.slow
def test_the_scripts_rules_hear_the_speech_file_and_follow_tracks_of_50_frames(world, networks, tmp_path):
    """Its own sound is another one; what the speech file is replaced by has a name."""
    frames, audio = picture_clip(5, count=56)
    shutil.copytree(world[0] / "weights", tmp_path / "weights")
    clip, speech = tmp_path / "clips" / "one.mp4", tmp_path / "speech" / "one_speech.wav"
    clip.parent.mkdir()
    speech.parent.mkdir()
    write_clip(clip, frames, talking_audio(hidden_signal(56, 11)))
    write_clip(speech, None, audio, audio_codec="pcm_s16le")
    values = official_values(clip, speech, networks[0], deepcopy(networks[1]), min_track=50)
    mute = official_values(clip, clip, networks[0], deepcopy(networks[1]), min_track=50)
    assert np.abs(np.subtract(values[1:], mute[1:])).max() > 0.05  # the sound matters
    rows = [row(clip, "one", values, speech)]
    reference = write_reference(tmp_path, rows, "script", "mochabench-script", "speech/{id}_speech.wav")
    with weights_of(tmp_path):
        found = tb.attest(str(reference), tmp_path, out=tmp_path / "run", certificate=tmp_path / "c.json", workers=1)
        assert found.faults == {}
        held = certificate.read(tmp_path / "c.json")["values"]["one"]
        assert held == {"sync_c": pytest.approx(values[1], abs=2e-2), "sync_d": pytest.approx(values[2], abs=2e-2),
                        "sync_offset": values[0], "tracks": 1}  # fmt: skip
        write_clip(speech, None, delayed(audio, 4), audio_codec="pcm_s16le")
        assert faults(world, tmp_path, reference=reference, source=tmp_path) == {
            "clips": "1 of 2 files are the expected ones; changed: speech/one_speech.wav",
            "sound": "shifted sound: that of 1 of 1 changed files, speech/one_speech.wav by 4 frames later",
        }
        speech.unlink()
        assert faults(world, tmp_path, reference=reference, source=tmp_path) == {
            "clips": "1 of 2 files are the expected ones; missing: speech/one_speech.wav"
        }


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
    monkeypatch.setattr(S3FD, "PARAMETERS", {**S3FD.PARAMETERS, "scale": 0.5})
    assert faults(world, tmp_path) == {"detector": "other detector: detector: scale 0.5, expected 0.25"}


def test_another_detector_is_refused_though_the_protocol_does_not_say_it(world, tmp_path, monkeypatch):
    boxes = S3FD._boxes
    monkeypatch.setattr(S3FD, "_boxes", lambda *given: boxes(*given) + [3, 0, 3, 0, 0])
    found = faults(world, tmp_path)
    assert found == {
        "detector": "other detector: 1 faces in one.mp4, 1 by syncnet-python's own code, up to 3.0 pixels apart"
    }
    monkeypatch.setattr(S3FD, "_boxes", lambda *given: boxes(*given)[:0])
    assert faults(world, tmp_path) == {"detector": "other detector: 0 faces in one.mp4, 1 by syncnet-python's own code"}
    monkeypatch.setattr(sync_legacy, "s3fd", lambda device: Haar())
    assert faults(world, tmp_path) == {"detector": "other detector: Haar, expected S3FD"}


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
        "clips": "1 of 2 files are the expected ones; changed: clips/b/two.mp4",
        "sound": "shifted sound: that of 1 of 1 changed files, clips/b/two.mp4 by 3 frames later",
    }


@pytest.mark.slow
def test_values_that_differ_are_refused_with_numbers(world, agreed, tmp_path):
    """The finished run is continued: nothing is scored again."""
    folder = world[0]
    official, _, _, _ = agreed
    moved = [(*official[0][:2], official[0][2] + 0.15, *official[0][3:]), official[1]]
    reference = write_reference(folder, moved, "moved")
    found = tb.attest(str(reference), folder, out=folder / "run", certificate=tmp_path / "c.json", workers=1)
    assert list(found.faults) == ["values"] and not (tmp_path / "c.json").exists()
    assert "2 of 2 single-track clips compared, 1 of 2 within ±0.1" in found.faults["values"]
    assert "farthest a/one by 0.1" in found.faults["values"]
    with pytest.raises(ValueError, match="nothing to attest: values failed"):
        found.write(tmp_path / "c.json")


@pytest.fixture
def written(world, tmp_path):
    """A certificate of the made-up values, beside a copy of what it is bound to."""
    folder, _, rows, reference = world
    given = load(str(reference))
    found = {id: Found(1.0, 8.0, 0, 1) for id in IDS}
    digests = certificate.clip_digests(given, folder)
    facts = {
        "id": given.id, "date": "2026-01-01T00:00:00+00:00", "results": [], "clips": digests,
        "summary": compare(given, found).summary, "values": {id: each.as_dict() for id, each in found.items()},
        "digests": {**certificate.bound(given), "clips": certificate.listing(digests)},
    }  # fmt: skip
    certificate.write(tmp_path / "c.json", facts)
    return tmp_path / "c.json"


def failing(steps):
    return [name for name, status, _ in steps if status == "failed"]


def test_a_certificate_says_later_what_has_changed(world, written, tmp_path, monkeypatch):
    folder, _, _, reference = world
    command = ["attest", str(reference), "--check", str(written), "--source"]
    done = CliRunner().invoke(app, [*command, str(folder)])
    assert done.exit_code == 0, done.output
    assert "seal: the certificate is as it was written" in done.output
    assert "2 of 2 files are the expected ones" in done.output
    shutil.copytree(folder / "weights", tmp_path / "weights")
    (tmp_path / "weights" / "sfd_face.pth").write_bytes(b"other")
    monkeypatch.setenv("T2AV_BENCH_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr(legacy, "ffmpeg_version", lambda: "9.9")
    shutil.copytree(folder / "clips", tmp_path / "clips")
    (tmp_path / "clips" / "a" / "one.mp4").write_bytes(b"other")
    steps = list(certificate.check(certificate.read(written), load(str(reference)), tmp_path))
    assert failing(steps) == ["decoder/ffmpeg", "weights/sfd_face", "clips"]
    assert steps[-1][2] == "1 of 2 files are the expected ones; changed: clips/a/one.mp4"
    done = CliRunner().invoke(app, ["attest", str(reference), "--check", str(written), "--json"])
    assert done.exit_code == 1
    assert {"weights/sfd_face", "decoder/ffmpeg"} == {
        each["name"] for each in json.loads(done.stdout) if each["status"] == "failed"
    }
    done = CliRunner().invoke(app, ["attest", "--check", str(written)])
    assert done.exit_code == 2 and "name its file: t2av-bench attest small.toml --check" in done.stderr
    done = CliRunner().invoke(app, ["attest", "mochabench", "--check", str(written)])
    assert done.exit_code == 2 and "the certificate is of small, not of mochabench" in done.stderr
    done = CliRunner().invoke(app, [*command[:-1], "--certificate", str(tmp_path / "new.json")])
    assert done.exit_code == 2 and "--check writes no certificate" in done.stderr


@pytest.mark.parametrize(
    ("place", "value", "named"),
    [
        (("values", "a/one", "sync_c"), 1.01, ["summary"]),
        (("values", "a/one", "sync_c"), 1.2, ["values", "summary"]),
        (("summary", "within"), 1, ["summary"]),
        (("digests", "code/t2av_bench/faces/crop.py"), "0" * 64, ["code/t2av_bench/faces/crop.py"]),
        (("clips", "clips/a/one.mp4"), "0" * 40, ["clips", "clips"]),
        (("digests", "clips"), "0" * 64, ["clips"]),
        (("date",), "2027-01-01T00:00:00+00:00", []),
    ],
)
def test_tampering_breaks_the_seal_and_a_new_seal_is_seen_through(place, value, named, world, written, tmp_path):
    held = json.loads(written.read_text())
    inside = held
    for key in place[:-1]:
        inside = inside[key]
    inside[place[-1]] = value
    given = load(str(world[3]))
    assert failing(certificate.check(held, given, world[0])) == ["seal", *named]
    facts = {key: value for key, value in held.items() if key not in ("seal", "schema")}
    certificate.write(tmp_path / "sealed.json", facts)
    assert failing(certificate.check(certificate.read(tmp_path / "sealed.json"), given, world[0])) == named


def test_what_is_no_certificate_is_said(tmp_path):
    (tmp_path / "x.json").write_text('{"schema": 1}')
    done = CliRunner().invoke(app, ["attest", "--check", str(tmp_path / "x.json")])
    assert done.exit_code == 2 and "is no certificate of 't2av-bench attest'" in done.stderr


def test_what_is_missing_is_said_before_anything_is_scored(world, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="holds none of the clips, for example .*one.mp4: git clone"):
        faults(world, tmp_path, source=tmp_path)
    monkeypatch.setenv("T2AV_BENCH_WEIGHTS", str(tmp_path))
    with pytest.raises(ValueError, match="missing: weights syncnet_v2, sfd_face: .*weights fetch"):
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
    assert len(reference.files) == 440 and all(len(file.git_blob) == 40 for file in reference.files.values())
    stated = create(reference.metric).protocol.parameters
    assert {part: stated[part] for part in reference.parameters} == reference.parameters
    assert issubclass(type(create(reference.metric)), SyncJoonson)
    table = weights.table._TABLE.read_text()
    assert all(f'sha256 = "{digest}"' in table for digest in reference.weights.values())
