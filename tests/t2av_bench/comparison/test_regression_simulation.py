"""The gate's promise, simulated: it finds a loss of one margin, and stays silent where there is none.

First on scores of our choice, then on measured ones of clips that were really damaged (see ``gate_studies``).
"""

from collections import Counter

import gate_studies
import numpy as np
import pytest
from run_factory import SYNC_C, SYNC_D, UTMOS, WER

from t2av_bench.comparison.gate import decide, judge
from t2av_bench.comparison.margins import DEFAULT_MARGINS
from t2av_bench.comparison.verdicts import Verdict
from t2av_bench.statistics.paired import paired_difference
from t2av_bench.statistics.planning import clips_to_decide
from t2av_bench.statistics.samples import Sample

pytestmark = pytest.mark.slow

QUANTITIES = (SYNC_C, SYNC_D, UTMOS, WER)
# SD over clips of the difference between two systems: two margins, as neighbouring checkpoints of one model may have.
# The number of clips grows with its square, so that the study itself is the same for systems further apart.
DEVIATIONS = {"sync_c": 0.5, "sync_d": 0.5, "utmos": 0.2}
STUDIES = 120
ERROR = 0.02  # one standard error of a share of 0.95 that so many studies give


def world(random: np.random.Generator, clips: int, losses: dict[str, float]) -> dict[str, tuple[Sample, Sample]]:
    """Scores of a baseline and a candidate; losses in margins."""
    names = tuple(f"{index:04d}" for index in range(clips))
    common = random.standard_normal((2, clips))  # a clip that is hard is hard for every metric
    found = {}
    for quantity in QUANTITIES[:3]:
        deviation = DEVIATIONS[quantity.name]
        sign = -1 if quantity.direction == "higher" else 1
        centre = random.gamma(4, 1, clips)
        noise = deviation * np.sqrt(0.5) * (0.6 * common + 0.8 * random.standard_normal((2, clips)))
        loss = sign * losses.get(quantity.name, 0.0) * DEFAULT_MARGINS[quantity.name].amount
        found[quantity.name] = tuple(
            Sample(names, centre + noise[system] + system * loss, np.ones(clips)) for system in (0, 1)
        )
    words = random.integers(8, 30, clips).astype(float)
    hard = random.binomial(words.astype(int), 0.05)
    rate = 0.0005 + np.array([0.0, losses.get("wer", 0.0) * DEFAULT_MARGINS["wer"].amount])
    errors = [hard + random.binomial(words.astype(int), rate[system]) for system in (0, 1)]
    found["wer"] = tuple(Sample(names, each.astype(float), words) for each in errors)
    return found


def verdicts(random: np.random.Generator, clips: int, losses: dict[str, float], study: int) -> dict[str, str]:
    made = world(random, clips, losses)
    found = []
    for quantity in QUANTITIES:
        difference = paired_difference(
            *made[quantity.name], quantity.name, str(study), draws=600 if losses else 300, flips=2000
        )
        found.append(Verdict("metric", quantity, "f", "not judged", difference))
    return {verdict.quantity.name: verdict.word for verdict in judge(found, DEFAULT_MARGINS)}


def verdict_alone(random: np.random.Generator, clips: int, name: str, loss: float, study: int, draws: int = 600) -> str:
    """One quantity's verdict with Bonferroni's correction for all of them, which is never milder than Holm's."""
    quantity = next(each for each in QUANTITIES if each.name == name)
    made = world(random, clips, {name: loss})[name]
    difference = paired_difference(*made, name, str(study), draws=draws, flips=2000)
    p = min(1.0, len(QUANTITIES) * difference.p)
    return decide(quantity, difference, p, DEFAULT_MARGINS[name].amount, tests=len(QUANTITIES))[0]


def recommended(quantity: str, deviation: float) -> int:
    return clips_to_decide(deviation, DEFAULT_MARGINS[quantity].amount, tests=len(QUANTITIES))


def test_a_loss_of_one_margin_is_found_in_95_percent_of_runs_at_the_recommended_number_of_clips():
    clips = recommended("sync_c", DEVIATIONS["sync_c"])
    random = np.random.default_rng(0)
    caught = sum(verdicts(random, clips, {"sync_c": 1.0}, study)["sync_c"] == "worse" for study in range(STUDIES))
    assert caught / STUDIES >= 0.95 - ERROR


