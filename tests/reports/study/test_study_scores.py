"""Studies: who sees what, Bradley-Terry scores, and merging answers."""

import json
from collections import Counter
from itertools import combinations
from math import ceil
from pathlib import Path

import numpy as np
import pytest
from run_factory import SYNC_C, make_run
from scipy.optimize import minimize
from scipy.special import expit

import t2av_bench as tb
from reports.study.answers import find_key
from reports.study.bradley_terry import determined, fit, obstacle
from reports.study.design import lists, round_robin
from reports.study.merge import analyse, markdown, merge
from reports.study.votes import study_votes
from t2av_bench.errors import ItemError

# --- design


@pytest.mark.parametrize("systems", range(2, 9))
def test_a_tournament_has_every_pair_once_and_rounds_without_repetition(systems: int) -> None:
    pairs = round_robin(systems)
    assert sorted(tuple(sorted(pair)) for pair in pairs) == list(combinations(range(systems), 2))
    size = systems // 2
    for start in range(0, len(pairs), size):
        players = [player for pair in pairs[start : start + size] for player in pair]
        assert len(set(players)) == len(players) == 2 * size


@pytest.mark.parametrize(("systems", "items", "trials"), [
    (2, 5, 3), (2, 1, 1), (3, 3, 9), (3, 10, 7), (4, 6, 10), (4, 9, 54), (5, 20, 20), (6, 30, 24), (6, 15, 20),
    (7, 8, 33),
])  # fmt: skip
@pytest.mark.parametrize("seed", [0, 1])
def test_lists_are_balanced(systems: int, items: int, trials: int, seed: int) -> None:
    made = lists(systems, items, trials, np.random.RandomState(seed))
    total = items * systems * (systems - 1) // 2
    combos = Counter((item, *sorted(pair)) for each in made for item, *pair in each)
    assert len(combos) == total and len(made) == ceil(total / trials)
    assert set(combos.values()) <= ({1, 2} if total % trials else {1})
    for each in made:
        assert len({(item, *sorted(pair)) for item, *pair in each}) == len(each) == trials
        for counts, size, slack in (
            (Counter(tuple(sorted(pair)) for _, *pair in each), total // items, 1),
            (Counter(system for _, *pair in each for system in pair), systems, 2),
            (Counter(item for item, *_ in each), items, 2),
        ):
            values = [*counts.values(), *[0] * (size - len(counts))]
            assert max(values) - min(values) <= slack


def test_too_many_trials_are_refused() -> None:
    with pytest.raises(ValueError, match="31 trials .* 3 systems on 10 items make 1 to 30"):
        lists(3, 10, 31, np.random.RandomState(0))


# --- scores


def random_wins(seed: int, systems: int, games: int = 12) -> np.ndarray:
    random = np.random.RandomState(seed)
    truth = random.normal(0, 1, systems)
    wins = np.zeros((systems, systems))
    for i, j in combinations(range(systems), 2):
        wins[i, j] = random.binomial(games, expit(truth[i] - truth[j])) + 0.5 * random.randint(0, 4)
        wins[j, i] = games - wins[i, j] + 2
    return wins


def test_two_systems_differ_by_their_log_odds() -> None:
    scores = fit(np.array([[0, 30.5], [9.5, 0]]))
    assert scores[0] - scores[1] == pytest.approx(np.log(30.5 / 9.5), abs=1e-12)
    assert scores.sum() == pytest.approx(0, abs=1e-12)


def test_a_chain_of_pairs_adds_up() -> None:
    """Without a cycle the model is saturated: each observed pair has its own log odds."""
    wins = np.array([[0, 7, 0], [3, 0, 4], [0, 1, 0]])
    a, b, c = fit(wins)
    assert [a - b, b - c] == pytest.approx([np.log(7 / 3), np.log(4)], abs=1e-10)


@pytest.mark.parametrize("systems", [2, 3, 5, 8])
def test_scores_maximise_the_likelihood(systems: int) -> None:
    wins = np.stack([random_wins(seed, systems) for seed in range(5)])
    assert determined(wins).all()
    for each, scores in zip(wins, fit(wins), strict=True):

        def loss(values: np.ndarray, each: np.ndarray = each) -> float:
            return float((each * np.logaddexp(0, values[None, :] - values[:, None])).sum())

        best = minimize(loss, np.zeros(systems), method="BFGS", options={"gtol": 1e-8})
        assert scores == pytest.approx(best.x - best.x.mean(), abs=1e-5)
        assert loss(scores) <= best.fun + 1e-9


def test_lopsided_wins_converge() -> None:
    chain = np.diag(np.full(5, 4000.0), 1) + np.diag(np.full(5, 0.5), -1)
    differences = -np.diff(fit(chain))
    assert differences == pytest.approx(np.full(5, np.log(8000)), rel=1e-9)


def test_what_has_no_finite_scores_is_named() -> None:
    names = ["a", "b", "c", "d"]
    apart = np.array([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 2], [0, 0, 1, 0]])
    assert "groups that never met (a, b; c, d)" in str(obstacle(apart, names))
    unbeaten = random_wins(0, 4)
    unbeaten[:, 2] = 0
    assert str(obstacle(unbeaten, names)).startswith("c never lost or tied against a, b, d")
    group = np.ones((4, 4)) - np.eye(4)
    group[2:, :2] = 0
    assert str(obstacle(group, names)).startswith("a, b never lost or tied against c, d")
    hopeless = random_wins(0, 4)
    hopeless[1] = 0
    assert str(obstacle(hopeless, names)).startswith("a, c, d never lost or tied against b")
    circle = np.roll(np.eye(4), 1, axis=1)
    assert obstacle(circle, names) is None
    assert fit(circle) == pytest.approx(np.zeros(4), abs=1e-12)
    assert determined(np.stack([apart, unbeaten, group, circle])).tolist() == [False, False, False, True]


