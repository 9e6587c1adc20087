"""Best in bold, second best underlined: by a paired test where there are per-clip scores, else by printed digits.

Every column is a question of its own and corrected for its own comparisons: which columns are printed beside it moves
no mark.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from reports.tables.measured import Measured
from reports.tables.model import Cell, Rank, TableColumn
from t2av_bench.errors import Unscorable
from t2av_bench.statistics.samples import LEAST_CLIPS, Sample

# A system that fails on more of its clips is not ranked: a mean over the easy clips must not win (metrics.md §11).
MOST_MISSING_WHEN_RANKED = 0.02
LEVEL = 0.05
TOO_FEW = "Too few clips to rank"
_FLIPS = 10_000
_MOST_FLIPS = 100_000

Pair = tuple[int, int]  # the rows


@dataclass(frozen=True, slots=True)
class Contender:
    """One cell that may be marked, with the scores behind it."""

    cell: Cell
    measured: Measured

    @property
    def complete(self) -> bool:
        summary = self.measured.summary
        return summary.scored >= (1 - MOST_MISSING_WHEN_RANKED) * summary.total


def significantly_different(p_values: Mapping[Pair, float], comparisons: int) -> set[Pair]:
    """The pairs that differ, by Holm's correction over all ``comparisons`` of a column.

    Pairs without a p-value were never tested and count as not different (p = 1), which keeps the chance of any false
    difference in the column below 5 % although only pairs with a leading row are tested.
    """
    from t2av_bench.statistics.permutation import holm

    untested = [1.0] * max(0, comparisons - len(p_values))
    corrected = holm([*p_values.values(), *untested])[: len(p_values)]
    return {pair for pair, p in zip(p_values, corrected, strict=True) if p <= LEVEL}


def mark_by_digits(columns: Sequence[TableColumn], cells: Sequence[Sequence[Cell]]) -> None:
    """Mark rows of printed numbers; what prints alike shares its mark. ``cells``: the rows to rank, cell a column."""
    for index, column in enumerate(columns):
        printed = {id(row[index]): Decimal(row[index].text) for row in cells if row[index].text}
        if column.direction == "none" or len(printed) < 2:
            continue
        ordered = sorted(set(printed.values()), reverse=column.direction == "higher")[:2]
        for row in cells:
            place = printed.get(id(row[index]))
            if place in ordered:
                row[index].rank = "best" if place == ordered[0] else "second"


def mark_by_test(columns: Sequence[TableColumn], contenders: Sequence[Sequence[Contender | None]]) -> list[str]:
    """Mark measured cells, given by column and row (None: not ranked); returns the notes that say how.

    Best are the leading row and all that a paired sign-flip test over the clips does not tell from it; second are,
    among those that it does tell, the leading one and all that it is not told from. Where nothing differs from the
    leader nothing is marked. What prints alike is never told apart. Holm's correction is over all pairs of a column.
    """
    fields = [_Field(column, row) for column, row in zip(columns, contenders, strict=True)]
    fields = [field for field in fields if len(field.order) > 1]
    if not fields:
        return []
    if note := _too_few(fields):
        return [note]
    marked = [field.rank() for field in fields]
    return _notes(fields, any(marked))


def _too_few(fields: Sequence["_Field"]) -> str | None:
    """What is said instead of testing where no number of differences could be told apart; None where one could."""
    drawn = max((field.shared() for field in fields), key=lambda sample: sample.units)
    enough = min(field.enough for field in fields)
    if not 0 < drawn.units < enough:
        return None
    interval = f", an interval {LEAST_CLIPS} clips" if len(drawn) < LEAST_CLIPS else ""
    return f"{TOO_FEW}: {drawn.described}. A paired test needs {enough} {drawn.unit} to tell rows apart{interval}."


class _Field:
    """The contenders of one column, best value first."""

    def __init__(self, column: TableColumn, row: Sequence[Contender | None]) -> None:
        self.column = column
        self.contenders = {
            index: contender for index, contender in enumerate(row)
            if contender and contender.complete and contender.cell.value is not None
        } if column.direction != "none" else {}  # fmt: skip
        sign = -1 if column.direction == "higher" else 1
        self.order = sorted(self.contenders, key=lambda index: sign * float(self.contenders[index].cell.value or 0.0))
        self.comparisons = math.comb(len(self.order), 2)
        self.problem: str | None = None
        self.units = 0
        self.described = ""
        # Leader and other -> the difference that their clips could have shown.
        self.detectable: dict[tuple[int, int], float | None] = {}
        self.undecided: float | None = None

    @property
    def enough(self) -> int:
        """Units below which no p-value is small enough: n have 2^n sign patterns, and no two-sided p below 2^(1-n)."""
        return math.ceil(1 + math.log2(self.comparisons / LEVEL))

    def shared(self) -> Sample:
        """The clips that the leading row shares with one of the others, where these are most; their values are 0."""
        leader, *others = self.order
        samples = []
        for other in others:
            pair = (self.contenders[leader].measured, self.contenders[other].measured)
            # Without the values: a distance between sets would compute them.
            samples.append(Sample.of(dict.fromkeys(self._common(pair), 0.0)).grouped(pair[0].run.groups))
        return max(samples, key=lambda sample: sample.units)

    def rank(self) -> bool:
        """Test and mark the cells; False where nothing differs from the leading one."""
        flips = min(_MOST_FLIPS, max(_FLIPS, 40 * self.comparisons))
        p_values: dict[Pair, float] = {}
        self.test(self.order[0], self.order[1:], p_values, flips)
        best = self.alike(self.order, significantly_different(p_values, self.comparisons))
        seen = [self.detectable.get((best[0], other)) for other in best[1:] if not self.prints_alike(best[0], other)]
        self.undecided = max((each for each in seen if each is not None), default=None)
        rest = [row for row in self.order if row not in best]
        if rest:
            self.mark(best, "best")
            self.test(rest[0], rest[1:], p_values, flips)
            self.mark(self.alike(rest, significantly_different(p_values, self.comparisons)), "second")
        return bool(rest)

    def test(self, leader: int, others: Sequence[int], p_values: dict[Pair, float], flips: int) -> None:
        """Add the p-values of the leader against others. A pair that cannot be tested adds none."""
        from t2av_bench.statistics.paired import paired_detectable, paired_ps

        tested: dict[int, tuple[Sample, Sample]] = {}
        for other in others:
            pair = (self.contenders[leader].measured, self.contenders[other].measured)
            common = self._common(pair)
            if not common:
                self.problem = self.problem or "its rows share no scored clip"
                continue
            try:
                samples = pair[0].sample(common), pair[1].sample(common)
                self.detectable[leader, other] = paired_detectable(*samples, tests=self.comparisons)
            except Unscorable as error:
                self.problem = self.problem or str(error)
                continue
            if samples[0].units >= self.units:
                self.units, self.described = samples[0].units, samples[0].described
            tested[other] = samples
        column = self.contenders[leader].measured.column
        found = paired_ps(list(tested.values()), column.quantity.name, column.fingerprint, flips=flips)
        p_values |= {(leader, other): p for other, p in zip(tested, found, strict=True)}

    def _common(self, pair: tuple[Measured, Measured]) -> list[str]:
        """Clips that both scored, and that asked for the same in both runs.

        Of a distance between sets the clips that all contenders scored: its pseudo-values are costly, and so are
        computed once a row instead of once a pair.
        """
        everyone = [contender.measured for contender in self.contenders.values()]
        group = everyone if pair[0].column.quantity.aggregate == "set" else list(pair)
        first, *others = group
        return sorted(
            set(first.scored).intersection(*(each.scored for each in others))
            .intersection(*(first.run.asked_alike(each.run) for each in others))
        )  # fmt: skip

    def alike(self, rows: Sequence[int], different: set[Pair]) -> list[int]:
        """The leading one of some rows, and those that are not told from it."""
        leader = rows[0]
        return [leader] + [row for row in rows[1:] if self.prints_alike(leader, row) or (leader, row) not in different]

    def prints_alike(self, one: int, other: int) -> bool:
        return self.contenders[one].cell.text == self.contenders[other].cell.text

    def mark(self, rows: Sequence[int], rank: Rank) -> None:
        for row in rows:
            self.contenders[row].cell.rank = rank


def _notes(fields: Sequence[_Field], marked: bool) -> list[str]:
    counts = sorted({field.comparisons for field in fields})
    among = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else str(counts[0])
    among += " comparison" + "s" * (counts[-1] > 1)
    over = max(fields, key=lambda field: field.units).described
    drawn = f"the clips ({over}, swapped as a whole)" if " of " in over else "the clips"
    test = f"a paired sign-flip test over {drawn}, Holm-corrected for each column's {among}, at {100 * LEVEL:.0f} %"
    if marked:
        notes = [
            f"Bold: the best row and those that cannot be told from it by {test}. Underlined: likewise the second best."
        ]
    else:
        notes = [f"Nothing is bold: no row can be told from the best one by {test}."]
    seen: dict[str, tuple[float, str]] = {}
    for field in fields:  # of a column that several groups of rows share, the largest
        if field.undecided is not None:
            size = field.undecided * field.column.scale
            text = f"{field.column.named} {size:.{field.column.decimals}f}"
            seen[field.column.named] = max(seen.get(field.column.named, (size, text)), (size, text))
    if seen:
        from t2av_bench.statistics.paired import POWER

        notes.append(
            "Where a row cannot be told from the best one, a true difference of this size would have been found with "
            f"{100 * POWER:.0f} % probability: {', '.join(text for _, text in seen.values())}."
        )
    problems = [f"{each.column.named} was not tested for all rows: {each.problem.rstrip('.')}."
                for each in fields if each.problem]  # fmt: skip
    return notes + list(dict.fromkeys(problems))


def missing_too_many(contenders: Sequence[Sequence[Contender | None]]) -> bool:
    """Whether some cell is left unmarked for the clips it lacks."""
    return any(each and each.cell.value is not None and not each.complete for row in contenders for each in row)
