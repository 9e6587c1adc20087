"""What a metric is. Adding one means one file and one test: see ``docs/metrics.md``.

A metric module costs nothing to import (no torch, cv2 or librosa at its top level); networks are loaded on the first
``measure`` call, in the process that measures.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, Literal

import numpy as np

from t2av_bench import weights
from t2av_bench.benchmarks.manifest import Item
from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.media.clip import Clip
from t2av_bench.scores import Protocol, Quantity, library_versions
from t2av_bench.utils.optional import require

Licence = Literal["free", "research", "non-commercial", "gated"]

Response = Literal["up", "down", "same"]
"""How a quantity moves as a damage grows; ``same``: not by more than its own scatter."""

Damage = Literal[
    "blur", "picture_noise", "bitrate", "freeze", "dropped_frames", "mouth_frozen", "identity_swap", "flicker", "cuts",
    "desync", "mute", "low_pass", "sound_noise", "truncation", "container", "frame_rate",
]  # fmt: skip
"""The kinds of damage that claims are made about; what each of them is, ``docs/validity.md`` says."""


@dataclass(slots=True)
class Pair:
    """What a per-clip measurement looks at: the item, its generated clip and, where there is one, the reference.

    ``reference_problem`` says why a reference that was named cannot be used, ``unpaired`` why none was found among
    the references that were given.
    """

    item: Item
    generated: Clip
    reference: Clip | None = None
    reference_problem: str | None = None
    unpaired: str | None = None

    def require_reference(self) -> Clip:
        """The reference clip; NotApplicable where the run has none for this item."""
        if self.reference_problem:
            raise NotApplicable(f"the reference cannot be used: {self.reference_problem}")
        if self.reference is None:
            raise NotApplicable(
                self.unpaired or "no reference clip for this item: pass --reference DIR or name one in the manifest"
            )
        return self.reference

    def require_text(self) -> str:
        """The text that should be spoken; NotApplicable where the manifest has none."""
        if not self.item.text:
            raise NotApplicable(
                "no text for this item: give 'text' in the manifest (--manifest items.jsonl), or to score()"
            )
        return self.item.text


@dataclass(slots=True)
class Measurement:
    """What one metric found in one pair.

    values: quantity name -> finite float. A name left out is a failure of that quantity (see ``reasons``).
    reasons: quantity name -> why it has no value although the metric ran.
    weight: see ``Score.weight``.
    detail: JSON-ready facts worth keeping (transcript, S/D/I counts, all tracks).
    features: arrays kept for set metrics and later resampling (float32, small).
    inapplicable: quantity name -> why it has no value, where that is nobody's fault (no reference, no text).
    """

    values: dict[str, float] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    weight: float = 1.0
    detail: dict[str, Any] = field(default_factory=dict)
    features: dict[str, np.ndarray] = field(default_factory=dict)
    inapplicable: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Curve:
    """A per-clip curve over the offset between sound and picture, kept among the features of a measurement.

    feature: name of the array, (n,). label: what it is, for readers. offsets: (n,) of its points in frames at 25 fps,
    positive where the audio is early, in the array's order. lowest: whether the best point is the smallest.
    """

    feature: str
    label: str
    offsets: tuple[int, ...]
    lowest: bool


@dataclass(frozen=True, slots=True)
class Floor:
    """What real clips score against as many other real clips.

    clips: of either side; the floor holds for this number alone. language: ISO 639-1 code of the clips. what: which
    clips. mean, deviation: of the distance, over so many random ``draws``.
    """

    clips: int
    language: str
    what: str
    mean: float
    deviation: float
    draws: int


@dataclass(frozen=True, slots=True)
class Settings:
    """Where and how networks run. Nothing here may move a score beyond float rounding."""

    device: str = "cpu"
    batch_size: int = 32


class Metric(ABC):
    """A per-clip metric. Class attributes are data that tables, ``list`` and the documentation read.

    id: ``family/variant``; the family alone selects the variant registered first.
    paper: citation of the definition or of the protocol followed.
    weights: ids in the weights table that must be present.
    licence: the most restrictive licence group among its weights.
    packages: Python packages outside the core that it imports, by the names under which they are imported.
    extra: the optional dependency group of pyproject.toml that provides them.
    aliases: what the field calls quantities otherwise -> the quantity's name (``{"LSE-C": "sync_c"}``); people may type
        these, case and punctuation aside, besides the names and labels.
    stand_in: True where the extractor is a bundled one whose numbers must not be compared with published ones.
    curves: kept arrays that the page draws over offsets. floors: what real clips score, where it was measured.
    validity: quantity -> damage -> how the quantity must move as that damage grows: what the metric claims to see
        (or, by ``same``, not to see), which ``t2av-bench validity`` holds it to.
    alternatives: what the protocol fixes and another might do otherwise (``detector``, ``decoding``) -> ids of metrics
        that do, whose quantities are these in the same order; ``t2av-bench budget`` compares them.
    resources: ``num_cpus``, ``num_gpus`` and ``memory`` (GB) that its worker takes of a machine of a cluster, where
        that is not one processor, and one graphics card with ``--device cuda``. Metrics of equal ones share a worker.
    by_default: whether ``all`` means it too; False for what answers a question that nobody asks of a real clip.
    """

    id: ClassVar[str]
    title: ClassVar[str]
    quantities: ClassVar[tuple[Quantity, ...]]
    aliases: ClassVar[Mapping[str, str]] = MappingProxyType({})
    paper: ClassVar[str]
    weights: ClassVar[tuple[str, ...]] = ()
    licence: ClassVar[Licence] = "free"
    packages: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str | None] = None
    stand_in: ClassVar[bool] = False
    curves: ClassVar[tuple[Curve, ...]] = ()
    floors: ClassVar[tuple[Floor, ...]] = ()
    validity: ClassVar[Mapping[str, Mapping[str, Response]]] = MappingProxyType({})
    alternatives: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType({})
    resources: ClassVar[Mapping[str, float]] = MappingProxyType({})
    by_default: ClassVar[bool] = True

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()

    @classmethod
    def also_called(cls, quantity: str) -> list[str]:
        """What the field calls one of the quantities."""
        return [alias for alias, name in cls.aliases.items() if name == quantity]

    @property
    @abstractmethod
    def protocol(self) -> Protocol:
        """Parameters, weights digests and library versions. Cheap: loads nothing."""

    def stated(self, parameters: Mapping[str, Any], *libraries: str) -> Protocol:
        """The protocol of these parameters, the metric's weights, and what is installed of these distributions."""
        digests = {id: weights.digest(id) for id in self.weights}
        return Protocol(self.id, dict(parameters), digests, library_versions(*libraries))

    @abstractmethod
    def measure(self, pair: Pair) -> Measurement:
        """Score one pair. Raises Unscorable (the clip's fault), NotApplicable (nobody's) or MediaError (file)."""

    def prepare(self, pairs: Sequence[Pair]) -> None:  # noqa: B027
        """Called with several clips before ``measure`` is with each: on a GPU, which gains from many samples a pass.

        Computes for all of them what ``measure`` looks up by ``Clip.stored``; here nothing. What is wrong with a clip
        is left for ``measure`` to say, and no number may depend on which clips come together (see ``in_passes``).
        """

    def weight_of(self, item: Item) -> float:
        """``Score.weight`` of an item that could not be measured; 0 where nobody can know it."""
        return 1.0


