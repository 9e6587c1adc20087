"""Several systems against the first one, item by item: what differs, by how much, and on which clips most.

``contrast`` is a pure function of recorded scores; ``forest`` turns it into the rows of a forest plot.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from t2av_bench.comparison.comparable import NotComparable, changed_parts, choose, revision_problem, shared_grouping
from t2av_bench.errors import Unscorable
from t2av_bench.metrics.distances import AT_THIS_NUMBER
from t2av_bench.results.recorded import QuantityRecord, Recorded
from t2av_bench.results.run import system_names
from t2av_bench.scores import Quantity
from t2av_bench.statistics.intervals import LEAST_CLIPS, Interval
from t2av_bench.statistics.paired import POWER, ROW, Difference, as_row, paired_differences
from t2av_bench.statistics.permutation import holm
from t2av_bench.statistics.samples import Grouping, Sample
from t2av_bench.utils.frames import frame
from t2av_bench.utils.text import counted, detectable_text, escape, p_text, signed, some

if TYPE_CHECKING:
    from pandas import DataFrame

COMPARISON = {
    "system": "text", "metric": "text", "quantity": "text", "label": "text", "direction": "text", **ROW,
    "p": "float64", "detectable": "float64", "clips": "int64", "lost": "int64", "gained": "int64", "stand_in": "bool",
    "fingerprint": "text",
}  # fmt: skip
ITEMS = {
    "system": "text", "quantity": "text", "clip": "text", "first": "float64", "second": "float64", "loss": "float64",
    "weight": "float64",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ItemDifference:
    """One item's scores in both systems. loss: how much worse the second is, in the quantity's unit; negative: better.

    weight: the item's share in the set value, before normalising (see ``Score.weight``).
    """

    item: str
    first: float
    second: float
    loss: float
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Contrast:
    """One quantity of one system against the first system.

    difference: second minus first. p: Holm-corrected over all contrasts of the comparison. items: worst loss first;
    empty for distances between sets, which no single item has. lost, gained: items that only one of the two scored.
    detectable: the true difference that these clips would show with 80 % probability (see ``Difference.detectable``).
    """

    system: str
    metric: str
    quantity: Quantity
    fingerprint: str
    stand_in: bool
    difference: Difference
    p: float
    items: tuple[ItemDifference, ...]
    lost: dict[str, str]
    gained: tuple[str, ...]
    detectable: float | None = None

    @property
    def gain(self) -> float:
        """The difference with the better direction as positive."""
        return self.difference.gain(self.quantity.direction)

    def as_dict(self) -> dict[str, Any]:
        return {
            "system": self.system, "metric": self.metric, "quantity": self.quantity.name,
            "label": self.quantity.label, "direction": self.quantity.direction, "unit": self.quantity.unit,
            "fingerprint": self.fingerprint, "embedded": self.stand_in, **self.difference.as_dict(), "p_holm": self.p,
            "detectable": self.detectable,
            "items": [asdict(item) for item in self.items], "lost": self.lost, "gained": list(self.gained),
        }  # fmt: skip


@dataclass(frozen=True, slots=True, repr=False)
class Comparison:
    """All contrasts with the first system, and why others are absent."""

    first: str
    systems: tuple[str, ...]
    contrasts: tuple[Contrast, ...]
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        return {
            "first": self.first, "systems": list(self.systems),
            "contrasts": [contrast.as_dict() for contrast in self.contrasts], "notes": list(self.notes),
        }  # fmt: skip

    def to_frame(self, *, items: bool = False) -> "DataFrame":
        """One row for every system and quantity.

        first, second: the quantity of the first run and of this one, over the clips that both scored; difference:
        second − first, low and high the ends of its 95 % interval. p: corrected by Holm. detectable: the true
        difference that these clips would show. lost, gained: clips that only one of the two scored.
        items: instead one row for every system, quantity and clip; loss: how much worse the clip has become.
        """
        if items:
            return frame((
                asdict(item) | {"system": each.system, "quantity": each.quantity.name, "clip": item.item}
                for each in self.contrasts for item in each.items
            ), ITEMS)  # fmt: skip
        return frame((
            each.as_dict() | as_row(each.difference)
            | {"p": each.p, "stand_in": each.stand_in, "lost": len(each.lost), "gained": len(each.gained)}
            for each in self.contrasts
        ), COMPARISON)  # fmt: skip

    def to_markdown(self, *, worst: int = 5) -> str:
        """What ``t2av-bench compare`` prints: contrasts as a table, then ``worst`` items of each quantity."""
        lines = [
            f"Against {escape(self.first)}, paired by item; 95 % bootstrap intervals, sign-flip p corrected by Holm "
            f"for {len(self.contrasts)} tests. *Detectable*: the true difference that these clips would show with "
            f"{100 * POWER:.0f} % probability.", "",
            "| System | Quantity | First | This | Difference | 95 % interval | Detectable | p | Clips |",
            "|---|---|---:|---:|---:|:---:|---:|---:|---:|",
        ]  # fmt: skip
        for each in self.contrasts:
            quantity, difference, decimals = each.quantity, each.difference, each.quantity.decimals
            arrow = {"higher": "↑", "lower": "↓"}.get(quantity.direction, "")
            shown = f"– (fewer than {LEAST_CLIPS} clips)" if difference.clips < LEAST_CLIPS else "–"
            if difference.interval:
                shown = f"{signed(difference.interval.low, decimals)} … {signed(difference.interval.high, decimals)}"
            marked = "" if each.p > 0.05 or not each.gain else (" better" if each.gain > 0 else " worse")
            lines.append(
                f"| {escape(each.system)} | {escape(quantity.label)}{'‡' if each.stand_in else ''} {arrow} "
                f"| {difference.first:.{decimals}f} | {difference.second:.{decimals}f} "
                f"| {signed(difference.value, decimals)}{marked} | {shown} "
                f"| {detectable_text(each.detectable, decimals)} | {p_text(each.p)} | {difference.clips} |"
            )
        for each in self.contrasts:
            losses = [item for item in each.items if item.loss > 0][:worst]
            if not losses and not each.lost:
                continue
            decimals = each.quantity.decimals
            lines += ["", f"**{escape(each.system)}, {escape(each.quantity.label)}: worst items**", ""]
            lines += [
                f"- {escape(item)}: no score now ({escape(reason)})" for item, reason in list(each.lost.items())[:worst]
            ]
            if len(each.lost) > worst:
                lines.append(f"- and {len(each.lost) - worst} more without a score")
            lines += [
                f"- {escape(item.item)}: {item.first:.{decimals}f} → {item.second:.{decimals}f} "
                f"({signed(item.second - item.first, decimals)})"
                for item in losses
            ]
        if any(each.quantity.aggregate == "set" for each in self.contrasts):
            lines += ["", AT_THIS_NUMBER[0].upper() + AT_THIS_NUMBER[1:] + "."]
        if any(each.stand_in for each in self.contrasts):
            lines += ["", "‡ computed by a bundled stand-in, not comparable with published numbers."]
        if self.notes:
            lines += ["", *(f"{escape(note)}  " for note in self.notes)]
        return "\n".join(lines) + "\n"

    __repr__ = _repr_markdown_ = to_markdown


@dataclass(frozen=True, slots=True)
class ForestRow:
    """One line of a forest plot: a difference with its interval, in the unit and in standard deviations.

    value, low, high: candidate − first, in the quantity's unit. effect, effect_low, effect_high: the same with the
    better direction to the right, divided by the SD over clips of the paired differences, so that quantities of
    different units share an axis; None where all clips differ alike.
    """

    system: str
    quantity: str
    label: str
    unit: str
    clips: int
    value: float
    low: float
    high: float
    effect: float | None
    effect_low: float | None
    effect_high: float | None
    p: float


def contrast(runs: Sequence[Recorded], *, quantities: Sequence[str] | None = None, draws: int = 10_000) -> Comparison:
    """Compare every further run with the first. Items are paired by id; those that ask for other things are left out.

    Raises NotComparable where nothing can be paired, ValueError for fewer than two runs or an unknown quantity.
    """
    if len(runs) < 2:
        raise ValueError("a comparison needs at least two runs: t2av-bench compare RUN RUN")
    first, *others = runs
    names = system_names(runs)
    found: list[Contrast] = []
    keys = choose(dict.fromkeys(key for run in runs for key in run.quantities), quantities)
    paired = [_Paired.of(first, other, name) for name, other in zip(names[1:], others, strict=True)]
    # All systems' differences of a quantity at once: where they cover the same clips they share what is drawn.
    differences = {key: _differences(first, paired, key, draws) for key in keys if key in first.quantities}
    notes: list[str] = []
    for place, each in enumerate(paired):
        notes += each.notes
        for key in keys:
            if key not in first.quantities or key not in each.run.quantities:
                holder, lacking = (names[0], each.name) if key in first.quantities else (each.name, names[0])
                if key in first.quantities or key in each.run.quantities:
                    notes.append(f"{key[1]} ({key[0]}) was measured in {holder} but not in {lacking}.")
                continue
            if problem := revision_problem(key[0], first, each.run):
                notes.append(f"{each.name}: {key[1]} is not compared: {problem}.")
                continue
            before, after = first.quantities[key], each.run.quantities[key]
            difference = differences[key][place]
            if isinstance(difference, Unscorable):
                notes.append(f"{each.name}: {key[1]} ({key[0]}) is not compared: {difference}.")
                continue
            lost = {item: reason for item, reason in before.lost(after).items() if item in each.items}
            gained = tuple(sorted((set(after.scored) - set(before.scored)) & each.items))
            found.append(
                Contrast(
                    each.name, before.metric, before.quantity, first.protocols[key[0]].fingerprint, before.stand_in,
                    difference, difference.p, _items(before, after, each.items), lost, gained,
                )
            )  # fmt: skip
    if not found:
        raise NotComparable(notes or ["the runs share no quantity that can be better or worse"])
    corrected = holm([each.p for each in found]).tolist()
    contrasts = tuple(
        replace(each, p=p, detectable=each.difference.detectable(tests=len(found)))
        for each, p in zip(found, corrected, strict=True)
    )
    return Comparison(names[0], tuple(names[1:]), contrasts, tuple(dict.fromkeys(notes)))


@dataclass(frozen=True, slots=True)
class _Paired:
    """A system beside the first one. items: that both hold, asking for the same; by: what groups them."""

    name: str
    run: Recorded
    items: set[str]
    by: Grouping | None
    notes: list[str]

    @classmethod
    def of(cls, first: Recorded, other: Recorded, name: str) -> "_Paired":
        notes: list[str] = []
        items, by = _paired_items(first, other, name, notes), shared_grouping(first, other)
        if by and items:
            count = len({by.groups[item] for item in items})
            notes.append(f"{name}: {len(items)} clips of {count} {by.unit}, which are drawn and tested as a whole.")
        return cls(name, other, items, by, notes)


def _differences(
    first: Recorded, paired: Sequence[_Paired], key: tuple[str, str], draws: int
) -> dict[int, Difference | Unscorable]:
    """Of one quantity, the difference from the first one of all systems that measured it alike, or why it has none."""
    before, fingerprint = first.quantities[key], first.protocols[key[0]].fingerprint
    found: dict[int, Difference | Unscorable] = {}
    samples: dict[int, tuple[Sample, Sample]] = {}
    for place, each in enumerate(paired):
        after = each.run.quantities.get(key)
        if after is None or revision_problem(key[0], first, each.run):
            continue
        common = sorted(set(before.scored) & set(after.scored) & each.items)
        try:
            samples[place] = before.sample(common).grouped(each.by), after.sample(common).grouped(each.by)
        except Unscorable as error:
            found[place] = error
    differences = paired_differences(list(samples.values()), key[1], fingerprint, draws=draws)
    return found | dict(zip(samples, differences, strict=True))


def _paired_items(first: Recorded, other: Recorded, name: str, notes: list[str]) -> set[str]:
    common = sorted(first.items.keys() & other.items.keys())
    if only := sorted(first.items.keys() ^ other.items.keys()):
        notes.append(f"{name}: {counted(len(only), 'item')} in one of the two runs only: {some(only)}.")
    changed = {id: parts for id in common if (parts := changed_parts(first, other, id))}
    if changed:
        parts = sorted({part.replace("_", " ") for each in changed.values() for part in each})
        notes.append(
            f"{name}: {counted(len(changed), 'item')} left out, for other {', '.join(parts)}: {some(changed)}."
        )
    if not common:
        notes.append(f"{name} shares no item with {first.name}.")
    return set(common) - set(changed)


def _items(before: QuantityRecord, after: QuantityRecord, items: set[str]) -> tuple[ItemDifference, ...]:
    if before.quantity.aggregate == "set" or before.values is None or after.values is None:
        return ()
    weights = (before.weights or {}) if before.quantity.aggregate == "weighted" else {}

    def loss(one: float, two: float) -> float:
        if before.quantity.is_shift:
            return abs(two) - abs(one)
        return one - two if before.quantity.direction == "higher" else two - one

    found = [
        ItemDifference(
            id, before.values[id], after.values[id], loss(before.values[id], after.values[id]), weights.get(id, 1.0)
        )
        for id in set(before.values) & set(after.values) & items
    ]  # fmt: skip
    return tuple(sorted(found, key=lambda item: (-item.loss, item.item)))


def forest(comparison: Comparison) -> list[ForestRow]:
    """Rows of a forest plot, grouped by quantity in table order. Contrasts without an interval are left out."""
    rows = []
    order = list(dict.fromkeys((contrast.metric, contrast.quantity.name) for contrast in comparison.contrasts))
    for each in sorted(comparison.contrasts, key=lambda c: order.index((c.metric, c.quantity.name))):
        interval: Interval | None = each.difference.interval
        if interval is None:
            continue
        better = {"higher": 1, "lower": -1}.get(each.quantity.direction)
        # Of a shift, better is towards 0, wherever it comes from.
        sign = better or (1 if each.gain * each.difference.value >= 0 else -1)
        deviation = each.difference.deviation
        ends = sorted((sign * interval.low, sign * interval.high))
        effect, effect_low, effect_high = ((value / deviation if deviation else None) for value in (each.gain, *ends))
        rows.append(
            ForestRow(
                each.system, each.quantity.name, each.quantity.label, each.quantity.unit, each.difference.clips,
                each.difference.value, interval.low, interval.high, effect, effect_low, effect_high, each.p,
            )
        )  # fmt: skip
    return rows
