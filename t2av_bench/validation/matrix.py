"""The matrix metrics x damage: for readers, as rows, and as JSON."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from t2av_bench.utils.frames import frame
from t2av_bench.utils.text import counted, escape, signed
from t2av_bench.validation.damages import DAMAGES
from t2av_bench.validation.verdicts import Cell, Change

if TYPE_CHECKING:
    from pandas import DataFrame

CELLS = {
    "metric": "text", "quantity": "text", "damage": "text", "claim": "text", "verdict": "text", "direction": "text",
    "grade": "object", "control": "float64", "value": "float64", "change": "float64", "error": "float64",
    "scored": "int64", "total": "int64",
}  # fmt: skip
_ARROWS = {"up": "↑", "down": "↓", "same": "·", "both": "↕"}
_HEAD = """\
# What each metric noticed in {clips}

**right**: moves as its metric claims, or stays (·) as it claims. **not monotone**: ends as claimed, but steps
back on the way. **blind**: claims to move, and does not. **wrong**: moves the other way, or moves and claims not to. An
arrow alone: no claim, it moved so (↕: to and fro). –: fewer than two clips have a score. n/m: so many clips of all have
one at every grade.
"""
_MOST_REASONS = 3


@dataclass(frozen=True, slots=True, repr=False)
class Validity:
    """What every quantity did under every damage. clips: of the set."""

    clips: int
    cells: tuple[Cell, ...]

    @property
    def failed(self) -> list[Cell]:
        """Those whose metric claims what is not so: ``wrong`` and ``blind``."""
        return [cell for cell in self.cells if cell.failed]

    @property
    def tested(self) -> int:
        """How many claims were tested."""
        return sum(cell.verdict not in ("observed", "unmeasured") for cell in self.cells)

    @property
    def exit_status(self) -> int:
        """That of ``t2av-bench validity``: 1 where a claim failed, or none was tested."""
        return int(bool(self.failed) or not self.tested)

    def as_dict(self) -> dict[str, Any]:
        return {
            "clips": self.clips, "tested": self.tested, "failed": len(self.failed), "exit_status": self.exit_status,
            "cells": [cell.as_dict() for cell in self.cells],
        }  # fmt: skip

    def to_frame(self) -> "DataFrame":
        """One row for every quantity, damage and grade; ``control`` and ``value`` are set values on the same clips."""
        return frame((
            {**cell.as_dict(), **{name: getattr(change, name) for name in
             ("grade", "control", "value", "change", "error", "scored", "total")}}
            for cell in self.cells for change in cell.changes
        ), CELLS)  # fmt: skip

    def to_markdown(self) -> str:
        """What ``t2av-bench validity`` prints: the matrix, the claims that fail with their numbers, what is missing."""
        lines = [_HEAD.format(clips=counted(self.clips))]
        damages = {cell.damage: ", ".join(map(_name_of, cell.changes)) for cell in self.cells}
        told = (f"`{name}` {grades} {DAMAGES[name].unit}".rstrip() for name, grades in damages.items())
        lines += [f"Grades: {'; '.join(told)}.", ""]
        for names in _groups(damages):
            lines += [*self._matrix(names), ""]
        for title, verdicts in (("Claims that fail", ("wrong", "blind")), ("Not monotone", ("not monotone",))):
            if chosen := [cell for cell in self.cells if cell.verdict in verdicts]:
                lines += [f"**{title}**", "", *map(_told, chosen), ""]
        if reasons := self._reasons():
            lines += ["**Clips without a score**", "", *reasons, ""]
        return "\n".join(lines)

    __repr__ = _repr_markdown_ = to_markdown

    def _matrix(self, names: Sequence[str]) -> Iterator[str]:
        rows: dict[tuple[str, str], dict[str, Cell]] = {}
        for cell in self.cells:
            rows.setdefault((cell.metric, cell.quantity.name), {})[cell.damage] = cell
        yield f"| quantity | {' | '.join(names)} |"
        yield "|---|" + ":---:|" * len(names)
        for (_, quantity), row in rows.items():
            yield f"| `{quantity}` | {' | '.join(_text(row[name]) for name in names)} |"

    def _reasons(self) -> list[str]:
        """Of each metric the commonest reasons, counted over quantities, damages and grades."""
        counts: dict[str, Counter[str]] = {}
        for cell in self.cells:
            for change in cell.changes:
                counts.setdefault(cell.metric, Counter()).update(change.reasons)
        alike: dict[str, list[str]] = {}
        for metric, reasons in counts.items():
            told = "; ".join(f"{escape(reason)} ({count})" for reason, count in reasons.most_common(_MOST_REASONS))
            alike.setdefault(told, []).append(f"`{metric}`")
        return [f"- {', '.join(metrics)}: {told}" for told, metrics in alike.items() if told]


def _groups(names: Iterable[str]) -> Iterator[list[str]]:
    """Damage to pictures, to sound, and to the file."""
    kinds: dict[str, list[str]] = {}
    for name in names:
        damage = DAMAGES[name]
        kind = "harmless" if name in ("container", "frame_rate") else "sound" if damage.sound else "pictures"
        kinds.setdefault(kind, []).append(name)
    return iter(kinds.values())


def _text(cell: Cell) -> str:
    if cell.verdict == "unmeasured":
        return "–"
    arrow = _ARROWS[cell.direction]
    said = {"observed": arrow, "wrong": f"**wrong** {arrow}", "blind": "**blind**", "right": f"right {arrow}"}
    total = cell.changes[0].total
    fewer = f" {cell.scored}/{total}" if cell.scored < total else ""
    return said.get(cell.verdict, f"{cell.verdict} {arrow}") + fewer


def _told(cell: Cell) -> str:
    claim = {"up": "rises", "down": "falls", "same": "stays"}.get(cell.claim or "")
    grades = "; ".join(_grade(change, cell) for change in cell.changes)
    unit = DAMAGES[cell.damage].unit
    return f"- `{cell.quantity.name}` under `{cell.damage}` (claims: {claim}) at {grades}{f' ({unit})' if unit else ''}"


def _grade(change: Change, cell: Cell) -> str:
    if change.error is None:
        return f"{_name_of(change)}: –"
    digits = cell.quantity.decimals
    found = f"{signed(change.change, digits)} ± {change.error:.{digits}f}"
    return f"{_name_of(change)}: {found} ({change.scored}/{change.total})"


def _name_of(change: Change) -> str:
    return change.grade if isinstance(change.grade, str) else f"{change.grade:g}"
