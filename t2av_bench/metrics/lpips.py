"""Learned perceptual image patch similarity of generated frames against time-aligned reference frames.

Version 0.1 of the ``lpips`` package on RGB in [-1, 1] at native size, spatial mean; mean over frames. ``alex`` is the
common choice for reporting; ``vgg`` is another scale. A clip that shares less than 90 % of the longer one's time with
its reference fails (option ``least_overlap``).
"""

from typing import ClassVar

import numpy as np

from t2av_bench import weights
from t2av_bench.extractors import perceptual
from t2av_bench.metrics.paired_images import PairedImages, check_images, claims
from t2av_bench.scores import Protocol, Quantity


class _LPIPS(PairedImages):
    quantities = (Quantity("lpips", "LPIPS", "lower", interval=(0.0, None), decimals=4, penalty="worst"),)
    validity = {"lpips": claims("up")}
    paper = "Zhang et al. 2018, The Unreasonable Effectiveness of Deep Features (arXiv 1801.03924)"
    packages = ("lpips", "torch")
    smallest_side = 32  # below, the backbones pool to nothing
    net: ClassVar[perceptual.Backbone]

    @property
    def protocol(self) -> Protocol:
        network = {"colour": "RGB", "range": "[-1, 1]", "version": "0.1", "spatial": "mean"}
        return self.stated({**self.pairing, **network}, "av", "lpips", "torch")

    def compare(self, generated: np.ndarray, reference: np.ndarray) -> np.ndarray:
        check_images(generated, reference)
        backbone, head = perceptual.BACKBONE_WEIGHTS[self.net], perceptual.HEAD_WEIGHTS[self.net]
        digests = (weights.digest(backbone), weights.digest(head))
        model = perceptual.load(
            self.net, weights.path(backbone), weights.path(head), digests, self.settings.device
        )  # fmt: skip
        return perceptual.distance(model, generated, reference, self.settings.device)


class LPIPSAlex(_LPIPS):
    id = "lpips/alex"
    title = "Learned perceptual image patch similarity (AlexNet)"
    net = "alex"
    weights = ("alexnet_tv", "lpips_alex_lin")
    largest_batch = 16


class LPIPSVGG(_LPIPS):
    id = "lpips/vgg"
    title = "Learned perceptual image patch similarity (VGG-16)"
    net = "vgg"
    weights = ("vgg16_tv", "lpips_vgg_lin")
    largest_batch = 4  # 0.4 GB a pair of 512x512 frames
