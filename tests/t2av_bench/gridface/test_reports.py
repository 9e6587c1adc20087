"""What the reports share: a table that Markdown readers take, and a command that writes the page it is told to."""

import sys

from t2av_bench.gridface.validation import report


def test_a_table_has_as_many_cells_in_every_line():
    lines = report.table(["clips", "value", ""], [["real", f"{0.5:.3f}", "–"], ["grain, 5 %", 3, ""]]).splitlines()
    assert lines[0] == "| clips | value |  |" and lines[2] == "| real | 0.500 | – |"
    assert {line.count("|") for line in lines} == {4}


def test_the_command_measures_as_many_clips_as_it_is_told(tmp_path, monkeypatch, capsys):
    page = tmp_path / "page.md"
    for arguments, shown in (([], "measured on 40"), (["--clips", "3"], "measured on 3")):
        monkeypatch.setattr(sys, "argv", ["report", str(page), *arguments])
        report.run("A report.", "docs/never.md", 40, lambda count: f"measured on {count}\n")
        assert page.read_text() == shown + "\n" and capsys.readouterr().out.split() == [str(page)]
