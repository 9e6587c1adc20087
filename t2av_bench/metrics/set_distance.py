"""Base of the metrics that compare the features of all generated clips with those of their references."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np

from t2av_bench.errors import Unscorable
from t2av_bench.metrics.base import Measurement, SetMetric


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
        detail = {
            "clips": len(features), "generated_samples": len(generated), "reference_samples": len(reference),
        }  # fmt: skip
        return Measurement(values={self.quantities[0].name: self.distance(generated, reference)}, detail=detail)
