"""Kernel Inception distance: unbiased polynomial MMD² of the Inception features that FID uses.

Protocol: the frames and features of ``t2av_bench.metrics.fid``; mean over 100 subsets of min(1000, n, m) samples, as
clean-fid, drawn by a generator that the features themselves seed. Not multiplied by 1000. Without bias in n, so to be
preferred below about 2,000 frames; small values may be negative.
"""

from types import MappingProxyType

import numpy as np

from t2av_bench.metrics.distances import polynomial_mmd2_subsets
from t2av_bench.metrics.fid import InceptionDistance
from t2av_bench.metrics.set_distance import KernelDistance
from t2av_bench.scores import Quantity

SUBSETS = 100
SUBSET_SIZE = 1000


class _KID(InceptionDistance, KernelDistance):
    quantities = (Quantity("kid", "KID", "lower", decimals=5, aggregate="set"),)
    validity = {"kid": {"blur": "up", "picture_noise": "up", "bitrate": "up", "identity_swap": "up"}}
    distance_parameters = MappingProxyType(
        {"subsets": SUBSETS, "subset_size": SUBSET_SIZE, "kernel": "(x·y/d + 1)^3, unbiased"}
    )

    def distance(self, generated: np.ndarray, reference: np.ndarray) -> float:
        return polynomial_mmd2_subsets(generated, reference, subsets=SUBSETS, subset_size=SUBSET_SIZE)[0]


class KIDClean(_KID):
    id = "kid/clean"
    title = "Kernel Inception distance (clean-fid)"
    mode = "clean"
    paper = "Bińkowski et al. 2018 (arXiv 1801.01401); Parmar et al. 2022, On Aliased Resizing (arXiv 2104.11222)"
    weights = ("inception_nv",)
    licence = "non-commercial"


class KIDLegacyPytorch(_KID):
    id = "kid/legacy_pytorch"
    title = "Kernel Inception distance (resize and network of pytorch-fid)"
    mode = "legacy_pytorch"
    paper = "Bińkowski et al. 2018 (arXiv 1801.01401), in the implementation of clean-fid"
    weights = ("inception_pt",)
    licence = "free"
