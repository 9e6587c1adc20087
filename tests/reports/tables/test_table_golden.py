"""Golden output of every format, and LaTeX as a compiler sees it.

After a change that is meant, keep the new output and look at it:
``T2AV_WRITE_GOLDEN=1 pytest tests/reports/tables/test_table_golden.py && git diff tests/reports/tables``.
"""

import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from table_factory import CORPUS_WER, SYNC, SYNC_C_HAAR, UTMOS, scored_run

from reports.render.formats import FORMATS, latex
from reports.render.terminal import terminal
from reports.tables import from_specification, specification
from reports.tables.build import build
from reports.tables.make import of_runs
from reports.tables.model import Table
from t2av_bench.scores import Quantity, Score

FOLDER = Path(__file__).parent / "golden_tables"
SUFFIXES = {"md": "md", "latex": "tex", "csv": "csv", "html": "html", "terminal": "txt"}
HAAR = ("sync/exact-haar", SYNC_C_HAAR)


def systems(theirs=SYNC):
    """Three systems on 100 zh and 100 en clips: clear differences, ties, failures, and what was not measured."""
    languages = ["zh"] * 100 + ["en"] * 100
    wave = [0.1 * (index % 7) for index in range(200)]

    def run(name, sync, utmos, *, silent=0, by=SYNC, **more):
        values = {
            by: [sync + value for value in wave],
            ("utmos/strong-v1", UTMOS): [
                Score.failed("the audio is silent") if index < silent else utmos + value
                for index, value in enumerate(wave)
            ],
        }  # fmt: skip
        return scored_run(name, values | more.get("values", {}), languages, stand_ins=[HAAR])

    weights = [Score.ok(0.05, 1.0 + index % 5) for index in range(200)]
    return [
        run("ours_v2 & <new>", 6.0, 3.5),
        run("ours, v1", 5.0, 3.5, silent=10, values={HAAR: [1.0] * 200}),
        run("theirs", 4.0, 3.4, by=theirs, values={("wer/whisper-large-v3", CORPUS_WER): weights}),
    ]


def plain() -> Table:
    return build(systems())


def under_published() -> Table:
    """Two systems by the protocol that the paper's columns follow, one by another."""
    exact = ("sync/exact", Quantity("sync_c_exact", "Sync-C (exact)", "higher"))
    return from_specification.build(specification.load("paper:1"), systems(exact))


def of_seeds() -> Table:
    """The widest table there is: two languages, anchors, three seeds a system, a clip that failed."""
    loaded = specification.load("embedded:1")
    # Footnotes are edited when something is measured anew, which is no concern of a renderer.
    loaded = replace(loaded, specification=loaded.specification.model_copy(update={"footnotes": ("Synthetic clips.",)}))
    languages = ["zh"] * 10 + ["en"] * 10

    def run(name, level):
        values = {}
        for position, column in enumerate(loaded.specification.columns):
            quantity = Quantity(column.quantity, column.label, column.direction)
            values[column.metrics[0], quantity] = [
                level * (1 + position) + 0.01 * index if index or level < 0.2 else Score.failed("no face")
                for index in range(20)
            ]  # fmt: skip
        return scored_run(name, values, languages, stand_ins=[key for key in values if "gridface" in key[0]])

    runs = [run("real", 0.1)]
    for place, name in enumerate(("talker-t2av", "dual-branch", "cascaded"), start=2):
        runs += [
            run(f"{name}{seed}", 0.1 * place + 0.02 * index) for index, seed in enumerate(("", "-seed1", "-seed2"))
        ]
    return from_specification.build(loaded, runs)


FIXTURES = {"plain": plain, "under_published": under_published, "of_seeds": of_seeds}


