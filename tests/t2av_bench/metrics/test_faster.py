"""The page of the faster protocols: made from what was measured, and without a gap."""

import importlib
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from t2av_bench.faces.find import Faces
from t2av_bench.faces.track import Track

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def bench():
    """The scripts as modules."""
    sys.path.insert(0, str(ROOT / "bench"))
    try:
        yield [importlib.import_module(f"protocol_{name}") for name in ("prices", "page", "stand_ins")]
    finally:
        sys.path.remove(str(ROOT / "bench"))


def test_the_page_is_what_was_measured(bench):
    prices, page, _ = bench
    kept = json.loads(prices.KEPT.read_text())
    assert (ROOT / "docs" / "faster.md").read_text() == page.page(kept), (
        "docs/faster.md is stale: python bench/protocol_page.py > docs/faster.md"
    )


def test_every_faster_option_has_its_price_or_says_that_it_has_none_yet(bench):
    prices, page, _ = bench
    kept = json.loads(prices.KEPT.read_text())
    assert set(page.offered()) >= {"sync/exact", "sync/exact-blazeface", "fid/clean", "kid/clean", "fvd/styleganv"}
    priced = {(row["metric"], row["option"]) for row in kept["values"]}
    for id, text, _ in prices.asked():
        assert (id, text) in priced or id in kept["not_measured"], (id, text)
    assert {row["every"] for row in kept["boxes"]} == set(prices.EVERY)
    assert {row["option"] for row in kept["stand_ins"]} == set(prices.OPTIONS)
    text, measured = page.page(kept), {row["clips"].partition("-")[0] for row in kept["boxes"]}
    assert "control" in measured
    for kind in prices.PICTURES:
        assert kind in measured or re.search(rf"Damage not measured yet: .*\b{kind}\b", text), kind


def track(first, boxes):
    return Track(np.arange(first, first + len(boxes)), np.asarray(boxes, float), len(boxes))


def test_a_track_that_is_the_same_moved_nothing_and_one_beside_it_moved_by_that_much(bench):
    prices, _, _ = bench
    exact = [track(10, np.tile([100, 100, 300, 300], (40, 1)))]
    assert set(prices.compared(exact, exact)) == {(1.0, 0.0)}
    beside = [track(10, np.tile([150, 100, 350, 300], (20, 1)))]
    found = list(prices.compared(exact, beside))
    assert found[20:] == [None] * 20
    # 150 of 250 pixels shared; the crop is 1.4 times 200 pixels wide, of which 50 are 40 of 224.
    middle = found[7:13]
    assert all(each[0] == pytest.approx(0.6) and each[1] == pytest.approx(40, abs=0.2) for each in middle)


def test_sparser_looks_at_what_was_seen_are_sparse_looks(bench):
    prices, _, _ = bench
    boxes = [np.array([[50 + number, 60, 210 + number, 230, 0.9]]) for number in range(150)]
    tracks, looks = prices.sparser(Faces(boxes, [(0, 150)]), 10)
    assert looks == 16 and len(tracks) == 1
    np.testing.assert_allclose(tracks[0].boxes, np.concatenate(boxes)[:, :4])


def test_a_row_says_how_many_clips_differ_by_how_much(bench):
    prices, _, _ = bench
    from t2av_bench.metrics import create

    metric = create("sync/crop")
    exact = [{"sync_c_crop": 5.0}, {"sync_c_crop": 3.0}, None, None, {"sync_c_crop": 1.0}]
    other = [{"sync_c_crop": 5.5}, {"sync_c_crop": 3.0}, {"sync_c_crop": 1.0}, None, {"sync_c_crop": 0.9}]
    row = prices._row("sync/crop", "dtype=bfloat16", "control", metric, "sync_c_crop", exact, other)
    assert (row.clips, row.changed, row.same, row.exact) == (3, 1, 1, 3.0)
    assert row.difference_median == pytest.approx(0.1) and row.difference_largest == pytest.approx(0.5)


def test_a_box_beside_the_exact_one_is_off_by_parts_of_the_face(bench):
    *_, stand_ins = bench
    exact = track(10, np.tile([100, 100, 300, 300], (40, 1)))
    np.testing.assert_array_equal(stand_ins.deviation(exact, exact)[7:-7], np.tile([0.0, 0.0, 1.0], (26, 1)))
    other = track(20, np.tile([120, 90, 320, 290], (60, 1)))
    off = stand_ins.deviation(exact, other)
    assert len(off) == 30
    np.testing.assert_allclose(off[7:-7], np.tile([0.1, -0.05, 1.0], (16, 1)))
    wider = stand_ins.deviation(exact, track(10, np.tile([50, 50, 350, 350], (40, 1))))
    np.testing.assert_allclose(wider[7:-7], np.tile([0.0, 0.0, 1.5], (26, 1)))
    assert stand_ins.deviation(exact, track(50, np.tile([0, 0, 9, 9], (5, 1)))) is None


def test_a_drawn_clip_is_cut_as_far_off(bench):
    *_, stand_ins = bench
    frames = np.random.default_rng(0).integers(0, 255, (3, 128, 128, 3)).astype(np.uint8)
    np.testing.assert_array_equal(stand_ins.moved(frames, np.array([[0.0, 0.0, 1.0]])), frames)
    # A drawn face is 64 of 128 pixels wide.
    shifted = stand_ins.moved(frames, np.array([[2 / 64, -3 / 64, 1.0]]))
    np.testing.assert_array_equal(shifted[:, 3:, :-2], frames[:, :-3, 2:])


@pytest.mark.slow
def test_the_price_is_measured_as_the_page_says(tmp_path, monkeypatch):
    """With weights of I3D that are random: its metrics have values, the others say what to fetch."""
    import media_factory as factory
    from tiny_networks import save_i3d
    from weights_table import install

    save_i3d(tmp_path / "i3d.pt")
    install(monkeypatch, tmp_path / "weights", {"i3d_torchscript": tmp_path / "i3d.pt"}, others=True)
    (tmp_path / "CLIPS").mkdir()
    for index in range(2):
        frames = factory.moving_pattern(20 + index)
        factory.write_lossless(tmp_path / "CLIPS" / f"c{index}.mkv", frames, factory.noise(0.9), fit_audio=True)
    told = (ROOT / "docs" / "faster.md").read_text()
    lines = re.findall(r"^python (bench/protocol_\w+\.py) (.*)$", told, re.MULTILINE)
    assert [script for script, _ in lines] == ["bench/protocol_prices.py", "bench/protocol_page.py"]
    for script, rest in lines:
        more = " --damaged 1 --kinds blur" if "CLIPS" in rest else ""
        command = f"{shlex.quote(sys.executable)} {shlex.quote(str(ROOT / script))} {rest}{more}"
        subprocess.run(command, shell=True, cwd=tmp_path, check=True)
    page = (tmp_path / "prices.md").read_text()
    assert "Measured on 2 real clips, 1 of them with damage too" in page
    for id in ("fvd/styleganv", "kvd/styleganv"):
        assert re.search(rf"^\| `{id}` \| dtype=bfloat16 \| control \|", page, re.MULTILINE), id
        assert f"- `{id}`" not in page
    assert "- `sync/exact`: missing: weights" in page and "| blur-2 |" in page
