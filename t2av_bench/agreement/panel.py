"""Every declared quantity against people's votes, beside what needs no metric: for readers, as rows, and as JSON."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from t2av_bench.agreement.declared import Declared
from t2av_bench.agreement.joining import Measured, join
from t2av_bench.agreement.pairs import Agreement, Estimate, difference, within_items, within_systems
from t2av_bench.agreement.votes import NAME, Aspect, Votes, preferences_of
from t2av_bench.results.run import RunResult
from t2av_bench.utils.frames import frame
from t2av_bench.utils.text import escape, signed

if TYPE_CHECKING:
    from pandas import DataFrame

_ARROWS = {"higher": "↑", "lower": "↓", "nearer to 0": "→0"}
ROWS = {
    "aspect": "text", "kind": "text", "metric": "text", "quantity": "text", "direction": "text", "within": "text",
    "accuracy": "float64", "accuracy_low": "float64", "accuracy_high": "float64", "tau": "float64",
    "tau_low": "float64", "tau_high": "float64", "judged": "int64", "decided": "int64", "compared": "int64",
    "ties": "int64", "items": "int64", "clips": "int64",
}  # fmt: skip
_MOST_REASONS = 3


@dataclass(frozen=True, slots=True)
class Judged:
    """What one metric, or one baseline, has to do with one aspect.

    kind: ``metric``, ``judge`` (ratings that came with the votes) or ``name``. label: what a reader sees.
    clips: with a value, of all ``clips_total`` of the votes; missing: reason -> how many of the others.
    items: on pairs of clips of one item. systems: on pairs of clips of one system; None of the name, and where people
    compared clips of one item alone. by_system: the same for each. against: baseline -> accuracy minus the baseline's
    on the pairs that both judge, and how many these are.
    """

    aspect: str
    kind: str
    label: str
    metric: str | None
    quantity: str | None
    direction: str | None
    stand_in: bool
    clips: int
    clips_total: int
    missing: Mapping[str, int]
    items: Agreement
    systems: Agreement | None
    by_system: Mapping[str, Agreement]
    against: Mapping[str, tuple[Estimate, int]]

    def as_dict(self) -> dict[str, Any]:
        return {
            "aspect": self.aspect, "kind": self.kind, "label": self.label, "metric": self.metric,
            "quantity": self.quantity, "direction": self.direction, "embedded": self.stand_in, "clips": self.clips,
            "clips_total": self.clips_total, "missing": dict(self.missing), "within_items": self.items.as_dict(),
            "within_systems": self.systems.as_dict() if self.systems else None,
            "by_system": {name: each.as_dict() for name, each in self.by_system.items()},
            "against": {name: each.as_dict() | {"judged": pairs} for name, (each, pairs) in self.against.items()},
        }  # fmt: skip


@dataclass(frozen=True, slots=True, repr=False)
class Panel:
    """items, systems: of the votes. judged: by aspect, baselines first, then metrics in the order of the runs.

    not_measured: metrics that are declared and in none of the runs. made: by which version, of which votes and
    directions (SHA-256), from which runs, and metric id -> protocol and its fingerprint; of a study, ``failed_checks``.
    """

    items: tuple[str, ...]
    systems: tuple[str, ...]
    judged: tuple[Judged, ...]
    notes: tuple[str, ...]
    not_measured: tuple[str, ...]
    made: Mapping[str, Any]

    @property
    def aspects(self) -> list[str]:
        return list(dict.fromkeys(each.aspect for each in self.judged))

    @property
    def _with_values(self) -> list[Judged]:
        """What tables show: a metric without a value of any clip is named below them, with the reasons."""
        return [each for each in self.judged if each.clips or each.kind != "metric"]

    def as_dict(self) -> dict[str, Any]:
        return {
            "made": dict(self.made), "items": list(self.items), "systems": list(self.systems),
            "aspects": self.aspects, "judged": [each.as_dict() for each in self.judged],
            "not_measured": list(self.not_measured), "notes": list(self.notes),
        }  # fmt: skip

    def to_frame(self) -> "DataFrame":
        """One row for every aspect, metric or baseline, and kind of pair.

        within: ``items``, ``systems``, or a system's name. low, high: ends of 95 % intervals. judged: pairs, of
        ``decided`` that people decided, of ``compared`` that they voted on. clips: with a value.
        """
        return frame((row for each in self.judged for row in _rows(each)), ROWS)

    def to_markdown(self) -> str:
        """What ``t2av-bench panel`` prints: all aspects in short, then each within items and within systems."""
        shape = f"{len(self.items)} items x {len(self.systems)} systems"
        lines = [f"Votes on {shape}. Of two clips, *accuracy*: how often people's choice has the better value (0.5 is "
                 "chance, a tie is half); *tau*: Kendall's tau-b. 95 % intervals over items.", ""]  # fmt: skip
        if len(self.aspects) > 1:
            lines += [*self._short("items"), "", *self._short("systems"), ""]
        for aspect in self.aspects:
            lines += [*self._aspect(aspect), ""]
        if any(each.stand_in for each in self.judged):
            lines += ["‡ computed by a bundled stand-in, not comparable with published numbers.", ""]
        if told := [*self._missing()]:
            lines += ["**Clips without a value**", "", *told, ""]
        notes = [*self.notes]
        if reasons := Counter(
            each.reason for one in self.judged for own in (one.items, one.systems) if own
            for each in (own.accuracy, own.tau) if each.value is not None and each.reason
        ):  # fmt: skip
            notes.append(f"No interval where: {_counted(reasons)}.")
        if self.not_measured:
            notes.append(f"Declared, and in none of the runs: {', '.join(self.not_measured)}.")
        if notes:
            lines += [*(f"- {escape(note)}" for note in notes), ""]
        return "\n".join(lines)

    __repr__ = _repr_markdown_ = to_markdown

    def _aspect(self, aspect: str) -> Iterator[str]:
        mine = [each for each in self._with_values if each.aspect == aspect]
        first = mine[0].items
        yield (f"**{escape(aspect)}**: of {first.compared} pairs of one item people decided {first.decided}, "
               f"{first.compared - first.decided} are ties.")  # fmt: skip
        against = list(dict.fromkeys(name for each in mine for name in each.against))
        yield ""
        yield "| " + " | ".join(["Within items", "Accuracy", "Tau-b", "Pairs", "Ties", "Items",
                                 *(f"Accuracy − {escape(name)}" for name in against)]) + " |"  # fmt: skip
        yield "|---|---:|---:|---:|---:|---:" + "|---:" * len(against) + "|"
        for each in mine:
            yield _line(each, each.items, len(self.items), [
                _shown(*each.against[name], signs=True) if name in each.against else "" for name in against
            ])  # fmt: skip
        apart = [each for each in mine if each.systems is not None]
        yield ""
        if not apart:
            yield "Within systems: people compared clips of one item alone."
            return
        yield "| Within systems | Accuracy | Tau-b | Pairs | Ties | Items |" + "".join(
            f" {escape(name)} |" for name in self.systems)  # fmt: skip
        yield "|---|---:|---:|---:|---:|---:" + "|---:" * len(self.systems) + "|"
        for each in apart:
            assert each.systems is not None
            yield _line(each, each.systems, len(self.items), [*map(_share, each.by_system.values())])

    def _short(self, within: str) -> Iterator[str]:
        """Accuracy of each metric and baseline on all aspects, within ``items`` or ``systems``."""
        yield f"| Accuracy within {within} | " + " | ".join(map(escape, self.aspects)) + " |"
        yield "|---" + "|---:" * len(self.aspects) + "|"
        for row in dict.fromkeys((each.kind, each.label) for each in self._with_values):
            mine = {each.aspect: each for each in self._with_values if (each.kind, each.label) == row}
            found = [getattr(mine[aspect], within) if aspect in mine else None for aspect in self.aspects]
            if any(found):
                yield "| " + " | ".join([_label(next(iter(mine.values()))), *map(_share, found)]) + " |"

    def _missing(self) -> Iterator[str]:
        """A line for each that lacks values; for each aspect where they are not the same."""
        told = {(each.label, each.clips, each.clips_total, _counted(each.missing)): None
                for each in self.judged if each.missing}  # fmt: skip
        for label, clips, total, reasons in told:
            yield f"- {escape(label)}: {clips} of {total} clips have one. {escape(reasons)}"


def panel(runs: Sequence[RunResult], votes: Votes, said: Declared, made: Mapping[str, Any]) -> Panel:
    """Hold every declared quantity of the runs against every aspect. Raises ItemError where no clip is in the votes.

    made: see ``Panel``; runs and protocols are added.
    """
    measured, notes = join(runs, votes, said)
    judged = [each for name, aspect in votes.aspects.items() for each in _judged(name, aspect, votes, measured)]
    there = {column.metric for run in runs for column in run.columns}
    protocols = {each.metric: {"fingerprint": each.protocol.fingerprint, "protocol": asdict(each.protocol)}
                 for each in measured if each.protocol}  # fmt: skip
    return Panel(
        votes.items, votes.systems, tuple(judged), (*votes.notes, *notes),
        tuple(metric for metric in said.directions if metric not in there),
        {**made, "runs": [{"name": run.name, "clips": len(run.rows)} for run in runs], "metrics": protocols},
    )  # fmt: skip


def name_alone(preferences: np.ndarray) -> np.ndarray:
    """(items, systems, systems) -> (items, systems): a system's mean preference over *other* items than the row's."""
    known = ~np.isnan(preferences) & ~np.eye(preferences.shape[-1], dtype=bool)
    won, met = np.where(known, preferences, 0.0).sum(-1), known.sum(-1)
    others, times = won.sum(0) - won, met.sum(0) - met
    return np.where(times > 0, others / np.maximum(times, 1), np.nan)


def _judged(name: str, aspect: Aspect, votes: Votes, measured: Sequence[Measured]) -> Iterator[Judged]:
    baselines = {**aspect.judges, NAME: name_alone(aspect.preferences)}
    sides = {label: preferences_of(values) for label, values in baselines.items()}
    rated = None if aspect.ratings is None else preferences_of(aspect.ratings.T)

    def one(kind: str, label: str, values: np.ndarray, of: Measured | None, context: str) -> Judged:
        metric, seed = preferences_of(values), (name, context)
        across, by_system = None, {}
        if rated is not None and kind != "name":
            apart = preferences_of(values.T)
            across = within_systems(rated, apart, votes.items, *seed)
            by_system = {
                system: within_systems(rated[[at]], apart[[at]], votes.items, intervals=False)
                for at, system in enumerate(votes.systems)
            }  # fmt: skip
        there = int((~np.isnan(values)).sum())
        lacking = "no other item says how people like its system" if kind == "name" else "it was not rated"
        missing = of.missing if of else {lacking: values.size - there} if there < values.size else {}
        return Judged(
            name, kind, label, of.metric if of else None, of.quantity.name if of else None,
            of.direction if of else None, of.stand_in if of else False, there, values.size, missing,
            within_items(aspect.preferences, metric, votes.items, *seed),
            across, by_system,
            {
                other: difference(aspect.preferences, metric, side, votes.items, *seed, other)
                for other, side in sides.items() if other != label and kind != "name"
            },
        )  # fmt: skip

    for label, values in baselines.items():
        yield one("name" if label == NAME else "judge", label, values, None, label)
    taken = [each.quantity.label for each in measured]
    for each in measured:
        label = each.quantity.label
        label = f"{label} ({each.metric})" if taken.count(label) > 1 else label
        yield one("metric", label, each.values, each, f"{each.metric} {each.quantity.name}")


def _rows(each: Judged) -> Iterator[dict[str, Any]]:
    found = {"items": each.items, "systems": each.systems, **each.by_system}
    for within, own in found.items():
        if own is None:
            continue
        row: dict[str, Any] = {
            "aspect": each.aspect, "kind": each.kind, "metric": each.metric or each.label,
            "quantity": each.quantity, "direction": each.direction, "within": within, "judged": own.judged,
            "decided": own.decided, "compared": own.compared, "ties": own.ties, "items": own.items,
            "clips": each.clips,
        }  # fmt: skip
        for key, estimate in (("accuracy", own.accuracy), ("tau", own.tau)):
            ends = estimate.interval
            row |= {key: estimate.value, f"{key}_low": ends and ends.low, f"{key}_high": ends and ends.high}
        yield row


def _line(each: Judged, own: Agreement, items: int, more: Sequence[str]) -> str:
    cells = [_label(each), _shown(own.accuracy), _shown(own.tau, signs=True), f"{own.judged} of {own.decided}",
             str(own.ties), f"{own.items} of {items}", *more]  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def _label(each: Judged) -> str:
    return f"{escape(each.label)}{'‡' if each.stand_in else ''} {_ARROWS.get(each.direction or '', '')}".rstrip()


def _share(own: Agreement | None) -> str:
    return f"{_number(own.accuracy.value)} ({own.judged} of {own.decided})" if own else "–"


def _counted(reasons: Mapping[str, int]) -> str:
    """The most frequent reasons and how often each is given."""
    ordered = sorted(reasons.items(), key=lambda entry: (-entry[1], entry[0]))
    shown = [f"{reason} ({count})" for reason, count in ordered[:_MOST_REASONS]]
    more = len(ordered) - len(shown)
    return "; ".join([*shown, f"and {more} more reason{'s' * (more > 1)}"] if more else shown)


def _shown(estimate: Estimate, pairs: int | None = None, *, signs: bool = False) -> str:
    """``.79 [.66, .88]``; without an interval it says nothing of one, the JSON has the reason."""
    if estimate.value is None:
        return "–"
    form = (lambda value: signed(value, 2)) if signs else _number
    text = form(estimate.value)
    if estimate.interval is not None:
        text += f" [{form(estimate.interval.low)}, {form(estimate.interval.high)}]"
    return text if pairs is None else f"{text} ({pairs})"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
