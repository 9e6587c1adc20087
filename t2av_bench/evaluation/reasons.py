"""Why clips have no score, counted: the same reason is said once, with how many clips and which metrics it costs."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from t2av_bench.utils.text import some

# What differs between two clips that fail for one reason: names, in quotes or as files, and numbers.
_PARTICULAR = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|(?<![\w.])\d+(?:\.\d+)?(?![\w.])")


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason. text: as first met; alike: whether others differ from it in names and numbers alone.

    clips, metrics: whom it costs, in the order met.
    """

    text: str
    alike: bool
    clips: tuple[str, ...]
    metrics: tuple[str, ...]

    def told(self) -> str:
        """The reason with its first clips."""
        return f"{self.text} (likewise {some(self.clips[1:])})" if self.alike else f"{self.text} ({some(self.clips)})"

    def as_dict(self) -> dict[str, Any]:
        return {
            "reason": self.text, "alike": self.alike, "clips": len(self.clips), "metrics": list(self.metrics),
            "examples": list(self.clips[:3]),
        }  # fmt: skip


def count(rows: Iterable[tuple[str, str, str]]) -> list[Reason]:
    """(clip, metric, reason) -> reasons, those of most clips first, then those of most metrics."""
    groups: dict[str, tuple[dict[str, None], dict[str, None], dict[str, None]]] = {}
    for clip, metric, reason in rows:
        texts, clips, metrics = groups.setdefault(_pattern(clip, reason), ({}, {}, {}))
        texts[reason] = clips[clip] = metrics[metric] = None
    found = [
        Reason(next(iter(texts)), len(texts) > 1, tuple(clips), tuple(metrics))
        for texts, clips, metrics in groups.values()
    ]
    return sorted(found, key=lambda reason: (-len(reason.clips), -len(reason.metrics), reason.text))


def alike(reasons: Iterable[str]) -> list[list[str]]:
    """Reasons without their clips, those that differ in names and numbers alone together, in the order met."""
    groups: dict[str, list[str]] = {}
    for reason in reasons:
        groups.setdefault(_PARTICULAR.sub("…", reason), []).append(reason)
    return list(groups.values())


def _pattern(clip: str, reason: str) -> str:
    name = PurePosixPath(clip).name
    if f"{name}." in reason:  # the clip's file, with or without its folder
        reason = re.sub(rf"(?<![^\s'\"(])(?:\S*/)?{re.escape(name)}\.\w{{1,5}}(?!\w)", "…", reason)
    return _PARTICULAR.sub("…", reason)
