"""Which gaps of published tables exceed an error budget: unpaired, for nobody published the scores of the clips.

Two rows of a column are *resolved* where they differ by more than sampling of so many clips, the budget's other sources
and the rounding of the printed digits make of two equal systems once in 20 times. What a paired test could tell, were
there scores by clip, may be more; what another protocol would print, may be less. Where the budget has no size of a
column, ``Pair.clips_deviation`` still says how much clips may scatter before a gap is lost among them.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from reports.tables.specification import ColumnSpecification, Loaded, PublishedRow, load
from t2av_bench.results.budget import Budget, Entry, Z
from t2av_bench.utils.frames import frame
from t2av_bench.utils.text import escape

if TYPE_CHECKING:
    from pandas import DataFrame

PAPER = ("paper:1", "paper:2", "paper:3", "paper:4", "paper:5")
_SETS = ("fid", "fvd", "kid", "kvd", "fd")
"""Distances between sets: no clip has one, and no published row says how it scatters."""
PAIRS = {
    "table": "text", "column": "text", "first": "text", "second": "text", "gap": "float64", "resolution": "float64",
    "clips_deviation": "float64", "resolved": "object", "clips": "Int64", "metric": "text", "reason": "text",
}  # fmt: skip
_HEAD = """\
# Gaps of published tables against an error budget

A gap is resolved where it exceeds what two equal systems would differ by once in 20 times: by the choice of the clips
(unpaired, each of a person of its own), by encoding, container, frame rate, crop and length, by detector and decoding
where these were measured, and by the rounding of the printed digits; each pair by itself. *Lost at*: the standard
deviation of clips from which on their choice alone makes the gap of the two best rows so often. A gap that is not
resolved may be one: these numbers do not tell.
"""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two published rows of a column, in printed units; gap: first minus second.

    resolution: the difference that errors exceed once in 20 times; None with a ``reason``. clips_deviation: the
    standard deviation of clips from which on their choice alone makes such a gap so often; None where the number of
    clips is not known, or a distance between sets has no such.
    """

    first: str
    second: str
    gap: float
    resolution: float | None
    clips_deviation: float | None = None

    @property
    def resolved(self) -> bool | None:
        return None if self.resolution is None else abs(self.gap) > self.resolution


@dataclass(frozen=True, slots=True)
class ColumnGaps:
    """The rows of a column against each other. clips: that the published rows cover; None: not published.

    metric: of the budget's entry. reason: why there is no resolution. other_protocol: whether the column
    only tolerates that metric. left_out: sources without a value.
    """

    table: str
    column: str
    label: str
    decimals: int
    clips: int | None
    pairs: tuple[Pair, ...]
    metric: str | None = None
    reason: str | None = None
    other_protocol: bool = False
    left_out: tuple[str, ...] = ()

    @property
    def best(self) -> Pair | None:
        """The best row against the second best."""
        return self.pairs[0] if self.pairs else None

    @property
    def resolved(self) -> int:
        return sum(pair.resolved is True for pair in self.pairs)


@dataclass(frozen=True, slots=True, repr=False)
class Gaps:
    """All columns of some tables, in printed order."""

    columns: tuple[ColumnGaps, ...]

    def as_dict(self) -> dict[str, Any]:
        return {"columns": [
            {**asdict(each), "pairs": [asdict(pair) | {"resolved": pair.resolved} for pair in each.pairs]}
            for each in self.columns
        ]}  # fmt: skip

    def to_frame(self) -> "DataFrame":
        """One row a pair."""
        return frame((
            {**asdict(pair), "resolved": pair.resolved} | {name: getattr(each, name) for name in
             ("table", "column", "clips", "metric", "reason")}
            for each in self.columns for pair in each.pairs
        ), PAIRS)  # fmt: skip

    def to_markdown(self, *, pairs: bool = False) -> str:
        """One line a column, or every pair."""
        lines = [_HEAD]
        if pairs:
            lines += ["| table | column | rows | gap | not resolved below | |", "|---|---|---|---:|---:|---|"]
            lines += [_pair_line(each, pair) for each in self.columns for pair in each.pairs]
        else:
            lines += [
                "| table | column | clips | not resolved below | best against second | resolved pairs | lost at |",
                "|---|---|---:|---:|---|---:|---:|", *map(_column_line, self.columns),
            ]  # fmt: skip
        if notes := _notes(self.columns):
            lines += ["", *notes]
        return "\n".join(lines) + "\n"

    __repr__ = _repr_markdown_ = to_markdown


def published(budget: Budget, tables: Sequence[str] | None = None) -> Gaps:
    """The gaps of some tables that have published rows, the paper's five where None. Raises ValueError."""
    found: list[ColumnGaps] = []
    for name in PAPER if tables is None else tables:
        loaded = load(name)
        if not loaded.rows:
            raise ValueError(f"{name} has no published rows, so no gaps; name tables such as {', '.join(PAPER)}")
        found += _columns(loaded, budget)
    return Gaps(tuple(found))


