"""What the scripts of the page read: an index of all scores, and one small file an item.

Files are scripts that call ``t2av.index`` or ``t2av.item``, because a page opened from a file cannot fetch JSON.
A score is a number; a missing one is ``[i]``, i being its reason's place in ``reasons``; ``null`` was not measured.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from reports.page.content import ClipContent, Content, PageSystem, SourceFile, figure_limit
from reports.page.media import MediaFolder, PageClip
from reports.page.transcript import Transcript
from reports.plots.style import says_real
from reports.tables.model import TableColumn
from t2av_bench.results.subgroups import stated_keys, values_of
from t2av_bench.scores import Score

# Digits of the numbers in the files: more than any table prints, few enough to keep the index small.
_DIGITS = 7
_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?!\w)")


def index(content: Content) -> dict[str, Any]:
    """Systems, quantities, items, and the scores of every item by quantity and system."""
    reasons: dict[str, int] = {}
    document = {
        "systems": [
            {"name": system.name, "real": system.real and not says_real(system.name), "clips": len(system.clips)}
            for system in content.systems
        ],
        "reference": any(clip.reference for system in content.systems for clip in system.clips.values()),
        "quantities": [
            _quantity(content, position, column, reasons) for position, column in enumerate(content.table.columns)
        ],
        "items": [[id, item.get("text") or "", item.get("language") or ""] for id, item in content.items.items()],
        "groups": _groups(list(content.items.values())),
    }
    kinds = kinds_of(reasons)
    return document | {"reasons": [[reason, kinds[reason]] for reason in reasons]}


def _groups(items: Sequence[Mapping[str, Any]]) -> list[Any]:
    """[key, its values in order of appearance, each item's places among them], of keys that split the items and are no
    names of single ones."""
    found = []
    for key in stated_keys(items):
        places: dict[str, int] = {}
        members = [
            [places.setdefault(value, len(places)) for value in dict.fromkeys(values_of(item, key))] for item in items
        ]
        if len(places) < sum(map(len, members)) and len({tuple(mine) for mine in members}) > 1:
            found.append([key, list(places), members])
    return found


def kinds_of(reasons: Iterable[str]) -> dict[str, str]:
    """Reason -> what it shares with others that differ in numbers alone (``no face found in any of N frames``)."""
    variants: dict[str, set[str]] = {}
    for reason in reasons:
        variants.setdefault(_NUMBER.sub("N", reason), set()).add(reason)
    return {
        reason: kind if len(mine) > 1 else reason for kind, mine in variants.items() for reason in mine
    }  # fmt: skip


def _quantity(content: Content, position: int, column: TableColumn, reasons: dict[str, int]) -> dict[str, Any]:
    assert column.quantity is not None and column.metric is not None
    by_clip = column.quantity.aggregate != "set"
    scores = []
    for system in content.systems:
        mine = system.run.scores.get((column.metric, column.quantity.name), {})
        scores.append([_score(mine.get(id), by_clip, reasons) for id in content.items])
    cells = [row.cells[position] for row in content.table.rows]
    return {
        "key": column.key,
        "label": column.label,
        "direction": column.direction,
        "unit": column.unit,
        "decimals": column.decimals,
        "metric": column.metric,
        "aggregate": column.quantity.aggregate,
        "embedded": column.stand_in,
        "weights": column.quantity.aggregate == "weighted",
        "set": [
            {
                "value": _rounded(cell.value), "reason": cell.reason, "interval": _ends(cell.interval),
                "scored": cell.scored, "total": cell.total, "fingerprint": cell.fingerprint, "mark": cell.marks,
            } for cell in cells
        ],
        "scores": scores,
    }  # fmt: skip


def _score(score: Score | None, by_clip: bool, reasons: dict[str, int]) -> Any:
    if score is None:
        return None
    if score.value is None:
        return [reasons.setdefault(str(score.reason), len(reasons))]
    # A distance between sets has no value for a single clip; what is stored only says that its features exist.
    return _rounded(score.value) if by_clip else None


def item(content: Content, id: str, folder: MediaFolder) -> dict[str, Any]:
    """What the row of one item shows: for every system the player, waveform, transcripts and curves."""
    clips = [system.clips.get(id) for system in content.systems]
    documents = (system.run.rows[id]["item"] for system in content.systems if id in system.clips)
    limit = next((found for item in documents if (found := figure_limit(item))), None)
    whose, reference = next(
        (
            (system, clip.reference)
            for system, clip in zip(content.systems, clips, strict=True)
            if clip and clip.reference
        ),
        (None, None),
    )
    return {
        "clips": [
            _clip(system, clip, folder.put(clip.source, limit)) if clip else None
            for system, clip in zip(content.systems, clips, strict=True)
        ],
        "reference": _media(whose, reference, folder.put(reference, limit)) if whose and reference else None,
    }  # fmt: skip


def _clip(system: PageSystem, clip: ClipContent, media: PageClip) -> dict[str, Any]:
    return {
        **_media(system, clip.source, media),
        "transcripts": [_transcript(system, transcript) for transcript in clip.transcripts],
        "curves": [
            {
                "label": curve.label, "offsets": list(curve.offsets), "values": [_rounded(y, 4) for y in curve.values],
                "lowest": curve.lowest, "metric": curve.metric,
            } for curve in clip.curves
        ],
    }  # fmt: skip


def _media(system: PageSystem, source: SourceFile, media: PageClip) -> dict[str, Any]:
    size = (media.width, media.height) if media.picture and media.width and media.height else None
    mouth = system.mouths.path(source.digest, size)
    known = asdict(media) | {"mouth": mouth}
    return {key: _rounded(value) for key, value in known.items() if value is not None}


def _transcript(system: PageSystem, transcript: Transcript) -> dict[str, Any]:
    kinds = {"hit": 0, "substitution": 1, "deletion": 2, "insertion": 3}
    steps = [
        step.asked if step.kind == "hit" else [kinds[step.kind], step.asked, step.heard] for step in transcript.steps
    ]
    title = system.descriptions.get(transcript.metric, {}).get("title", transcript.metric)
    return {"title": title, "steps": steps, "joiner": transcript.joiner, "flags": list(transcript.flags)}


def _ends(interval: tuple[float, float] | None) -> list[Any] | None:
    return None if interval is None else [_rounded(end) for end in interval]


def _rounded(value: Any, digits: int = _DIGITS) -> Any:
    return float(f"{value:.{digits}g}") if isinstance(value, float) else value


def script(function: str, *arguments: Any) -> str:
    """A call of ``t2av.FUNCTION`` with JSON arguments; safe in any encoding and inside HTML."""
    texts = [json.dumps(argument, allow_nan=False, separators=(",", ":")) for argument in arguments]
    return f"t2av.{function}({','.join(texts)});\n".replace("<", "\\u003c")
