"""What the gate says of two runs: its verdicts, as numbers, Markdown (for a pull request), JSON and JUnit XML."""

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal
from xml.etree import ElementTree

from t2av_bench.comparison.comparable import NotComparable
from t2av_bench.scores import Quantity
from t2av_bench.statistics.paired import POWER, ROW, Difference, as_row
from t2av_bench.utils.frames import frame
from t2av_bench.utils.text import counted, detectable_text, escape, p_text, signed

if TYPE_CHECKING:
    from pandas import DataFrame

Word = Literal["worse", "undecided", "not judged", "better", "equivalent"]
ORDER: tuple[Word, ...] = ("worse", "undecided", "not judged", "better", "equivalent")
OPEN: tuple[Word, ...] = ("undecided", "not judged")
Undecided = Literal["report", "pass", "fail"]
ALPHA = 0.05
NO_REGRESSION, REGRESSION, NOT_COMPARABLE, UNDECIDED = 0, 1, 2, 3
UNDECIDED_TEXT = "undecided or not judged"
_KINDS = ("worse", "open")
_SIGN = {"worse": "🔴", "undecided": "⚪", "not judged": "⚪", "better": "🟢", "equivalent": "🟢"}
_MOST_LOST = 10
VERDICTS = {
    "metric": "text", "quantity": "text", "label": "text", "direction": "text", "verdict": "text", **ROW,
    "margin": "float64", "p": "float64", "detectable": "float64", "clips": "int64", "clips_to_decide": "Int64",
    "lost": "int64", "reason": "text", "fingerprint": "text",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate says of one quantity.

    difference: candidate − baseline (positive is larger, not better), None where nothing could be paired.
    p: corrected for all quantities judged. margin: in the quantity's unit, None where none is declared.
    detectable: the true difference that these clips find with 80 % probability at Holm's strictest step, None where
    they find none. clips_to_decide: for ``undecided`` only. reason: why it is undecided or not judged. lost: clips that
    the baseline scored and the candidate did not, with the candidate's reasons. empty: the baseline has no value.
    """

    metric: str
    quantity: Quantity
    fingerprint: str
    word: Word
    difference: Difference | None = None
    p: float | None = None
    margin: float | None = None
    margin_text: str | None = None
    detectable: float | None = None
    clips_to_decide: int | None = None
    reason: str | None = None
    lost: dict[str, str] = field(default_factory=dict)
    empty: bool = False

    @property
    def gain(self) -> float | None:
        """The difference with the better direction as positive."""
        return None if self.difference is None else self.difference.gain(self.quantity.direction)

    @property
    def open(self) -> bool:
        """Whether a question that the baseline asks has no answer."""
        return self.word in OPEN and not self.empty

    def as_dict(self) -> dict[str, Any]:
        return {
            "metric": self.metric, "quantity": self.quantity.name, "label": self.quantity.label,
            "direction": self.quantity.direction, "unit": self.quantity.unit, "fingerprint": self.fingerprint,
            "verdict": self.word, **(self.difference.as_dict() if self.difference else {"difference": None}),
            "p_holm": self.p, "margin": self.margin, "margin_declared": self.margin_text,
            "detectable": self.detectable, "clips_to_decide": self.clips_to_decide, "reason": self.reason,
            "lost": self.lost,
        }  # fmt: skip


@dataclass(frozen=True, slots=True, repr=False)
class Gate:
    """The regression gate's answer. verdicts: worst first. lost_allowed: clips that may be lost. undecided: what open
    questions mean: a status of their own, nothing (``pass``) or a regression (``fail``)."""

    baseline: str
    candidate: str
    items: int
    verdicts: tuple[Verdict, ...]
    notes: tuple[str, ...] = ()
    alpha: float = ALPHA
    lost_allowed: int = 0
    undecided: Undecided = "report"

    @property
    def lost(self) -> dict[str, str]:
        """Clips that some quantity lost, with the first reason."""
        found: dict[str, str] = {}
        for verdict in self.verdicts:
            for clip, reason in verdict.lost.items():
                found.setdefault(clip, reason)
        return dict(sorted(found.items()))

    @property
    def coverage_regressed(self) -> bool:
        return len(self.lost) > self.lost_allowed

    def fails(self, verdict: Verdict) -> bool:
        """Whether this verdict alone fails the gate."""
        return verdict.word == "worse" or (self.undecided == "fail" and verdict.open)

    @property
    def regressed(self) -> bool:
        return self.coverage_regressed or any(self.fails(verdict) for verdict in self.verdicts)

    @property
    def judged(self) -> bool:
        """Whether any quantity was compared at all."""
        return any(verdict.word != "not judged" for verdict in self.verdicts)

    @property
    def status(self) -> int:
        """Exit status: 0 no regression, 1 regression, 2 nothing could be judged, 3 undecided."""
        if self.regressed:
            return REGRESSION
        if not self.judged:
            return NOT_COMPARABLE
        undecided = self.undecided == "report" and any(verdict.open for verdict in self.verdicts)
        return UNDECIDED if undecided else NO_REGRESSION

    def as_dict(self) -> dict[str, Any]:
        return {
            "comparable": self.status != NOT_COMPARABLE, "status": self.status, "regressed": self.regressed,
            "baseline": self.baseline, "candidate": self.candidate, "items": self.items, "alpha": self.alpha,
            "power": POWER, "undecided": self.undecided,
            "coverage": {"regressed": self.coverage_regressed, "allowed": self.lost_allowed, "lost": self.lost},
            "quantities": [verdict.as_dict() for verdict in self.verdicts], "notes": list(self.notes),
        }  # fmt: skip

    def to_frame(self) -> "DataFrame":
        """One row for every quantity, worst first; first: the baseline, second: the candidate, p corrected by Holm.

        verdict: ``worse``, ``undecided``, ``not judged``, ``better``, ``equivalent``, and in reason why. margin: the
        smallest difference that matters. clips_to_decide: how many would tell.
        """
        return frame((
            each.as_dict() | as_row(each.difference) | {"margin": each.margin, "p": each.p, "lost": len(each.lost)}
            for each in self.verdicts
        ), VERDICTS)  # fmt: skip

    def to_markdown(self) -> str:
        """What ``t2av-bench regress`` prints: a sentence, a table of all quantities, lost clips, notes."""
        lines = [
            f"### {escape(headline(self))}", "",
            f"{escape(self.candidate)} against {escape(self.baseline)}, {self.items} items, paired by item, "
            f"p corrected by Holm for {sum(v.p is not None for v in self.verdicts)} "
            f"tests at α = {self.alpha:g}. *Detectable*: the true difference that these clips would show with "
            f"{100 * POWER:.0f} % probability.", "",
            "| | Quantity | Baseline | Candidate | Difference | 95 % interval | Margin | Detectable | p | Clips | |",
            "|---|---|---:|---:|---:|:---:|---:|---:|---:|---:|---|",
            *(_row(verdict) for verdict in self.verdicts),
        ]  # fmt: skip
        if self.lost:
            allowed = f", {self.lost_allowed} allowed" if self.lost_allowed else ""
            lines += ["", f"**{counted(len(self.lost))} scored in the baseline, without a score now{allowed}:**", ""]
            shown = list(self.lost.items())[:_MOST_LOST]
            lines += [f"- {escape(clip)}: {escape(reason)}" for clip, reason in shown]
            if len(self.lost) > _MOST_LOST:
                lines.append(f"- and {len(self.lost) - _MOST_LOST} more")
        if self.notes:
            lines += ["", *(f"{escape(note)}  " for note in self.notes)]
        return "\n".join(lines) + "\n"

    def to_junit(self) -> str:
        """JUnit XML, for a CI service."""
        return junit(self)

    __repr__ = _repr_markdown_ = to_markdown


def headline(gate: Gate) -> str:
    """One sentence: regressed or not, and what of."""
    failing = [verdict for verdict in gate.verdicts if gate.fails(verdict)]
    kinds = {name: [each.quantity.name for each in failing if each.open == (name == "open")] for name in _KINDS}
    parts = [f"{kind}: {', '.join(names)}" for kind, names in kinds.items() if names]
    if gate.coverage_regressed:
        parts.append(f"{counted(len(gate.lost))} lost")
    if parts:
        return f"Regression: {'; '.join(parts)}"
    open_ = [verdict for verdict in gate.verdicts if verdict.open]
    if not gate.judged:
        return f"Nothing was judged: {gate.verdicts[0].reason}"
    if open_:
        found = "No regression found" if gate.undecided == "pass" else "Undecided: no regression found"
        return f"{found}; {len(open_)} of {len(gate.verdicts)} quantities {UNDECIDED_TEXT}"
    return "No regression"


def _row(verdict: Verdict) -> str:
    quantity, difference = verdict.quantity, verdict.difference
    arrow = {"higher": "↑", "lower": "↓"}.get(quantity.direction, "")
    cells = [_SIGN[verdict.word], f"{escape(quantity.label)} {arrow} `{quantity.name}`"]
    if difference is None:
        cells += ["–"] * 4
    else:
        interval = difference.interval
        cells += [
            f"{difference.first:.{quantity.decimals}f}", f"{difference.second:.{quantity.decimals}f}",
            signed(difference.value, quantity.decimals),
            f"{signed(interval.low, quantity.decimals)} … {signed(interval.high, quantity.decimals)}"
            if interval else "–",
        ]  # fmt: skip
    cells += [
        f"±{verdict.margin_text}" if verdict.margin_text else "–",
        detectable_text(verdict.detectable, quantity.decimals) if difference else "–",
        p_text(verdict.p) if verdict.p is not None else "–",
        str(difference.clips) if difference else "0",
        escape(explain(verdict)),
    ]
    return "| " + " | ".join(cells) + " |"


def explain(verdict: Verdict) -> str:
    """The verdict in words, with what would decide it."""
    text: str = verdict.word
    if verdict.reason:
        text += f": {verdict.reason}"
    if verdict.clips_to_decide:
        text += f"; about {counted(verdict.clips_to_decide)} would decide"
    if verdict.lost:
        text += f" ({counted(len(verdict.lost))} lost)"
    return text


def as_json(outcome: Gate | NotComparable) -> str:
    """The whole answer as one JSON document."""
    return json.dumps(outcome.as_dict(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def junit(outcome: Gate | NotComparable) -> str:
    """JUnit XML: a test case a quantity and one for coverage; open questions are skipped tests, refusals errors."""
    suite = ElementTree.Element("testsuite", name="t2av-bench regress")
    if isinstance(outcome, NotComparable):
        case = ElementTree.SubElement(suite, "testcase", classname="t2av_bench.regress", name="comparable")
        for reason in outcome.differences:
            ElementTree.SubElement(case, "error", message=_xml(reason), type="NotComparable")
    else:
        _cases(suite, outcome)
    cases = list(suite)
    suite.set("tests", str(len(cases)))
    for kind, attribute in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        suite.set(attribute, str(sum(case.find(kind) is not None for case in cases)))
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _cases(suite: ElementTree.Element, gate: Gate) -> None:
    for verdict in gate.verdicts:
        case = ElementTree.SubElement(
            suite, "testcase", classname=f"t2av_bench.regress.{verdict.metric}", name=verdict.quantity.name
        )
        message = _xml(in_full(verdict))
        if gate.fails(verdict):
            ElementTree.SubElement(case, "failure", message=message, type=verdict.word)
        elif not gate.judged:
            ElementTree.SubElement(case, "error", message=message, type=verdict.word)
        elif verdict.word in OPEN:
            ElementTree.SubElement(case, "skipped", message=message)
        else:
            ElementTree.SubElement(case, "system-out").text = message
    case = ElementTree.SubElement(suite, "testcase", classname="t2av_bench.regress", name="coverage")
    if gate.lost:
        listed = _xml("\n".join(f"{clip}: {reason}" for clip, reason in gate.lost.items()))
        if gate.coverage_regressed:
            message = f"{counted(len(gate.lost))} lost, {gate.lost_allowed} allowed"
            ElementTree.SubElement(case, "failure", message=message, type="coverage").text = listed
        else:
            ElementTree.SubElement(case, "system-out").text = listed


def in_full(verdict: Verdict) -> str:
    """The verdict in words, with its numbers."""
    return explain(verdict) + _numbers(verdict)


def _numbers(verdict: Verdict) -> str:
    difference = verdict.difference
    if difference is None:
        return ""
    decimals = verdict.quantity.decimals
    text = f": {difference.first:.{decimals}f} to {difference.second:.{decimals}f}"
    if difference.interval:
        low, high = (signed(end, decimals) for end in (difference.interval.low, difference.interval.high))
        text += f" ({signed(difference.value, decimals)}, 95 % interval {low} to {high})"
    seen = detectable_text(verdict.detectable, decimals)
    return text + f" on {difference.described}; {seen} could have been seen"


def _xml(text: str) -> str:
    """Without the characters that XML 1.0 cannot hold, even escaped."""
    return re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\N{REPLACEMENT CHARACTER}", text)