def answers_of(random: np.random.RandomState, truth: np.ndarray, people: int, each: int) -> np.ndarray:
    """(people, S, S) wins: everybody has tastes of their own, so answers of one person go together."""
    pairs = np.array(list(combinations(range(len(truth)), 2)))
    taste = truth + random.normal(0, 0.4, (people, len(truth)))
    wins = np.zeros((people, len(truth), len(truth)))
    for person in range(people):
        for i, j in pairs[np.arange(each) % len(pairs)]:
            first = random.rand() < expit(taste[person, i] - taste[person, j])
            wins[person, i, j] += first
            wins[person, j, i] += not first
    return wins


def test_intervals_cover_what_the_population_of_participants_would_give() -> None:
    truth = np.array([0.9, 0.2, -0.3, -0.8])
    population = fit(answers_of(np.random.RandomState(1), truth, 20_000, 12).sum(0))
    random = np.random.RandomState(2)
    names, people = list("abcd"), 24
    covered, rates, trials = 0, 0, 200
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    for study in range(trials):
        wins = answers_of(random, truth, people, 12)
        found = analyse(wins, names, [f"{study}-{person}" for person in range(people)], draws=500)
        for name, value in zip(names, population, strict=True):
            low, high = found["scores"][name]["interval"]
            covered += low <= value <= high
        pair = found["pairs"][0]
        # Of two people's tastes: the mean of a logistic over a normal difference, by quadrature.
        expected = weights @ expit(truth[0] - truth[1] + 0.4 * np.sqrt(2) * nodes) / weights.sum()
        rates += pair["interval"][0] <= expected <= pair["interval"][1]
    assert 0.92 <= covered / (4 * trials) <= 0.98
    assert 0.91 <= rates / trials <= 0.985


def test_neither_order_nor_number_of_calls_moves_a_result() -> None:
    wins = answers_of(np.random.RandomState(3), np.array([0.5, 0, -0.5]), 8, 9)
    people = [f"p{index}" for index in range(8)]
    once = analyse(wins, "abc", people, "study", draws=300)
    assert analyse(wins[::-1], "abc", people[::-1], "study", draws=300) == once
    another = analyse(wins, "abc", people, "another", draws=300)
    assert another["scores"]["a"]["interval"] != once["scores"]["a"]["interval"]


