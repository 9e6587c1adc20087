"""What two systems are compared by: per-clip scores, and what says that they are of the same items."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from t2av_bench.errors import Unscorable
from t2av_bench.scores import Protocol, Quantity
from t2av_bench.statistics.samples import Sample

_DIGITS = 16


@dataclass(frozen=True, slots=True)
class ItemRecord:
    """What an item asked for, as digests (16 hexadecimal digits; None: absent, or not readable).

    text, language, reference: two runs of one item agree in these, and the records are equal where they do.
    reference_voice, identity_image: likewise where both are known. generated: the clip that the system made, to
    recognise outputs that are the same file. speaker, video: what the item says of where it comes from, for groups of
    clips.
    """

    text: str | None = None
    language: str | None = None
    reference: str | None = None
    reference_voice: str | None = field(default=None, compare=False)
    identity_image: str | None = field(default=None, compare=False)
    generated: str | None = field(default=None, compare=False)
    speaker: str | None = field(default=None, compare=False)
    video: str | None = field(default=None, compare=False)


@dataclass(slots=True)
class QuantityRecord:
    """One quantity of one system over the items.

    value: the set value as a table prints it, None with its ``reason``. values, weights: of the scored clips; for a
    set metric the values are the clips' pseudo-values, or absent (``scored`` names the clips, ``reason`` says why).
    missing: clip -> (status, reason).
    """

    metric: str
    quantity: Quantity
    stand_in: bool
    value: float | None
    reason: str | None
    scored: tuple[str, ...]
    missing: dict[str, tuple[str, str]]
    values: dict[str, float] | None
    weights: dict[str, float] | None = None
    # A run can compute pseudo-values on any of its clips, a file has those on all its scored clips.
    pseudo_values: Callable[[Iterable[str]], dict[str, float]] | None = None

    @property
    def name(self) -> str:
        return self.quantity.name

    def lost(self, later: "QuantityRecord") -> dict[str, str]:
        """Clips that have a score here and none in a later run, with that run's reasons."""
        kept = set(later.scored)
        return {clip: later.missing.get(clip, ("", "not measured"))[1] for clip in self.scored if clip not in kept}

    def sample(self, clips: Iterable[str]) -> Sample:
        """The sample on some of the scored clips. Raises Unscorable with the reason where it cannot be had."""
        chosen = sorted(clips)
        if self.pseudo_values is not None:
            return Sample.of(self.pseudo_values(chosen))
        if self.values is None:
            raise Unscorable(self.reason or "no per-clip values were kept")
        if self.quantity.aggregate == "set" and chosen != sorted(self.scored):
            raise Unscorable(
                f"the baseline file describes {self.name} on {len(self.scored)} clips, of which {len(chosen)} are "
                "scored on both sides; give the baseline's run folder instead of the file"
            )
        values = {clip: self.values[clip] for clip in chosen}
        weights = {clip: self.weights[clip] for clip in chosen} if self.weights is not None else None
        return Sample.of_values(self.quantity, values, weights)


@dataclass(slots=True)
class Recorded:
    """One system's scores, ready for comparison. ``quantities`` by (metric id, quantity name), in table order.

    command: what scores the same clips again; None where nobody knows it.
    """

    name: str
    path: Path
    items: dict[str, ItemRecord]
    protocols: dict[str, Protocol]
    quantities: dict[tuple[str, str], QuantityRecord]
    command: str | None = None


def digest(text: str | None) -> str | None:
    """Digest of an item's text as kept in baselines."""
    return None if text is None else hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]
