"""``tb.run``: an experiment from a notebook, with fake systems."""

import pytest
from experiment_factory import ROW, cli, items, log, world, write  # noqa: F401

import t2av_bench as tb

ROWS = ROW + '[[rows]]\nname = "quiet"\nsystem = "fake-noise"\noptions = { level = 0.01 }\n'


def test_an_experiment_becomes_runs_and_is_continued(tmp_path):
    steps = []
    runs = tb.run(write(tmp_path, ROWS), progress=steps.append)
    assert list(runs) == ["noise", "quiet"] and len(log(tmp_path)) == 6
    assert {step.phase for step in steps} == {"making", "scoring"}
    for phase in ("making", "scoring"):
        done = [step.done for step in steps if step.phase == phase]
        assert done == sorted(done) and done[-1] == {step.total for step in steps if step.phase == phase}.pop()
    loud, quiet = (runs[name].summary.set_index("quantity").value["level"] for name in runs)
    assert loud > 10 * quiet
    assert list(tb.table(list(runs.values())).to_frame().level) == [loud, quiet]

    told = []
    again = tb.run(str(write(tmp_path, ROWS)), only="quiet", regenerate=["quiet"], notice=told.append)
    assert list(again) == ["quiet"] and len(log(tmp_path)) == 3 and any("made again" in text for text in told)
    assert tb.run(write(tmp_path, ROWS), out=tmp_path / "few", items=2, only="quiet")["quiet"].clips == ["a", "b"]


def test_what_is_to_be_known_of_the_items_is_kept_and_said_once(tmp_path):
    rest = '"reference": "real/a.wav"}'
    items(
        tmp_path, {"a": "one"}, ('{"id": "b", "text": "two", ' + rest, '{"id": "c", "text": "3", "mood": "", ' + rest)
    )
    told = "items with 'text' and no 'language', which word error rates need: b, c"
    done = cli(write(tmp_path, ROWS))
    assert done.exit_code == 0 and f"note: {told}  [noise, quiet]" in done.stderr.splitlines(), done.stderr
    runs = tb.run(write(tmp_path, ROWS))
    assert all(told in run.notices and not any("not scored" in text for text in run.notices) for run in runs.values())
    assert runs.result.rows[0].kept == 3


def test_a_row_whose_folder_cannot_be_used_costs_the_others_nothing(tmp_path):
    folder = tmp_path / "out" / "runs" / "quiet"
    folder.mkdir(parents=True)
    (folder / "results.db").write_bytes(b"not a database, but something else of somebody's")
    with pytest.warns(UserWarning, match="quiet: not scored: "):
        runs = tb.run(write(tmp_path, ROWS))
    assert list(runs) == ["noise"] and runs["noise"].exit_status == 0


@pytest.mark.parametrize(
    ("given", "options"),
    [
        ({"only": "nois"}, ["--only", "nois"]),
        ({"regenerate": ["absent"]}, ["--regenerate", "absent"]),
        ({"device": "gpu"}, ["--device", "gpu"]),
    ],
)
def test_errors_are_the_commands_sentences(tmp_path, given, options):
    file = write(tmp_path)
    with pytest.raises(ValueError) as error:
        tb.run(file, **given)
    done = cli(file, *options)
    assert done.exit_code == 2 and done.output.strip() == f"t2av-bench: {error.value}"
