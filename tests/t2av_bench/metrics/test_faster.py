"""The page of the faster protocols: made from what was measured, and without a gap."""

import importlib
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from t2av_bench.faces.find import Faces
from t2av_bench.faces.track import Track

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def bench():
    """Both scripts as modules."""
    sys.path.insert(0, str(ROOT / "bench"))
    try:
        yield importlib.import_module("protocol_prices"), importlib.import_module("protocol_page")
    finally:
        sys.path.remove(str(ROOT / "bench"))


def test_the_page_is_what_was_measured(bench):
    prices, page = bench
    kept = json.loads(prices.KEPT.read_text())
    assert (ROOT / "docs" / "faster.md").read_text() == page.page(kept), (
        "docs/faster.md is stale: python bench/protocol_page.py > docs/faster.md"
    )


def test_every_faster_option_has_its_price_or_says_that_it_has_none_yet(bench):
    prices, page = bench
    kept = json.loads(prices.KEPT.read_text())
    assert set(page.offered()) >= {"sync/exact", "sync/exact-blazeface", "fid/clean", "kid/clean", "fvd/styleganv"}
    priced = {(row["metric"], row["option"]) for row in kept["values"]}
    for id, text, _ in prices.asked():
        assert (id, text) in priced or id in kept["not_measured"], (id, text)
    assert {row["every"] for row in kept["boxes"]} == set(prices.EVERY)
    text, measured = page.page(kept), {row["clips"].partition("-")[0] for row in kept["boxes"]}
    assert "control" in measured
    for kind in prices.PICTURES:
        assert kind in measured or re.search(rf"Not measured yet: .*\b{kind}\b", text), kind


def track(first, boxes):
    return Track(np.arange(first, first + len(boxes)), np.asarray(boxes, float), len(boxes))


def test_a_track_that_is_the_same_moved_nothing_and_one_beside_it_moved_by_that_much(bench):
    prices, _ = bench
    exact = [track(10, np.tile([100, 100, 300, 300], (40, 1)))]
    assert set(prices.compared(exact, exact)) == {(1.0, 0.0)}
    beside = [track(10, np.tile([150, 100, 350, 300], (20, 1)))]
    found = list(prices.compared(exact, beside))
    assert found[20:] == [None] * 20
    # 150 of 250 pixels shared; the crop is 1.4 times 200 pixels wide, of which 50 are 40 of 224.
    middle = found[7:13]
    assert all(each[0] == pytest.approx(0.6) and each[1] == pytest.approx(40, abs=0.2) for each in middle)


def test_sparser_looks_at_what_was_seen_are_sparse_looks(bench):
    prices, _ = bench
    boxes = [np.array([[50 + number, 60, 210 + number, 230, 0.9]]) for number in range(150)]
    tracks, looks = prices.sparser(Faces(boxes, [(0, 150)]), 10)
    assert looks == 16 and len(tracks) == 1
    np.testing.assert_allclose(tracks[0].boxes, np.concatenate(boxes)[:, :4])


def test_a_row_says_how_many_clips_differ_by_how_much(bench):
    prices, _ = bench
    from t2av_bench.metrics import create

    metric = create("sync/crop")
    exact = [{"sync_c_crop": 5.0}, {"sync_c_crop": 3.0}, None, None, {"sync_c_crop": 1.0}]
    other = [{"sync_c_crop": 5.5}, {"sync_c_crop": 3.0}, {"sync_c_crop": 1.0}, None, {"sync_c_crop": 0.9}]
    row = prices._row("sync/crop", "dtype=bfloat16", "control", metric, "sync_c_crop", exact, other)
    assert (row.clips, row.changed, row.same, row.exact) == (3, 1, 1, 3.0)
    assert row.difference_median == pytest.approx(0.1) and row.difference_largest == pytest.approx(0.5)
