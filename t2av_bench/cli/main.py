"""The command line. Data goes to stdout, progress and messages to stderr.

Nothing heavy is imported here: each command imports what it needs when it runs, so that ``--help`` is instant.
"""

import signal
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from t2av_bench.cli.compare import compare
from t2av_bench.cli.data import data_app
from t2av_bench.cli.generate import generate
from t2av_bench.cli.inspect import inspect
from t2av_bench.cli.regress import baseline_app, regress
from t2av_bench.cli.report import report, serve
from t2av_bench.cli.run import run
from t2av_bench.cli.study import study_app
from t2av_bench.cli.train import train_app
from t2av_bench.cli.weights import app as weights_app
from t2av_bench.utils.terminal_text import echo
from t2av_bench.version import __version__

app = typer.Typer(
    name="t2av-bench",
    help="Generate, score and compare talking-portrait audio-video models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
USAGE_ERROR = 2
_INTERRUPTED = 130  # what typer makes of a KeyboardInterrupt


class Format(StrEnum):
    """Output formats of a table."""

    MD = "md"
    LATEX = "latex"
    CSV = "csv"
    HTML = "html"
    TERMINAL = "terminal"


class Listed(StrEnum):
    """What ``list`` can show."""

    METRICS = "metrics"
    SYSTEMS = "systems"


def _version(asked: bool) -> None:
    if asked:
        echo(f"t2av-bench {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    pass


@app.command()
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
    from t2av_bench.cli.evaluate import run
    from t2av_bench.evaluation.config import parse_options

    with _usage_errors():
        given = {
            "generated": generated, "reference": reference, "manifest": manifest, "out": out, "name": name,
            "metrics": None if metrics is None else tuple(filter(None, map(str.strip, metrics.split(",")))),
            "workers": workers, "device": device, "batch_size": batch_size, "timeout": timeout, "memory": memory,
            "max_seconds": max_seconds, "max_gigapixels": max_gigapixels,
            "max_failures": max_failures, "allow_missing": allow_missing or None, "limit": limit, "cache": cache,
            "step": step, "options": parse_options(option) if option else None,
        }  # fmt: skip
        raise typer.Exit(run(config, given, as_json))


@app.command()
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

    with _usage_errors():
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


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the clips, the runs and the tables.")] = Path("demo-run"),
    items: Annotated[int, typer.Option(min=3, max=100, help="Clips of each split.")] = 6,
    damage: Annotated[
        bool, typer.Option("--damage", help="Instead: four clips, damaged in known ways, and what the metrics say.")
    ] = False,
) -> None:
    """Generate with the embedded systems, score, and print Tables 1 to 5 of the embedded benchmark.

    It takes minutes on 2 cores and needs no weights, no data and no GPU; the same command continues.
    """
    from t2av_bench.cli import demo as cli_demo

    with _usage_errors():
        cli_demo.run_damage(out) if damage else cli_demo.run(out, items)


@app.command("list")
def list_(
    what: Annotated[Listed, typer.Argument(help="What to list.")] = Listed.METRICS,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List metrics (ids, columns, licence of their weights) or systems (ids, tasks and what these need).

    Benchmarks: 'data list'. Weights: 'weights list'.
    """
    from t2av_bench.cli.list import metrics, systems

    metrics(as_json) if what is Listed.METRICS else systems(as_json)


# In the order in which --help shows them, after the commands above.
for _command in (run, generate, compare, regress, report, serve, inspect):
    app.command()(_command)
app.add_typer(study_app, name="study")
app.add_typer(baseline_app, name="baseline")
app.add_typer(weights_app, name="weights")
app.add_typer(data_app, name="data")
app.add_typer(train_app, name="train")


class _usage_errors:
    """Errors that a user can cause become one line on stderr and exit status 2."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        from t2av_bench.errors import ItemError
        from t2av_bench.utils.reasons import sentence

        # A SystemExit is a plug-in's: it must not look as if the command had done its work.
        if isinstance(error, ItemError | ValueError | OSError | SystemExit):
            echo(f"t2av-bench: {sentence(error)}", err=True)
            raise typer.Exit(USAGE_ERROR) from error


# Commands that keep what is finished and go on from there.
_CONTINUED = ("evaluate", "run", "demo", "weights", "data")


def main() -> None:
    """Entry point of the ``t2av-bench`` program.

    Ctrl-C and SIGTERM end a command the same way: what is open is closed, workers go, one line says how to go on, and
    the exit status is 128 plus the signal's number.
    """
    stopped_by: list[int] = []

    def stop(number: int, _frame: object) -> None:
        stopped_by.append(number)
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup and the like ask
            signal.signal(number, stop)
    try:
        app()
    except (KeyboardInterrupt, SystemExit) as end:
        interrupted = isinstance(end, KeyboardInterrupt) or end.code == _INTERRUPTED
        if not (stopped_by and interrupted):
            raise
        what = "terminated" if stopped_by[0] == signal.SIGTERM else "interrupted"
        kept = "; what is finished is kept, and the same command continues" if _command_name() in _CONTINUED else ""
        echo(f"t2av-bench: {what}{kept}", err=True)
        sys.exit(128 + stopped_by[0])


def _command_name() -> str | None:
    return next((word for word in sys.argv[1:] if not word.startswith("-")), None)


if __name__ == "__main__":
    main()
