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
from t2av_bench.results.budget import Budget
from t2av_bench.validation.damages import write
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


def source(found, quantity, name):
    (one,) = (each for each in found.find(quantity).sources if each.source == name)
    return one


def variants(found, quantity, name):
    return {each.variant: each for each in source(found, quantity, name).variants}


def test_planted_changes_are_found(found):
    encoding = variants(found, "planted_up", "encoding")
    assert [round(each.shift, 9) for each in encoding.values()] == [0.25, 0.5, -0.25]
    assert encoding["16 CRF"].deviation == pytest.approx(0) and encoding["16 CRF"].largest == pytest.approx(0.25)
    # Both speakers have a clip that rises and one that falls: their means stand still, and groups are what is drawn.
    assert encoding["18 CRF"].deviation == pytest.approx(0) and encoding["18 CRF"].largest == pytest.approx(0.6)
    (crop,) = (each for each in variants(found, "planted_up", "crop").values() if each.largest)
    assert crop.variant == "4 % of either side" and crop.largest == pytest.approx(1)
    assert all(each.scored == each.total == 4 for each in encoding.values())


def test_sizes_part_what_all_clips_share_from_their_own(found):
    encoding, still = source(found, "planted_up", "encoding"), source(found, "planted_up", "frame_rate")
    assert encoding.shared == pytest.approx(np.std([0, 0.25, 0.5, -0.25], ddof=1), rel=1e-5)
    assert encoding.own == pytest.approx(0, abs=1e-6) and encoding.largest == pytest.approx(0.6)
    assert (still.shared, still.own, still.largest) == (0, 0, 0)
    shy = {each.source: each.shared for each in found.find("planted_shy").sources}
    assert shy["encoding"] == 0 and found.find("planted_shy").sampling == found.find("planted_up").sampling


def test_clips_that_go_up_and_down_share_nothing(clips, tmp_path):
    """Without speakers each clip is drawn by itself: one of four crops moves half of them up by 1 and half down."""
    made = tb.budget(clips, metrics="budget/planted", sources="crop", out=tmp_path / "b.json", workers=1)
    crop = source(made, "planted_up", "crop")
    # Residual mean square: the variance 4/3 of the three differences from that crop, half of the mean over six pairs.
    assert crop.own == pytest.approx(math.sqrt(3 * (4 / 3) / 6 / 2), rel=1e-5) and crop.shared == 0
    assert made.find("planted_up").variance(4, paired=True) == pytest.approx(crop.own**2 / 4)


def test_sampling_is_split_by_speaker(found):
    entry = found.find("planted_up").sampling
    # Speaker a: 4 and 5, speaker b: 7 and 8. Mean squares 9 between and 0.5 within, two clips each.
    assert entry.within == pytest.approx(math.sqrt(0.5), rel=1e-5)
    assert entry.between == pytest.approx(math.sqrt((9 - 0.5) / 2), rel=1e-5)
    assert (entry.groups, entry.unit, entry.of) == (2, "speakers", None)


def test_a_clip_that_fails_stays_counted(found):
    container = variants(found, "planted_up", "container")
    assert (container["ts"].scored, container["ts"].total) == (3, 4)
    assert container["ts"].reasons == {"nothing is seen in this one": 1}
    assert source(found, "planted_up", "container").scored == 3
    assert "0 / 0 (3/4)" in found.to_markdown()


def test_another_detector_is_an_error_between_protocols_alone(found):
    detector = source(found, "planted_up", "detector")
    assert detector.protocol and detector.variants[0].shift == pytest.approx(0.3)
    assert detector.variants[0].variant == "budget/other"
    entry = found.find("planted_up")
    apart = entry.variance(100, protocols=True) - entry.variance(100)
    assert 2 * apart == pytest.approx(0.3**2, rel=1e-5), "one by this and one by the other differ by 0.3"
    assert found.find("planted_up_other") is None, "nobody asked for it"


def test_who_measures_the_end_has_no_error_of_length(found):
    early = source(found, "planted_words", "length")
    assert early.shared is None and early.reason == "how a clip ends is what it measures, and no error of it"
    assert found.find("planted_words").unmeasured() == ["length"]
    assert variants(found, "planted_up", "length")["10 % of the time"].shift == 0


