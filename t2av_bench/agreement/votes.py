"""People's votes on clips: ratings of each clip, or preferences between two clips of an item."""

import csv
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from t2av_bench.errors import ItemError

COLUMNS = ("item", "system", "aspect", "vote")
JUDGE = "judge:"
"""A column so called holds another judge's rating of the clip, for the name behind it."""
NAME = "the system's name"
"""The baseline that is made of the votes themselves: no judge may be called so."""
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, eq=False)
class Aspect:
    """What people were asked of the clips.

    preferences: (items, systems, systems): 1 where people preferred the row's system, −1 the column's, 0 for a tie, NaN
    where nobody compared them. ratings: (items, systems), the higher the better, NaN where there is none; None where
    people only compared clips of one item. judges: name -> ratings (items, systems) of a baseline.
    """

    preferences: np.ndarray
    ratings: np.ndarray | None = None
    judges: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Votes:
    """items, systems: the names of the axes. clips: digest (SHA-256) of a clip's file -> its item and system; of the
    clips whose digest is not known the names decide. notes: what was left out of the votes."""

    items: tuple[str, ...]
    systems: tuple[str, ...]
    aspects: Mapping[str, Aspect]
    clips: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def preferences_of(ratings: np.ndarray) -> np.ndarray:
    """Ratings (..., n) -> who is preferred (..., n, n): the sign of row minus column, NaN where either is missing."""
    return np.sign(ratings[..., :, None] - ratings[..., None, :])


def read_votes(path: Path) -> Votes:
    """A CSV file with the columns item, system, aspect and vote: a line for a clip and an aspect.

    Several lines of one clip and aspect (one for each person) count as their mean; an empty vote is none. Optional:
    ``clip``, the SHA-256 of the file that people saw, and ``judge:NAME``, another judge's rating.
    Raises ItemError with the line for what is not so.
    """
    cells: dict[str, dict[str, dict[tuple[str, str], list[float]]]] = {}
    digests: dict[tuple[str, str], str] = {}
    items, systems = set(), dict[str, None]()  # systems in order of appearance
    for line, row in _rows(path):
        place = row["item"], row["system"]
        if not all(row[name] for name in COLUMNS[:3]):
            raise ItemError(f"{path} line {line} lacks its item, system or aspect")
        items.add(place[0])
        systems[place[1]] = None
        columns = cells.setdefault(row["aspect"], {"vote": {}})
        for name in row:
            if name == "vote" or name.startswith(JUDGE):
                number = _number(row[name], f"{path} line {line}, {name}")
                columns.setdefault(name, {}).setdefault(place, []).extend(() if number is None else (number,))
        if clip := row.get("clip", "").lower():
            if not _DIGEST.fullmatch(clip) or digests.setdefault(place, clip) != clip:
                raise ItemError(f"{path} line {line}: the clip {clip!r:.80} is no SHA-256 in hexadecimal digits, or "
                                f"another one than above for item {place[0]!r} of {place[1]!r}")  # fmt: skip
    if not any(votes for columns in cells.values() for votes in columns["vote"].values()):
        raise ItemError(f"{path} holds no votes")
    clips = {clip: place for place, clip in digests.items()}
    if len(clips) < len(digests):
        raise ItemError(f"{path}: one file is named as the clip of several items or systems")
    axes = tuple(sorted(items)), tuple(systems)
    aspects = {}
    for aspect, columns in cells.items():
        tables = {name: _table(column, *axes) for name, column in columns.items()}
        ratings = tables.pop("vote")
        judges = {name.removeprefix(JUDGE): table for name, table in tables.items()}
        aspects[aspect] = Aspect(preferences_of(ratings), ratings, judges)
    return Votes(*axes, aspects, clips)


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, column -> text without blanks around). Raises ItemError."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            known = reader.fieldnames or ()
            if missing := [name for name in COLUMNS if name not in known]:
                raise ItemError(f"{path} has no column {' nor '.join(missing)}; expected {', '.join(COLUMNS)}, and "
                                f"perhaps clip and {JUDGE}NAME")  # fmt: skip
            if twice := [name for name in known if known.count(name) > 1]:
                raise ItemError(f"{path} has two columns {twice[0]!r:.80}: keep one; several people are several lines")
            good = {name for name in known if name.startswith(JUDGE) and name[len(JUDGE) :].strip() not in ("", NAME)}
            if odd := [name for name in known if name not in good.union(COLUMNS, ("clip",))]:
                raise ItemError(f"{path} has a column {odd[0]!r:.80}; expected clip or {JUDGE}NAME beside them, with a "
                                f"NAME other than {NAME!r}")  # fmt: skip
            for row in reader:
                if None in row or None in row.values():
                    raise ItemError(f"{path} line {reader.line_num} has not {len(known)} columns")
                yield reader.line_num, {name: text.strip() for name, text in row.items()}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ItemError(f"cannot read {path}: {error}; expected a table of votes (CSV)") from error


def _number(text: str, where: str) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ItemError(f"{where}: {text!r:.80} is no number")
    return value


def _table(
    column: Mapping[tuple[str, str], list[float]], items: tuple[str, ...], systems: tuple[str, ...]
) -> np.ndarray:
    """Means (items, systems), NaN where there is nothing."""
    means = {place: math.fsum(values) / len(values) for place, values in column.items() if values}
    return np.array([[means.get((item, system), math.nan) for system in systems] for item in items])
