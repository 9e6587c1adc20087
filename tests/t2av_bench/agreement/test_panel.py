"""Votes from a table or a study, runs joined by digest or name, directions as declared; through the command, too."""

import csv
import hashlib
import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from run_factory import FID, OFFSET, SYNC_C, SYNC_D, UTMOS, make_run
from typer.testing import CliRunner

import t2av_bench as tb
from t2av_bench.agreement.declared import DECLARED, declared
from t2av_bench.agreement.panel import NAME
from t2av_bench.agreement.votes import read_votes
from t2av_bench.cli.main import app
from t2av_bench.errors import ItemError
from t2av_bench.metrics import create, metric_ids
from t2av_bench.preparation.benchmarks.recipes import mocha_panel
from t2av_bench.results.store import Store
from t2av_bench.scores import Score

SYSTEMS, ITEMS = ("one", "two", "three"), [f"clip_{at:03d}" for at in range(20)]
random = np.random.default_rng(5)
PEOPLE = np.clip(np.round(random.standard_normal((20, 3)) + [3.0, 2.5, 2.0]), 1, 4)
JUDGE = np.clip(PEOPLE + random.integers(-1, 2, PEOPLE.shape), 1, 4)


def write_votes(path: Path, *, digests: bool = False, judge: bool = True, change=lambda row: row) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        names = ["item", "system", "aspect", "vote", *["judge:model"] * judge, *["clip"] * digests]
        writer = csv.DictWriter(file, names, extrasaction="ignore")
        writer.writeheader()
        for i, item in enumerate(ITEMS):
            for s, system in enumerate(SYSTEMS):
                digest = hashlib.sha256(f"{system} {item}".encode()).hexdigest()  # as the factory's runs have them
                writer.writerow(change({
                    "item": item, "system": system, "aspect": "naturalness", "vote": PEOPLE[i, s],
                    "judge:model": JUDGE[i, s], "clip": digest,
                }))  # fmt: skip
    return path


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> list[Path]:
    """sync_c follows people, sync_d is its reverse (lower is better), the offset is 0 where people like it, and UTMOS
    knows nothing and fails twice."""
    folder = tmp_path_factory.mktemp("runs")
    blind = np.random.default_rng(6).random(PEOPLE.shape)
    found = []
    for s, system in enumerate(SYSTEMS):
        utmos = [Score.failed("no speech") if i in (3, 4) and s == 0 else blind[i, s] for i in range(20)]
        found.append(make_run(folder / system, {
            SYNC_C: PEOPLE[:, s].tolist(), SYNC_D: (10 - PEOPLE[:, s]).tolist(),
            OFFSET: [(-1) ** i * (4 - v) for i, v in enumerate(PEOPLE[:, s])], UTMOS: utmos,
        }, name=system))  # fmt: skip
    return found


def of(found, label, aspect="naturalness"):
    (one,) = [each for each in found.judged if each.label == label and each.aspect == aspect]
    return one


def test_a_run_of_each_system_against_a_table(runs, tmp_path):
    found = tb.panel(runs, write_votes(tmp_path / "votes.csv"))
    assert [each.kind for each in found.judged] == ["judge", "name", "metric", "metric", "metric", "metric"]
    for label in ("Sync-C", "Sync-D", "Offset"):
        each = of(found, label)
        assert each.items.accuracy.value == 1 and each.systems.accuracy.value == 1, "directions are the declared ones"
        assert each.items.judged == each.items.decided < each.items.compared == 60
        assert each.items.tau.value == pytest.approx(1) and each.clips == each.clips_total == 60
    utmos = of(found, "UTMOS")
    assert (utmos.clips, utmos.missing) == (58, {"no speech": 2}) and utmos.items.judged < utmos.items.decided
    assert utmos.items.accuracy.interval.low < 0.5 < utmos.items.accuracy.interval.high
    difference, pairs = utmos.against["model"]
    assert pairs == utmos.items.judged and difference.value < 0 and set(utmos.against) == {"model", NAME}
    judge, name = of(found, "model"), of(found, NAME)
    assert judge.items.accuracy.value < 1 and set(judge.against) == {NAME} and judge.systems is not None
    assert name.systems is None and name.items.accuracy.value < 1 and not name.against
    assert set(utmos.by_system) == set(SYSTEMS)
    assert sum(each.judged for each in utmos.by_system.values()) == utmos.systems.judged


