"""Base of the metrics that compare the features of all generated clips with those of their references."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np

from t2av_bench.distances import halves
from t2av_bench.metrics.base import Measurement, SetMetric, Unscorable


class FeatureDistance(SetMetric):
    """A distance between two sets of features.

    ``measure`` keeps ``generated`` and ``reference``, each (samples per clip, d) float32. The distance takes all
    samples of all clips, in no particular order. Samples of one clip are correlated: resample clips, never samples.
    """

    @abstractmethod
    def distance(self, generated: np.ndarray, reference: np.ndarray) -> float:
        """Distance of two sets (n, d) and (m, d)."""

    def aggregate(self, features: Sequence[Mapping[str, np.ndarray]]) -> Measurement:
        if len(features) < 2:
            raise Unscorable(f"{len(features)} clip has features; a distance between sets needs at least 2")
        generated = np.concatenate([clip["generated"] for clip in features])
        reference = np.concatenate([clip["reference"] for clip in features])
        detail: dict[str, float] = {
            "clips": len(features), "generated_samples": len(generated), "reference_samples": len(reference),
        }  # fmt: skip
        if len(features) >= 4:
            detail["reference_floor"] = self.reference_floor(features)
        return Measurement(values={self.quantities[0].name: self.distance(generated, reference)}, detail=detail)

    def reference_floor(self, features: Sequence[Mapping[str, np.ndarray]]) -> float:
        """The distance between two random halves of the reference clips: what a perfect system would get.

        Fréchet distances are biased upwards by about 1/n, so this floor of half the clips is above that of all.
        """
        if len(features) < 4:
            raise Unscorable(f"{len(features)} clips; a real-against-real floor needs at least 4")
        # Ordered by content first, so that the order of the clips does not choose the halves.
        references = sorted((np.asarray(clip["reference"]) for clip in features), key=lambda array: array.tobytes())
        first, second = halves(len(references), *references)
        return self.distance(
            np.concatenate([references[i] for i in first]), np.concatenate([references[i] for i in second])
        )
