"""``t2av-bench validity``: which metric notices what, on clips of one's own."""

from pathlib import Path
from typing import Annotated, Any

import typer

from t2av_bench.cli.complete import metric_names
from t2av_bench.cli.errors import usage_errors
from t2av_bench.cli.options import options_of
from t2av_bench.validation.run import ValidityConfig


@options_of(
    ValidityConfig, first=("manifest", "metrics", "damage", "grades", "out"),
    without=("clips", "max_failures", "allow_missing"), complete={"metrics": metric_names},
)  # fmt: skip
def validity(
    clips: Annotated[list[Path], typer.Argument(help="A folder of clips, or files.", show_default=False)],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with every grade's numbers.")] = False,
    **given: Any,
) -> None:
    """Damage clips by grades, score them, and print what every metric noticed, and whether it is what it claims.

    The undamaged clips are the references. Without --metrics all are asked that have what they need here. The same
    command continues, also with more metrics, damages and grades. See docs/validity.md.

    Exit status: 0 all well; 1 a metric is blind to a damage that it claims to see, or moves the wrong way, or no claim
    could be tested; 2 the command cannot be carried out.
    """
    from t2av_bench.api.validity import validity
    from t2av_bench.cli.output import show_report
    from t2av_bench.cli.progress import Display
    from t2av_bench.evaluation.config import parse_options
    from t2av_bench.utils.registry import stdout_to_stderr

    display = Display()
    with usage_errors():
        options = parse_options(given.pop("options") or ())
        with display, stdout_to_stderr():
            found = validity(clips, options=options, progress=display.step, notice=display.note, **given)
    show_report(found, as_json)
    if not found.tested:
        display.note("no claim could be tested: exit status 1")
    elif found.failed:
        display.note(f"{len(found.failed)} of {found.tested} claims fail: exit status 1")
    raise typer.Exit(found.exit_status)
