"""``t2av-bench regress`` and ``t2av-bench baseline``: the regression gate and the files that it compares with."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from t2av_bench.cli.errors import USAGE_ERROR, usage_errors
from t2av_bench.cli.options import deprecated
from t2av_bench.utils.terminal_text import echo

baseline_app = typer.Typer(name="baseline", help="Keep a run's scores as a small file to compare with.",
                           no_args_is_help=True)  # fmt: skip

# Options of whatever asks the gate.
Margins = Annotated[
    Path | None, typer.Option(help='TOML file: quantity = smallest difference that matters (0.1 or "2%").')
]
BudgetFile = Annotated[
    Path | None,
    typer.Option(
        help="JSON file of 'budget': no default margin is below what encoding alone makes.  "
        "[default: the packaged one]",
        show_default=False,
    ),
]
Quantities = Annotated[
    str | None, typer.Option(help="Comma-separated quantities, metrics or families to judge.  [default: all]")
]
Alpha = Annotated[float, typer.Option(help="Chance of any false alarm, over all quantities together.")]
MaxLostClips = Annotated[int, typer.Option(min=0, help="Clips that the baseline scored and the candidate may fail on.")]
IndependentClips = Annotated[
    bool,
    typer.Option(
        "--independent-clips",
        help="Take clips of one speaker as independent: the answer then holds for these speakers alone.",
    ),
]


@baseline_app.command("save")
def save_baseline(
    run: Annotated[Path, typer.Argument(help="Run folder made by 'evaluate'.", show_default=False)],
    file: Annotated[Path, typer.Argument(help="JSON file to write; commit it.", show_default=False)],
) -> None:
    """Write a run's per-clip scores, protocols and item digests as one JSON file for 'regress'."""
    from t2av_bench.api.runs import open_run

    with usage_errors():
        opened = open_run(run)
        for note in opened.save_baseline(file):
            echo(f"note: {note}", err=True)
    size = file.stat().st_size / 1024
    quantities, items = len(opened.result.recorded.quantities), len(opened.clips)
    echo(f"{file}: {quantities} quantities of {items} items, {size:.0f} KB", err=True)


def regress(
    baseline: Annotated[
        Path, typer.Argument(help="Run folder, or a file made by 'baseline save'.", show_default=False)
    ],
    candidate: Annotated[Path, typer.Argument(help="Run folder of the system to judge.", show_default=False)],
    margins: Margins = None,
    budget: BudgetFile = None,
    quantities: Quantities = None,
    alpha: Alpha = 0.05,
    max_lost_clips: MaxLostClips = 0,
    waive: Annotated[
        list[str] | None, typer.Option(help="Metric of the baseline that the candidate may lack; can be repeated.")
    ] = None,
    undecided: Annotated[
        Literal["report", "pass", "fail"],
        typer.Option(help="What open questions mean: exit status 3 (report), 0 (pass) or 1 (fail)."),
    ] = "report",
    strict: Annotated[bool, typer.Option("--strict", hidden=True)] = False,
    independent_clips: IndependentClips = False,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML here.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the Markdown summary here too.")] = None,
    as_json: Annotated[
        Path | None, typer.Option("--json", help="Write JSON here; '-' prints it instead of the summary.")
    ] = None,
) -> None:
    """Judge whether a candidate is worse than a baseline.

    Exit status: 0 no, 1 yes, 2 not comparable or nothing judged (fewer than 20 clips), 3 undecided.
    """
    from t2av_bench.api import comparing
    from t2av_bench.cli.output import show_markdown
    from t2av_bench.comparison import verdicts as report
    from t2av_bench.comparison.comparable import NotComparable
    from t2av_bench.comparison.gate import Gate
    from t2av_bench.utils.files import write_text

    outcome: Gate | NotComparable
    if strict:
        deprecated("--strict", "--undecided fail")
    with usage_errors():
        try:
            outcome = comparing.regress(
                baseline, candidate, margins=margins, quantities=quantities, waive=",".join(waive or ()), alpha=alpha,
                max_lost_clips=max_lost_clips, undecided="fail" if strict else undecided,
                independent_clips=independent_clips, budget=budget,
            )  # fmt: skip
        except NotComparable as error:
            outcome = error
        summary = outcome.to_markdown()
        printed = str(as_json) == "-"
        files = {"junit": junit, "markdown": markdown, "json": None if printed else as_json}
        texts = {"junit": report.junit(outcome), "markdown": summary, "json": report.as_json(outcome)}
        for kind, file in files.items():
            if file is not None:
                write_text(file, texts[kind])
    if printed:
        echo(texts["json"], nl=False)
    else:
        show_markdown(summary)
    if isinstance(outcome, NotComparable):
        echo(f"t2av-bench: not comparable: {outcome}", err=True)
        raise typer.Exit(USAGE_ERROR)
    if not outcome.judged:
        echo(f"t2av-bench: {report.headline(outcome)}", err=True)
    raise typer.Exit(outcome.status)