def test_a_metric_without_weights_has_its_reason_and_its_published_scatter(clips, tmp_path, monkeypatch):
    monkeypatch.setenv("T2AV_BENCH_WEIGHTS", str(tmp_path / "none"))
    made = tb.budget(clips, metrics="sync/joonson,utmos", out=tmp_path / "b.json", workers=1)
    assert not (tmp_path / "b-run").exists(), "nothing to score, so nothing is written"
    sync, mos = made.find("sync_c"), made.find("utmos")
    assert sync.sampling.of and "syncnet_v2" in source(made, "sync_c", "encoding").reason and sync.scored == 0
    assert math.hypot(sync.sampling.between, sync.sampling.within) == pytest.approx(1.704, abs=0.001)
    assert mos.sampling is None and "utmos22_strong" in mos.unsampled and mos.resolution(200) is None
    assert made.find("sync_offset").sampling is None
    text = made.to_markdown()
    assert "\\* Sampling of MoCha's 220 clips" in text and "0.373 (–)" in text


def test_clips_of_one_value_say_nothing_of_others(clips, tmp_path):
    made = tb.budget(clips, metrics="cuts", sources="container", out=tmp_path / "b.json", workers=1)
    cuts = made.find("cuts")
    assert cuts.scored == 4 and cuts.sampling is None and "same value" in cuts.unsampled
    assert cuts.resolution(100) is None and cuts.resolution(100, paired=True) == 0


def test_metrics_are_added_to_what_a_file_has(clips, tmp_path):
    asked = {"out": tmp_path / "b.json", "sources": "encoding", "workers": 1}
    tb.budget(clips, metrics="budget/planted", **asked)
    both = tb.budget(clips, metrics="budget/worded", add=True, **asked)
    assert {each.metric for each in both.entries} == {"budget/planted", "budget/worded"}
    again = tb.budget(clips, metrics="budget/worded", add=True, **asked)
    assert again == both, "measured again, not twice"
    alone = tb.budget(clips, metrics="budget/worded", **asked)
    assert {each.metric for each in alone.entries} == {"budget/worded"}


def test_what_was_measured_where_nothing_was_lacking_is_not_lost(clips, tmp_path, monkeypatch):
    monkeypatch.setenv("T2AV_BENCH_WEIGHTS", str(tmp_path / "none"))
    asked = {"metrics": "utmos", "out": tmp_path / "b.json", "workers": 1}
    bare = tb.budget(clips, **asked).find("utmos")
    measured = bare.model_copy(update={"scored": 4, "reasons": {}})
    for method, kept in ((bare.method, measured), ("of other parameters", bare)):
        Budget(entries=(measured.model_copy(update={"method": method}),)).save(tmp_path / "b.json")
        assert tb.budget(clips, add=True, **asked).entries == (kept,)


def test_one_clip_has_no_sizes_and_says_why(clips, tmp_path):
    made = tb.budget(clips / "one.mp4", metrics="cuts", sources="container", out=tmp_path / "b.json", workers=1)
    assert source(made, "cuts", "container").reason == "fewer than two clips have a score in all variants"
    text = made.to_markdown()
    assert "No quantity has a size." in text and "| quantity |" not in text
    with pytest.raises(ValueError, match="b-run holds damaged copies of other clips too .*choose another --work"):
        tb.budget(clips / "two.mp4", metrics="cuts", sources="container", out=tmp_path / "b.json", add=True, workers=1)


