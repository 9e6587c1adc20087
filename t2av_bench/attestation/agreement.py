"""Found values against published ones: pure arithmetic on numbers, without a file or a network.

Only clips with one face track on both sides are compared, since rules differ in which of several stands for the clip. A
clip without a value is a reason, and counts in every "n of m".
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from t2av_bench.attestation.reference import Reference
from t2av_bench.utils.checks import Step

_MOST_ALIKE = 0.6


@dataclass(frozen=True, slots=True)
class Found:
    """A clip's values, or the reason. tracks: faces that were followed. offset: frames at 25 fps."""

    sync_c: float | None = None
    sync_d: float | None = None
    offset: int | None = None
    tracks: int = 0
    reason: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        if self.reason is not None:
            return {"reason": self.reason}
        return {"sync_c": self.sync_c, "sync_d": self.sync_d, "sync_offset": self.offset, "tracks": self.tracks}

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> "Found":
        """From what ``as_dict`` made. Raises KeyError, TypeError or ValueError for anything else."""
        if "reason" in document:
            return cls(reason=str(document["reason"]))
        c, d = float(document["sync_c"]), float(document["sync_d"])
        if not (math.isfinite(c) and math.isfinite(d)):
            raise ValueError(f"C {c} and D {d} are no finite numbers")
        return cls(c, d, int(document["sync_offset"]), int(document["tracks"]))


@dataclass(frozen=True, slots=True)
class Agreement:
    """summary: means of both sides over the compared clips, how many, and ``all_clips``: the means over all of them,
    where one without a value counts as 0, as in the published table; steps: ``values`` and ``sound``."""

    summary: dict[str, Any]
    steps: tuple[Step, ...]


def compare(reference: Reference, found: Mapping[str, Found]) -> Agreement:
    """Hold what was found (id -> clip) to the reference. A clip that is absent from it has no value."""
    single = {id: row for id, row in reference.published.items() if row.single}
    shared = [id for id in single if id in found and found[id].reason is None and found[id].tracks == 1]
    failed = [id for id in single if id in found and found[id].reason is not None]
    several = [id for id in single if id in found and found[id].reason is None and found[id].tracks != 1]
    summary: dict[str, Any] = {
        "compared": len(shared), "of": len(single), "failed": len(failed), "several_tracks": len(several),
        "clips": len(reference.published), "scored": sum(each.reason is None for each in found.values()),
        "all_clips": _all_clips(reference, found),
    }  # fmt: skip
    count = f"{len(shared)} of {len(single)} single-track clips compared"
    if failed:
        count += f", {len(failed)} failed ({failed[0]}: {found[failed[0]].reason})"
    if several:
        count += f", {len(several)} with several tracks"
    if not shared or len(shared) < reference.least_compared * len(single):
        least = f"at least {reference.least_compared:.0%} are needed"
        return Agreement(summary, (("values", "failed", f"{count}; {least}"),))
    published = np.array([[single[id].sync_c, single[id].sync_d] for id in shared], np.float64)
    measured = np.array([[found[id].sync_c, found[id].sync_d] for id in shared], np.float64)
    difference = measured - published
    for column, name in enumerate(("sync_c", "sync_d")):
        summary[name] = {
            "mean": float(measured[:, column].mean()), "published": float(published[:, column].mean()),
            "difference": float(difference[:, column].mean()),
            "largest": float(np.abs(difference[:, column]).max()),
        }  # fmt: skip
    apart = np.abs(difference).max(axis=1)
    beyond = apart > reference.tolerance
    summary["within"] = int(np.count_nonzero(~beyond))
    means = ", ".join(
        f"{label} {summary[name]['mean']:.3f} (published {summary[name]['published']:.3f})"
        for label, name in (("C", "sync_c"), ("D", "sync_d"))
    )
    words = f"{count}, {summary['within']} of {len(shared)} within ±{reference.tolerance:g}; means {means}"
    if beyond.any():
        worst = int(np.argmax(apart))
        words += f"; farthest {shared[worst]} by {apart[worst]:.3f}"
        steps: list[Step] = [("values", "failed", words)]
    else:
        steps = [("values", "ok", words)]
    steps.append(_sound(reference, {id: int(found[id].offset or 0) - single[id].offsets[0] for id in shared}))
    return Agreement(summary, tuple(steps))


def _all_clips(reference: Reference, found: Mapping[str, Found]) -> dict[str, Any]:
    rows = reference.published.values()
    return {
        name: {
            "mean": sum(getattr(found[row.id], name) or 0.0 for row in rows if row.id in found) / len(rows),
            "published": sum(getattr(row, name) or 0.0 for row in rows) / len(rows),
        }
        for name in ("sync_c", "sync_d")
    }


def _sound(reference: Reference, moved: Mapping[str, int]) -> Step:
    """Whether most offsets differ from the published ones by one number that the rules do not explain."""
    low, high = reference.offset_difference
    usual, count = min(Counter(moved.values()).items(), key=lambda each: (-each[1], abs(each[0])))
    inside = sum(low <= each <= high for each in moved.values())
    if not low <= usual <= high and count >= _MOST_ALIKE * len(moved):
        way = "later" if usual < 0 else "earlier"
        return "sound", "failed", f"shifted sound: {abs(usual)} frames {way} in {count} of {len(moved)} clips"
    expected = f"{low:+d} to {high:+d}" if low != high else f"{low:+d}"
    return "sound", "ok", f"offsets differ by {expected} frames as the rules explain in {inside} of {len(moved)} clips"