def test_too_few_participants_get_scores_without_intervals() -> None:
    wins = np.broadcast_to(np.array([[0, 3.0], [1, 0]]), (4, 2, 2))
    found = analyse(wins, "ab", list("wxyz"))
    assert found["scores"]["a"]["value"] == pytest.approx(np.log(3) / 2)
    assert found["scores"]["a"]["interval"] is None and found["pairs"][0]["interval"] is None
    assert found["notes"] == ["4 participants; an interval needs at least 5"]


def test_a_pair_that_all_agree_on_gets_the_exact_interval_over_people_and_no_score() -> None:
    wins = np.broadcast_to(np.array([[0, 3.0], [0, 0]]), (10, 2, 2))
    found = analyse(wins, "ab", [str(index) for index in range(10)])
    assert found["scores"] is None and found["refusal"].startswith("a never lost or tied against b")
    low, high = found["pairs"][0]["interval"]
    assert (low, high) == (pytest.approx(0.025 ** (1 / 10)), 1)


def test_resamples_without_finite_scores_are_mended_when_few_and_refused_when_many() -> None:
    wins = np.tile(np.array([[0, 3.0], [0, 0]]), (10, 1, 1))
    wins[:1, 1, 0] = 1  # gone from a resample with probability 0.9^10 = 0.35
    assert "no intervals of the scores" in analyse(wins, "ab", [str(index) for index in range(10)])["notes"][0]
    wins[:4, 1, 0] = 1  # 0.6^10 = 0.006
    found = analyse(wins, "ab", [str(index) for index in range(10)])
    assert "half a win was added" in found["notes"][0]
    assert np.isfinite(found["scores"]["a"]["interval"]).all()


# --- merging


def write_key(folder: Path, ties: bool = True) -> Path:
    """Two systems, six items, one list with two checks; medium names say what they are."""
    trials = {
        f"t{item}": {"check": False, "item": str(item), "systems": ["a", "b"], "media": [f"a{item}", f"b{item}"]}
        for item in range(6)
    }  # fmt: skip
    for check in range(2):
        media = [f"good{check}", f"bad{check}"]
        trials[f"c{check}"] = {"check": True, "item": "0", "systems": ["a", "a"], "media": media}
    key = {"format": "t2av-bench study key", "version": 1, "t2av_bench": "0", "study": "s1", "secret": "00",
           "title": "T", "question": "Which | one?", "ties": ties, "systems": ["a", "b"],
           "items": [str(item) for item in range(6)], "lists": [list(trials)], "trials": trials}  # fmt: skip
    (folder / "key.json").write_text(json.dumps(key))
    return folder / "key.json"


def write_answers(
    folder: Path, name: str, choices: str, checks: str = "++", finished: str = "2026-01-01T10:00:00.000Z",
    file: str | None = None, **changes: object,
) -> Path:  # fmt: skip
    """choices: one letter a trial: a, b, = (tie) or x (unplayable); sides alternate. checks: + passed."""
    rows = []
    for index, choice in enumerate(choices):
        shown = [f"a{index}", f"b{index}"][:: 1 if index % 2 else -1]
        value = {"=": "tie", "x": "unplayable"}.get(choice) or "AB"[[medium[0] for medium in shown].index(choice)]
        rows.append({"trial": f"t{index}", "shown": shown, "choice": value, "seconds": 4})
    for index, passed in enumerate(checks):
        choice = {"+": "B", "-": "A", "=": "tie"}[passed]
        rows.append({"trial": f"c{index}", "shown": [f"bad{index}", f"good{index}"], "choice": choice, "seconds": 4.5})
    document = {"format": "t2av-bench study answers", "version": 1, "study": "s1", "participant": name, "list": 0,
                "started": "2026-01-01T09:00:00.000Z", "finished": finished, "answers": rows, **changes}  # fmt: skip
    path = folder / f"{file or name}.json"
    path.write_text(json.dumps(document))
    return path


