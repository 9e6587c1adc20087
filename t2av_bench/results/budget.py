"""The error budget: what a quantity changes for reasons that are not the model, and which differences that leaves.

Each source of error has variants: the same clips encoded again, in another container, …, scored as the control was. A
source has two standard deviations (``statistics.components.crossed``): v, of what a variant does to all clips alike,
and e, of what it does to a clip beyond that. b and w are those of the clips under one variant, between and within
groups. Two equal systems, each under variants of its own, then differ by a variance of two times

    Σ v² + b² / G + max(w², Σ e²) / n      on n other clips of G groups each
    Σ v² + Σ e² / n                        on the same n clips, which take their scatter along

e is part of how clips scatter under one variant already, and counts by itself where some variant makes them scatter
more. A difference of less than 1.96 times the root is *not resolved*: these errors alone exceed it once in 20 times.
Sources add in squares, for each is varied by itself. No number of clips cures v.
"""

import hashlib
import json
import math
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from t2av_bench.scores import Protocol
from t2av_bench.utils.files import json_line, write_text
from t2av_bench.utils.frames import frame
from t2av_bench.utils.text import escape
from t2av_bench.version import __version__

if TYPE_CHECKING:
    from pandas import DataFrame

FORMAT = "t2av-bench error budget"
VERSION = 1
PACKAGED = Path(__file__).resolve().parents[1] / "metrics" / "budget.json"
"""What was measured for everybody."""
SAMPLING = "sampling"
WRITING = ("encoding",)
"""What two checkpoints of one pipeline differ by without differing: an encoder treats no two pictures alike, and its
releases neither. Container, rate, crop and length are the pipeline's."""
_EVERYTHING = "everything"
Z = statistics.NormalDist().inv_cdf(0.975)
"""Errors exceed so many of their standard deviations once in 20 times."""
ROWS = {
    "metric": "text", "quantity": "text", "source": "text", "shared": "float64", "own": "float64", "largest": "float64",
    "scored": "int64", "total": "int64", "method": "text", "reason": "text",
}  # fmt: skip


class BudgetError(ValueError):
    """A file that is no error budget, or one of another version; the message says what to type next."""


