"""Planted metrics get the verdicts that they deserve; real ones notice what they claim to notice."""

import json

import numpy as np
import planted_metrics
import pytest
from media_factory import cut_clip, moving_pattern, noise, write_clip
from plugin_factory import install
from typer.testing import CliRunner

pytest.importorskip("cv2", reason="OpenCV is not installed")

import t2av_bench as tb
from t2av_bench import metrics, weights
from t2av_bench.cli.main import app
from t2av_bench.metrics import metric_class, resolve
from t2av_bench.metrics.base import Metric
from t2av_bench.scores import Protocol, Quantity
from t2av_bench.validation.matrix import Validity

PLANTED = {"planted/courses": "planted_metrics:Planted", "planted_set/mean": "planted_metrics:PlantedSet"}


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """The planted metrics, installed, and a folder of small clips, one of which is no clip."""
    place = tmp_path_factory.mktemp("planted")
    with pytest.MonkeyPatch.context() as patch:
        install(place / "plugin", patch, PLANTED)
        folder = place / "clips"
        folder.mkdir()
        for index, name in enumerate(planted_metrics.NAMES):
            write_clip(folder / f"{name}.mp4", moving_pattern(5, 64, 64, seed=index), noise(0.2, seed=index))
        (folder / "broken.mp4").write_bytes(b"no clip at all")
        yield folder
    metrics.registry.forget()


@pytest.fixture(scope="module")
def found(planted, tmp_path_factory) -> Validity:
    return tb.validity(
        planted, metrics=list(PLANTED), damage="blur,container", out=tmp_path_factory.mktemp("found"), workers=2
    )


def cell(found: Validity, quantity: str, damage: str = "blur"):
    (one,) = (each for each in found.cells if (each.quantity.name, each.damage) == (quantity, damage))
    return one


@pytest.mark.parametrize("course", planted_metrics.COURSES)
def test_planted_courses_get_their_verdicts(found, course):
    planted, verdict = planted_metrics.COURSES[course]
    one = cell(found, course)
    assert one.verdict == verdict and one.failed == (verdict in ("wrong", "blind"))
    np.testing.assert_allclose([change.change for change in one.changes], planted, atol=1e-9)
    assert [change.grade for change in one.changes] == [0.5, 1, 2, 4]


def test_staying_is_a_claim_too(found):
    assert cell(found, "steady").verdict == "right" and cell(found, "steady").direction == "same"
    assert cell(found, "nervous").verdict == "wrong" and cell(found, "nervous").direction == "up"
    nearly = cell(found, "nearly_steady")
    assert nearly.changes[-1].moved and nearly.verdict == "right", "clear, and small beside what clips differ by"


def test_without_a_claim_the_direction_is_told(found):
    assert {each.verdict for each in found.cells if each.damage == "container"} == {"observed"}
    assert cell(found, "falling", "container").direction == "same"


def test_a_distance_between_sets_is_judged_by_its_clips(found):
    one = cell(found, "planted_mean")
    assert one.verdict == "right" and one.changes[-1].change == pytest.approx(-4)
    assert all(change.error is not None for change in one.changes)


def test_a_clip_that_fails_stays_counted(found):
    for one in found.cells:
        assert {(change.scored, change.total) for change in one.changes} == {(4, 5)}
        assert all(sum(change.reasons.values()) == 1 for change in one.changes)
    shown = found.to_markdown()
    assert "right ↓ 4/5" in shown and "could not be written" not in shown and "broken.mp4 is text" in shown
    assert "Grades: `blur` 0.5, 1, 2, 4 % of the shorter side; `container` mkv, mov, ts." in shown


def test_rows_and_json_say_the_same(found):
    frame, document = found.to_frame(), found.as_dict()
    assert len(frame) == sum(len(each["grades"]) for each in document["cells"])
    row = frame.query("quantity == 'rising' and grade == 4").iloc[0]
    assert row.verdict == "wrong" and row.change == pytest.approx(row.value - row.control)
    assert document["failed"] == len(found.failed) == 3 and document["exit_status"] == found.exit_status == 1
    json.dumps(document, allow_nan=False)


