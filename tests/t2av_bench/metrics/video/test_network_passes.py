"""Features of clips that share a network's passes, as on a GPU: bit for bit those that each clip has alone."""

import numpy as np
import pytest
from tiny_networks import save_i3d

from t2av_bench.benchmarks.manifest import Item
from t2av_bench.errors import MediaError
from t2av_bench.media.clip import Clip
from t2av_bench.metrics import set_distance
from t2av_bench.metrics.base import Pair, Settings
from t2av_bench.metrics.fid import FIDLegacyPytorch
from t2av_bench.metrics.fvd import FVDStyleGANV
from t2av_bench.utils import inference
from t2av_bench.utils.inference import in_passes, pass_size

ON_A_GPU = Settings("cpu:0")
"""What any device but the name ``cpu`` takes: torch knows this one as the processor."""


def test_every_pass_has_one_size_and_what_fills_it_is_left_out():
    shown = []

    def network(samples):
        shown.append(samples.copy())
        return samples.sum(axis=1, keepdims=True)

    samples = np.arange(22.0).reshape(11, 2)
    for count in (1, 3, 4, 5, 8, 11):
        shown.clear()
        found = in_passes(network, samples[:count], 4)
        np.testing.assert_array_equal(found[:, 0], samples[:count].sum(axis=1))
        assert [len(each) for each in shown] == [4] * -(-count // 4)
        np.testing.assert_array_equal(shown[-1][-1], samples[count - 1])
    shown.clear()
    in_passes(network, samples, None)
    assert [len(each) for each in shown] == [11]
    assert [pass_size(device, 8) for device in ("cpu", "cuda", "cuda:3", "mps")] == [None, 8, 8, 8]
    assert [pass_size("cuda", 8, size) for size in (1, 32 << 20, 60 << 20, 1 << 30)] == [8, 8, 4, 1]


@pytest.fixture(params=["fid", "fvd"])
def metric(request, tmp_path, install_weights, monkeypatch):
    """One of both, with a random network that notes the size of its passes."""
    import torch

    from t2av_bench.extractors import inception

    torch.manual_seed(0)
    if request.param == "fid":
        path = tmp_path / "pt.pth"
        path.write_bytes(b"the network below is loaded in its place")
        network = torch.nn.Sequential(
            torch.nn.Conv2d(3, 24, 7, 4), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
        ).eval()
        monkeypatch.setattr(inception, "load", lambda *_: network)
        install_weights({"inception_pt": path})
        return FIDLegacyPytorch()
    save_i3d(tmp_path / "i3d.pt")
    install_weights({"i3d_torchscript": tmp_path / "i3d.pt"})
    return FVDStyleGANV()


def test_features_are_the_same_alone_and_with_any_others_in_any_order(
    metric, photographs, write_clip, tmp_path, monkeypatch
):
    broken = tmp_path / "broken.mkv"
    broken.write_bytes(b"no video")
    sides = [
        (photographs[:, :48, :48], photographs[:, 8:56, 8:56]),
        (photographs[:20, :40, :40], photographs[:, :40]),
        (photographs[::-1, :48, :48], photographs[:18, :48, :64]),
        (photographs[2:, 16:64, :48], photographs[:17]),
    ]
    paths = [tuple(write_clip(side) for side in both) for both in sides]
    paths.insert(2, (broken, paths[0][1]))

    def pairs(order=range(5)):
        return {index: Pair(Item(id=str(index)), *(Clip(path) for path in paths[index])) for index in order}

    sizes, network = [], type(metric).network

    def noting(self):
        run = network(self)
        return lambda samples: (sizes.append(len(samples)), run(samples))[1]

    monkeypatch.setattr(type(metric), "network", noting)
    good = (0, 1, 3, 4)
    exact = {index: metric.measure(pair).features for index, pair in pairs(good).items()}
    metric.settings = ON_A_GPU
    alone = {index: metric.measure(pair).features for index, pair in pairs(good).items()}
    passes = len(sizes)
    for order in (range(5), (4, 2, 0, 3, 1), (2, 1)):
        sizes.clear()
        given = pairs(order)
        metric.prepare(list(given.values()))
        assert set(sizes) == {metric.samples_together} and len(sizes) < passes / 2
        sizes.clear()
        for index, pair in given.items():
            if index == 2:
                with pytest.raises(MediaError):
                    metric.measure(pair)
                continue
            found = metric.measure(pair).features
            for side in ("generated", "reference"):
                np.testing.assert_array_equal(found[side], alone[index][side])
                np.testing.assert_allclose(found[side], exact[index][side], rtol=1e-4, atol=1e-5)
        assert not sizes, "measuring looks up what was prepared"


def test_no_more_samples_are_held_than_the_budget_and_one_clips_more(metric, photographs, write_clip, monkeypatch):
    """Pictures of many shapes wait for others of theirs, but not for long."""
    metric.settings = ON_A_GPU
    sizes = [(24, 24), (32, 32), (40, 40), (36, 36), (28, 28), (44, 44), (48, 48), (24, 24)]
    paths = [write_clip(photographs[:18, :height, :width]) for height, width in sizes]
    pairs = [Pair(Item(id=str(index)), Clip(path), Clip(path)) for index, path in enumerate(paths)]
    looks = [look for pair in pairs for look in metric.looks(pair)[0].values()]
    largest = max(look.samples().nbytes for look in looks)
    budget, kept = 2 * largest, []
    monkeypatch.setattr(inference, "PASS_BYTES", budget)
    monkeypatch.setattr(set_distance, "PASS_BYTES", budget)
    keep = type(metric)._keep
    monkeypatch.setattr(
        type(metric), "_keep", lambda self, some: (kept.append(sum(each.nbytes for _, each in some)), keep(self, some))
    )
    metric.prepare(pairs)
    assert len(kept) > 3 and max(kept) < budget + largest
    assert sum(kept) == sum(look.samples().nbytes for look in looks)


def test_what_is_kept_is_not_prepared_again(metric, photographs, write_clip, tmp_path, monkeypatch):
    from t2av_bench.results.features import FeatureStore

    path, store = write_clip(photographs[:, :40, :40]), FeatureStore(tmp_path / "features")

    def pair():
        return Pair(Item(id="a"), *(Clip(path, features=store) for _ in range(2)))

    metric.settings = ON_A_GPU
    metric.prepare([pair()])
    monkeypatch.setattr(type(metric), "network", lambda self: pytest.fail("computed again"))
    metric.prepare([pair(), pair()])
    assert metric.measure(pair()).features["generated"].size