class SetMetric(Metric):
    """A metric over all clips. ``measure`` returns features only; ``aggregate`` turns them into values.

    ``aggregate`` is a pure function of the features in item order, so tables and bootstraps run no network.
    """

    @abstractmethod
    def aggregate(self, features: Sequence[Mapping[str, np.ndarray]]) -> Measurement:
        """Features of all measured clips -> set values. Raises Unscorable where they are too few."""

    def pseudo_values(self, features: Sequence[Mapping[str, np.ndarray]], quantity: str) -> np.ndarray:
        """What each clip adds to a quantity, (n,): their mean is the set value, their scatter its error.

        Intervals, paired tests and baseline files are made of these. Here each clip is left out once, which takes n + 1
        calls of ``aggregate``; override it where a closed form is known. Raises Unscorable.
        """
        from t2av_bench.statistics.influence import jackknife_pseudo_values

        def value(chosen: list[int]) -> float:
            found = self.aggregate([features[index] for index in chosen])
            if quantity not in found.values:
                raise Unscorable(
                    found.reasons.get(quantity) or f"{self.id} gave no {quantity} without one of the clips"
                )
            return found.values[quantity]

        return jackknife_pseudo_values(len(features), value)


__all__ = [
    "Curve", "Damage", "Floor", "Licence", "Measurement", "Metric", "NotApplicable", "Pair", "Protocol", "Quantity",
    "Response", "SetMetric", "Settings", "Unscorable", "require",
]  # fmt: skip
