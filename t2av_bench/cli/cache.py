"""``t2av-bench cache``: what is kept for later, and how to be rid of it."""

from pathlib import Path
from typing import Annotated

import typer

from t2av_bench.cli.errors import usage_errors
from t2av_bench.utils.files import json_text
from t2av_bench.utils.terminal_text import echo

cache_app = typer.Typer(name="cache", help="See and prune what is kept in the user's cache.", no_args_is_help=True)

_Features = Annotated[Path | None, typer.Option(
    "--features", help="A feature cache that runs share (evaluate --cache), instead of the user's cache.")]  # fmt: skip


@cache_app.command("list")
def list_cache(
    features: _Features = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List entries with size and the days since they were last used, those first that were not used longest."""
    from rich.filesize import decimal

    from t2av_bench.utils.cache import entries

    with usage_errors():
        found = entries(features)
        if as_json:
            echo(json_text([entry.as_dict() for entry in found], indent=1))
            return
        for entry in found:
            echo(f"{decimal(entry.size):>9}  {entry.idle_days:6.1f} days  {entry.path}")
        echo(f"{len(found)} entries, {decimal(sum(entry.size for entry in found))}", err=True)


@cache_app.command()
def prune(
    features: _Features = None,
    older_than: Annotated[float, typer.Option(min=0, help="Days without use.")] = 30.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
) -> None:
    """Delete what was not used for some days: it is computed again when it is asked for.

    Runs that were made without --out, benchmarks that were built, features. Run folders of your own are left alone.
    """
    from rich.filesize import decimal

    from t2av_bench.utils.cache import entries, remove

    with usage_errors():
        old = [entry for entry in entries(features) if entry.idle_days >= older_than]
        for entry in old:
            if not dry_run:
                remove(entry)
            echo(str(entry.path))
        freed = decimal(sum(entry.size for entry in old))
        echo(f"{len(old)} entries, {freed} {'would be freed' if dry_run else 'freed'}", err=True)
