"""The combination of errors against drawn sets; the file; margins."""

import csv
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from run_factory import SYNC_C, UTMOS, make_run

import t2av_bench as tb
from t2av_bench.comparison.margins import DEFAULT_MARGINS, Margin, beyond
from t2av_bench.metrics import create
from t2av_bench.results import budget as files
from t2av_bench.results import read
from t2av_bench.results.budget import Budget, BudgetError, Entry, Sampling, Source, Variant, method_of
from t2av_bench.scores import Protocol
from t2av_bench.statistics.components import components
from t2av_bench.statistics.samples import Grouping, Sample

SHARED = {"encoding": 0.1, "crop": 0.3}
OWN = {"encoding": 0.5, "crop": 0.7}
SYNC = method_of(Protocol("sync/joonson", {"version": 1}))


def source(name="encoding", shared=0.1, own=0.5, **more) -> Source:
    variant = Variant(variant="x", shift=0.1, deviation=0.5, largest=2.0, scored=40, total=40)
    return Source(source=name, shared=shared, own=own, scored=40, variants=(variant,), **more)


def entry(**changes) -> Entry:
    given = {
        "metric": "sync/joonson", "quantity": "sync_c", "method": SYNC, "decimals": 3, "scored": 40, "total": 40,
        "sampling": Sampling(between=0.6, within=1.2, scored=40, total=40, groups=20, unit="speakers"),
        "sources": tuple(source(name, SHARED[name], OWN[name]) for name in SHARED),
    }  # fmt: skip
    return Entry(**(given | changes))


def drawn(random: np.random.Generator, clips: int, groups: int, sets: int) -> list[np.ndarray]:
    """Means of two equal systems each under conditions of its own: of the same clips, and of other ones; so often.

    A clip's scatter within its group, 1.2, is that of what it shows and of how it takes its conditions.
    """
    inner = math.sqrt(1.2**2 - sum(each**2 for each in OWN.values()))
    means = []
    people, shown = (random.normal(0, size, (3, sets)) for size in (0.6 / math.sqrt(groups), inner / math.sqrt(clips)))
    for index in (0, 0, 1):
        mean = people[index] + shown[index]
        for name in SHARED:
            mean = mean + random.normal(0, SHARED[name], sets) + random.normal(0, OWN[name] / math.sqrt(clips), sets)
        means.append(mean)
    return means


@pytest.mark.parametrize(("clips", "groups"), [(20, 10), (20, 20), (200, 25)])
def test_the_variance_is_that_of_equal_systems(clips, groups):
    one, same, other = drawn(np.random.default_rng(1), clips, groups, 40_000)
    assert (one - other).var() == pytest.approx(2 * entry().variance(clips, groups), rel=0.03)
    assert (one - same).var() == pytest.approx(2 * entry().variance(clips, groups, paired=True), rel=0.03)


def test_equal_systems_differ_by_more_once_in_twenty_times():
    one, same, other = drawn(np.random.default_rng(2), 100, 50, 40_000)
    assert (np.abs(one - other) > entry().resolution(100, 50)).mean() == pytest.approx(0.05, abs=0.005)
    assert (np.abs(one - same) > entry().resolution(100, 50, paired=True)).mean() == pytest.approx(0.05, abs=0.005)


def test_no_number_of_clips_cures_what_all_of_them_share():
    least = 1.959964 * math.sqrt(2) * math.hypot(*SHARED.values())
    assert entry().resolution(10**12) == pytest.approx(least, rel=1e-5)
    assert entry().resolution(10**12, paired=True) == pytest.approx(least, rel=1e-5)
    assert entry(sources=()).resolution(50, 50) == pytest.approx(1.959964 * math.sqrt(2 * (0.6**2 + 1.2**2) / 50))


def test_other_clips_never_resolve_less_than_the_same_ones():
    """Half as long, clips scatter more than whole: 9 of their own against 1.2 of the control."""
    found = entry(sources=(source("length", 0.1, 9.0),))
    assert found.variance(50, 50) == pytest.approx(0.1**2 + (0.6**2 + 9**2) / 50)
    assert found.variance(50, 50) > found.variance(50, paired=True) == pytest.approx(0.1**2 + 9**2 / 50)