def test_text_json_and_frame_say_the_same(runs, tmp_path):
    found = tb.panel(runs, write_votes(tmp_path / "votes.csv"))
    text, document, frame = found.to_markdown(), found.as_dict(), found.to_frame()
    utmos = of(found, "UTMOS")
    assert f"| UTMOS ↑ | {utmos.items.accuracy.value:.2f} [" in text
    assert f"{utmos.items.judged} of {utmos.items.decided}" in text and "58 of 60 clips have one. no speech (2)" in text
    assert f"of 60 pairs of one item people decided {utmos.items.decided}" in text
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    row = frame[(frame.quantity == "utmos") & (frame.within == "items")].iloc[0]
    (entry,) = [each for each in document["judged"] if each["label"] == "UTMOS"]
    assert row.accuracy == entry["within_items"]["accuracy"]["value"] == utmos.items.accuracy.value
    assert row.accuracy_low == entry["within_items"]["accuracy"]["interval"]["low"]
    assert set(frame.within) == {"items", "systems", *SYSTEMS}


def test_clips_are_found_by_their_digests_whatever_they_are_called(tmp_path, runs):
    """One run holds all systems' clips under other names: no name says whose they are."""
    votes = write_votes(tmp_path / "votes.csv", digests=True, change=lambda row: row | {"clip": row["clip"].upper()})
    by_name, expected = tb.panel(runs, write_votes(tmp_path / "names.csv")), tb.panel(runs, votes)
    assert [replace(each) for each in expected.judged] == list(by_name.judged), "names and digests agree here"
    other = make_run(tmp_path / "other", {SYNC_C: [1.0] * 20}, name="one", made="somebody else")
    with pytest.raises(ValueError, match="no run has a clip that people judged"):
        tb.panel([other], votes)
    found = tb.panel([*runs, other], votes)
    assert "one: 20 files are not those that people saw: clip_000, clip_001" in " ".join(found.notes)
    assert of(found, "Sync-C") == of(expected, "Sync-C")
    renamed = make_run(tmp_path / "renamed", {SYNC_C: PEOPLE[:, 0].tolist()}, name="a name", made="one")
    assert of(tb.panel([renamed, *runs[1:]], votes), "Sync-C") == of(expected, "Sync-C")


def test_a_system_without_a_run_is_missing_with_its_reason(runs, tmp_path):
    found = of(tb.panel(runs[:2], write_votes(tmp_path / "votes.csv")), "Sync-C")
    assert found.clips == 40 and found.missing == {"no run has the clip": 20}
    assert found.items.judged < found.items.decided and found.items.accuracy.value == 1
    assert found.by_system["three"].accuracy.value is None and found.by_system["three"].judged == 0


