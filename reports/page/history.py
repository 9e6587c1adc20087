"""The page of a history: a folder of static files, as a report is."""

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from reports.page import data
from reports.page.figures import Draw, Shown, rendered
from reports.page.site import INDEX, asset, claim, environment, finish, put
from reports.plots import Dot
from reports.plots import history as plot
from reports.tables.history import build
from reports.tables.model import ARROWS, Cell, Table
from t2av_bench.comparison.checkpoints import AGAINST, Against, Checkpoint, History
from t2av_bench.comparison.gate import Key
from t2av_bench.comparison.verdicts import Gate, in_full
from t2av_bench.scores import Quantity
from t2av_bench.utils.text import counted
from t2av_bench.version import __version__

ASSETS = ("report.css", "report.js")
_NOTHING: dict[str, list[Any]] = {"systems": [], "quantities": [], "items": [], "groups": [], "reasons": []}
_MOST_STEPS = 20


def write_page(history: History, out: Path) -> Path:
    """Write the page of a history; an older page or report in ``out`` is replaced. Returns its first page.

    Raises ItemError where ``out`` holds other files.
    """
    before = claim(out)
    files = {f"assets/{name}": asset("reports.page", name) for name in ASSETS}
    # The script of a report begins when it is given data.
    files["data/index.js"] = data.script("index", _NOTHING)
    figures = list(_figures(history))
    files |= {f"plots/{name}": text for figure in figures for name, text in figure.files.items()}
    table, findings = build(history), list(history.findings())
    groups = _groups(table)
    # What a screen scrolls sideways stands on paper in parts: two groups of columns fit a sheet.
    blocks = [_joined(groups), *(_joined(groups[place : place + 2]) for place in range(0, len(groups), 2))]
    template = environment("reports.page").get_template("history.html")
    files[INDEX] = template.render(
        page="index", version=__version__, title=_title(history), lead=_lead(history), findings=findings,
        asked=history.asked, reference=history.reference.name, figures=figures, table=table,
        rows=list(_rows(history, table)), blocks=blocks, starts={group["columns"][0] for group in groups},
        notes=table.notes[len(findings) :], commands=list(_commands(history)),
    )  # fmt: skip
    for name, text in files.items():
        put(out, name, text)
    finish(out, set(files), before, [])
    return out / INDEX


def _title(history: History) -> str:
    first, last = history.checkpoints[0].name, history.checkpoints[-1].name
    return f"{first} to {last}" if len(history.checkpoints) > 1 else first


def _lead(history: History) -> str:
    count, quantities = len(history.checkpoints), len(history.quantities)
    text = f"{counted(count, 'checkpoint')} in the order given, {quantities} quantit"
    text += f"{'ies' if quantities != 1 else 'y'} of {counted(history.reference.items)}"
    if not history.asked:
        return f"{text}."
    return f"{text}. The gate was asked of each: is it worse than the one before it, and than {history.reference.name}?"


def _figures(history: History) -> Iterator[Shown]:
    labels, against = history.labels(), (history.words("previous"), history.words("reference"))
    planned: list[tuple[str, str, str, str, Draw]] = []
    for place, (key, (quantity, stand_in)) in enumerate(history.quantities.items()):
        heading = f"{labels[key]}{'‡' if stand_in else ''} {ARROWS[quantity.direction]}".strip()
        if about := [text for text in (quantity.unit, quantity.is_shift and "best at 0") if text]:
            heading += f" ({', '.join(about)})"
        dots = _dots(history, key)

        def draw(heading: str = heading, quantity: Quantity = quantity, dots: Sequence[Dot] = dots) -> Any:
            return plot(heading, quantity.direction, dots, against, history.reference.name)

        planned.append(("", heading, "", f"quantity-{place}", draw))
    yield from rendered(planned)