def test_of_one_pipeline_encoding_alone_counts():
    found = entry(sources=(source(shared=0.05, own=9.0), source("container", 4.0), source("crop", 5.0)))
    assert found.writing == pytest.approx(1.959964 * math.sqrt(2) * 0.05, rel=1e-6)
    assert entry(sources=(source("crop", 5.0),)).writing is None


def test_other_protocols_count_where_nobody_knows_which_it_was():
    found = entry(sources=(source(shared=0.3), source("detector", 0.4, protocol=True)))
    assert found.variance(10**12, protocols=True) == pytest.approx(0.25) and found.variance(10**12) < 0.1
    assert [each.source for each in found.measured()] == ["encoding"]


def test_without_word_of_groups_there_are_as_many_clips_in_each_as_the_budget_has():
    assert entry().variance(200) == entry().variance(200, 100)


def test_what_was_not_measured_is_no_zero():
    lost = Source(source="length", reason="too short")
    found = entry(sources=(source(), lost))
    assert found.unmeasured() == ["length"] and [each.source for each in found.measured()] == ["encoding"]
    nothing = entry(sampling=None, unsampled="no weights", scored=0, sources=(lost,))
    assert nothing.resolution(200) is None and nothing.resolution(200, paired=True) is None and nothing.writing is None
    text = Budget(entries=(nothing, found)).to_markdown()
    assert "- too short: `sync/joonson` (length)" in text
    frame = Budget(entries=(found,)).to_frame().set_index("source")
    assert math.isnan(frame.shared["length"]) and frame.reason["length"] == "too short"
    assert (frame.shared["sampling"], frame.own["sampling"], frame.largest["encoding"]) == (0.6, 1.2, 2.0)
    with pytest.raises(ValueError, match="at least one clip"):
        found.variance(0)


def test_what_is_small_is_not_printed_as_nothing():
    text = Budget(entries=(entry(sources=(source(shared=0.0, own=0.0004),)),)).to_markdown(200)
    assert "| 0 / <0.001 |" in text and "| 1.342 |" in text


def test_a_method_holds_for_other_releases_and_weights_and_not_for_other_parameters():
    one = Protocol("a/b", {"size": 1}, {"w": None}, {"numpy": "1"})
    assert method_of(one) == method_of(Protocol("a/b", {"size": 1}, {"w": "abc"}, {"numpy": "2"}))
    assert len({method_of(each) for each in (one, Protocol("a/b", {"size": 2}), Protocol("a/c", {"size": 1}))}) == 3


def test_a_file_holds_it_whole_and_what_is_damaged_is_refused(tmp_path):
    made = Budget(entries=(entry(), entry(quantity="sync_d", sampling=None)))
    made.save(tmp_path / "b.json")
    assert tb.open_budget(tmp_path / "b.json") == made
    assert len((tmp_path / "b.json").read_text().splitlines()) == 9, "a line a quantity"
    document = json.loads((tmp_path / "b.json").read_text())
    for change, said in (
        ({"version": 7}, "has version 7"), ({"format": "x"}, "is no error budget"), ({"more": 1}, "damaged .more"),
        ({"entries": [document["entries"][0] | {"scored": -1}]}, "damaged .entries.0.scored"),
    ):  # fmt: skip
        (tmp_path / "bad.json").write_text(json.dumps(document | change))
        with pytest.raises(BudgetError, match=said):
            files.load(tmp_path / "bad.json")
    with pytest.raises(ValueError, match="cannot read.*'t2av-bench budget CLIPS --out FILE' writes one"):
        tb.open_budget(tmp_path / "none.json")
    with pytest.raises(ValueError, match="all or none"):
        Variant(variant="b", shift=1.0, scored=2, total=2)
    with pytest.raises(ValueError, match="two numbers, or a reason"):
        Source(source="a", shared=1.0, reason="both")


