"""``t2av-bench table``: a table of runs, in any of its formats."""

import sys
from enum import StrEnum
from typing import Annotated

import typer

from t2av_bench.cli.errors import usage_errors
from t2av_bench.utils.terminal_text import echo


class Format(StrEnum):
    """Output formats of a table."""

    MD = "md"
    LATEX = "latex"
    CSV = "csv"
    HTML = "html"
    TERMINAL = "terminal"


def table(
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="[TABLE] RUN...",
            help="Run folders made by 'evaluate', one row each; before them a table's name (paper:1 … paper:5) or a "
            "TOML file that specifies one.",
            show_default=False,
        ),
    ],
    format: Annotated[Format, typer.Option(help="Output format.")] = Format.MD,
    published: Annotated[bool, typer.Option("--published", help="Only the published rows of the table named.")] = False,
    columns: Annotated[
        str | None, typer.Option(help="Quantities to show, in this order: sync_c,wer,fid.  [default: all]")
    ] = None,
    intervals: Annotated[bool, typer.Option("--intervals", help="A 95 % bootstrap interval in every cell.")] = False,
    allow_mixed: Annotated[
        bool, typer.Option(help="Mark cells measured by another protocol instead of refusing the table.")
    ] = False,
) -> None:
    """Print a table of runs: best in bold, second best underlined where a paired test tells them apart; coverage.

    With a table's name, runs stand under its published rows; without runs these are printed as published.
    """
    from reports.render.formats import FORMATS
    from reports.render.terminal import terminal
    from reports.tables.make import make

    with usage_errors():
        made = make(
            targets, published=published, columns=columns, intervals=intervals, allow_mixed=allow_mixed,
            notice=lambda text: echo(text, err=True),
        )  # fmt: skip
        if format is Format.TERMINAL:
            import shutil

            styled = sys.stdout.isatty()
            echo(terminal(made, styled=styled, width=shutil.get_terminal_size((100, 24)).columns), nl=False)
        else:
            echo(FORMATS[format](made), nl=False)