def test_a_loss_of_one_margin_in_a_corpus_error_rate_is_found_too():
    random = np.random.default_rng(1)
    pilot = world(random, 4000, {"wer": 1.0})["wer"]
    deviation = float(np.std(pilot[1].pseudo_values - pilot[0].pseudo_values))
    clips = recommended("wer", deviation)
    caught = sum(verdict_alone(random, clips, "wer", 1.0, study) == "worse" for study in range(STUDIES))
    assert caught / STUDIES >= 0.95 - ERROR


def test_false_alarms_stay_below_5_percent_over_all_quantities_together():
    random, clips = np.random.default_rng(2), 40
    alarms = sum("worse" in verdicts(random, clips, {}, study).values() for study in range(STUDIES))
    assert alarms / STUDIES <= 0.05


def test_no_difference_is_called_equivalent_at_the_recommended_number_of_clips():
    clips = recommended("sync_c", DEVIATIONS["sync_c"])
    random = np.random.default_rng(3)
    words = [verdict_alone(random, clips, "sync_c", 0.0, study) for study in range(STUDIES)]
    assert words.count("equivalent") / STUDIES >= 0.95 - ERROR


def test_a_loss_of_one_margin_is_hardly_ever_called_equivalent():
    random = np.random.default_rng(4)
    for clips in (80, 200):
        words = [verdict_alone(random, clips, "sync_c", 1.0, study, draws=1000) for study in range(STUDIES)]
        assert words.count("equivalent") / STUDIES <= 0.025 + 0.014  # and one standard error


@pytest.fixture(scope="module")
def pools() -> dict[str, gate_studies.Pool]:
    document = gate_studies.read_scores()
    return {kind: gate_studies.Pool(document[kind]) for kind in ("gridface", "real")}


# What must raise the alarm: nothing else counts as having found the damage.
CULPRITS = {
    ("gridface", "120 ms late"): {"sync_d_zero_gridface", "sync_offset_gridface"},
    ("real", "120 ms late"): {"stoi", "estoi"},
    ("gridface", "25 % frozen"): {"sync_c_gridface", "sync_d_zero_gridface", "sync_in_tolerance_gridface"},
    ("real", "25 % frozen"): {"psnr", "ssim"},
    ("gridface", "WER +5 points"): {"wer_gridface"},
    ("real", "WER +5 points"): {"wer"},
}
REAL_DAMAGE = 40


@pytest.mark.parametrize("damage", gate_studies.DAMAGE)
@pytest.mark.parametrize(("kind", "grouped"), [("gridface", False), ("gridface", True), ("real", False)])
def test_real_damage_is_found_in_95_percent_of_runs(kind, grouped, damage, pools):
    random, found = np.random.default_rng(20), Counter()
    for _ in range(REAL_DAMAGE):
        gate = gate_studies.damaged_pair(pools[kind], damage, random, 96, grouped=grouped)
        worse = {verdict.quantity.name for verdict in gate.verdicts if verdict.word == "worse"}
        if damage == "10 % missing":
            found["caught"] += gate.status == 1 and gate.coverage_regressed and len(gate.lost) == 10
        else:
            found["caught"] += gate.status == 1 and bool(worse & CULPRITS[kind, damage])
    assert found["caught"] / REAL_DAMAGE >= 0.95


def test_the_same_clips_encoded_again_raise_an_alarm_in_5_percent_of_pairs_at_most(pools):
    random, alarms = np.random.default_rng(21), 0
    for study in range(99):
        kind = ("gridface", "gridface", "real")[study % 3]
        alarms += gate_studies.null_pair(pools[kind], random, 96, grouped=study % 3 == 1).regressed
    assert alarms <= 5


def test_late_sound_is_found_by_nothing_that_looks_for_the_best_shift(pools):
    gate = gate_studies.damaged_pair(pools["gridface"], "120 ms late", np.random.default_rng(22), 64)
    words = {verdict.quantity.name: verdict.word for verdict in gate.verdicts}
    assert words["sync_d_gridface"] == "equivalent" and words["sync_c_gridface"] in ("equivalent", "better")
