"""``t2av-bench history``: checkpoints in order, each judged against the one before and against the first."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from t2av_bench.cli.errors import usage_errors
from t2av_bench.cli.regress import Alpha, BudgetFile, IndependentClips, Margins, MaxLostClips, Quantities
from t2av_bench.utils.optional import lacking
from t2av_bench.utils.terminal_text import echo


def history(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Run folders or baseline files of one model's checkpoints, oldest first.",
                       show_default=False),
    ],
    baseline: Annotated[
        Path | None,
        typer.Option(help="Judge against this file made by 'baseline save', or run folder.  "
                     "[default: the first run]", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Also write a page with plots in this folder; an older page in it is replaced.",
                     show_default=False),
    ] = None,
    format: Annotated[
        Literal["md", "latex", "csv", "html", "json", "terminal"] | None,
        typer.Option(help="Output format; csv and json have the differences too.  [default: terminal on a terminal, "
                     "md elsewhere]"),
    ] = None,
    quantities: Quantities = None,
    margins: Margins = None,
    budget: BudgetFile = None,
    alpha: Alpha = 0.05,
    max_lost_clips: MaxLostClips = 0,
    independent_clips: IndependentClips = False,
) -> None:  # fmt: skip
    """Show what each checkpoint scores, and whether it is worse than the one before it and than the first.

    Exit status: 0 whatever was found, 2 where the command was wrong; 'regress' is what fails a job.
    """
    from t2av_bench.api.history import history as history_of
    from t2av_bench.cli.output import show_table

    def notice(text: str) -> None:
        echo(text, err=True)

    with usage_errors():
        if out and (absent := lacking("page", "matplotlib")):
            notice(f"no plots are drawn: {absent}")
        found = history_of(
            runs, baseline=baseline, margins=margins, quantities=quantities, alpha=alpha,
            max_lost_clips=max_lost_clips, independent_clips=independent_clips, budget=budget, notice=notice,
        )  # fmt: skip
        page = found.to_page(out) if out else None
        if format is None:
            show_table(found.table())
        else:
            texts = {"md": found.to_markdown, "latex": found.to_latex, "csv": found.to_csv, "html": found.to_html,
                     "json": found.to_json, "terminal": found.to_terminal}  # fmt: skip
            echo(texts[format](), nl=False)
        if page:
            echo(page, err=True)
