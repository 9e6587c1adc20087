"""How commands end when something is wrong."""

import typer

from t2av_bench.utils.terminal_text import echo

USAGE_ERROR = 2


class usage_errors:
    """Errors that a user can cause become one line on stderr and exit status 2."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        from t2av_bench.errors import NotApplicable
        from t2av_bench.utils.reasons import sentence

        # A SystemExit is a plug-in's: it must not look as if the command had done its work.
        if isinstance(error, NotApplicable | ValueError | OSError | SystemExit):
            echo(f"t2av-bench: {sentence(error)}", err=True)
            raise typer.Exit(USAGE_ERROR) from error
