"""Per-clip values of one quantity, as every statistic here takes them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from t2av_bench.scores import Quantity, Score, Unscorable


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Clips in the order of their ids, with the parts that make the set value Σ numerators / Σ denominators.

    clips: ids, ascending. numerators, denominators: float64 (n,). A plain mean has denominators of 1; a corpus error
    rate has the errors and the reference words of each clip; a distance between sets has its clips' pseudo-values
    (see ``influence``) over 1.
    """

    clips: tuple[str, ...]
    numerators: np.ndarray
    denominators: np.ndarray

    @classmethod
    def of(cls, values: Mapping[str, float], weights: Mapping[str, float] | None = None) -> "Sample":
        """From clip id -> value, and clip id -> weight (see ``Score.weight``) where the mean is weighted."""
        clips = tuple(sorted(values))
        denominators = np.array([1.0 if weights is None else weights[clip] for clip in clips], dtype=np.float64)
        numerators = np.array([values[clip] for clip in clips], dtype=np.float64) * denominators
        if not (np.isfinite(numerators).all() and np.isfinite(denominators).all()) or (denominators < 0).any():
            raise ValueError("values must be finite, and weights finite and not negative")
        return cls(clips, numerators, denominators)

    @classmethod
    def of_scores(cls, quantity: Quantity, scores: Mapping[str, Score]) -> "Sample":
        """The scored clips of one quantity whose set value is a mean or a weighted mean."""
        if quantity.aggregate not in ("mean", "weighted"):
            raise ValueError(f"{quantity.name} is aggregated by {quantity.aggregate!r}; expected a mean over clips")
        found = {clip: score for clip, score in scores.items() if score.value is not None}
        weights = {clip: score.weight for clip, score in found.items()} if quantity.aggregate == "weighted" else None
        return cls.of({clip: float(score.value) for clip, score in found.items() if score.value is not None}, weights)

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def plain(self) -> bool:
        """Whether the set value is the plain mean of the clips."""
        return bool((self.denominators == 1.0).all())

    @property
    def value(self) -> float:
        """The set value. Raises Unscorable without clips, or where all weights are zero."""
        total = float(self.denominators.sum())
        if not total:
            raise Unscorable("all weights are zero" if self.clips else "there are no scored clips")
        return float(self.numerators.sum()) / total

    @property
    def pseudo_values(self) -> np.ndarray:
        """(n,): values whose plain mean is the set value, and whose scatter is that of the set value to first order."""
        value = self.value
        return value + (self.numerators - value * self.denominators) / self.denominators.mean()

    def on(self, clips: Iterable[str]) -> "Sample":
        """The part with some of the clips. Raises KeyError for a clip that is not here."""
        position = {clip: index for index, clip in enumerate(self.clips)}
        chosen = tuple(sorted(clips))
        index = np.array([position[clip] for clip in chosen], dtype=np.intp)
        return Sample(chosen, self.numerators[index], self.denominators[index])