def test_answers_become_wins_whichever_side_they_were_on(tmp_path: Path) -> None:
    key = write_key(tmp_path)
    document = merge([write_answers(tmp_path, "p", "aab=xb"), write_answers(tmp_path, "q", "aaaa=b")], key)
    assert document["wins"] == [[0, 7], [4, 0]]
    assert (document["trials"], document["ties"], document["unplayable"]) == (11, 2, 1)
    assert document["scores"]["a"]["value"] == pytest.approx(np.log(7 / 4) / 2)
    assert document["pairs"][0]["rate"] == pytest.approx(7 / 11)
    text = markdown(document)
    assert "| a | +0.28 | 11 |" in text and "| a | b | 63.6% | 11 | 2 |" in text
    assert "Which \\| one?" in text and "1 trials could not be played" in text


def test_inattentive_participants_are_dropped_and_named(tmp_path: Path) -> None:
    key = write_key(tmp_path)
    files = [write_answers(tmp_path, "good", "aaabbb"), write_answers(tmp_path, "bad", "bbbbbb", "+-"),
             write_answers(tmp_path, "unsure", "bbbbbb", "=-")]  # fmt: skip
    document = merge(files, key)
    assert document["dropped"] == {"bad": 1, "unsure": 2} and document["participants"] == ["good"]
    assert "more than 0 attention checks: 2: bad (1), unsure (2)." in markdown(document)
    assert merge(files, key, failed_checks=1)["participants"] == ["bad", "good"]
    with pytest.raises(ItemError, match="no participant counts\n.*participant bad failed 1 attention checks"):
        merge(files[1:2], key)


def test_the_latest_file_of_a_participant_counts(tmp_path: Path) -> None:
    key = write_key(tmp_path)
    late = write_answers(tmp_path, "p", "aaaaab", finished="2026-01-02T00:30:00.000+02:00", file="late")
    early = write_answers(tmp_path, "p", "bbbbba", finished="2026-01-01T22:00:00.000Z", file="early")
    for files in ([late, early], [early, late], [tmp_path]):
        document = merge(files, key)
        assert document["wins"] == [[0, 5], [1, 0]] and document["repeated"] == ["p"]
    assert "the latest counts: p." in markdown(document)
    assert merge([early, early], key)["repeated"] == []


@pytest.mark.parametrize(("change", "reason"), [
    ({"study": "s2"}, "answers of another study (s2, the key is of s1)"),
    ({"list": 3}, "list 3 does not exist; the study has 0 to 0"),
    ({"extra": 1}, "extra: Extra inputs are not permitted"),
    ({"finished": "soon"}, "not a file of answers"),
    ({"finished": None}, "finished: Input should be a valid string"),
    ({"participant": ""}, "participant: String should have at least 1 character"),
])  # fmt: skip
def test_foreign_and_broken_files_are_refused_with_the_reason(tmp_path: Path, change: dict, reason: str) -> None:
    key = write_key(tmp_path)
    good = write_answers(tmp_path, "good", "aaabbb")
    bad = write_answers(tmp_path, "bad", "aaaaaa", **change)
    document = merge([bad, good], key)
    assert list(document["refused"]) == [str(bad)] and reason in document["refused"][str(bad)]
    assert document["wins"] == [[0, 3], [3, 0]] and "Refused bad.json: " in markdown(document)
    with pytest.raises(ItemError, match="no participant counts"):
        merge([bad], key)