def _columns(loaded: Loaded, budget: Budget) -> Iterator[ColumnGaps]:
    specification = loaded.specification
    for column, key, group, language in specification.expanded():
        rows = [
            (_name(row), row.family if specification.rank_within_families else "", row.numbers[key])
            for row in loaded.rows if key in row.numbers and row.name not in specification.reference_rows
        ]  # fmt: skip
        entry, other = _entry(column, budget)
        clips = specification.clips
        resolution = entry.resolution(clips, clips, protocols=True) if entry and clips else None
        reason = None
        if entry is None:
            reason = f"the budget has no {' or '.join(column.metrics or (column.quantity,))}"
        elif clips is None:
            reason = "the number of clips is not published"
        elif resolution is None:
            reason = f"the budget has no scatter of clips: {entry.unsampled}"
        of_sets = column.quantity.partition("_")[0] in _SETS
        better = -1 if column.direction == "lower" else 1
        ordered = sorted(rows, key=lambda row: -better * float(row[2]))
        pairs = tuple(
            Pair(
                one, two, gap := float(first) - float(second), _rounded(resolution, column.scale, first, second),
                abs(gap) / (Z * math.sqrt(2 / clips)) if clips and not of_sets else None,
            )
            for (one, family, first), (two, other_family, second) in combinations(ordered, 2) if family == other_family
        )  # fmt: skip
        place = f"{group.label} ({language})" if len(group.languages) > 1 else group.label or language
        label = " ".join(filter(None, (place, column.label)))
        yield ColumnGaps(
            loaded.name, key, label, column.decimals, clips, pairs,
            entry.metric if entry else None, reason, other,
            tuple(entry.unmeasured(protocols=True)) if entry else (),
        )  # fmt: skip


def _name(row: PublishedRow) -> str:
    texts = ", ".join(filter(None, row.texts))
    return f"{row.name} ({texts})" if texts else row.name


def _entry(column: ColumnSpecification, budget: Budget) -> tuple[Entry | None, bool]:
    """The entry that the column likes best of those with sampling, and whether it is of another protocol."""
    liked = [
        (place, entry) for entry in budget.entries
        if (place := column.preference(entry.metric, entry.quantity)) is not None
    ]  # fmt: skip
    if not liked:
        return None, False
    place, entry = min(liked, key=lambda each: (each[1].sampling is None, each[0]))
    return entry, place[0]


def _rounded(resolution: float | None, scale: float, *printed: str) -> float | None:
    """In the printed unit, with the rounding of the digits: uniform, of variance step² / 12 each."""
    if resolution is None:
        return None
    steps = (10.0 ** -len(text.partition(".")[2]) for text in printed)
    return math.hypot(resolution * scale, Z * math.sqrt(sum(step**2 / 12 for step in steps)))


def _column_line(each: ColumnGaps) -> str:
    table, label = f"`{each.table}`", escape(each.label) + ("¶" if each.other_protocol else "")
    clips = "–" if each.clips is None else f"{each.clips:,}"
    best = each.best
    if best is None:
        return f"| {table} | {label} | {clips} | – | – | – | – |"
    told = f"{escape(best.first)} – {escape(best.second)}: {_gap(best, each)}"
    bound = "–" if best.clips_deviation is None else f"{best.clips_deviation:.{each.decimals}f}"
    if best.resolution is None:
        return f"| {table} | {label} | {clips} | – | {told} | – | {bound} |"
    return (
        f"| {table} | {label} | {clips} | {best.resolution:.{each.decimals}f} | {told}, {_word(best)} | "
        f"{each.resolved} of {len(each.pairs)} | {bound} |"
    )


def _pair_line(each: ColumnGaps, pair: Pair) -> str:
    least = "–" if pair.resolution is None else f"{pair.resolution:.{each.decimals}f}"
    mark = "¶" if each.other_protocol else ""
    return (
        f"| `{each.table}` | {escape(each.label)}{mark} | {escape(pair.first)} – {escape(pair.second)} | "
        f"{_gap(pair, each)} | {least} | {_word(pair)} |"
    )


def _gap(pair: Pair, each: ColumnGaps) -> str:
    return f"{abs(pair.gap):.{each.decimals}f}"


def _word(pair: Pair) -> str:
    return {True: "resolved", False: "not resolved", None: "not judged"}[pair.resolved]


def _notes(columns: Sequence[ColumnGaps]) -> list[str]:
    found: dict[str, list[str]] = {}
    for each in columns:
        name = f"{each.table} {each.label}"
        if each.reason:
            found.setdefault(f"Not judged, for {each.reason}", []).append(name)
        elif each.left_out:
            found.setdefault(f"Without {', '.join(each.left_out)}, which have no size", []).append(name)
        if each.other_protocol:
            found.setdefault(f"¶ by the errors of {each.metric}, another protocol than the column's", []).append(name)
    return [f"- {text}: {', '.join(names)}." for text, names in found.items()]