def test_the_packaged_budget_says_of_every_quantity_what_it_is_worth_or_why_not():
    found = tb.open_budget()
    kept = [(each.metric, each.quantity) for each in found.entries]
    assert len(set(kept)) == len(kept) > 30
    for each in found.entries:
        assert each.sampling or each.unsampled, each.quantity
        assert each.scored or each.reasons, each.quantity
        assert {one.source for one in each.sources} >= {"encoding", "container", "frame_rate", "crop", "length"}
    sync = found.find("sync_c", "sync/joonson")
    assert sync.sampling.of and sync.unmeasured(), "published spread, nothing measured"
    assert sync.resolution(200, 200) == pytest.approx(0.334, abs=0.001)
    # The harness's own protocols: a budget of last year's would fall silent in every table.
    stale = [one.metric for one in found.entries if method_of(create(one.metric).protocol) != one.method]
    assert not stale, f"measured by other parameters than the metrics have now: {sorted(set(stale))}"


def test_the_published_spread_is_that_of_the_published_scores():
    table = Path(tb.__file__).parent / "attestation" / "references" / "mochabench.csv"
    if not table.is_file():
        pytest.skip("the published scores by clip are not in this package")
    with table.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if len(row["offsets"].split()) == 1]
    by = {row["id"]: " ".join(re.sub(r"^\d+_", "", row["id"].split("/")[-1]).split("_")[:3]) for row in rows}
    for name in ("sync_c", "sync_d"):
        sample = Sample.of({row["id"]: float(row[name]) for row in rows}).grouped(Grouping(by, "persons"))
        kept = tb.open_budget().find(name, "sync/joonson").sampling
        assert components(sample) == (pytest.approx(kept.between, abs=1e-4), pytest.approx(kept.within, abs=1e-4))
        assert (len(sample), sample.units) == (kept.scored, kept.groups)


def test_no_default_margin_is_below_what_encoding_makes(tmp_path):
    values = np.random.default_rng(0).normal(6, 1, 30)
    made = {SYNC_C: values, UTMOS: values / 2}
    before = read(make_run(tmp_path / "before", made, name="before"))
    mine = entry(sources=(source(shared=0.4, own=9.0), source("crop", 9.0)))
    utmos = entry(quantity="utmos", metric="utmos/strong-v1", method="of another protocol")
    found = beyond(Budget(entries=(mine, utmos)), before)
    assert found["sync_c"].amount == pytest.approx(1.959964 * math.sqrt(2) * 0.4, rel=1e-6)
    assert found["utmos"] == DEFAULT_MARGINS["utmos"], "that protocol was not measured"
    small = entry(sources=(source(shared=0.001),))
    assert beyond(Budget(entries=(small,)), before)["sync_c"] == DEFAULT_MARGINS["sync_c"]
    assert beyond(Budget(entries=(mine,)), before, {}) == {}, "nobody has said what matters"
    assert beyond(Budget(entries=(mine,)), before, {"sync_c": Margin(0.5, relative=True)})["sync_c"].relative


def test_the_gate_takes_a_budget_and_what_is_declared_outweighs_it(tmp_path):
    values = np.random.default_rng(0).normal(6, 1, 60)
    before, after = (
        make_run(tmp_path / name, {SYNC_C: values - loss}, name=name) for name, loss in (("before", 0), ("after", 0.4))
    )
    Budget(entries=(entry(sources=(source(shared=0.4),)),)).save(tmp_path / "b.json")

    def word(**options) -> str:
        return tb.regress(before, after, **options).verdicts[0].word

    assert word() == "worse" and word(budget=tmp_path / "b.json") == "equivalent"
    text = tb.regress(before, after, budget=tmp_path / "b.json").to_markdown()
    assert "what encoding alone makes, by the error budget: Sync-C 1.10872 (0.25)." in text and "±1.10872" in text
    declared = tb.regress(before, after, budget=tmp_path / "b.json", margins={"sync_c": 0.1})
    assert not any("error budget" in note for note in declared.notes)
    assert word(budget=tmp_path / "b.json", margins={"sync_c": 0.1}) == "worse"
