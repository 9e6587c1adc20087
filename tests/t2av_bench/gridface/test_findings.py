"""The page on the paper's claims: its tables are those of the committed differences, which are those of the runs."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from run_factory import WER, make_run
from scipy import stats
from table_factory import scored_run

import t2av_bench as tb
from t2av_bench.gridface.validation import findings
from t2av_bench.results.run import open_run
from t2av_bench.scores import Quantity, Score

ROOT = Path(__file__).resolve().parents[3]
SYNC = ("sync/gridface", Quantity("sync_c_gridface", "Sync-C (GridFace)", "higher"))
COUNT = 30


@pytest.fixture(scope="module")
def differences() -> pd.DataFrame:
    return findings.read(ROOT / findings.DIFFERENCES)


@pytest.fixture(scope="module")
def page() -> str:
    return (ROOT / findings.PAGE).read_text(encoding="utf-8")


def runs(seed: int, centres: list[float]):
    random = np.random.default_rng(seed)
    return [
        scored_run(f"{seed} {place}", {SYNC: list(random.normal(centre, 0.1, COUNT))}, ["en"] * COUNT)
        for place, centre in enumerate(centres)
    ]


def test_the_tables_are_made_of_the_committed_numbers(page, differences):
    assert findings.filled(page, findings.tables(differences)) == page, (
        "docs/findings.md is stale: python -m t2av_bench.gridface.validation.findings embedded-run"
    )


def test_sentences_hold_no_measured_number_that_could_go_stale(page):
    sentences = re.sub(r"(<!-- [\w-]+ -->\n).*?<!-- end -->", "", page, flags=re.DOTALL)
    assert set(re.findall(r"\d+\.\d+", re.sub(r"arXiv \d+\.\d+", "", sentences))) <= {"0.48", "2.1"}


def test_the_committed_numbers_are_those_of_the_committed_tables(differences):
    """One state of the runs behind both."""
    main, small = (pd.read_csv(ROOT / f"reports/embedded/embedded-{n}.csv", index_col="system") for n in (1, 4))
    pooled = differences[differences.seed == "all"]
    assert len(pooled) == 12
    for row in pooled.itertuples():
        for system, value in (("Talker-T2AV", row.first), ("Dual-branch", row.second)):
            assert value == pytest.approx(main.loc[system, f"{row.language}_{row.quantity}"], abs=2e-3, rel=1e-3)
    cascades = differences[differences.claim == "cascades"]
    for row in cascades.itertuples():
        shown = main.loc[findings.CASCADES[row.system], f"{row.language}_{row.quantity}"]
        assert row.second == pytest.approx(shown, abs=1e-4, rel=1e-4)
    for row in differences[differences.claim == "arrangements"].itertuples():
        task = next((task for task in ("a2v", "v2a") if row.system.endswith(task)), "")
        shown = small.loc["Add" + f", {task.upper()}" * bool(task), f"en_{row.quantity}"]
        assert row.second == pytest.approx(shown, abs=1e-4, rel=1e-4)


def test_every_contrast_of_the_claims_is_there_with_its_interval(differences):
    counts = differences.groupby("claim").size().to_dict()
    assert counts == {"dual-branch": 2 * 4 * 6, "cascades": 2 * 3 * 6, "arrangements": 4 * (6 + 4 + 4)}
    assert (differences.low <= differences.difference).all() and (differences.difference <= differences.high).all()
    assert differences[differences.seed.isin(("all", ""))].p_holm.between(0, 1).all()


def test_the_sentences_are_what_the_numbers_say(differences):
    """Whoever makes the tables anew reads the sentences again where one of these fails."""
    main = differences[differences.seed.isin(("all", ""))]
    says = {(row.system, row.language, row.quantity): findings.verdict(row) for row in main.itertuples()}
    pairs = {(row.system, row.language, row.quantity): row.seeds_for for row in main.itertuples()}
    dual = {(language, quantity): (says[system, language, quantity], pairs[system, language, quantity])
            for system, language, quantity in says if system == "dual-branch"}  # fmt: skip
    sync = ("sync_c_gridface", "sync_d_gridface")
    for language in ("en", "zh"):
        assert dual[language, "dnsmos_ovrl"] == ("for", "9 of 9")
        assert dual[language, "fd_clip_gridface"][0] == "for" and dual[language, "fd_frame_gridface"][0] == "open"
        words = {"en": "wer_gridface", "zh": "cer_gridface"}[language]
        assert says["cascaded-espeak", language, words] == "against"
        for quantity in sync:
            assert dual[language, quantity] == {"en": ("against", "0 of 9"), "zh": ("for", "9 of 9")}[language]
            assert says["cascaded", language, quantity] == "for"
            assert {says[f"cascaded-{second}", language, quantity] for second in ("diffusion", "espeak")} == {"against"}
    assert dual["en", "wer_gridface"] == ("against", "0 of 9") and dual["zh", "cer_gridface"] == ("open", "9 of 9")
    found = {name: says[name, "en", "sync_c_gridface"] for name in main[main.claim == "arrangements"].system}
    assert found == {
        "interleaved-av": "for", "interleaved-va": "for", "delay-1": "for", "delay-3": "open",
        "interleaved-av-a2v": "for", "interleaved-va-a2v": "open", "delay-1-a2v": "for", "delay-3-a2v": "for",
        "interleaved-av-v2a": "against", "interleaved-va-v2a": "for", "delay-1-v2a": "against",
        "delay-3-v2a": "against",
    }  # fmt: skip
    words = [says[name, "en", "wer_gridface"] for name in ("interleaved-av", "interleaved-va", "delay-1", "delay-3")]
    assert words == ["against", "open", "against", "against"]


def test_one_runs_difference_is_the_one_that_compare_tells(tmp_path):
    random = np.random.default_rng(0)
    folders = [
        make_run(tmp_path / name, {WER: [Score.ok(value, 6.0) for value in random.integers(0, 4, COUNT) / 6]},
                 name=name, speakers=[f"person {clip % 10}" for clip in range(COUNT)])
        for name in ("ours", "theirs")
    ]  # fmt: skip
    found = findings.contrast([open_run(folders[0])], [open_run(folders[1])], "wer")
    (told,) = tb.compare([folders[1], folders[0]]).to_frame().itertuples()
    assert (found["first"], found["second"]) == (told.second, told.first)
    assert found["difference"] == told.difference and found["p_holm"] is None
    # The same draws, of speakers in another order.
    assert (found["low"], found["high"]) == pytest.approx((told.low, told.high), abs=0.01)
    assert found["speakers"] == 10 and found["seeds_low"] is None


def test_over_seeds_the_interval_is_welchs_and_clips_count_by_their_mean():
    ours, theirs = runs(1, [0.6, 0.7, 0.8]), runs(2, [0.5, 0.65, 0.5])
    found = findings.contrast(ours, theirs, "sync_c_gridface")
    singles = [findings.contrast([one], [other], "sync_c_gridface") for one, other in zip(ours, theirs, strict=True)]
    assert found["difference"] == pytest.approx(np.mean([each["difference"] for each in singles]))
    one, other = (np.array([each[side] for each in singles]) for side in ("first", "second"))
    errors = [np.var(side, ddof=1) / 3 for side in (one, other)]
    freedom = sum(errors) ** 2 / sum(error**2 / 2 for error in errors)
    reach = stats.t.ppf(0.975, freedom) * np.sqrt(sum(errors))
    ends = (found["difference"] - reach, found["difference"] + reach)
    assert (found["seeds_low"], found["seeds_high"]) == pytest.approx(ends)
    better = sum(a > b for a in one for b in other)
    assert found["seeds_for"] == f"{better} of 9"


def test_a_mark_that_the_page_lacks_is_an_error():
    assert findings.filled("<!-- one -->\nold\n<!-- end -->", {"one": "new"}) == "<!-- one -->\nnew\n<!-- end -->"
    with pytest.raises(ValueError, match="0 marks <!-- two -->"):
        findings.filled("<!-- one -->\nold\n<!-- end -->", {"two": "new"})
