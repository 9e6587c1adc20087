"""Bases of the metrics that compare the features of all generated clips with those of their references."""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.media.clip import Clip
from t2av_bench.metrics.base import Measurement, Pair, SetMetric
from t2av_bench.metrics.distances import frechet_distance, polynomial_mmd2
from t2av_bench.metrics.faster import ReducedPrecision
from t2av_bench.scores import Protocol
from t2av_bench.utils.inference import PASS_BYTES, in_passes, pass_size


class FeatureDistance(SetMetric):
    """A distance between two sets of features, which several distances may share.

    ``measure`` keeps ``generated`` and ``reference``, each (samples per clip, d) float32. The distance takes all
    samples of all clips, in no particular order. Samples of one clip are correlated: resample clips, never samples.
    distance_parameters: what the protocol says of the distance, besides what it says of the features.
    """

    distance_parameters: ClassVar[Mapping[str, Any]]

    @property
    @abstractmethod
    def features_protocol(self) -> Protocol:
        """What the features depend on; key of the features that are kept for a clip."""

    @property
    def protocol(self) -> Protocol:
        shared = self.features_protocol
        return replace(shared, id=self.id, parameters={**shared.parameters, **self.distance_parameters})

    @abstractmethod
    def distance(self, generated: np.ndarray, reference: np.ndarray) -> float:
        """Distance of two sets (n, d) and (m, d)."""

    def features_of(self, clip: Clip, choice: str, compute: Callable[[], np.ndarray]) -> np.ndarray:
        """Features (samples, d) of a clip, computed once for each choice of frames."""
        found = clip.stored(self.features_protocol.fingerprint, choice, lambda: {"features": compute()})
        return found["features"]

    def aggregate(self, features: Sequence[Mapping[str, np.ndarray]]) -> Measurement:
        if len(features) < 2:
            raise Unscorable(f"{len(features)} clip has features; a distance between sets needs at least 2")
        generated = np.concatenate([clip["generated"] for clip in features])
        reference = np.concatenate([clip["reference"] for clip in features])
        detail = {
            "clips": len(features), "generated_samples": len(generated), "reference_samples": len(reference),
        }  # fmt: skip
        return Measurement(values={self.quantities[0].name: self.distance(generated, reference)}, detail=detail)


@dataclass(frozen=True, slots=True)
class Look:
    """What a network is shown of a clip: its samples (n, ...), by a name that tells one choice from another."""

    clip: Clip
    choice: str
    samples: Callable[[], np.ndarray]


class NetworkDistance(ReducedPrecision, FeatureDistance):
    """Of features that a network gives for each of a clip's samples.

    samples_together: of a pass on a GPU, which several clips share; fewer of large ones (see ``pass_size``).
    """

    samples_together: ClassVar[int]

    @abstractmethod
    def looks(self, pair: Pair) -> tuple[dict[str, Look], dict[str, Any]]:
        """``generated`` and ``reference``, and facts to keep. Raises Unscorable and NotApplicable."""

    @abstractmethod
    def network(self) -> Callable[[np.ndarray], np.ndarray]:
        """Samples (n, ...) -> features (n, d) float32, in one pass. NotApplicable where weights are missing."""

    def measure(self, pair: Pair) -> Measurement:
        looks, detail = self.looks(pair)
        found = {
            side: self.features_of(look.clip, look.choice, partial(self._alone, look)) for side, look in looks.items()
        }
        return Measurement(features=found, detail=detail)

    def _alone(self, look: Look) -> np.ndarray:
        samples = look.samples()
        return in_passes(self.network(), samples, self._pass_size(samples))

    def _pass_size(self, samples: np.ndarray) -> int | None:
        return pass_size(self.settings.device, self.samples_together, samples[0].nbytes)

    def prepare(self, pairs: Sequence[Pair]) -> None:
        """Holds the samples of one pass, or ``PASS_BYTES`` of several shapes, and those of one clip more."""
        waiting: dict[tuple[int, ...], list[tuple[Look, np.ndarray]]] = {}
        for look, samples in self._missing(pairs):
            together = waiting.setdefault(samples.shape[1:], [])
            together.append((look, samples))
            if sum(len(each) for _, each in together) >= (self._pass_size(samples) or 1):
                self._keep(waiting.pop(samples.shape[1:]))
            elif sum(each.nbytes for some in waiting.values() for _, each in some) >= PASS_BYTES:
                while waiting:
                    self._keep(waiting.popitem()[1])
        for together in waiting.values():
            self._keep(together)

    def _missing(self, pairs: Sequence[Pair]) -> Iterator[tuple[Look, np.ndarray]]:
        """Looks whose features are not kept yet, with their samples."""
        fingerprint = self.features_protocol.fingerprint
        for pair in pairs:
            with suppress(Unscorable, NotApplicable):
                for look in self.looks(pair)[0].values():
                    if not look.clip.is_stored(fingerprint, look.choice):
                        yield look, look.samples()

    def _keep(self, together: Sequence[tuple[Look, np.ndarray]]) -> None:
        every = np.concatenate([samples for _, samples in together])
        found = in_passes(self.network(), every, self._pass_size(every))
        ends = np.cumsum([len(samples) for _, samples in together])
        for (look, _), features in zip(together, np.split(found, ends[:-1]), strict=True):
            self.features_of(look.clip, look.choice, partial(np.copy, features))


class FrechetDistance(FeatureDistance):
    """The squared Fréchet distance. ddof: of the covariance, 1 for a sample's, 0 for a population's."""

    ddof: ClassVar[int] = 1
    distance_parameters = MappingProxyType({"covariance_ddof": 1})

    def distance(self, generated: np.ndarray, reference: np.ndarray) -> float:
        return frechet_distance(generated, reference, ddof=self.ddof)

    def pseudo_values(self, features: Sequence[Mapping[str, np.ndarray]], quantity: str) -> np.ndarray:
        from t2av_bench.statistics.influence import frechet_pseudo_values

        return frechet_pseudo_values([(clip["generated"], clip["reference"]) for clip in features], ddof=self.ddof)


class KernelDistance(FeatureDistance):
    """The unbiased MMD² with the kernel (x·y/d + 1)³; what each clip adds is that of the full sets."""

    def distance(self, generated: np.ndarray, reference: np.ndarray) -> float:
        return polynomial_mmd2(generated, reference)

    def pseudo_values(self, features: Sequence[Mapping[str, np.ndarray]], quantity: str) -> np.ndarray:
        from t2av_bench.statistics.influence import kernel_pseudo_values

        return kernel_pseudo_values([(clip["generated"], clip["reference"]) for clip in features])
