"""``t2av-bench compare``: several runs against the first one, item by item."""

import json
from pathlib import Path
from typing import Annotated

import typer

from t2av_bench.cli.errors import usage_errors
from t2av_bench.utils.terminal_text import echo


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Run folders or baseline files; the first is what the others are compared with.",
                       show_default=False),
    ],
    quantities: Annotated[
        str | None, typer.Option(help="Comma-separated quantities, metrics or families.  [default: all]")
    ] = None,
    worst: Annotated[int, typer.Option(min=0, help="Worst items to list for each quantity.")] = 5,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, with every item, instead of the report.")
    ] = False,
) -> None:  # fmt: skip
    """Compare runs with the first one: paired differences with intervals and p-values, worst regressions first."""
    from t2av_bench.api import comparing
    from t2av_bench.cli.output import show_markdown
    from t2av_bench.comparison.contrast import forest

    with usage_errors():
        comparison = comparing.compare(runs, quantities=quantities)
    if as_json:
        from dataclasses import asdict

        document = comparison.as_dict() | {"forest": [asdict(row) for row in forest(comparison)]}
        echo(json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False))
    else:
        show_markdown(comparison.to_markdown(worst=worst))