def test_the_golden_values_are_those_that_arithmetic_gives():
    """What the files hold, worked out apart: the wave's mean over 200, 100 and the last 190 clips."""
    wave = [0.1 * (index % 7) for index in range(200)]
    text = (FOLDER / "plain.md").read_text()
    assert f"**{6 + sum(wave) / 200:.2f}**" in text and f"<u>{5 + sum(wave) / 200:.2f}</u>" in text
    assert f"{3.5 + sum(wave[10:]) / 190:.3f}" in text and "(190/200)" in text
    text = (FOLDER / "under_published.md").read_text()
    assert f"**{6 + sum(wave[100:]) / 100:.3f}**" in text and "(90/100)" in text


@pytest.mark.parametrize("format", SUFFIXES)
@pytest.mark.parametrize("fixture", FIXTURES)
def test_golden_output(fixture, format):
    table = FIXTURES[fixture]()
    shown = terminal(table, width=100) if format == "terminal" else FORMATS[format](table)
    file = FOLDER / f"{fixture}.{SUFFIXES[format]}"
    if os.environ.get("T2AV_WRITE_GOLDEN"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(shown, encoding="utf-8")
    assert shown == file.read_text(encoding="utf-8")


def test_the_terminal_emphasises_without_changing_the_widths():
    table = plain()
    styled, signs = terminal(table, styled=True), terminal(table)
    assert "\x1b[1m6.3" in styled and "*6.3" in signs and "\x1b" not in signs
    assert "\x1b[4m5.3" in styled and "_5.3" in signs
    bare = re.sub(r"\x1b\[[0-9;]*m", "", styled)
    assert [line.split() for line in bare.splitlines() if "theirs" in line] == [
        ["theirs", "200", "4.30", "3.697", "–¹", "0.050"]
    ]


def test_intervals_stand_in_every_format():
    """Clips that all have one value have that value as their interval."""
    runs = [scored_run(name, {SYNC: [value] * 20}, ["en"] * 20) for name, value in {"a": 5.0, "b": 6.0}.items()]
    table = build(runs, intervals=True)
    for shown in (latex(table), FORMATS["html"](table), terminal(table)):
        assert "5.00" in shown and "[5.00, 5.00]" in shown
    assert r"**6.00** \[6.00, 6.00\]" in FORMATS["md"](table), "the interval is not emphasised"
    assert "a,20,5.0,20,,5,5" in FORMATS["csv"](table)


def test_names_cannot_command_the_terminal():
    hostile = scored_run("\x1b]0;title\x07red\x1b[31m", {SYNC: [5.0] * 4}, ["en"] * 4)
    assert "\x1b" not in terminal(build([hostile])) and "\x07" not in terminal(build([hostile]), styled=True)
    assert "[31m" in terminal(build([hostile])) and "[bold]x" in terminal(
        build([scored_run("[bold]x", {SYNC: [5.0]}, ["en"])])
    )


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no TeX on this machine: pdflatex compiles the tables")
def test_latex_compiles_within_the_page_with_booktabs_alone(tmp_path):
    published = [name for name in specification.names() if specification.load(name).rows]
    tables = [latex(of_runs([], name)) for name in published] + [latex(under_published()), latex(of_seeds())]
    document = tmp_path / "tables.tex"
    document.write_text(
        "\\documentclass{article}\\usepackage[a4paper,margin=2cm]{geometry}\\usepackage{booktabs}\\begin{document}\n"
        + "\\clearpage\n".join([*tables, latex(plain())]) + "\\end{document}\n",
        encoding="utf-8",
    )  # fmt: skip
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", document.name],
        cwd=tmp_path, capture_output=True, text=True, encoding="latin-1",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-1500:]
    overfull = [line for line in done.stdout.splitlines() if line.startswith("Overfull")]
    assert not overfull, overfull
    assert "Missing character" not in (tmp_path / "tables.log").read_text(encoding="latin-1")
    keep = os.environ.get("T2AV_KEEP_PDF")
    if keep:
        shutil.copy(tmp_path / "tables.pdf", keep)


def test_every_golden_file_belongs_to_a_fixture():
    assert {file.name for file in FOLDER.iterdir()} == {
        f"{name}.{suffix}" for name in FIXTURES for suffix in SUFFIXES.values()
    }
