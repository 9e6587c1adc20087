"""``t2av-bench panel``: which metric agrees with people."""

from pathlib import Path
from typing import Annotated

import typer

from t2av_bench.cli.errors import usage_errors


def panel(
    runs: Annotated[
        list[Path], typer.Argument(help="Run folders of the clips that people judged.", show_default=False)
    ],
    votes: Annotated[
        Path,
        typer.Option(help="A table of votes (CSV with item, system, aspect, vote), or a study's answers (a JSON file, "
                          "or a folder of them).", show_default=False),
    ],
    key: Annotated[
        Path | None, typer.Option(help="The study's key.json.  [default: the one beside or above the answers]")
    ] = None,
    declared: Annotated[
        Path | None, typer.Option(help="TOML file of directions.  [default: the package's own]")
    ] = None,
    failed_checks: Annotated[int, typer.Option(min=0, help="Attention checks a participant may fail and count.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for panel.json, panel.md, and a line in runs.jsonl for every time this is done."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, with every reason, instead of the report.")
    ] = False,
) -> None:  # fmt: skip
    """Hold metrics against people's votes, clip against clip, beside a judge's ratings and the system's name alone.

    Agreement is given between clips of one item, and apart from it between clips of one system. See docs/panel.md.

    Exit status: 0 all well, also where a metric has no value of some clips (the reasons are printed); 2 the votes
    cannot be read, or no run has a clip that people judged.
    """
    from t2av_bench.api.panel import panel
    from t2av_bench.cli.output import show_report

    with usage_errors():
        found = panel(runs, votes, key=key, declared=declared, failed_checks=failed_checks, out=out)
    show_report(found, as_json)
