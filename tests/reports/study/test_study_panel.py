"""From clips to agreement by commands alone: evaluate, study make, answers as the page writes them, panel."""

import json
from pathlib import Path

import numpy as np
import pytest
from media_factory import moving_pattern, noise, write_clip
from typer.testing import CliRunner

from t2av_bench.cli.main import app

SYSTEMS, ITEMS = ("plain", "unsteady"), ("a", "b", "c")


def command(*words: object) -> str:
    done = CliRunner().invoke(app, [*map(str, words)])
    assert done.exit_code == 0, done.stderr
    return done.stdout


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Two systems' clips, of which the second's are brighter and darker by turns; scored, and made into a study."""
    runs = []
    for flicker, system in enumerate(SYSTEMS):
        (tmp_path / "clips" / system).mkdir(parents=True)
        for index, item in enumerate(ITEMS):
            pictures = moving_pattern(12, 64, 80, seed=index)
            light = 1 - 0.3 * flicker * (np.arange(12) % 2)
            frames = (pictures * light[:, None, None, None]).astype(np.uint8)
            write_clip(tmp_path / "clips" / system / f"{item}.mp4", frames, noise(0.5, seed=index))
        runs.append(tmp_path / "runs" / system)
        command("evaluate", tmp_path / "clips" / system, "--metrics", "flicker", "--out", runs[-1], "--workers", 1)
    command("study", "make", *runs, "--out", tmp_path / "study", "--trials", 3, "--checks", 1)
    return tmp_path / "study"


def answer(study: Path, participant: str, prefers: dict[str, str | None], *, attentive: bool = True) -> None:
    """A file as the page hands it out; A and B as this participant saw them. prefers: item -> system; None: a tie."""
    key = json.loads((study / "key.json").read_text(encoding="utf-8"))
    answers = []
    for number, id in enumerate(key["lists"][0]):
        trial = key["trials"][id]
        shown = trial["media"][:: 1 if (number + len(participant)) % 2 else -1]
        wanted = prefers[trial["item"]]
        if trial["check"]:
            choice = "AB"[shown.index(trial["media"][0 if attentive else 1])]
        else:
            choice = "tie" if wanted is None else "AB"[shown.index(trial["media"][trial["systems"].index(wanted)])]
        answers.append({"trial": id, "shown": shown, "choice": choice, "seconds": 4.5})
    folder = study / "answers"
    folder.mkdir(exist_ok=True)
    (folder / f"{participant}.json").write_text(json.dumps({
        "format": "t2av-bench study answers", "version": 1, "study": key["study"], "participant": participant,
        "list": 0, "started": "2026-01-01T10:00:00Z", "finished": "2026-01-01T10:09:00Z", "answers": answers,
    }))  # fmt: skip


def test_answers_of_anybody_judge_the_metrics_of_the_runs(study: Path, tmp_path: Path) -> None:
    plain, unsteady = SYSTEMS
    answer(study, "ann", {"a": plain, "b": plain, "c": unsteady})
    answer(study, "bo", {"a": plain, "b": None, "c": unsteady})
    answer(study, "cleo", {"a": unsteady, "b": plain, "c": None})
    answer(study, "inattentive", {"a": unsteady, "b": unsteady, "c": unsteady}, attentive=False)
    runs = [tmp_path / "runs" / system for system in SYSTEMS]
    found = json.loads(command("panel", *runs, "--votes", study / "answers", "--json"))
    # a 2:1 and b 2:0 for the steady one, c 2:0 for the other: the metric is right on two of three.
    flicker = next(each for each in found["judged"] if each["quantity"] == "flicker")
    within = flicker["within_items"]
    assert (within["judged"], within["decided"], within["ties"]) == (3, 3, 0) and flicker["direction"] == "lower"
    assert within["accuracy"]["value"] == pytest.approx(2 / 3) and within["tau"]["value"] == pytest.approx(1 / 3)
    assert "3 clips of 3 items" in within["accuracy"]["reason"] or "6 clips of 3 items" in within["accuracy"]["reason"]
    # Of the other two items one (for a and b) or two (for c) are the steady one's: a tie, a tie, and wrong.
    name = next(each for each in found["judged"] if each["kind"] == "name")
    assert name["within_items"]["accuracy"]["value"] == pytest.approx((0.5 + 0.5 + 0) / 3)
    assert flicker["within_systems"] is None
    notes = " ".join(found["notes"])
    assert "3 participants" in notes and "Dropped for failing more than 0 attention checks: 1: inattentive." in notes
    everybody = json.loads(command("panel", *runs, "--votes", study / "answers", "--failed-checks", 1, "--json"))
    flicker = next(each for each in everybody["judged"] if each["quantity"] == "flicker")
    assert flicker["within_items"]["decided"] == 2, "a is 2:2 now"
    assert everybody["made"]["votes"] == found["made"]["votes"]
    assert (found["made"]["failed_checks"], everybody["made"]["failed_checks"]) == (0, 1), "who counts is on record"
    (study / "answers" / "key.json").write_bytes((study / "key.json").read_bytes())
    beside = json.loads(command("panel", *runs, "--votes", study / "answers" / ".", "--json"))
    assert beside == found, "where the key lies changes nothing"
    answer(study, "dan", {"a": plain, "b": plain, "c": plain})
    other = json.loads(command("panel", *runs, "--votes", study / "answers", "--json"))
    assert other["made"]["votes"] != found["made"]["votes"], "other answers are other votes"
    assert "Which clip do you prefer overall?" in command("panel", *runs, "--votes", study / "answers")