def test_the_same_command_goes_on_where_it_was_interrupted(planted, found, tmp_path):
    """With one worker, in two tries; the answer is that of two workers in one."""
    asked = {"metrics": list(PLANTED), "damage": ["blur", "container"], "out": tmp_path / "out", "workers": 1}
    steps = []

    def stop(step):
        steps.append(step)
        if step.phase == "scoring" and step.done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tb.validity(planted, progress=stop, **asked)
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "clips").rglob("*.m*")}
    measured = []
    again = tb.validity(planted, progress=measured.append, **asked)
    assert again.as_dict() == found.as_dict()
    assert all(path.stat().st_mtime_ns == time for path, time in written.items())
    texts = [step.text for step in measured if step.phase == "scoring"]
    assert not any(text == "control planted/courses one" for text in texts), "it was measured before"


def test_metrics_and_grades_can_be_added(planted, tmp_path):
    tb.validity(planted, metrics="planted", damage="blur", grades=[1], out=tmp_path, workers=1)
    more = tb.validity(planted, metrics="planted_set", damage="blur", grades=[1, 3], out=tmp_path, workers=1)
    assert [(each.metric, len(each.changes)) for each in more.cells] == [("planted_set/mean", 2)]


def test_the_command_says_it_and_ends_with_status_1(planted, found, tmp_path):
    words = ["validity", str(planted), "--metrics", "planted", "--damage", "blur", "--grades", "1,4", "--out",
             str(tmp_path / "out"), "--workers", "1"]  # fmt: skip
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 1 and "| `rising` | **wrong** ↑ 4/5 |" in done.stdout
    assert "`rising` under `blur` (claims: falls) at 0.5: +0.100 ± 0.000 (4/5); 4: +0.400 ±" in done.stdout
    assert "claims fail: exit status 1" in done.stderr
    as_json = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert [grade["grade"] for grade in as_json["cells"][0]["grades"]] == [0.5, 4]


def test_another_set_of_clips_needs_another_folder(planted, tmp_path):
    files = [planted / "one.mp4", planted / "two.mp4"]
    asked = {"metrics": "planted", "damage": "container", "grades": [1], "out": tmp_path, "workers": 1}
    assert tb.validity(files, **asked).clips == 2
    with pytest.raises(ValueError, match=r"damaged copies of other clips too.*choose another --out"):
        tb.validity(files[:1], **asked)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"damage": "blurr"}, "there is no 'blurr'.*blur"), ({"grades": [5]}, "grades"),
     ({"metrics": "psnrr"}, "unknown metric"),
     ({"metrics": "cuts", "options": {"psnr": {"size": 1}}}, "options for psnr, which is not measured")],
)  # fmt: skip
def test_what_is_wrong_with_a_request_is_said_before_anything_is_written(planted, tmp_path, wrong, said):
    with pytest.raises(ValueError, match=said):
        tb.validity(planted, out=tmp_path / "out", **wrong)
    assert not (tmp_path / "out").exists()


def metric(**attributes) -> type[Metric]:
    described = {"id": "ours/one", "title": "Ours", "paper": "none", "quantities": (Quantity("ours", "Ours", "none"),)}
    return type("Ours", (Metric,), {
        **described, "protocol": property(lambda self: Protocol(self.id)), "measure": lambda self, pair: None,
        **attributes,
    })  # fmt: skip


@pytest.mark.parametrize(
    ("claims", "said"),
    [({"theirs": {"blur": "up"}}, "'theirs', which is none of its quantities"),
     ({"ours": {"blurr": "up"}}, "got 'blurr': 'up'; damages are blur, "),
     ({"ours": {"blur": "higher"}}, "got 'blur': 'higher'.*responses up, down, same")],
)  # fmt: skip
def test_claims_of_what_is_not_there_break_a_metric(claims, said):
    metrics._check("ours/one", metric(validity={"ours": {"blur": "up", "container": "same"}}))
    with pytest.raises(ValueError, match=said):
        metrics._check("ours/one", metric(validity=claims))


