"""The combination of errors against drawn sets; the file; margins."""

import json
import math

import numpy as np
import pytest
from run_factory import SYNC_C, UTMOS, make_run

import t2av_bench as tb
from t2av_bench.comparison.margins import DEFAULT_MARGINS, Margin, beyond
from t2av_bench.results import budget as files
from t2av_bench.results import read
from t2av_bench.results.budget import Budget, BudgetError, Entry, Sampling, Variant
from t2av_bench.scores import Protocol

SHIFTS = {"encoding": (0.1, -0.05, 0.2), "crop": (0.0, 0.3)}
SCATTERS = {"encoding": (0.5, 0.8, 0.2), "crop": (1.0, 0.0)}
SYNC = Protocol("sync/joonson", {"version": 1}).fingerprint


def variant(source="encoding", name="x", shift=0.1, deviation=0.5, **more) -> Variant:
    size = {} if shift is None else {"shift": shift, "deviation": deviation, "largest": 2.0}
    return Variant(source=source, variant=name, scored=40, total=40, **size, **more)


def entry(**changes) -> Entry:
    variants = tuple(
        variant(source, f"v{place}", SHIFTS[source][place], SCATTERS[source][place])
        for source in SHIFTS for place in range(len(SHIFTS[source]))
    )  # fmt: skip
    given = {
        "metric": "sync/joonson", "quantity": "sync_c", "fingerprint": SYNC, "decimals": 3, "scored": 40, "total": 40,
        "sampling": Sampling(between=0.6, within=1.2, scored=40, total=40, groups=20, unit="speakers"),
        "variants": variants,
    }  # fmt: skip
    return Entry(**(given | changes))


def drawn(random: np.random.Generator, clips: int, groups: int, sets: int) -> np.ndarray:
    """Values of so many sets, each made by the model that the module states."""
    each = clips // groups
    found = random.normal(0, 0.6, (sets, groups)).mean(axis=1)
    found += random.normal(0, 1.2, (sets, groups, each)).mean((1, 2))
    for source, shifts in SHIFTS.items():
        chosen = random.integers(0, len(shifts) + 1, sets)
        scatter = np.array([0.0, *SCATTERS[source]])[chosen]
        found += np.array([0.0, *shifts])[chosen] + scatter * random.standard_normal((clips, sets)).mean(axis=0)
    return found


@pytest.mark.parametrize(("clips", "groups"), [(20, 10), (20, 20), (200, 25)])
def test_the_variance_is_that_of_drawn_sets(clips, groups):
    values = drawn(np.random.default_rng(1), clips, groups, 40_000)
    assert entry().variance(clips, groups) == pytest.approx(values.var(), rel=0.03)


def test_equal_systems_differ_by_more_once_in_twenty_times():
    random = np.random.default_rng(2)
    apart = np.abs(drawn(random, 100, 50, 40_000) - drawn(random, 100, 50, 40_000))
    assert (apart > entry().resolution(100, 50)).mean() == pytest.approx(0.05, abs=0.006)


def test_the_same_clips_leave_what_is_not_sampling():
    found = entry()
    assert found.variance(50, 25) - found.variance(50, paired=True) == pytest.approx(0.6**2 / 25 + 1.2**2 / 50)
    assert found.resolution(10**9, paired=True) == pytest.approx(
        1.959964 * math.sqrt(2 * sum(np.var([0, *each]) for each in SHIFTS.values())), rel=1e-5
    ), "no number of clips cures a shift"


def test_without_word_of_groups_there_are_as_many_clips_in_each_as_the_budget_has():
    assert entry().variance(200) == entry().variance(200, 100)


def test_what_was_not_measured_is_left_out_and_named():
    found = entry(variants=(variant(), variant("length", "y", None, reasons={"too short": 40})))
    assert found.unmeasured() == ["length"] and list(found.measured()) == ["encoding"]
    assert [(size.source, size.deviation) for size in found.sizes][-1] == ("length", None)
    nothing = entry(sampling=None, scored=0, variants=())
    assert nothing.resolution(200) is None and nothing.variance(200, paired=True) == 0
    with pytest.raises(ValueError, match="at least one clip"):
        found.variance(0)


def test_a_file_holds_it_whole_and_what_is_damaged_is_refused(tmp_path):
    made = Budget(clips=40, entries=(entry(), entry(quantity="sync_d", sampling=None)))
    made.save(tmp_path / "b.json")
    assert tb.open_budget(tmp_path / "b.json") == made
    assert len((tmp_path / "b.json").read_text().splitlines()) == 10, "a line a quantity"
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
        Variant(source="a", variant="b", shift=1.0, scored=2, total=2)


def test_the_packaged_budget_is_read_or_empty(tmp_path, monkeypatch):
    for file, clips in ((tmp_path / "none.json", 0), (tmp_path / "there.json", 12)):
        if clips:
            Budget(clips=clips).save(file)
        monkeypatch.setattr(files, "PACKAGED", file)
        files.packaged.cache_clear()
        assert tb.open_budget().clips == clips
    files.packaged.cache_clear()


def test_no_default_margin_is_below_the_errors(tmp_path):
    values = np.random.default_rng(0).normal(6, 1, 30)
    made = {SYNC_C: values, UTMOS: values / 2}
    before = read(make_run(tmp_path / "before", made, name="before"))
    mine = entry(variants=(variant(shift=0.8, deviation=0.0),))
    utmos = entry(quantity="utmos", metric="utmos/strong-v1", fingerprint="of another protocol")
    found = beyond(Budget(entries=(mine, utmos)), before)
    assert found["sync_c"].amount == pytest.approx(1.959964 * math.sqrt(2 * 0.4**2), rel=1e-5)
    assert found["utmos"] == DEFAULT_MARGINS["utmos"], "that protocol was not measured"
    small = entry(variants=(variant(shift=0.001, deviation=0.0),))
    assert beyond(Budget(entries=(small,)), before)["sync_c"] == DEFAULT_MARGINS["sync_c"]
    assert beyond(Budget(entries=(mine,)), before, {})["sync_c"].amount > 1, "a quantity without a margin gets one"
    assert beyond(Budget(entries=(mine,)), before, {"sync_c": Margin(0.5, relative=True)})["sync_c"].relative


def test_the_gate_takes_a_budget_and_what_is_declared_outweighs_it(tmp_path):
    values = np.random.default_rng(0).normal(6, 1, 60)
    before, after = (
        make_run(tmp_path / name, {SYNC_C: values - loss}, name=name) for name, loss in (("before", 0), ("after", 0.4))
    )
    Budget(entries=(entry(variants=(variant(shift=0.8, deviation=0.0),)),)).save(tmp_path / "b.json")

    def word(**options) -> str:
        return tb.regress(before, after, **options).verdicts[0].word

    assert word() == "worse" and word(budget=tmp_path / "b.json") == "equivalent"
    assert word(budget=tmp_path / "b.json", margins={"sync_c": 0.1}) == "worse"
