"""``t2av-bench run``: clips, scores and tables from one file. Progress on stderr, the tables on stdout."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from t2av_bench.cli.errors import FAILED, USAGE_ERROR, usage_errors
from t2av_bench.cli.options import options_of
from t2av_bench.experiment.config import RunConfig, built_in
from t2av_bench.utils.files import json_text
from t2av_bench.utils.terminal_text import echo
from t2av_bench.utils.text import some

if TYPE_CHECKING:
    from t2av_bench.api.experiment import Runs
    from t2av_bench.cli.progress import Display
    from t2av_bench.cli.run_tables import TableResult
    from t2av_bench.experiment.missing import Missing
    from t2av_bench.experiment.run import Preview, Result


def _names(typed: str) -> list[str]:
    return [name for name in built_in() if name.startswith(typed)]


@options_of(RunConfig, without=("benchmark", "metrics", "tables", "seed", "options", "resources", "rows"))
def run(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="What to make, score and show, see docs/run.md; "
                                           "or the name of a file that comes with us, such as paper-table1.",
                                           autocompletion=_names, show_default=False)],
    *,
    only: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only this row. Repeatable.")] = None,
    regenerate: Annotated[list[str] | None, typer.Option(
        metavar="NAME", help="Make all clips of this row again, or of all rows: all. Repeatable. To go on after an "
        "interruption leave it out.",
    )] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be made and scored, what is there, and what is missing "
                                             "on this machine, with the commands that bring it; do nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    **given: Any,
) -> None:  # fmt: skip
    """Make clips with systems, score them, and print the tables; the same command continues and repeats nothing.

    Exit status: 0 all well, 1 more failed clips than --max-failures or a metric named in the file without a value or
    --log failed, 2 the command cannot be carried out, or not for some row (--dry-run: something is missing on this
    machine).
    """
    from t2av_bench.api.experiment import made_again, run
    from t2av_bench.cli.progress import Display
    from t2av_bench.cli.run_tables import check_tables, make_tables
    from t2av_bench.experiment.config import load
    from t2av_bench.experiment.run import preview
    from t2av_bench.utils.registry import stdout_to_stderr

    display = Display()
    with usage_errors():
        given["manifests"] = _manifests(given["manifests"] or ())
        loaded = load(config, given, tuple(only or ()))
        check_tables(loaded)
        if loaded.config.log:
            from t2av_bench.api import loggers

            loggers.check(loaded.config.log)
        if dry_run:
            rows = preview(loaded, made_again(loaded, regenerate or ()))
            _print_preview(rows, as_json)
            if any(row.missing for row in rows):
                raise typer.Exit(USAGE_ERROR)
            return
        with display, stdout_to_stderr():
            runs = run(
                config, only=only or (), regenerate=regenerate or (), progress=display.step, notice=display.note,
                **given,
            )  # fmt: skip
            tables = make_tables(loaded, loaded.config.out, display.note, runs.result.unscored)
    result = runs.result
    if as_json:
        echo(json_text(_document(loaded.config.out, runs, tables), indent=1))
    else:
        print_tables(tables)
    explain_failures(result, display)
    for table in tables:
        where = table.reason or ", ".join(str(path) for path in table.files.values())
        display.note(f"table {table.name}: {where}")
    logged = [each.logged for each in runs.values() if each.logged]
    for text in dict.fromkeys(map(str, logged)):
        display.note(text)
    if result.unscored:
        raise typer.Exit(USAGE_ERROR)
    allowed = loaded.config.max_failures
    if result.failed_clips > allowed:
        display.note(f"{result.failed_clips} clips failed, --max-failures allows {allowed}: exit status 1. The same "
                     "command tries them again.")  # fmt: skip
        raise typer.Exit(FAILED)
    if result.missing and not loaded.config.allow_missing:
        display.note(f"{some(result.missing, 6)}: no clip of any row was scored: exit status 1 (--allow-missing "
                     "accepts that)")  # fmt: skip
        raise typer.Exit(FAILED)
    if any(each.reason for each in logged):
        display.note("the scores are there, but not logged: exit status 1")
        raise typer.Exit(FAILED)
    if any(table.table is None for table in tables):
        raise typer.Exit(USAGE_ERROR)


def _manifests(typed: Sequence[str]) -> dict[str, Path]:
    from t2av_bench.utils.config import ConfigError

    found = {}
    for text in typed:
        name, is_sign, file = text.partition("=")
        if not (name and is_sign and file):
            raise ConfigError(f"--manifest {text}: expected NAME=FILE, such as en-200=data/en-200/items.jsonl")
        found[name] = Path(file)
    return found


def explain_failures(result: "Result", display: "Display") -> None:
    """Say what was to be known of the items, and of each row how many clips failed, and why; the worst first."""
    from t2av_bench.cli.output import tell
    from t2av_bench.evaluation.reasons import count

    for reason in count((row.row.name, "", text) for row in result.rows for text in row.notices):
        display.notice(f"{reason.text}  [{some(reason.clips)}]")
    for row in result.rows:
        if row.failed:
            display.note(f"{row.row.name}: {row.failed_clips} of {row.items} clips failed in something")
            reasons = count((each["clip"], each["metric"], each["reason"]) for each in row.failed)
            tell(display.console, "failed", reasons)


def print_tables(tables: "list[TableResult]") -> None:
    from t2av_bench.cli.output import show_table

    shown = [table for table in tables if table.table is not None]
    for table in shown:
        assert table.table is not None
        show_table(table.table, (table.table.title or table.name) if len(shown) > 1 else "")
        echo()


def _document(out: Path, runs: "Runs", tables: "list[TableResult]") -> dict[str, Any]:
    from t2av_bench.api.runs import column_document

    rows = []
    for row in runs.result.rows:
        found = [column_document(column) for column in runs[row.row.name].result.columns]
        logged = runs[row.row.name].logged
        rows.append({
            "name": row.row.name, "label": row.row.label, "system": row.row.system or None, "task": row.row.task,
            "clips": str(row.clips), "items": row.items, "kept": row.kept, "made": row.made,
            "not_made": row.not_made, "run": str(row.run), "columns": found, "failures": row.failed,
            "logged": logged.as_dict() if logged else None,
        })  # fmt: skip
    made = [
        {"name": table.name, "reason": table.reason,
         "files": {format: str(path) for format, path in table.files.items()}} for table in tables
    ]  # fmt: skip
    return {"out": str(out), "rows": rows, "tables": made, "missing": runs.result.missing,
            "unscored": dict(runs.result.unscored)}  # fmt: skip


def _print_preview(rows: "list[Preview]", as_json: bool) -> None:
    if as_json:
        document = []
        for each in rows:
            told = {"items": each.items, "benchmark_built": each.built, "made": each.made, "to_make": each.to_make,
                      "made_again": dict(each.again), "cannot_be_made": each.failures,
                      "measurements": each.measurements, "measured": each.measured}  # fmt: skip
            document.append({
                "name": each.row.name, "system": each.row.system or None, "task": each.row.task,
                **(told if _is_counted(each) else dict.fromkeys(told)),
                "missing": [{"kind": one.kind, "name": one.name, **asdict(one.lack)} for one in each.missing],
            })  # fmt: skip
        echo(json_text(document, indent=1))
        return
    from rich.table import Table

    from t2av_bench.cli.console import Console
    from t2av_bench.experiment.run import clips

    shown = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("row", "system", "task", "items", "there", "to make", "cannot", "to measure", "missing"):
        shown.add_column(heading, overflow="fold")
    for each in rows:
        numbers = [f"{each.items}" + ("" if each.built else " (to be built)"), each.made, each.to_make,
                  len(each.failures), each.measurements - each.measured]  # fmt: skip
        known = _is_counted(each)
        shown.add_row(
            each.row.name, each.row.source, each.row.task, *(str(number) if known else "?" for number in numbers),
            _kinds(each),
        )  # fmt: skip
    Console().print(shown)
    for each in rows:
        for reason, count in each.again.items():
            echo(f"{each.row.name}: {clips(count)} made again: {reason}", err=True)
    reasons = {reason: id for each in rows for id, reason in reversed(each.failures.items())}
    for reason, id in reasons.items():
        echo(f"cannot be made: {id}: {reason}", err=True)
    _print_missing(rows)


def _is_counted(row: "Preview") -> bool:
    """Whether it is known what is to be made and measured: not without the items, or the finished clips."""
    return not any(each.kind in ("items", "clips") for each in row.missing)


def _kinds(row: "Preview") -> str:
    """What kinds of things a row misses: ``items, 3 metrics``."""
    counts = Counter(each.kind for each in row.missing)
    metrics = counts.pop("metric", 0)
    return ", ".join([*counts, *([f"{metrics} metric{'s' * (metrics > 1)}"] if metrics else [])]) or "nothing"


def _print_missing(rows: "list[Preview]") -> None:
    """Each thing once, with the rows that need it and the commands that bring it."""
    wanted: dict[Missing, list[str]] = {}
    for row in rows:
        for each in row.missing:
            wanted.setdefault(each, []).append(row.row.name)
    if not wanted:
        return
    echo("\nMissing on this machine:")
    for each, names in wanted.items():
        echo(f"- {each.kind} {each.name}: {each.lack.what}")
        for command in each.lack.commands:
            echo(f"    {command}")
        for licence in each.lack.licences:
            echo(f"    licence: {licence}")
        echo(f"    for {'all rows' if len(names) == len(rows) > 1 else some(names, 12)}")