def _dots(history: History, key: Key) -> list[Dot]:
    found: list[Dot] = []
    last: dict[tuple[object, ...], int] = {}
    for place, each in enumerate(history.checkpoints):
        point = each.points[key]
        words = [_word(each, against, key) for against in AGAINST]
        verdict = each.reference.verdicts.get(key) if each.reference else None
        difference = verdict.difference if verdict else None
        ends = difference.interval if difference else None
        own = each is history.reference and point.value is not None
        found.append(
            Dot(
                each.name, point.value, (point.interval.low, point.interval.high) if point.interval else None,
                point.other is None, last.get(point.state), difference.value if difference else 0.0 if own else None,
                (ends.low, ends.high) if ends else None, verdict.margin if verdict else None, (words[0], words[1]),
            )
        )  # fmt: skip
        if point.value is not None:
            last[point.state] = place
    return found


def _word(each: Checkpoint, against: Against, key: Key) -> str | None:
    answer = each.answer(against)
    return None if answer is None else answer.word(key) or "not judged"


def _groups(table: Table) -> list[dict[str, Any]]:
    """Each group of columns: its ``columns``, and as ``spans`` its heading with their number."""
    found, at = [], 0
    for text, width in table.spans("group"):
        found.append({"columns": list(range(at, at + width)), "spans": [(text, width)]})
        at += width
    return found


def _joined(groups: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {name: [each for group in groups for each in group[name]] for name in ("columns", "spans")}


def _rows(history: History, table: Table) -> Iterator[dict[str, Any]]:
    checkpoints = [*([history.baseline] if history.baseline else []), *history.checkpoints]
    asked: list[Key | None] = [None] * len(AGAINST)
    asked += [key for key in history.quantities for _ in range(1 + len(AGAINST))]
    for place, (row, each) in enumerate(zip(table.rows, checkpoints, strict=True)):
        cells = []
        for column, key, cell in zip(table.columns, asked, row.cells, strict=True):
            against = next((each for each in AGAINST if history.words(each) == column.heading), None)
            cells.append(_cell(each, cell, column.decimals, key, against))
        yield {"name": row.name, "clips": row.clips, "cells": cells, "border": table.break_before(place) == "dashed"}


def _cell(each: Checkpoint, cell: Cell, decimals: int, key: Key | None, against: Against | None) -> dict[str, Any]:
    answer = each.answer(against) if against else None
    verdict = answer.verdicts.get(key) if answer and key else None
    tip, kind = [cell.reason] if cell.reason else [], ""
    if key is None and answer and isinstance(answer.outcome, Gate):
        kind = "worse" if answer.outcome.regressed else ""
        tip += [f"lost: {clip}: {reason}" for clip, reason in list(answer.lost.items())[:5]]
    elif verdict:
        kind = verdict.word if verdict.word in ("worse", "better") else ""
        tip = [in_full(verdict)] + ([f"margin ±{verdict.margin_text}"] if verdict.margin_text else [])
    elif against is None:
        tip += [text for text in (cell.no_interval and f"no interval: {cell.no_interval}", cell.other_protocol) if text]
        tip += [f"covers {cell.scored} of {cell.total} clips"] if cell.text else []
        tip += [f"protocol {cell.metric} {cell.fingerprint}"] if cell.fingerprint else []
    return {
        "text": (cell.text or "–") + cell.marks, "note": cell.note, "details": cell.details(decimals).strip(),
        "tip": "\n".join(tip), "kind": kind, "number": against is None,
    }  # fmt: skip


def _commands(history: History) -> Iterator[str]:
    """What makes the page again, and of each step that the gate does not pass, what to ask next."""
    if history.command:
        yield history.command
    paths = {each.name: each for each in history.checkpoints}
    failed = [
        (paths[name], each) for each in history.checkpoints
        if each.previous and isinstance(each.previous.outcome, Gate) and each.previous.outcome.regressed
        for name in dict.fromkeys(each.previous.against.values())
    ]  # fmt: skip
    for before, after in failed[:_MOST_STEPS]:
        yield f"# {after.name} against {before.name}: worst clips first"
        yield shlex.join(["t2av-bench", "compare", str(before.path), str(after.path)])
    if len(failed) > _MOST_STEPS:
        yield f"# and {len(failed) - _MOST_STEPS} more steps"