def test_answers_that_do_not_fit_the_key_are_refused(tmp_path: Path) -> None:
    key = write_key(tmp_path, ties=False)
    good = write_answers(tmp_path, "good", "aaabbb")

    def reason(edit) -> str:
        document = json.loads(good.read_text())
        edit(document["answers"])
        (tmp_path / "edited.json").write_text(json.dumps(document))
        return merge([good, tmp_path / "edited.json"], key)["refused"][str(tmp_path / "edited.json")]

    assert "1 missing, 0 of other lists, 0 twice" in reason(lambda rows: rows.pop())
    assert "1 missing, 0 of other lists, 1 twice" in reason(lambda rows: rows[0].update(trial="t1"))
    assert "shows clips that it does not consist of" in reason(lambda rows: rows[0].update(shown=["a0", "b1"]))
    assert "a tie, which this study does not offer" in reason(lambda rows: rows[0].update(choice="tie"))
    assert "answers.0.choice" in reason(lambda rows: rows[0].update(choice="C"))
    (tmp_path / "cut.json").write_bytes(good.read_bytes()[:200])
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    document = merge([good, tmp_path / "cut.json", tmp_path / "bytes.json", tmp_path / "absent.json"], key)
    assert len(document["refused"]) == 3
    with pytest.raises(ItemError, match="is not the key of a study"):
        merge([good], good)


# --- votes for ``t2av-bench panel``


def test_answers_become_votes_by_the_majority_of_those_who_count(tmp_path: Path) -> None:
    key = write_key(tmp_path)
    folder = tmp_path / "answers"
    folder.mkdir()
    write_answers(folder, "p1", "aab=xa")
    write_answers(folder, "p2", "abb=xx")
    write_answers(folder, "p3", "aaa=xb")
    write_answers(folder, "bot", "bbbbbb", checks="-+")
    (folder / "broken.json").write_text("{")
    votes = study_votes([folder], key)
    assert votes.items == tuple("012345") and votes.systems == ("a", "b") and not votes.clips
    (aspect,) = votes.aspects.values()
    assert list(votes.aspects) == ["Which | one?"] and aspect.ratings is None
    # 3:0 for a; 2:1; 1:2; all ties; nobody could play it; 1:1 and one who could not.
    first = aspect.preferences[:, 0, 1]
    assert first[[0, 1, 2, 3, 5]].tolist() == [1, 1, -1, 0, 0] and np.isnan(first[4])
    np.testing.assert_array_equal(aspect.preferences[:, 1, 0], -first)
    told = " ".join(votes.notes)
    assert "3 participants" in told and "attention checks: 1: bot" in told and "4 trials" in told
    assert "Refused broken.json" in told
    assert study_votes([folder], key, failed_checks=1).aspects["Which | one?"].preferences[1, 0, 1] == 0, "now 2:2"


def test_votes_want_somebody_who_counts_and_a_key(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "answers"
    folder.mkdir(parents=True)
    write_answers(folder, "bot", "aaaaaa", checks="--")
    with pytest.raises(ItemError, match="name it with --key"):
        find_key(folder)
    key = write_key(tmp_path / "deep")
    assert find_key(folder) == find_key(folder / "bot.json") == key
    with pytest.raises(ItemError, match="participant bot failed attention checks"):
        study_votes([folder], key)


def test_panel_takes_answers_of_a_study(tmp_path: Path) -> None:
    key = write_key(tmp_path)
    folder = tmp_path / "answers"
    folder.mkdir()
    for name, choices in {"p1": "aab=xa", "p2": "abbbxa", "p3": "aaa=xa"}.items():
        write_answers(folder, name, choices)
    values = {"a": [5.0, 4.0, 3.0, 2.0, 1.0, 2.0], "b": [1.0, 4.0, 1.0, 3.0, 2.0, 1.0]}
    runs = [make_run(tmp_path / name, {SYNC_C: each}, ids=list("012345"), name=name) for name, each in values.items()]
    panel = tb.panel(runs, folder)
    (found,) = [each for each in panel.judged if each.metric == "sync/joonson"]
    # Decided: 0 a right, 1 a tied by the metric, 2 b wrong, 3 b right, 5 a right; nobody saw 4.
    assert (found.items.judged, found.items.decided, found.items.compared, found.items.ties) == (5, 5, 5, 1)
    assert found.items.accuracy.value == 3.5 / 5 and found.items.accuracy.interval is None
    assert found.systems is None and not found.by_system
    assert "Within systems: people compared clips of one item alone." in panel.to_markdown()
    assert "3 participants" in " ".join(panel.notes)
    assert tb.panel(runs, folder / "p1.json", key=key).judged[-1].items.decided == 4, "one participant's file"
