"""``t2av-bench merge``: the shards of one evaluation -> one run."""

from pathlib import Path
from typing import Annotated

import typer

from t2av_bench.cli.errors import usage_errors


def merge(
    shards: Annotated[list[Path], typer.Argument(help="Run folders of all shards, in any order.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option(help="Run folder of the whole.  [default: the folder that the shards lie in]")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON instead of a table.")] = False,
) -> None:
    """Make one run of the shards that 'evaluate --shard I/N' made, the same as one without shards, and print its table.

    Distances between sets of clips are made here; nothing else is measured. A shard that is missing is named, with the
    command that makes it. Exit status: as of evaluate.
    """
    from t2av_bench.api.merging import merge
    from t2av_bench.cli.evaluate import show
    from t2av_bench.cli.progress import Display
    from t2av_bench.utils.registry import stdout_to_stderr

    display = Display()
    with usage_errors():
        with display, stdout_to_stderr():
            done = merge(shards, out=out, notice=display.notice)
        show(done, display, as_json)
    raise typer.Exit(done.exit_status)
