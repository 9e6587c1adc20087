"""``t2av-bench weights``: list, fetch, verify and locate the files that metrics and systems load."""

import json
import math
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from t2av_bench.errors import NotApplicable
from t2av_bench.utils.terminal_text import echo
from t2av_bench.weights import configured
from t2av_bench.weights.table import FOLDERS_VARIABLE, UnknownWeights, Weights, configured_folders

app = typer.Typer(name="weights", help="List, fetch and verify pretrained weights.", no_args_is_help=True)

_Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Ids of the table; all without one.")]
_Folders = Annotated[list[Path] | None, typer.Option(
    "--folder", help=f"Look here first; the first one receives downloads. Also {FOLDERS_VARIABLE}, separated as PATH.",
)]  # fmt: skip
_Json = Annotated[bool, typer.Option("--json", help="One JSON list on stdout.")]


def _open(folders: list[Path] | None) -> Weights:
    if folders:
        os.environ[FOLDERS_VARIABLE] = os.pathsep.join(str(path) for path in [*folders, *configured_folders()])
    try:
        return configured()
    except (OSError, ValueError) as error:
        raise _usage(error) from error


def _usage(error: Exception) -> typer.Exit:
    echo(f"error: {error}", err=True)
    return typer.Exit(2)


def _known(store: Weights, ids: list[str] | None) -> list[str]:
    try:
        return [store.row(id).id for id in ids or store.table]
    except UnknownWeights as error:
        raise _usage(error) from error


def _print_json(rows: list[dict[str, Any]]) -> None:
    echo(json.dumps(rows, indent=2, ensure_ascii=False))


@app.command("list")
def list_weights(ids: _Ids = None, folder: _Folders = None, as_json: _Json = False) -> None:
    """Show the table: what each file is for, its licence group, its size and whether it is here."""
    store = _open(folder)
    chosen = _known(store, ids)
    if as_json:
        found = {id: store.find(id) for id in chosen}
        _print_json([
            store.row(id).model_dump(exclude_defaults=True)
            | {"present": store.is_present(id), "path": str(found[id]) if found[id] else None}
            for id in chosen
        ])  # fmt: skip
        return
    width = max(len(id) for id in chosen)
    for id in chosen:
        row = store.row(id)
        state = "present" if store.is_present(id) else "missing"
        size = f"{row.size / 1e6:,.1f} MB" if row.size else "?"
        echo(f"{id:<{width}}  {state}  {row.group:<14}  {size:>9}  {row.purpose}")
        if ids:
            digest = row.sha256 or row.git_blob or row.sha256_prefix or row.md5_prefix or "recorded on first use"
            source = row.urls or [row.hub or row.package or row.archive or row.manual or ""]
            echo(f"  licence: {row.licence}\n  digest: {digest}\n  file: {store.find(id) or row.file}")
            echo("".join(f"  from: {item}\n" for item in source), nl=False)


@app.command()
def fetch(
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of the table.")],
    accept: Annotated[list[str] | None, typer.Option(
        help="A licence group that you accept: research, non-commercial or gated. Repeatable.",
    )] = None,
    max_size: Annotated[float, typer.Option(
        metavar="GB", min=0, help="Refuse more than this where the table states no size.",
    )] = 16.0,
    folder: _Folders = None,
    as_json: _Json = False,
) -> None:  # fmt: skip
    """Download files, check their digests, then give them their names. The same command continues a broken download."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

    from t2av_bench.cli.console import Console, TextColumn
    from t2av_bench.weights.fetch import FetchError
    from t2av_bench.weights.fetch import fetch as fetch_one

    groups = ("free", "research", "non-commercial", "gated")
    if wrong := [group for group in accept or [] if group not in groups]:
        raise _usage(ValueError(f"unknown licence group {wrong[0]!r}, expected one of {', '.join(groups[1:])}"))
    if not math.isfinite(max_size):
        raise _usage(ValueError(f"--max-size is a number of GB, got {max_size}"))
    store = _open(folder)
    results: list[dict[str, Any]] = []
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        for id in _known(store, ids):
            row = store.row(id)
            bars.console.print(f"{id}: licence {row.licence} ({row.group})", highlight=False, markup=False)
            bar = bars.add_task(id, total=row.size)

            def advance(done: int, total: int | None, bar: Any = bar) -> None:
                bars.update(bar, completed=done, total=total)

            try:
                done = fetch_one(store, id, accept or (), advance, largest=round(max_size * 1e9))
            except (FetchError, NotApplicable) as error:
                results.append({"id": id, "state": "failed", "reason": str(error)})
            else:
                results.append({"id": id, "state": done.state, "path": str(done.path), "sha256": done.sha256,
                                "source": done.source})  # fmt: skip
            bars.remove_task(bar)
    failed = [result for result in results if result["state"] == "failed"]
    if as_json:
        _print_json(results)
    else:
        for result in results:
            if result["state"] != "failed":
                echo(f"{result['id']}  {result['state']}  {result['sha256']}  {result['path']}")
    for result in failed:
        echo(f"error: {result['reason']}", err=True)
    raise typer.Exit(1 if failed else 0)


@app.command()
def verify(
    ids: _Ids = None,
    relock: Annotated[bool, typer.Option(help="Record the digests of the files that are here now.")] = False,
    folder: _Folders = None,
    as_json: _Json = False,
) -> None:  # fmt: skip
    """Hash files again and compare them with the table or the recorded digests; without an id, all that are here."""
    if relock and not ids:
        raise _usage(ValueError("--relock needs the ids of the files that you trust"))
    store = _open(folder)
    chosen = [id for id in _known(store, ids) if ids or store.find(id)]
    verdicts = []
    for id in chosen:
        if found := store.find(id):
            store.cache.forget(found)
        try:
            verdicts.append(store.verify(id, relock=relock, explicit=bool(ids)))
        except (NotApplicable, OSError) as error:
            echo(f"error: {error}", err=True)
            raise typer.Exit(1) from error
    if as_json:
        _print_json([
            {"id": item.id, "state": item.state, "path": str(item.path) if item.path else None,
             "sha256": item.sha256, "reason": item.message}
            for item in verdicts
        ])  # fmt: skip
    else:
        for item in verdicts:
            if not item.message:
                echo(f"{item.id}  {item.state}  {item.sha256}  {item.path}")
    bad = [item for item in verdicts if item.message]
    for item in bad:
        echo(f"error: {item.message}", err=True)
    raise typer.Exit(1 if bad else 0)


@app.command("path")
def show_path(
    id: Annotated[str, typer.Argument(metavar="ID", help="Id of the table.")], folder: _Folders = None
) -> None:
    """Print where the verified file is."""
    store = _open(folder)
    _known(store, [id])
    try:
        echo(store.path(id))
    except NotApplicable as error:
        echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error


if __name__ == "__main__":
    sys.exit(app())
