"""``t2av-bench weights``: list, fetch, verify and locate the files that metrics and systems load."""

import json
import math
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from t2av_bench.cli.errors import FAILED, usage_errors
from t2av_bench.errors import NotApplicable
from t2av_bench.utils.terminal_text import echo
from t2av_bench.weights import configured
from t2av_bench.weights.entry import WeightsEntry
from t2av_bench.weights.table import FOLDERS_VARIABLE, Weights, configured_folders

app = typer.Typer(name="weights", help="List, fetch and verify pretrained weights.", no_args_is_help=True)

_Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Ids of the table; all without one.")]
_Folders = Annotated[list[Path] | None, typer.Option(
    "--folder", help=f"Look here first; the first one receives downloads. Also {FOLDERS_VARIABLE}, separated as PATH.",
)]  # fmt: skip
_Json = Annotated[bool, typer.Option("--json", help="One JSON list on stdout.")]


def _open(folders: list[Path] | None) -> Weights:
    if folders:
        os.environ[FOLDERS_VARIABLE] = os.pathsep.join(str(path) for path in [*folders, *configured_folders()])
    return configured()


def _known(store: Weights, ids: list[str] | None) -> list[str]:
    return [store.entry(id).id for id in ids or store.table]


def _described(store: Weights, id: str) -> dict[str, Any]:
    """An entry for JSON, and whether its file is here."""
    found = store.find(id)
    here = {"present": store.is_present(id), "path": str(found) if found else None}
    return store.entry(id).model_dump(mode="json", exclude_defaults=True, exclude={"facts"}) | here


def _print_json(rows: list[dict[str, Any]]) -> None:
    echo(json.dumps(rows, indent=2, ensure_ascii=False))


@app.command("list")
def list_weights(ids: _Ids = None, folder: _Folders = None, as_json: _Json = False) -> None:
    """Show the table: what each file is for, its licence group, its size and whether it is here.

    With an id also its licence, its digest, and from where it can be had.
    """
    with usage_errors():
        store = _open(folder)
        chosen = _known(store, ids)
    if as_json:
        _print_json([_described(store, id) for id in chosen])
        return
    width = max(len(id) for id in chosen)
    for id in chosen:
        entry, found = store.entry(id), store.find(id)
        state = "bundled" if entry.bundled and found else "present" if store.is_present(id) else "missing"
        bytes = entry.size or (found.stat().st_size if found and found.is_file() else None)
        size = f"{bytes / 1e6:,.1f} MB" if bytes else "?"
        echo(f"{id:<{width}}  {state}  {entry.group:<14}  {size:>9}  {entry.purpose}")
        if ids:
            digest = entry.identity or next(iter(entry.digests.values()), "recorded on first use")
            source: list[object] = [*entry.origins] or [entry.package or entry.archive or entry.manual or entry.remedy]
            echo(f"  licence: {entry.licence}\n  digest: {digest}\n  file: {found or entry.file}")
            echo("".join(f"  from: {item}\n" for item in source), nl=False)