def test_metrics_that_mislead_are_measured_by_name_alone():
    for name in ("envelope/haar", "av_align/tempotokens"):
        assert not metric_class(name).by_default and "no lip-sync score" in metric_class(name).title
        assert name not in resolve(["all"]) and name not in metrics.registry.preferred("all")
        assert resolve([name.split("/")[0]]) == [name]
    shown = CliRunner().invoke(app, ["list", "metrics"], env={"COLUMNS": "250"}).stdout
    assert shown.count("by its name alone") == 2
    listed = tb.list_metrics().set_index("id").by_default
    assert not listed["av_align/tempotokens"] and listed["psnr/rgb"]


# Real metrics on GridFace's faces and voices -------------------------------------------------------------------------

_CHOSEN = {"psnr", "ssim", "stoi", "sync_c_gridface", "sync_d_zero_gridface", "sync_offset_gridface"}


@pytest.fixture(scope="module")
def talking(tmp_path_factory):
    for name in ("torch", "espeakng_loader", "pystoi", "python_speech_features"):
        pytest.importorskip(name, reason=f"{name} is not installed")
    from talking_clips import write_clips

    return write_clips(tmp_path_factory.mktemp("talking") / "clips", 3, 160, 2.4)


def test_metrics_that_need_no_download_notice_what_they_claim(talking, tmp_path):
    found = tb.validity(
        talking, metrics="psnr,ssim,stoi,sync/gridface", out=tmp_path, workers=2, grades=[4],
        damage="blur,freeze,mouth_frozen,desync,sound_noise",
    )  # fmt: skip
    assert not found.failed, found.to_markdown()
    assert {each.quantity.name for each in found.cells if each.verdict == "right"} >= _CHOSEN, found.to_markdown()
    assert cell(found, "sync_offset_gridface", "desync").changes[-1].change == -10, "400 ms are ten frames"
    assert cell(found, "psnr", "sound_noise").direction == cell(found, "stoi", "blur").direction == "same"


@pytest.mark.slow
def test_every_damage_and_grade(talking, tmp_path):
    found = tb.validity(talking, metrics="psnr,ssim,stoi,pesq,sync/gridface", out=tmp_path)
    assert not found.failed and found.tested > 40, found.to_markdown()


@pytest.mark.slow
def test_all_that_can_run_on_real_clips(clips_folder, tmp_path):
    """With the weights that are there; ``t2av-bench weights fetch all`` brings the others."""
    (tmp_path / "clips").mkdir()
    seconds = 4.4 if weights.is_present("syncnet_v2") else 2.4  # SyncNet's tracks have a hundred frames
    for name in ("hdtf_aoc.mp4", "talker_output.mp4", "ovi_1.mp4"):
        cut_clip(clips_folder / name, tmp_path / "clips" / name, seconds)
    found = tb.validity(tmp_path / "clips", damage="blur,freeze,mouth_frozen,desync,sound_noise", grades=[4],
                        out=tmp_path / "out")  # fmt: skip
    assert not [each for each in found.failed if each.verdict == "wrong" and each.claim != "same"], found.to_markdown()


def test_originals_of_clips_that_are_links_stay_in_the_folder(tmp_path):
    """A link in the run's folder would lead out of it, where no manifest may point."""
    from t2av_bench.validation.making import _link

    (tmp_path / "clips").mkdir()
    (tmp_path / "kept").mkdir()
    (tmp_path / "elsewhere.mp4").write_bytes(b"a clip")
    (tmp_path / "clips" / "a.mp4").symlink_to(tmp_path / "elsewhere.mp4")
    _link(tmp_path / "clips" / "a.mp4", tmp_path / "kept" / "a.mp4", "choose another folder")
    kept = tmp_path / "kept" / "a.mp4"
    assert not kept.is_symlink() and kept.read_bytes() == b"a clip"