def test_other_protocols_undeclared_metrics_and_contradictions_are_named(runs, tmp_path):
    votes = write_votes(tmp_path / "votes.csv")
    changed = make_run(tmp_path / "one", {SYNC_C: PEOPLE[:, 0].tolist()}, name="one", parameters={"version": 2})
    found = tb.panel([changed, *runs[1:]], votes)
    told = " ".join(found.notes)
    assert "sync_c (sync/joonson) is not asked: the runs' protocols differ in version 2 against 1" in told
    assert "Sync-C" not in [each.label for each in found.judged]
    again = make_run(tmp_path / "again", {SYNC_C: (PEOPLE[:, 0] + 1).tolist()}, name="one")
    notes = " ".join(tb.panel([*runs, again], votes).notes)
    assert "sync_c (sync/joonson) is not asked: item clip_000 of one has two values, " in notes
    own = tmp_path / "declared.toml"
    own.write_text('[directions."sync/joonson"]\nsync_c = "lower"\n[left_out."utmos/strong-v1"]\nutmos = "no sound"\n')
    found = tb.panel(runs, votes, declared=own)
    assert of(found, "Sync-C").items.accuracy.value == 0
    assert "utmos (utmos/strong-v1) is not asked: no sound." in found.notes
    assert "sync_d (sync/joonson) is not asked: nobody declared which way of it is better (--declared)." in found.notes
    assert found.not_measured == ()
    own.write_text('[directions."sync/joonson"]\nsync_c = "up"\n')
    with pytest.raises(ValueError, match="sync_c"):
        tb.panel(runs, votes, declared=own)
    own.write_text('[directions.m]\nq = "lower"\n[left_out.m]\nq = "no"\n')
    with pytest.raises(ValueError, match="q of m has a direction and is left out"):
        tb.panel(runs, votes, declared=own)


def test_one_clip_twice_in_a_run_a_file_that_is_not_there_and_a_distance_between_sets(runs, tmp_path):
    """Two ids of one run whose files are the same clip: values that differ are no value of it."""
    votes = write_votes(tmp_path / "votes.csv", digests=True)
    twice = make_run(tmp_path / "twice", {SYNC_C: [*map(float, range(20))], FID: [Score.failed("no faces")] * 20},
                     name="one")  # fmt: skip
    with Store(twice / "results.db", create=True) as store:
        same, other = (hashlib.sha256(f"one {ITEMS[at]}".encode()).hexdigest() for at in (0, 1))
        store.put_digests(ITEMS[1], same, other)
        store.put_digests(ITEMS[2], None, other)
    told = tb.panel([twice, *runs[1:]], votes)
    clash = [note for note in told.notes if "clip_000 of one has two values" in note]
    assert clash == ["sync_c (sync/joonson) is not asked: item clip_000 of one has two values, 0 and 1."]
    assert "fid (fid/clean) is not asked: a distance between sets: no clip has a value of its own." in told.notes
    assert not any("not those that people saw" in note for note in told.notes), "a file that is not there is no other"


def test_what_no_run_measured_is_said_and_a_metric_without_any_value_stays(tmp_path):
    failed = [Score.failed("no face")] * 20
    nothing = [make_run(tmp_path / name, {SYNC_C: failed}, name=name) for name in SYSTEMS]
    found = tb.panel(nothing, write_votes(tmp_path / "votes.csv"))
    each = of(found, "Sync-C")
    assert each.clips == 0 and each.missing == {"no face": 60} and each.items.judged == 0 < each.items.decided
    assert "utmos/strong-v1" in found.not_measured and "sync/joonson" not in found.not_measured
    text = found.to_markdown()
    assert "| Sync-C" not in text and "- Sync-C: 0 of 60 clips have one. no face (60)" in text
    assert "Declared, and in none of the runs: " in text


def test_all_aspects_stand_side_by_side_in_short(runs, tmp_path):
    votes = write_votes(tmp_path / "votes.csv")
    one = votes.read_text()
    votes.write_text(one + one.split("\n", 1)[1].replace("naturalness", "a | b"))
    text = tb.panel(runs, votes).to_markdown()
    assert "| Accuracy within items | naturalness | a \\| b |" in text
    judged = of(tb.panel(runs, votes), "Sync-C", "a | b").items.judged
    assert f"| Sync-C ↑ | 1.00 ({judged} of {judged}) | 1.00 ({judged} of {judged}) |" in text
    assert "Accuracy within items |" not in tb.panel(runs, write_votes(tmp_path / "one.csv")).to_markdown()


def test_the_name_says_nothing_of_systems_that_meet_once(runs, tmp_path):
    votes = write_votes(tmp_path / "votes.csv")
    votes.write_text("".join(line for line in votes.open() if line < "clip_001" or line.startswith("item")))
    found = of(tb.panel(runs, votes), NAME)
    assert found.missing == {"no other item says how people like its system": 3}