@app.command()
def fetch(
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Ids of the table.")] = None,
    users: Annotated[str | None, typer.Option(
        "--for", metavar="METRICS|SYSTEMS",
        help="All that these need: comma-separated families and ids of metrics, ids of systems; 'all': every metric.",
    )] = None,
    accept: Annotated[list[str] | None, typer.Option(
        help="A licence group that you accept: research, non-commercial or gated. Repeatable.",
    )] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be fetched, and fetch nothing.")] = False,
    max_size: Annotated[float, typer.Option(
        metavar="GB", min=0, help="Refuse more than this where the table states no size.",
    )] = 16.0,
    folder: _Folders = None,
    as_json: _Json = False,
) -> None:  # fmt: skip
    """Download files, check their digests, then give them their names. The same command continues a broken download.

    The origins of a file (`list ID` shows them) are tried in order: model hubs, URLs, and distributions of the package
    index that pip or uv is configured for. Whichever delivers, only the digest is trusted.

    Number, size and licences are said first; on a terminal, licences that are not free can be accepted then.
    """
    from t2av_bench.api.listing import users_of_weights
    from t2av_bench.cli.progress import Display
    from t2av_bench.utils.progress import Step
    from t2av_bench.utils.text import names
    from t2av_bench.weights.fetch import FetchError
    from t2av_bench.weights.fetch import fetch as fetch_one
    from t2av_bench.weights.needs import lacks

    groups = ("free", "research", "non-commercial", "gated")
    with usage_errors():
        if wrong := [group for group in accept or [] if group not in groups]:
            raise ValueError(f"unknown licence group {wrong[0]!r}, expected one of {', '.join(groups[1:])}")
        if not math.isfinite(max_size):
            raise ValueError(f"--max-size is a number of GB, got {max_size}")
        if not ids and users is None:
            raise ValueError("which weights? Give ids ('t2av-bench weights list' shows them), or --for METRICS")
        store = _open(folder)
        needing = users_of_weights(names(users) or ())
        needed = [id for user in needing for id in user.weights if not store.entry(id).package]
        chosen = list(dict.fromkeys([*(_known(store, ids) if ids else []), *needed]))
    display = Display()
    absent = _tell(display.note, store, chosen)
    if packages := lacks(*needing, weights=False):
        display.note(packages)
    accepted = {*(accept or ())}
    asked = sorted({entry.group for entry in absent} - accepted - {"free"})
    if asked and not dry_run and sys.stdin.isatty() and sys.stderr.isatty():
        accepted |= set(asked) if typer.confirm(f"Accept the licences ({', '.join(asked)})?", err=True) else set()
    if dry_run:
        if as_json:
            _print_json([_described(store, id) for id in chosen])
        return
    results: list[dict[str, Any]] = []
    with display:
        for id in chosen:

            def advance(done: int, total: int | None, id: str = id) -> None:
                display.step(Step(id, done // 10**6, (total or done) // 10**6, "MB"))

            wait = partial(display.note, f"{id}: another process is fetching it; waiting for that one")
            try:
                done = fetch_one(store, id, accepted, advance, largest=round(max_size * 1e9), on_wait=wait)
            except (FetchError, NotApplicable) as error:
                results.append({"id": id, "state": "failed", "reason": str(error)})
            else:
                results.append({"id": id, "state": done.state, "path": str(done.path), "sha256": done.sha256,
                                "source": done.source})  # fmt: skip
    _end(results, as_json)


def _end(results: list[dict[str, Any]], as_json: bool) -> NoReturn:
    """Print what became of files; those that have a ``reason`` have failed."""
    reasons = [result["reason"] for result in results if result.get("reason")]
    if as_json:
        _print_json(results)
    else:
        for result in results:
            if not result.get("reason"):
                echo(f"{result['id']}  {result['state']}  {result['sha256']}  {result['path']}")
    for reason in reasons:
        echo(f"error: {reason}", err=True)
    raise typer.Exit(FAILED if reasons else 0)


def _tell(note: Callable[[str], None], store: Weights, ids: list[str]) -> list[WeightsEntry]:
    """Say what there is to fetch, how much it is and under which licences; returns it."""
    absent = [store.entry(id) for id in ids if not store.is_present(id)]
    if here := [id for id in ids if store.entry(id) not in absent]:
        note(f"already here: {', '.join(here)}")
    if not absent:
        note("nothing to fetch")
        return []
    files = list({file.id: file for file in (store.entry(entry.archive or entry.id) for entry in absent)}.values())
    size = f"{sum(file.size or 0 for file in files) / 1e6:,.1f} MB"
    unstated = [file.id for file in files if file.size is None]
    more = f", and what the table does not state: {', '.join(unstated)}" if unstated else ""
    note(f"to fetch: {len(files)} file{'s' if len(files) > 1 else ''}, {size}{more}")
    licences: dict[str, list[str]] = {}
    for entry in absent:
        licences.setdefault(f"{entry.licence} ({entry.group})", []).append(entry.id)
    for licence, covered in licences.items():
        note(f"  {licence}: {', '.join(covered)}")
    return absent


@app.command()
def verify(
    ids: _Ids = None,
    relock: Annotated[bool, typer.Option(help="Record the digests of the files that are here now.")] = False,
    folder: _Folders = None,
    as_json: _Json = False,
) -> None:  # fmt: skip
    """Hash files again and compare them with the table or the recorded digests; without an id, all that are here."""
    with usage_errors():
        if relock and not ids:
            raise ValueError("--relock needs the ids of the files that you trust")
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
            raise typer.Exit(FAILED) from error
    _end([
        {"id": item.id, "state": item.state, "path": str(item.path) if item.path else None, "sha256": item.sha256,
         "reason": item.message} for item in verdicts
    ], as_json)  # fmt: skip


@app.command("path")
def show_path(
    id: Annotated[str, typer.Argument(metavar="ID", help="Id of the table.")], folder: _Folders = None
) -> None:
    """Print where the verified file is."""
    with usage_errors():
        store = _open(folder)
        _known(store, [id])
    try:
        echo(store.path(id))
    except NotApplicable as error:
        echo(f"error: {error}", err=True)
        raise typer.Exit(FAILED) from error
