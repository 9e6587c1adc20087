"""The command line. Data goes to stdout, progress and messages to stderr.

Nothing heavy is imported here: each command imports what it needs when it runs, so that ``--help`` is instant.
"""

import signal
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from t2av_bench.cli.attest import attest
from t2av_bench.cli.budget import budget, gaps
from t2av_bench.cli.cache import cache_app
from t2av_bench.cli.compare import compare
from t2av_bench.cli.data import data_app
from t2av_bench.cli.demo import demo
from t2av_bench.cli.env import env
from t2av_bench.cli.evaluate import evaluate
from t2av_bench.cli.generate import generate
from t2av_bench.cli.history import history
from t2av_bench.cli.inspect import inspect
from t2av_bench.cli.list import list_
from t2av_bench.cli.merge import merge
from t2av_bench.cli.new import new
from t2av_bench.cli.panel import panel
from t2av_bench.cli.regress import baseline_app, regress
from t2av_bench.cli.report import report, serve
from t2av_bench.cli.run import run
from t2av_bench.cli.scores import scores
from t2av_bench.cli.study import study_app
from t2av_bench.cli.systems import systems_app
from t2av_bench.cli.table import table
from t2av_bench.cli.train import train_app
from t2av_bench.cli.validity import validity
from t2av_bench.cli.weights import app as weights_app
from t2av_bench.utils.machine import unsupported
from t2av_bench.utils.terminal_text import echo
from t2av_bench.version import __version__

app = typer.Typer(
    name="t2av-bench",
    help="Generate, score and compare talking-portrait audio-video models.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_INTERRUPTED = 130  # what typer makes of a KeyboardInterrupt


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


# In the order in which --help shows them.
_COMMANDS: dict[str, Callable[..., None]] = {
    "evaluate": evaluate, "merge": merge, "table": table, "scores": scores, "demo": demo, "list": list_, "run": run,
    "generate": generate, "compare": compare, "regress": regress, "history": history, "validity": validity,
    "panel": panel, "attest": attest, "budget": budget, "gaps": gaps, "report": report, "serve": serve,
    "inspect": inspect, "new": new, "env": env,
}  # fmt: skip
for _name, _command in _COMMANDS.items():
    app.command(_name)(_command)
for _group in (study_app, baseline_app, systems_app, weights_app, data_app, cache_app, train_app):
    app.add_typer(_group)

# Commands that keep what is finished and go on from there.
_CONTINUED = ("evaluate", "run", "demo", "validity", "budget", "attest", "weights", "data", "train")


def main() -> None:
    """Entry point of the ``t2av-bench`` program.

    Ctrl-C and SIGTERM end a command the same way: what is open is closed, workers go, one line says how to go on, and
    the exit status is 128 plus the signal's number.
    """
    if why := unsupported():
        sys.exit(why)
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
        command = next((word for word in sys.argv[1:] if not word.startswith("-")), None)
        what = "terminated" if stopped_by[0] == signal.SIGTERM else "interrupted"
        kept = "; what is finished is kept, and the same command continues" if command in _CONTINUED else ""
        echo(f"t2av-bench: {what}{kept}", err=True)
        sys.exit(128 + stopped_by[0])


if __name__ == "__main__":
    main()
