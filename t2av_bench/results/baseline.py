"""What two systems are compared by: a run folder's per-clip scores, or the small JSON file that stands for one.

A baseline file holds values and weights by clip, protocols with their fingerprints, and digests of what every item
asked for. A distance between sets (FID, FVD, KID) is kept as one pseudo-value a clip (see ``statistics.influence``),
so that paired comparison needs neither features nor networks. Only quantities that can be better or worse are kept:
those with a better direction, and signed shifts, which are best at 0.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from t2av_bench.errors import Unscorable
from t2av_bench.results.recorded import ItemRecord, QuantityRecord, Recorded
from t2av_bench.scores import Protocol, Quantity
from t2av_bench.utils.files import json_line, write_text
from t2av_bench.version import __version__

FORMAT = "t2av-bench baseline"
VERSION = 2
BASELINE = "baseline.json"
"""Its name in the folder of a regression set (``data freeze``)."""


class BaselineError(ValueError):
    """A file that is no baseline, or one of another version; the message says what to type next."""


class _Quantity(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    label: str
    direction: Literal["higher", "lower", "none"]
    unit: str = ""
    interval: tuple[float | None, float | None]
    decimals: int
    aggregate: Literal["mean", "weighted", "median", "set"]
    penalty: float | Literal["worst"] | None = None
    value: float | None
    reason: str | None = None
    missing: dict[str, tuple[Literal["failed", "not_applicable"], str]] = Field(default_factory=dict)
    values: list[float | None] | None = None
    weights: list[float | None] | None = None


class _Metric(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    fingerprint: str
    protocol: dict[str, Any]
    embedded: bool
    quantities: list[_Quantity]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    format: Literal["t2av-bench baseline"]
    version: int
    made_by: str
    name: str
    items: list[dict[str, str | None]]
    metrics: dict[str, _Metric]


def save(recorded: Recorded, file: Path) -> list[str]:
    """Write a baseline file; returns notes on what could not be kept."""
    written, notes = text(recorded)
    write_text(file, written)
    return notes


def text(recorded: Recorded) -> tuple[str, list[str]]:
    """A baseline file, sorted, one item or quantity a line; and notes on what could not be kept."""
    ids = sorted(recorded.items)
    notes = []
    metrics: dict[str, Any] = {}
    for (metric, name), record in sorted(recorded.quantities.items()):
        protocol = recorded.protocols[metric]
        entry = metrics.setdefault(
            metric,
            {"fingerprint": protocol.fingerprint, "protocol": protocol.as_dict(), "embedded": record.stand_in,
             "quantities": []},
        )  # fmt: skip
        values, reason = record.values, record.reason
        if record.quantity.aggregate == "set" and record.scored:
            try:
                sample = record.sample(record.scored)
                values = dict(zip(sample.clips, sample.numerators.tolist(), strict=True))
            except Unscorable as error:
                values, reason = None, f"{error}; paired comparison needs the baseline's run folder"
                notes.append(f"{name}: no per-clip values are kept: {reason}")
        entry["quantities"].append(
            {
                **asdict(record.quantity), "value": record.value, "reason": reason, "missing": record.missing,
                "values": None if values is None else [values.get(id) for id in ids],
                "weights": None if record.weights is None else [record.weights.get(id) for id in ids],
            }
        )  # fmt: skip
    rows = [{"id": id} | {key: value for key, value in asdict(recorded.items[id]).items() if value} for id in ids]
    return _written(recorded.name, rows, metrics), notes


def _written(name: str, rows: list[dict[str, Any]], metrics: dict[str, Any]) -> str:
    """JSON that a diff reads well: a line an item, a line a protocol, a line a quantity."""
    head = {"format": FORMAT, "version": VERSION, "made_by": f"t2av-bench {__version__}", "name": name}
    parts = [f" {json_line(key)}: {json_line(value)}" for key, value in head.items()]
    parts.append(' "items": [\n' + ",\n".join(f"  {json_line(row)}" for row in rows) + "\n ]")
    blocks = []
    for metric, entry in sorted(metrics.items()):
        quantities = ",\n".join(f"   {json_line(quantity)}" for quantity in entry["quantities"])
        keys = ("embedded", "fingerprint", "protocol")
        rest = ",\n".join(f"   {json_line(key)}: {json_line(entry[key])}" for key in keys)
        blocks.append(f'  {json_line(metric)}: {{\n{rest},\n   "quantities": [\n{quantities}\n   ]\n  }}')
    parts.append(' "metrics": {\n' + ",\n".join(blocks) + "\n }")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def load(file: Path) -> Recorded:
    """Read a baseline file. Raises BaselineError where it is none, is damaged, or is of another version."""
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise BaselineError(f"cannot read the baseline {file}: {error}; 'baseline save RUN FILE' writes one") from error
    if not isinstance(document, Mapping) or document.get("format") != FORMAT:
        raise BaselineError(
            f"{file} is no baseline file; expected one that 't2av-bench baseline save RUN FILE' wrote, or a run folder"
        )
    if document.get("version") != VERSION:
        raise BaselineError(
            f"{file} has version {document.get('version')!r}, this t2av-bench reads {VERSION}, and what it measures "
            "has changed in between: score the baseline's clips again with 't2av-bench evaluate --generated FOLDER "
            f"--out RUN', then 't2av-bench baseline save RUN {file}'"
        )
    try:
        checked = _File.model_validate(document)
        return _recorded(checked, file)
    except (ValidationError, TypeError, ValueError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else None
        text = f"{'.'.join(map(str, first['loc']))}: {first['msg']}" if first else str(error)
        raise BaselineError(f"{file} is damaged ({text}); save it again with 't2av-bench baseline save'") from error


def _recorded(checked: _File, file: Path) -> Recorded:
    items = dict(_item(**row) for row in checked.items)
    if len(items) != len(checked.items):
        raise ValueError("an item's id is there twice")
    ids = list(items)
    recorded = Recorded(checked.name, file, items, {}, {})
    for metric, entry in checked.metrics.items():
        protocol = Protocol(**entry.protocol)
        if protocol.fingerprint != entry.fingerprint or protocol.id != metric:
            raise ValueError(f"the protocol of {metric} does not have the fingerprint {entry.fingerprint}")
        recorded.protocols[metric] = protocol
        for item in entry.quantities:
            values = _aligned(item.values, ids, f"values of {item.name}")
            weights = _aligned(item.weights, ids, f"weights of {item.name}")
            if weights is not None and (values is None or weights.keys() != values.keys()):
                raise ValueError(f"weights of {item.name} do not go with its values")
            scored = tuple(id for id in sorted(ids) if id not in item.missing)
            if values is not None and set(values) != set(scored):
                raise ValueError(f"values of {item.name} do not cover the clips that are not missing")
            quantity = Quantity(**item.model_dump(include=set(Quantity.__dataclass_fields__)))
            missing = {clip: (str(status), reason) for clip, (status, reason) in item.missing.items()}
            recorded.quantities[metric, item.name] = QuantityRecord(
                metric, quantity, entry.embedded, item.value, item.reason, scored, missing, values, weights
            )
    return recorded


def _item(id: str | None = None, **asked: str | None) -> tuple[str, ItemRecord]:
    if id is None:
        raise ValueError("an item has no id")
    return id, ItemRecord(**asked)


def _aligned(values: list[float | None] | None, ids: list[str], what: str) -> dict[str, float] | None:
    if values is None:
        return None
    if len(values) != len(ids):
        raise ValueError(f"{len(values)} {what} for {len(ids)} items")
    if any(value is not None and not math.isfinite(value) for value in values):
        raise ValueError(f"{what} that are not finite")
    return {id: value for id, value in zip(ids, values, strict=True) if value is not None}
