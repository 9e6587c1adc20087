"""``t2av-bench evaluate``: progress on stderr, the result on stdout."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from t2av_bench.cli.errors import usage_errors
from t2av_bench.utils.terminal_text import echo
from t2av_bench.utils.text import some


def evaluate(
    generated: Annotated[Path | None, typer.Option(help="Folder of generated clips.", show_default=False)] = None,
    reference: Annotated[
        Path | None,
        typer.Option(help="Folder of reference clips, named like the generated ones: names without a clip fail."),
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option(help="JSON Lines: one item a line with id, text, language, reference, … (docs/evaluate.md)."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; the same command continues it.")] = None,
    metrics: Annotated[
        str | None, typer.Option(help="Comma-separated families or ids ('list metrics' shows them).  [default: all]")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The system's name in tables.  [default: the folder's]")] = None,
    workers: Annotated[
        int | None,
        typer.Option(help="Processes; changes no number.  [default: cores, fewer where memory is short, 1 on a GPU]"),
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:N or mps.  [default: cpu]")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Samples a network sees at a time.  [default: 32]")] = None,
    timeout: Annotated[
        float | None, typer.Option(help="Seconds that one metric may take on one clip.  [default: 1800]")
    ] = None,
    memory: Annotated[
        float | None,
        typer.Option(help="GB of memory that one process may hold.  [default: its share of what is available]"),
    ] = None,
    max_seconds: Annotated[
        float | None,
        typer.Option(help="Seconds of the longest clip that is decoded.  [default: 1800]"),
    ] = None,
    max_gigapixels: Annotated[
        float | None,
        typer.Option(help="Largest clip that is decoded: pictures x width x height, in 10^9.  [default: 100]"),
    ] = None,
    max_failures: Annotated[
        int | None, typer.Option(help="Clips that may fail before the exit status is 1.  [default: 0]")
    ] = None,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Exit status 0 also where a metric named in --metrics has no value.")
    ] = False,
    limit: Annotated[int | None, typer.Option(help="Evaluate the first so many items alone.")] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Feature cache to share between runs.  [default: inside the run folder]")
    ] = None,
    step: Annotated[
        int | None, typer.Option(help="Training step of the checkpoint that made the clips, for learning curves.")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(help="METRIC.OPTION=VALUE, such as sync/exact.min_track=50; part of the protocol. Repeatable."),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file with any of these options as keys.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON instead of a table.")] = False,
) -> None:
    """Score a folder of clips: every clip gets a value or a reason, and the table is printed.

    Files pair by name; what the manifest, the generated folder or the reference folder names is an item, and one
    without a clip or with a broken line in the manifest has failed. What is wrong with the request is said before
    anything is measured. Clips that failed and metrics that were missing are tried again when the command is repeated.

    Exit status: 0 all well; 1 more failed clips than --max-failures, or a metric named in --metrics scored no clip
    (see --allow-missing); 2 the command cannot be carried out.
    """
    from t2av_bench.evaluation.config import parse_options

    with usage_errors():
        given = {
            "generated": generated, "reference": reference, "manifest": manifest, "out": out, "name": name,
            "metrics": None if metrics is None else tuple(filter(None, map(str.strip, metrics.split(",")))),
            "workers": workers, "device": device, "batch_size": batch_size, "timeout": timeout, "memory": memory,
            "max_seconds": max_seconds, "max_gigapixels": max_gigapixels,
            "max_failures": max_failures, "allow_missing": allow_missing or None, "limit": limit, "cache": cache,
            "step": step, "options": parse_options(option) if option else None,
        }  # fmt: skip
        raise typer.Exit(run(config, given, as_json))


def run(file: Path | None, given: dict[str, Any], as_json: bool) -> int:
    """Evaluate and print; returns the exit status."""
    from t2av_bench.api.evaluating import carry_out
    from t2av_bench.api.tables import table
    from t2av_bench.cli.console import Console
    from t2av_bench.cli.output import show_table, tell
    from t2av_bench.cli.progress import EvaluationDisplay
    from t2av_bench.evaluation.config import load
    from t2av_bench.evaluation.planning import requested
    from t2av_bench.scores import Status
    from t2av_bench.utils.plugins import stdout_to_stderr

    config = load(file, given)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    with EvaluationDisplay(console) as display, stdout_to_stderr():
        done = carry_out(config, display.update, lambda text: console.print(f"note: {text}", markup=False))
    if as_json:
        echo(json.dumps(done.as_dict(), indent=1, ensure_ascii=False))
    else:
        show_table(table(done))
    tell(console, "failed", done.counted(Status.FAILED))
    # Of metrics that nobody named and that no clip has, the table's notes say enough.
    told = {*requested(config.metrics), *(each.metric for each in done.result.columns if each.summary.scored)}
    tell(console, "not applicable", [
        reason for reason in done.counted(Status.NOT_APPLICABLE) if told.intersection(reason.metrics)
    ])  # fmt: skip
    clips, missing = done.failed_clips, done.missing
    if clips > config.max_failures:
        console.print(
            f"{clips} clip{'s' if clips > 1 else ''} failed in some metric, --max-failures allows "
            f"{config.max_failures}: exit status 1. The same command tries them again."
        )
    if missing and not config.allow_missing:
        console.print(
            f"{some(missing, 6)}: no clip was scored: exit status 1 (--allow-missing accepts that)", markup=False
        )
    return done.exit_status