def method_of(protocol: Protocol) -> str:
    """Twelve hexadecimal digits of a protocol's id and parameters.

    Other than a fingerprint it holds for any release of the libraries, and where weights are missing: neither makes
    another budget.
    """
    text = json.dumps([protocol.id, protocol.parameters], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Variant(_Strict):
    """One variant of a source, against the control on the clips that have a score in both.

    shift: change of the set value. deviation: of the clips' changes around it, what as many independent clips would
    have (of groups: see ``statistics.paired.Difference``). largest: absolute change of any clip (of pseudo-values for
    ratios and distances between sets). All three None below two clips. scored, total: clips with both, and clips that
    there are; reasons: why the others have none.
    """

    variant: str
    shift: float | None = Field(default=None, allow_inf_nan=False)
    deviation: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    largest: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    scored: int = Field(ge=0)
    total: int = Field(ge=0)
    reasons: dict[str, int] = {}

    @model_validator(mode="after")
    def _whole(self) -> "Variant":
        if len({value is None for value in (self.shift, self.deviation, self.largest)}) > 1:
            raise ValueError("shift, deviation and largest: expected all or none")
        return self


class Source(_Strict):
    """A source of error. shared, own: the standard deviations v and e; None with a ``reason``.

    scored: clips with a score in the control and in every variant that at least half of them have.
    protocol: whether its variants are other protocols, not other media.
    """

    source: str
    shared: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    own: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    scored: int = Field(default=0, ge=0)
    reason: str | None = None
    protocol: bool = False
    variants: tuple[Variant, ...] = ()

    @model_validator(mode="after")
    def _whole(self) -> "Source":
        if len({self.shared is None, self.own is None, self.reason is not None}) > 1:
            raise ValueError("shared, own and reason: expected two numbers, or a reason")
        return self

    @property
    def largest(self) -> float | None:
        """Absolute change of any clip under any variant."""
        return max((each.largest for each in self.variants if each.largest is not None), default=None)


class Sampling(_Strict):
    """What another choice of clips changes. between, within: standard deviations (see ``statistics.components``).

    scored, total: clips with a score, and clips that there are, of so many ``groups`` (``unit``: what they are).
    of: whose clips, where they are others than the budget's.
    """

    between: float = Field(ge=0, allow_inf_nan=False)
    within: float = Field(ge=0, allow_inf_nan=False)
    scored: int = Field(ge=2)
    total: int = Field(ge=2)
    groups: int = Field(ge=1)
    unit: str = "clips"
    of: str | None = None


class Entry(_Strict):
    """A quantity by one protocol. scored, total: clips of the control; reasons: why the others have no score.

    method: see ``method_of``. sampling: None with ``unsampled``, the reason.
    """

    metric: str
    quantity: str
    method: str
    decimals: int = Field(ge=0)
    scored: int = Field(ge=0)
    total: int = Field(ge=0)
    reasons: dict[str, int] = {}
    sampling: Sampling | None = None
    unsampled: str | None = None
    sources: tuple[Source, ...] = ()

    def measured(self, *, protocols: bool = False) -> list[Source]:
        """The sources that have a size. protocols: those of another protocol too."""
        return [each for each in self.sources if each.shared is not None and (protocols or not each.protocol)]

    def unmeasured(self, *, protocols: bool = False) -> list[str]:
        """Sources without a size, which ``variance`` therefore leaves out."""
        return [each.source for each in self.sources if each.shared is None and (protocols or not each.protocol)]

    def variance(
        self, clips: int, groups: int | None = None, *, paired: bool = False, protocols: bool = False
    ) -> float | None:
        """Half of what equal systems' values over so many clips differ by; None where nothing of it was measured.

        groups: of these clips; None: as many a clip as the budget's clips have. paired: the same clips, see the module.
        protocols: with what another detector or decoding does, which one fingerprint rules out.
        """
        if clips < 1:
            raise ValueError(f"a set has at least one clip, got {clips}")
        sources = self.measured(protocols=protocols)
        shared = sum((each.shared or 0.0) ** 2 for each in sources)
        own = sum((each.own or 0.0) ** 2 for each in sources)
        if paired:
            return shared + own / clips if sources else None
        if self.sampling is None:
            return None
        drawn = groups or clips * self.sampling.groups / self.sampling.scored
        return shared + self.sampling.between**2 / drawn + max(self.sampling.within**2, own) / clips

    def resolution(
        self, clips: int, groups: int | None = None, *, paired: bool = False, protocols: bool = False
    ) -> float | None:
        """The difference of two systems' values that these errors alone exceed once in 20 times."""
        variance = self.variance(clips, groups, paired=paired, protocols=protocols)
        return None if variance is None else Z * math.sqrt(2 * variance)

    @property
    def writing(self) -> float | None:
        """The difference that ``WRITING`` alone makes of one pipeline's clips once in 20 times, however many they are.

        None where they have no size.
        """
        sizes = [each.shared or 0.0 for each in self.measured() if each.source in WRITING]
        return Z * math.hypot(*sizes) * math.sqrt(2) if sizes else None


class Budget(_Strict):
    """Every quantity's sources of error."""

    format: Literal["t2av-bench error budget"] = FORMAT  # type: ignore[assignment]
    version: int = VERSION
    made_by: str = f"t2av-bench {__version__}"
    entries: tuple[Entry, ...] = ()

    def find(self, quantity: str, metric: str | None = None, method: str | None = None) -> Entry | None:
        """The entry of a quantity; by this metric and method, where they are given."""
        return next((
            each for each in self.entries
            if each.quantity == quantity and metric in (None, each.metric) and method in (None, each.method)
        ), None)  # fmt: skip

    def save(self, file: str | PathLike[str]) -> None:
        """One quantity a line, so that a diff reads well."""
        head = self.model_dump(mode="json", exclude={"entries"})
        parts = [f" {json_line(key)}: {json_line(value)}" for key, value in head.items()]
        rows = (each.model_dump(mode="json", exclude_defaults=True) for each in self.entries)
        parts.append(' "entries": [\n' + ",\n".join(f"  {json_line(row)}" for row in rows) + "\n ]")
        write_text(Path(file), "{\n" + ",\n".join(parts) + "\n}\n")

    def as_dict(self) -> dict[str, Any]:
        return self.model_dump(mode="json")

    def to_frame(self) -> "DataFrame":
        """One row for every quantity and source; of ``sampling`` shared and own are between and within groups."""
        return frame(self._rows(), ROWS)

    def _rows(self) -> Iterator[dict[str, Any]]:
        for entry in self.entries:
            shared = {"metric": entry.metric, "quantity": entry.quantity, "method": entry.method}
            drawn = entry.sampling
            yield {
                **shared, "source": SAMPLING, "shared": drawn and drawn.between, "own": drawn and drawn.within,
                "largest": None, "scored": drawn.scored if drawn else 0, "total": drawn.total if drawn else entry.total,
                "reason": entry.unsampled,
            }  # fmt: skip
            for each in entry.sources:
                yield {
                    **shared, "source": each.source, "shared": each.shared, "own": each.own, "largest": each.largest,
                    "scored": each.scored, "total": entry.total, "reason": each.reason,
                }  # fmt: skip

    def to_markdown(self, clips: int = 200) -> str:
        """What ``t2av-bench budget`` prints: sizes by source, and what they leave at so many clips."""
        known = [entry for entry in self.entries if entry.sampling or entry.measured(protocols=True)]
        sources = list(dict.fromkeys(each.source for entry in known for each in entry.measured(protocols=True)))
        lines = [
            "# Error budget", "",
            "Standard deviations. Sampling: of clips. Sources: of what is shared by all clips / a clip's own. n: clips "
            f"with a score, of all. Not resolved at {clips}: differences of two systems below this, on other clips "
            "each and (in brackets) on the same clips.", "",
        ]  # fmt: skip
        lines += [
            f"| quantity | metric | n | {' | '.join([SAMPLING, *sources])} | not resolved at {clips} |",
            "|---|---|---:|" + "---:|" * (len(sources) + 2),
        ] if known else ["No quantity has a size."]  # fmt: skip
        for entry in known:
            sizes = {each.source: each for each in entry.sources}
            told = (_told(sizes.get(source), entry) for source in sources)
            drawn = "–" if entry.sampling is None else _spread(entry.sampling, entry)
            lines.append(
                f"| `{entry.quantity}` | `{entry.metric}` | {entry.scored}/{entry.total} | {drawn} | "
                f"{''.join(f'{each} | ' for each in told)}{_left(entry, clips)} |"
            )
        borrowed = {entry.sampling.of: None for entry in known if entry.sampling and entry.sampling.of}
        lines += ["", *(f"\\* Sampling of {escape(of)}." for of in borrowed)] if borrowed else []
        lines += ["", "**Without a size**", "", *reasons] if (reasons := self._reasons()) else []
        return "\n".join(lines) + "\n"

    def _reasons(self) -> list[str]:
        """Reason -> metrics and what of them has no size."""
        found: dict[str, dict[str, set[str]]] = {}
        for entry in self.entries:
            if not entry.scored and entry.sampling is None:
                why = Counter(entry.reasons).most_common(1)
                parts = [(_EVERYTHING, why[0][0] if why else "not measured")]
            else:
                parts = [(each.source, each.reason) for each in entry.sources if each.reason]
                parts += [(SAMPLING, entry.unsampled)] if entry.unsampled else []
            for what, reason in parts:
                found.setdefault(reason, {}).setdefault(entry.metric, set()).add(what)
        return [
            f"- {escape(reason)}: " + "; ".join(
                f"`{metric}`" + (f" ({', '.join(sorted(some))})" if (some := parts - {_EVERYTHING}) else "")
                for metric, parts in of.items()
            )
            for reason, of in found.items()
        ]  # fmt: skip


def _number(value: float, decimals: int) -> str:
    """Of what is not 0 never 0."""
    least = 10.0**-decimals
    return "0" if not value else f"<{least:.{decimals}f}" if value < least / 2 else f"{value:.{decimals}f}"


def _told(each: Source | None, entry: Entry) -> str:
    if each is None or each.shared is None or each.own is None:
        return "–"
    fewer = f" ({each.scored}/{entry.total})" if each.scored < entry.scored else ""
    return f"{_number(each.shared, entry.decimals)} / {_number(each.own, entry.decimals)}{fewer}"


def _spread(drawn: Sampling, entry: Entry) -> str:
    whole = _number(math.hypot(drawn.between, drawn.within), entry.decimals)
    return f"{whole}\\*" if drawn.of else whole


def _left(entry: Entry, clips: int) -> str:
    sizes = (entry.resolution(clips), entry.resolution(clips, paired=True))
    other, same = ("–" if size is None else _number(size, entry.decimals) for size in sizes)
    return f"{other} ({same})"


def load(file: str | PathLike[str]) -> Budget:
    """Read a budget file. Raises BudgetError where it is none, is damaged, or is of another version."""
    again = "'t2av-bench budget CLIPS --out FILE' writes one"
    try:
        document = json.loads(Path(file).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise BudgetError(f"cannot read the error budget {file}: {error}; {again}") from error
    if not isinstance(document, Mapping) or document.get("format") != FORMAT:
        raise BudgetError(f"{file} is no error budget; {again}")
    if document.get("version") != VERSION:
        raise BudgetError(f"{file} has version {document.get('version')!r}, this t2av-bench reads {VERSION}; {again}")
    try:
        return Budget.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BudgetError(f"{file} is damaged ({where}: {first['msg']}); {again}") from error


@cache
def packaged() -> Budget:
    """The budget that comes with the package; an empty one where none does."""
    return load(PACKAGED) if PACKAGED.is_file() else Budget()


def budget_of(budget: Budget | str | PathLike[str] | None) -> Budget:
    """A budget, that of a file, or the packaged one. Raises BudgetError."""
    return packaged() if budget is None else budget if isinstance(budget, Budget) else load(budget)
