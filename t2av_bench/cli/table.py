"""``t2av-bench table``: a table of runs, in any of its formats."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from t2av_bench.cli.errors import usage_errors
from t2av_bench.utils.terminal_text import echo


def table(
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="[TABLE] RUN...",
            help="Run folders made by 'evaluate', one row each, or the folder of a 'run'; before them a table's name "
            "(paper:1 … paper:5) or a TOML file that specifies one.",
            show_default=False,
        ),
    ],
    format: Annotated[
        Literal["md", "latex", "csv", "html", "json", "terminal"] | None,
        typer.Option(help="Output format.  [default: terminal on a terminal, md elsewhere]"),
    ] = None,
    published: Annotated[bool, typer.Option("--published", help="Only the published rows of the table named.")] = False,
    columns: Annotated[
        str | None, typer.Option(help="Quantities to show, in this order: sync_c,wer,fid.  [default: all]")
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help="Break the table down by a key of the items: language, tags, speaker, or any key of your manifest.",
            show_default=False,
        ),
    ] = None,
    across: Annotated[bool, typer.Option("--across", help="The groups of --by as columns instead of rows.")] = False,
    intervals: Annotated[
        bool | None,
        typer.Option(help="A 95 % bootstrap interval in every cell.  [default: with --by]", show_default=False),
    ] = None,
    budget: Annotated[
        Path | None,
        typer.Option(
            help="JSON file of 'budget', for the note on what is not resolved.  [default: the packaged one]",
            show_default=False,
        ),
    ] = None,
    allow_mixed: Annotated[
        bool, typer.Option(help="Mark cells measured by another protocol instead of refusing the table.")
    ] = False,
) -> None:
    """Print a table of runs: best in bold, second best underlined where a paired test tells them apart; coverage.

    With a table's name, runs stand under its published rows; without runs these are printed as published. The folder of
    a 'run' prints the tables of that experiment.
    """
    from reports.render.formats import FORMATS, as_json
    from reports.render.terminal import terminal
    from reports.tables.model import Table
    from t2av_bench.api.tables import table as table_of
    from t2av_bench.cli.output import show_table
    from t2av_bench.cli.run_tables import runs_of, tables_of, wanted_of
    from t2av_bench.results.run import run_folders
    from t2av_bench.utils.text import names

    def notice(text: str) -> None:
        echo(text, err=True)

    def show(made: Table, heading: str = "") -> None:
        if format is None:
            show_table(made, heading)
        else:
            echo({"terminal": terminal, "json": as_json, **FORMATS}[format](made), nl=False)

    with usage_errors():
        named, folders = parse(targets)
        chosen = names(columns)
        if by is not None or across:  # of all runs together, whatever tables their configuration names
            folders = [run for each in folders for run in runs_of(each)]
        if named is None and not published and len(folders) == 1 and run_folders(folders[0]) != folders:
            made = tables_of(
                folders[0], wanted_of(folders[0]), notice, columns=chosen, intervals=intervals, allow_mixed=allow_mixed
            )
            for each in made:
                if each.table is not None:
                    show(each.table, (each.table.title or each.name) if len(made) > 1 else "")
                if each is not made[-1]:
                    echo()
            if wrong := [each for each in made if each.reason]:
                raise ValueError("; ".join(f"table {each.name}: {each.reason}" for each in wrong))
            return
        show(table_of(
            folders, named, published=published, columns=chosen, intervals=intervals, allow_mixed=allow_mixed,
            by=by, across=across, budget=budget, notice=notice,
        ))  # fmt: skip


def parse(targets: Sequence[str]) -> tuple[str | None, list[Path]]:
    """The table's name or TOML file, where the first target is one, and the run folders.

    An experiment's folder after a name stands for all of its runs.
    """
    from t2av_bench.cli.run_tables import runs_of

    named = targets[0] if _is_specification(targets[0]) else None
    folders = [Path(target) for target in targets[named is not None :]]
    for folder in folders:
        if _is_specification(str(folder)):
            raise ValueError(f"{folder} names a second table; one at a time, before its runs: table paper:1 RUN RUN")
    if named is None and len(folders) == 1:
        return named, folders
    return named, [run for each in folders for run in runs_of(each)]


def _is_specification(target: str) -> bool:
    """Whether a target names a table instead of a run folder.

    Raises ConfigError for a name that is neither, but is close to a table's.
    """
    from reports.tables import specification
    from t2av_bench.utils.config import ConfigError

    path = Path(target)
    if path.is_dir():
        return False
    if target.endswith(".toml") or re.fullmatch(r"[a-z_]+:\w+", target):
        return True
    if not path.exists() and re.fullmatch(r"\w+[ :._-]?\d", target):
        raise ConfigError(f"{target} is no run folder, and {specification.unknown(target)}")
    return False