def test_few_clips_have_no_interval_and_the_report_says_why(runs, tmp_path):
    votes = write_votes(tmp_path / "votes.csv")
    votes.write_text("".join(line for line in votes.open() if line < "clip_004" or line.startswith("item")))
    text = tb.panel(runs, votes).to_markdown()
    assert "No interval where: 12 clips of 4 items; an interval needs at least 20 clips of 5 items" in text


def test_every_look_is_on_record_with_what_it_found(runs, tmp_path):
    votes, out = write_votes(tmp_path / "votes.csv"), tmp_path / "made" / "kept"
    arguments = ["panel", *map(str, runs), "--votes", str(votes), "--out", str(out)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.stderr
    logged(out)
    assert (out / "panel.md").read_text() == done.stdout
    assert json.loads((out / "panel.json").read_text()) == tb.panel(runs, votes).as_dict(), "a look without a folder"
    with (out / "runs.jsonl").open("a") as file:
        file.write('{"time": "cut sh')
    again = CliRunner().invoke(app, [*arguments, "--json"])
    first, cut, second = (out / "runs.jsonl").read_text().splitlines()
    assert cut == '{"time": "cut sh' and json.loads(again.stdout) == json.loads((out / "panel.json").read_text())
    one, two = json.loads(first), json.loads(second)
    assert one.pop("time") <= two.pop("time") and one == two and one["metrics"].keys() == {
        "sync/joonson", "utmos/strong-v1"}  # fmt: skip
    assert one["votes"] == hashlib.sha256(votes.read_bytes()).hexdigest()
    assert one["declared"] == hashlib.sha256(DECLARED.read_bytes()).hexdigest()
    logged(out)
    (out / "panel.md").write_text("better")
    with pytest.raises(AssertionError):
        logged(out)
    before = (out / "runs.jsonl").read_bytes()
    assert CliRunner().invoke(app, ["panel", str(runs[0]), "--votes", "gone.csv", "--out", str(out)]).exit_code == 2
    assert (out / "runs.jsonl").read_bytes() == before, "who saw nothing has not looked"


def logged(folder: Path) -> None:
    """The result and the report are those of the log's last line."""
    last = json.loads((folder / "runs.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    for key, name in (("result", "panel.json"), ("report", "panel.md")):
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == last[key], f"{name} was not made by that run"


PUBLISHED = Path(__file__).resolve().parents[3] / "docs" / "panel"


@pytest.mark.skipif(not PUBLISHED.exists(), reason="mocha-panel-80 is not published")
def test_what_is_published_is_what_the_log_tells_of():
    """And it is of the benchmark's own votes, with every clip looked for and no machine's path in a reason."""
    logged(PUBLISHED)
    document = json.loads((PUBLISHED / "panel.json").read_text(encoding="utf-8"))
    assert document["made"]["votes"] == mocha_panel._known()["votes"]
    assert {each["clips_total"] for each in document["judged"]} == {80}
    assert {"judge", "name", "metric"} == {each["kind"] for each in document["judged"]}
    assert not re.search(r"/(home|tmp|root|Users)/", (PUBLISHED / "panel.json").read_text(encoding="utf-8"))


def test_a_wrong_kind_of_votes_is_told_what_was_expected(runs, tmp_path):
    votes = write_votes(tmp_path / "votes.csv")
    for given, said in (
        ({"key": tmp_path / "key.json"}, "is read as a table of votes"),
        ({"failed_checks": 1}, "table"),
    ):
        with pytest.raises(ValueError, match=said):
            tb.panel(runs, votes, **given)
    with pytest.raises(ValueError, match=r"holds no \.json file of answers; .* a table of votes such as .*votes\.csv"):
        tb.panel(runs, tmp_path)
    (tmp_path / "result.json").write_text("{}")
    with pytest.raises(ValueError, match=r"no key\.json .* name it with --key"):
        tb.panel(runs, tmp_path / "result.json")


def test_votes_of_several_people_are_their_mean_and_an_empty_one_is_none(tmp_path):
    path = tmp_path / "votes.csv"
    path.write_text("item,system,aspect,vote\n1,a,x,1\n1,a,x,4\n1,b,x,3\n1,c,x,\n2,a,x,2\n2,b,x,2\n2,c,y,3\n")
    votes = read_votes(path)
    assert votes.items == ("1", "2") and votes.systems == ("a", "b", "c") and list(votes.aspects) == ["x", "y"]
    ratings = votes.aspects["x"].ratings
    assert ratings[0, 0] == 2.5 and math.isnan(ratings[0, 2]) and math.isnan(ratings[1, 2])
    preferences = votes.aspects["x"].preferences
    assert preferences[0, 1, 0] == 1 == -preferences[0, 0, 1] and preferences[1, 0, 1] == 0
    assert np.isnan(preferences[0, 2, :2]).all()


@pytest.mark.parametrize(("text", "said"), [
    ("item,system,vote\n", "no column aspect"),
    ("item,system,aspect,vote,votes\n", "a column 'votes'"),
    ("item,system,aspect,vote\n", "holds no votes"),
    ("item,system,aspect,vote\n1,a,x,\n1,b,x,\n", "holds no votes"),
    ("item,system,aspect,vote,vote\n1,a,x,1,4\n", "two columns 'vote': keep one; several people are several lines"),
    ("item,system,aspect,vote,judge:\n1,a,x,1,4\n", "a column 'judge:'; expected clip or judge:NAME"),
    ("item,system,aspect,vote,judge:the system's name\n1,a,x,1,4\n", "a NAME other than"),
    ("item,system,aspect,vote\n1,a,x,good\n", "line 2, vote: 'good' is no number"),
    ("item,system,aspect,vote\n1,a,x,nan\n", "is no number"),
    ("item,system,aspect,vote\n1,,x,3\n", "line 2 lacks"),
    ("item,system,aspect,vote\n1,a,x\n", "line 2 has not 4 columns"),
    ("item,system,aspect,vote,clip\n1,a,x,3,abc\n", "no SHA-256"),
    (f"item,system,aspect,vote,clip\n1,a,x,3,{'a' * 64}\n1,b,x,3,{'a' * 64}\n", "one file is named"),
])  # fmt: skip
def test_a_table_that_is_none_is_refused_with_its_line(tmp_path, text, said):
    path = tmp_path / "votes.csv"
    path.write_text(text)
    with pytest.raises(ItemError, match=said):
        read_votes(path)


def test_the_command_prints_text_or_json_and_refuses_with_two(runs, tmp_path):
    votes = write_votes(tmp_path / "votes.csv", judge=False)
    done = CliRunner().invoke(app, ["panel", *map(str, runs), "--votes", str(votes)])
    assert done.exit_code == 0 and "Sync-C" in done.stdout and NAME in done.stdout
    done = CliRunner().invoke(app, ["panel", *map(str, runs), "--votes", str(votes), "--json"])
    assert json.loads(done.stdout) == tb.panel(runs, votes).as_dict()
    done = CliRunner().invoke(app, ["panel", str(runs[0]), "--votes", str(tmp_path / "gone.csv")])
    assert done.exit_code == 2 and "gone.csv" in done.stderr


def test_every_quantity_of_every_metric_is_declared_or_left_out_with_a_reason():
    said = declared()
    known = {(id, each.name): each for id in metric_ids() for each in create(id).quantities}
    listed = [(id, name) for part in (said.directions, said.left_out) for id, mine in part.items() for name in mine]
    assert len(set(listed)) == len(listed) and set(listed) == set(known)
    for (id, name), quantity in known.items():
        direction = said.directions.get(id, {}).get(name)
        if quantity.aggregate == "set":
            assert direction is None
        elif quantity.direction != "none":
            assert direction == quantity.direction
        elif direction is not None:
            assert quantity.is_shift and direction == "nearer to 0"
