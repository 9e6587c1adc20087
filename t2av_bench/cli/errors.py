"""How commands end when something is wrong."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from t2av_bench.errors import NotApplicable
from t2av_bench.utils.reasons import sentence
from t2av_bench.utils.terminal_text import echo

FAILED = 1
"""Exit status where the command did its work, and something in it failed or differs."""
USAGE_ERROR = 2
"""Exit status where it cannot be carried out."""
_OURS = ("t2av_bench", "reports", "reference_model", "baselines")


@contextmanager
def usage_errors() -> Iterator[None]:
    """Errors that a user can cause become one line on stderr and exit status 2."""
    try:
        yield
    except (NotApplicable, ValueError, OSError, SystemExit) as error:
        # A SystemExit is a plug-in's: it must not look as if the command had done its work.
        echo(f"t2av-bench: {sentence(error)}", err=True)
        raise typer.Exit(USAGE_ERROR) from error
    except ModuleNotFoundError as error:  # what no check has foreseen
        if (error.name or "t2av_bench").partition(".")[0] in _OURS:
            raise
        echo(f"t2av-bench: the Python package {error.name!r} is missing: pip install 't2av-bench[all]', or the extra "
             "that docs/install.md names for this command", err=True)  # fmt: skip
        raise typer.Exit(USAGE_ERROR) from error
