"""Planted metrics get the sizes that were planted; the same call continues; the command says it."""

import json
import math

import budget_metrics
import numpy as np
import pytest
from media_factory import moving_pattern, noise, write_clip
from plugin_factory import install
from typer.testing import CliRunner

pytest.importorskip("cv2", reason="OpenCV is not installed")

import t2av_bench as tb
from t2av_bench import metrics
from t2av_bench.cli.main import app
from t2av_bench.media.clip import Clip
from t2av_bench.validation.pictures import Source, jittered

PLANTED = {
    "budget/planted": "budget_metrics:Planted", "budget/other": "budget_metrics:Other",
    "budget/worded": "budget_metrics:Worded",
}  # fmt: skip
ASKED = ["budget/planted", "budget/worded"]


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """The planted metrics, installed, and four small clips of two speakers."""
    place = tmp_path_factory.mktemp("planted")
    with pytest.MonkeyPatch.context() as patch:
        install(place / "plugin", patch, PLANTED)
        folder = place / "clips"
        folder.mkdir()
        lines = []
        for index, name in enumerate(budget_metrics.LEVELS):
            write_clip(folder / f"{name}.mp4", moving_pattern(8, 64, 64, seed=index), noise(0.32, seed=index))
            lines.append(json.dumps({"id": name, "text": "words", "language": "en", "speaker": "ab"[index // 2]}))
        (place / "items.jsonl").write_text("\n".join(lines) + "\n")
        yield folder
    metrics.registry.forget()


@pytest.fixture(scope="module")
def found(clips, tmp_path_factory):
    out = tmp_path_factory.mktemp("found") / "budget.json"
    made = tb.budget(clips, manifest=clips.parent / "items.jsonl", metrics=ASKED, out=out, workers=2)
    assert tb.open_budget(out) == made, "the file holds what was returned"
    return made


def variants(found, quantity, source):
    return {each.variant: each for each in found.find(quantity).variants if each.source == source}


def test_planted_changes_are_found(found):
    encoding = variants(found, "planted_up", "encoding")
    assert [round(each.shift, 9) for each in encoding.values()] == [0.25, 0.5, -0.25]
    assert encoding["16 CRF"].deviation == pytest.approx(0) and encoding["16 CRF"].largest == pytest.approx(0.25)
    # Both speakers have a clip that rises and one that falls: their means stand still, and groups are what is drawn.
    assert encoding["18 CRF"].deviation == pytest.approx(0) and encoding["18 CRF"].largest == pytest.approx(0.6)
    (crop,) = (each for each in variants(found, "planted_up", "crop").values() if each.largest)
    assert crop.variant == "4 % of either side" and crop.largest == pytest.approx(1)
    assert all(each.scored == each.total == 4 for each in encoding.values())


def test_sizes_are_those_of_the_variants_with_the_control_among_them(found):
    sizes = {size.source: size for size in found.find("planted_up").sizes}
    assert sizes["encoding"].deviation == pytest.approx(np.std([0, 0.25, 0.5, -0.25]))
    assert sizes["encoding"].largest == pytest.approx(0.6)
    assert sizes["frame_rate"].deviation == 0 and sizes["frame_rate"].largest == 0
    shy = {size.source: size.deviation for size in found.find("planted_shy").sizes}
    assert shy["encoding"] == 0 < shy["sampling"] == sizes["sampling"].deviation


def test_sampling_is_split_by_speaker(found):
    entry = found.find("planted_up").sampling
    # Speaker a: 4 and 5, speaker b: 7 and 8. Mean squares 9 between and 0.5 within, two clips each.
    assert entry.within == pytest.approx(math.sqrt(0.5)) and entry.between == pytest.approx(math.sqrt((9 - 0.5) / 2))
    assert (entry.groups, entry.unit, entry.of) == (2, "speakers", "control")


def test_a_clip_that_fails_stays_counted(found):
    container = variants(found, "planted_up", "container")
    assert (container["ts"].scored, container["ts"].total) == (3, 4)
    assert container["ts"].reasons == {"nothing is seen in this one": 1}
    (size,) = (each for each in found.find("planted_up").sizes if each.source == "container")
    assert (size.scored, size.total) == (3, 4)
    assert " 3/4" in found.to_markdown() and "nothing is seen in this one (2)" in found.to_markdown()


def test_another_detector_is_an_error_between_protocols_alone(found):
    (other,) = variants(found, "planted_up", "detector").values()
    assert other.protocol and other.variant == "budget/other" and other.shift == pytest.approx(0.3)
    entry = found.find("planted_up")
    apart = entry.variance(100, protocols=True) - entry.variance(100)
    assert apart == pytest.approx(0.15**2), "one of two, with equal chances"
    assert found.find("planted_up_other") is None, "nobody asked for it"


def test_who_needs_the_text_has_no_size_for_length(found):
    early = variants(found, "planted_words", "length")
    assert all(each.shift is None and each.reasons == {"no text for this item": 4} for each in early.values())
    assert found.find("planted_words").unmeasured() == ["length"]
    assert variants(found, "planted_up", "length")["10 % of the time"].shift == 0


def test_the_same_command_goes_on_and_takes_other_sources(clips, tmp_path):
    asked = {"metrics": "budget/planted", "out": tmp_path / "mine.json", "workers": 1}
    first = tb.budget(clips, sources="encoding", **asked)
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "mine-run" / "clips").rglob("*.mp4")}
    steps = []
    more = tb.budget(clips, sources=["encoding", "container"], progress=steps.append, **asked)
    assert len(written) == 16 and all(path.stat().st_mtime_ns == time for path, time in written.items())
    texts = [step.text for step in steps if step.phase == "scoring"]
    assert "encoding-16 budget/planted one" not in texts and "container-mkv budget/planted one" in texts
    assert {each.source for each in first.entries[0].variants} == {"encoding"}
    assert {each.source for each in more.entries[0].variants} == {"encoding", "container"}
    assert more.entries[0].sampling.groups == 4, "without a manifest the clips are on their own"


def test_what_compares_takes_its_scatter_from_systems(clips, tmp_path):
    asked = {"metrics": "psnr", "sources": "container", "out": tmp_path / "b.json", "workers": 1}
    bare = tb.budget(clips, **asked).find("psnr")
    assert bare.sampling is None and "give --runs" in bare.unsampled and bare.scored == 4
    assert bare.resolution(50) is None and bare.resolution(50, paired=True) == 0
    changed = tmp_path / "system"
    changed.mkdir()
    for index, name in enumerate(budget_metrics.LEVELS):
        write_clip(changed / f"{name}.mp4", moving_pattern(8, 64, 64, seed=9 + index), noise(0.32, seed=index))
    run = tb.evaluate(changed, reference=clips, metrics="psnr", out=tmp_path / "run", workers=1)
    values = run.scores.query("quantity == 'psnr'").value
    full = tb.budget(clips, runs=[tmp_path / "run"], **asked).find("psnr")
    assert full.sampling.within == pytest.approx(values.std(ddof=1)) and full.sampling.of == "system"


def test_the_command_prints_and_writes_it(clips, tmp_path):
    words = ["budget", str(clips), "--out", str(tmp_path / "b.json"), "--metrics", "budget/planted", "--sources",
             "encoding", "--workers", "1", "--at", "50"]  # fmt: skip
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    # The shifts' variance, and that of one variant of four in which clips go up or down by 0.1 (n - 1: of four clips).
    size = math.sqrt(np.var([0, 0.25, 0.5, -0.25]) + 0.1**2 * 4 / 3 / 4)
    left = tb.open_budget(tmp_path / "b.json").find("planted_up").resolution(50)
    assert "not resolved at 50" in done.stdout and f"| {left:.3f} (" in done.stdout
    assert "| `planted_up` |" in done.stdout and f"{size:.3f} (0.600)" in done.stdout
    as_json = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert {"sampling", "encoding"} == {each["source"] for each in as_json["sizes"]}


def test_what_nobody_knows_is_refused_before_anything_is_written(clips, tmp_path):
    with pytest.raises(ValueError, match="there is no 'encodings'.*encoding"):
        tb.budget(clips, sources="encodings", out=tmp_path / "x.json")
    assert not list(tmp_path.iterdir())


def test_a_jittered_crop_is_one_window_of_the_picture(tmp_path):
    path = write_clip(tmp_path / "ramp.mp4", np.tile(np.linspace(0, 255, 64, dtype=np.uint8)[None, None, :, None],
                                                     (3, 64, 1, 3)), None)  # fmt: skip
    source = Source(Clip(path))
    before = np.stack(list(source.frames())).astype(float)
    after = np.stack(list(jittered(source, 25, np.random.default_rng(3)))).astype(float)
    assert after.shape == before.shape and np.abs(after[0] - after[2]).max() < 3, "the same window in every frame"
    slope = np.polyfit(np.arange(64), after[0].mean(axis=(0, 2)), 1)[0]
    assert slope == pytest.approx(0.75 * 255 / 63, rel=0.03), "three quarters of the ramp over the whole width"