def test_the_same_command_goes_on_and_takes_other_sources(clips, tmp_path):
    asked = {"metrics": "budget/planted", "out": tmp_path / "mine.json", "workers": 1}
    first = tb.budget(clips, sources="encoding", **asked)
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "mine-run" / "clips").rglob("*.mp4")}
    steps = []
    more = tb.budget(clips, sources=["encoding", "container"], progress=steps.append, **asked)
    assert len(written) == 16 and all(path.stat().st_mtime_ns == time for path, time in written.items())
    texts = [step.text for step in steps if step.phase == "scoring"]
    assert "encoding-16 budget/planted one" not in texts and "container-mkv budget/planted one" in texts
    assert [each.source for each in first.entries[0].measured()] == ["encoding"]
    assert [each.source for each in more.entries[0].measured()] == ["encoding", "container"]
    assert source(first, "planted_up", "crop").reason == "not asked for (--sources)"
    assert more.entries[0].sampling.groups == 4, "without a manifest the clips are on their own"


def test_what_compares_does_so_with_the_items_own_references(clips, tmp_path):
    """A clip against itself would be at the ceiling, where no model's clip is."""
    asked = {"metrics": "psnr", "sources": "encoding,container", "out": tmp_path / "b.json", "workers": 1}
    bare = tb.budget(clips, **asked).find("psnr")
    assert bare.sampling is None and "no reference" in bare.unsampled and bare.scored == 0
    assert bare.resolution(50) is None and bare.resolution(50, paired=True) is None
    folder = tmp_path / "paired"
    folder.mkdir()
    lines = []
    for index, name in enumerate(budget_metrics.LEVELS):
        write_clip(folder / f"{name}-real.mp4", moving_pattern(8, 64, 64, seed=9 + index), noise(0.32, seed=index))
        lines.append(json.dumps({"id": name, "reference": f"{name}-real.mp4"}))
    (folder / "items.jsonl").write_text("\n".join(lines) + "\n")
    asked |= {"out": tmp_path / "paired.json", "manifest": folder / "items.jsonl"}
    found = tb.budget(clips, **asked)
    psnr = found.find("psnr")
    run = tb.evaluate(clips, manifest=folder / "items.jsonl", metrics="psnr", out=tmp_path / "run", workers=1)
    values = run.scores.query("quantity == 'psnr'").value
    assert psnr.sampling.within == pytest.approx(values.std(ddof=1), rel=0.05)
    assert source(found, "psnr", "container").largest == 0
    assert 0 < source(found, "psnr", "encoding").largest < 0.1 * values.mean(), "far from the ceiling"


def test_the_command_prints_and_writes_it(clips, tmp_path):
    words = ["budget", str(clips), "--out", str(tmp_path / "b.json"), "--metrics", "budget/planted", "--sources",
             "encoding", "--workers", "1", "--at", "50"]  # fmt: skip
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    size = source(tb.open_budget(tmp_path / "b.json"), "planted_up", "encoding")
    left = tb.open_budget(tmp_path / "b.json").find("planted_up").resolution(50)
    assert "not resolved at 50" in done.stdout and f"| {left:.3f} (" in done.stdout
    assert "| `planted_up` |" in done.stdout and f"| {size.shared:.3f} / {size.own:.3f} |" in done.stdout
    as_json = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert [each["source"] for each in as_json["entries"][0]["sources"] if each["own"] is not None] == ["encoding"]


def test_what_nobody_knows_is_refused_before_anything_is_written(clips, tmp_path):
    with pytest.raises(ValueError, match="there is no 'encodings'.*encoding"):
        tb.budget(clips, sources="encodings", out=tmp_path / "x.json")
    with pytest.raises(ValueError, match="--out: .* is a folder; expected a JSON file"):
        tb.budget(clips, out=tmp_path)
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


def test_encodings_change_picture_and_sound(clips, tmp_path):
    """What is said of a metric of sound must have been tried on sound."""
    paths = [tmp_path / "clips" / f"encoding-{crf}" / "one.mp4" for crf in (16, 20)]
    for crf, path in zip((16, 20), paths, strict=True):
        write(Source(Clip(clips / "one.mp4")), "one", "encoding", crf, path, path)
    pictures = [np.stack(list(Source(Clip(path)).frames())).astype(float) for path in paths]
    sounds = [Clip(path).audio(48_000) for path in paths]
    assert 0 < np.abs(pictures[0] - pictures[1]).mean() < 6
    assert 0 < np.abs(sounds[0] - sounds[1]).max() and sounds[0].shape == sounds[1].shape
