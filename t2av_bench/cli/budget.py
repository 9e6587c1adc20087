"""``t2av-bench budget``: what values change for other reasons than the model; ``gaps``: what that leaves."""

from pathlib import Path
from typing import Annotated, Any

import typer

from t2av_bench.cli.complete import metric_names
from t2av_bench.cli.errors import usage_errors
from t2av_bench.cli.options import options_of
from t2av_bench.validation.budget import BudgetConfig


@options_of(
    BudgetConfig, first=("out", "manifest", "metrics", "sources", "add", "work"),
    without=("clips", "max_failures", "allow_missing"), complete={"metrics": metric_names},
)  # fmt: skip
def budget(
    clips: Annotated[list[Path], typer.Argument(help="A folder of clips, or files.", show_default=False)],
    *,
    at: Annotated[int, typer.Option(min=2, help="Clips of a set, for the last column of what is printed.")] = 200,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead.")] = False,
    **given: Any,
) -> None:
    """Measure what every metric changes for reasons that are not the model, and write it to a file.

    The clips are encoded again, put into other containers and frame rates, cropped elsewhere and ended early, and
    scored; other detectors and recognisers score them as they are. The file serves 'table', 'regress --budget' and
    'gaps'. The same command continues. See docs/error_budget.md.

    Exit status: 0 written; 1 no quantity has a value; 2 the command cannot be carried out.
    """
    from t2av_bench.api.budget import budget
    from t2av_bench.cli.output import show_report
    from t2av_bench.cli.progress import Display
    from t2av_bench.evaluation.config import parse_options
    from t2av_bench.utils.registry import stdout_to_stderr

    display = Display()
    with usage_errors():
        options = parse_options(given.pop("options") or ())
        with display, stdout_to_stderr():
            found = budget(clips, options=options, progress=display.step, notice=display.note, **given)
    show_report(found, as_json, clips=at)
    if not any(entry.scored for entry in found.entries):
        display.note("no quantity has a value: exit status 1")
        raise typer.Exit(1)


def gaps(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[BUDGET]", help="JSON file of 'budget'.  [default: the packaged one]",
                       show_default=False),
    ] = None,
    tables: Annotated[
        str | None, typer.Option(help="Comma-separated tables with published rows.  [default: paper:1 to paper:5]")
    ] = None,
    pairs: Annotated[bool, typer.Option("--pairs", help="Every pair of rows instead of one line a column.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with every pair.")] = False,
) -> None:  # fmt: skip
    """Print which gaps of published tables exceed the errors of a budget, taken as unpaired.

    Whoever published the rows has not published scores by clip: no paired test can be made, which might tell more.
    """
    from t2av_bench.api.budget import gaps
    from t2av_bench.cli.output import show_report

    with usage_errors():
        found = gaps(file, tables)
    show_report(found, as_json, pairs=pairs)
