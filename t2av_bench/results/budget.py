"""The error budget: what a quantity changes for reasons that are not the model, and which differences that leaves.

Each source of error has variants: the same clips encoded again, in another container, …, scored as the control was. A
system's value over n clips of G groups is taken to be made under one variant of each source, the control among them,
drawn with equal chances and the same for all of its clips. Its variance is then

    b² / G + w² / n  +  Σ over sources (variance of the variants' shifts + mean of their d² / n)

with b and w the standard deviations between and within groups of clips, and d that of the clips' changes around a
variant's shift. Sources add, for nothing ties one to another. Two systems are told apart by a difference of more than
1.96 √(2 · variance): less is *not resolved*. Of systems that made the same clips the first two terms are for the paired
test to judge, and the budget keeps the others.

A shift is kept as it was found. From few clips it is too large rather than too small, by d² / (number of clips) in its
square.
"""

import json
import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from t2av_bench.utils.files import write_text
from t2av_bench.utils.frames import frame
from t2av_bench.utils.text import counted, escape
from t2av_bench.version import __version__

if TYPE_CHECKING:
    from pandas import DataFrame

FORMAT = "t2av-bench error budget"
VERSION = 1
PACKAGED = Path(__file__).resolve().parents[1] / "metrics" / "budget.json"
"""What was measured for everybody; there need not be any."""
SAMPLING = "sampling"
_Z = statistics.NormalDist().inv_cdf(0.975)
ROWS = {
    "metric": "text", "quantity": "text", "source": "text", "deviation": "float64", "largest": "float64",
    "scored": "int64", "total": "int64", "fingerprint": "text",
}  # fmt: skip


class BudgetError(ValueError):
    """A file that is no error budget, or one of another version; the message says what to type next."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Variant(_Strict):
    """One variant of a source, against the control on the clips that have a score in both.

    shift: change of the set value. deviation: of the clips' changes around it, what as many independent clips would
    have (of groups: see ``statistics.paired.Difference``). largest: absolute change of any clip (of pseudo-values for
    ratios and distances between sets). All three None below two clips. scored, total: clips with both, and clips that
    there are; reasons: why the others have none. protocol: whether it is another protocol, not other media.
    """

    source: str
    variant: str
    shift: float | None = Field(default=None, allow_inf_nan=False)
    deviation: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    largest: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    scored: int = Field(ge=0)
    total: int = Field(ge=0)
    reasons: dict[str, int] = {}
    protocol: bool = False

    @model_validator(mode="after")
    def _whole(self) -> "Variant":
        if len({value is None for value in (self.shift, self.deviation, self.largest)}) > 1:
            raise ValueError("shift, deviation and largest: expected all or none")
        return self


class Size(_Strict):
    """A source's size. deviation: standard deviation of one clip's value for this reason; largest: absolute change.

    None where the source has no value. scored, total: of the variant with fewest clips.
    """

    source: str
    deviation: float | None
    largest: float | None
    scored: int
    total: int


class Sampling(_Strict):
    """What another choice of clips changes. between, within: standard deviations (see ``statistics.components``).

    scored, total: clips with a score, and clips that there are, of so many ``groups`` (``unit``: what they are).
    of: whose clips: the control's, or a run's by its name.
    """

    between: float = Field(ge=0, allow_inf_nan=False)
    within: float = Field(ge=0, allow_inf_nan=False)
    scored: int = Field(ge=2)
    total: int = Field(ge=2)
    groups: int = Field(ge=1)
    unit: str = "clips"
    of: str = "control"


class Entry(_Strict):
    """A quantity by one protocol. scored, total: clips of the control; reasons: why the others have no score.

    sampling: None with ``unsampled``, the reason.
    """

    metric: str
    quantity: str
    fingerprint: str
    decimals: int = Field(ge=0)
    scored: int = Field(ge=0)
    total: int = Field(ge=0)
    reasons: dict[str, int] = {}
    sampling: Sampling | None = None
    unsampled: str | None = None
    variants: tuple[Variant, ...] = ()

    def measured(self, *, protocols: bool = False) -> dict[str, list[Variant]]:
        """Source -> its variants that have a value. protocols: those of another protocol too."""
        found: dict[str, list[Variant]] = {}
        for each in self.variants:
            if each.shift is not None and (protocols or not each.protocol):
                found.setdefault(each.source, []).append(each)
        return found

    def unmeasured(self, *, protocols: bool = False) -> list[str]:
        """Sources without any value, which ``variance`` therefore leaves out."""
        known = self.measured(protocols=protocols)
        asked = (each.source for each in self.variants if protocols or not each.protocol)
        return [source for source in dict.fromkeys(asked) if source not in known]

    def variance(
        self, clips: int, groups: int | None = None, *, paired: bool = False, protocols: bool = False
    ) -> float | None:
        """Of one system's value over so many clips, as the module says; None where sampling has no size.

        groups: of these clips; None: as many a clip as the budget's clips have. paired: without sampling.
        protocols: with what another detector or decoding does, which one fingerprint rules out.
        """
        if clips < 1:
            raise ValueError(f"a set has at least one clip, got {clips}")
        total = 0.0
        if not paired:
            if self.sampling is None:
                return None
            drawn = groups or clips * self.sampling.groups / self.sampling.scored
            total = self.sampling.between**2 / drawn + self.sampling.within**2 / clips
        for variants in self.measured(protocols=protocols).values():
            total += sum(_source_variance(variants, clips))
        return total

    def resolution(
        self, clips: int, groups: int | None = None, *, paired: bool = False, protocols: bool = False
    ) -> float | None:
        """The difference of two systems' values that these errors alone exceed once in 20 times."""
        variance = self.variance(clips, groups, paired=paired, protocols=protocols)
        return None if variance is None else _Z * math.sqrt(2 * variance)

    @property
    def sizes(self) -> list[Size]:
        """Sampling, then each source."""
        drawn = self.sampling
        whole = None if drawn is None else math.hypot(drawn.between, drawn.within)
        scored, total = (drawn.scored, drawn.total) if drawn else (0, self.total)
        found = [Size(source=SAMPLING, deviation=whole, largest=None, scored=scored, total=total)]
        known = self.measured(protocols=True)
        for source in dict.fromkeys(each.source for each in self.variants):
            of_it = [each for each in self.variants if each.source == source]
            fewest = min(known.get(source, of_it), key=lambda each: each.scored)
            values = known.get(source)
            found.append(Size(
                source=source, deviation=math.sqrt(sum(_source_variance(values, 1))) if values else None,
                largest=max(each.largest or 0.0 for each in values) if values else None,
                scored=fewest.scored, total=fewest.total,
            ))  # fmt: skip
        return found


def _source_variance(variants: Iterable[Variant], clips: int) -> tuple[float, float]:
    """Of the shift and of the clips' scatter over n clips, the control being a variant that changes nothing."""
    shifts, scatters = [0.0], [0.0]
    for each in variants:
        shifts.append(each.shift or 0.0)
        scatters.append((each.deviation or 0.0) ** 2)
    return statistics.pvariance(shifts), statistics.fmean(scatters) / clips


class Budget(_Strict):
    """Every quantity's sources of error. clips: of the set that they were measured on."""

    format: Literal["t2av-bench error budget"] = FORMAT  # type: ignore[assignment]
    version: int = VERSION
    made_by: str = f"t2av-bench {__version__}"
    clips: int = Field(default=0, ge=0)
    entries: tuple[Entry, ...] = ()

    def find(self, quantity: str, metric: str | None = None, fingerprint: str | None = None) -> Entry | None:
        """The entry of a quantity; by this metric and protocol, where they are given."""
        return next((
            each for each in self.entries
            if each.quantity == quantity and metric in (None, each.metric) and fingerprint in (None, each.fingerprint)
        ), None)  # fmt: skip

    def save(self, file: str | PathLike[str]) -> None:
        """One quantity a line, so that a diff reads well."""
        head = self.model_dump(mode="json", exclude={"entries"})
        parts = [f" {_line(key)}: {_line(value)}" for key, value in head.items()]
        lines = ",\n".join(f"  {_line(each.model_dump(mode='json', exclude_defaults=True))}" for each in self.entries)
        parts.append(' "entries": [\n' + lines + "\n ]")
        write_text(Path(file), "{\n" + ",\n".join(parts) + "\n}\n")

    def as_dict(self) -> dict[str, Any]:
        return self.model_dump(mode="json") | {
            "sizes": [
                {"metric": entry.metric, "quantity": entry.quantity, **size.model_dump()}
                for entry in self.entries for size in entry.sizes
            ]
        }  # fmt: skip

    def to_frame(self) -> "DataFrame":
        """One row for every quantity and source."""
        return frame((
            {"metric": entry.metric, "quantity": entry.quantity, "fingerprint": entry.fingerprint, **size.model_dump()}
            for entry in self.entries for size in entry.sizes
        ), ROWS)  # fmt: skip

    def to_markdown(self, clips: int = 200) -> str:
        """What ``t2av-bench budget`` prints: sizes by source, and what they leave at so many clips."""
        sources = list(dict.fromkeys(size.source for entry in self.entries for size in entry.sizes))
        lines = [
            f"# Error budget from {counted(self.clips)}", "",
            "Standard deviation of one clip's value for each reason (largest absolute change of a clip; n/m: so many "
            f"clips of all). Not resolved at {clips}: differences of two systems below this, on other clips each and "
            "(in brackets) on the same clips.", "",
            f"| quantity | protocol | {' | '.join(sources)} | not resolved at {clips} |",
            "|---|---|" + "---:|" * (len(sources) + 1),
        ]  # fmt: skip
        for entry in self.entries:
            sizes = {size.source: size for size in entry.sizes}
            told = (_told(sizes.get(source), entry.decimals) for source in sources)
            lines.append(f"| `{entry.quantity}` | {entry.fingerprint} | {' | '.join(told)} | {_left(entry, clips)} |")
        if reasons := self._reasons():
            lines += ["", "**Without a value**", "", *reasons]
        return "\n".join(lines) + "\n"

    def _reasons(self) -> list[str]:
        counts: dict[str, Counter[str]] = {}
        for entry in self.entries:
            why = {f"sampling: {entry.unsampled}": 1} if entry.unsampled else {}
            for reasons in (entry.reasons, why, *(each.reasons for each in entry.variants)):
                counts.setdefault(entry.metric, Counter()).update(reasons)
        return [
            f"- `{metric}`: " + "; ".join(f"{escape(reason)} ({count})" for reason, count in found.most_common(3))
            for metric, found in counts.items() if found
        ]  # fmt: skip


def _told(size: Size | None, decimals: int) -> str:
    if size is None or size.deviation is None:
        return "–"
    most = "" if size.largest is None else f" ({size.largest:.{decimals}f})"
    fewer = f" {size.scored}/{size.total}" if size.scored < size.total else ""
    return f"{size.deviation:.{decimals}f}{most}{fewer}"


def _left(entry: Entry, clips: int) -> str:
    other, same = entry.resolution(clips), entry.resolution(clips, paired=True)
    first = "–" if other is None else f"{other:.{entry.decimals}f}"
    return f"{first} ({same:.{entry.decimals}f})" if entry.measured() else first


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


def _line(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
