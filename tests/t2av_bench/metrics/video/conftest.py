"""Shared by the tests of image and video metrics: real clips written losslessly, and stand-in weights by id."""

import itertools
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from weights_table import install

from t2av_bench.benchmarks.manifest import Item
from t2av_bench.media.clip import Clip
from t2av_bench.metrics.base import Pair


@pytest.fixture(autouse=True, scope="session")
def torchvision() -> None:
    """clean-fid and lpips import torchvision, which a CPU torch lets them do only after this."""
    from t2av_bench.utils.optional import make_torchvision_importable

    make_torchvision_importable()


@pytest.fixture
def write_clip(tmp_path) -> Callable[..., Path]:
    """frames (n, H, W, 3) uint8 RGB -> a lossless file at 25 fps."""
    import av

    numbers = itertools.count()

    def write(frames: np.ndarray) -> Path:
        path = tmp_path / f"clip{next(numbers)}.mkv"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("ffv1", rate=Fraction(25))
            stream.height, stream.width = frames.shape[1:3]
            stream.pix_fmt = "bgr0"
            for frame in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
            container.mux(stream.encode())
        return path

    return write


@pytest.fixture
def pair_of(write_clip) -> Callable[..., Pair]:
    """Generated and reference frames -> the pair that a metric measures."""

    def build(generated: np.ndarray, reference: np.ndarray | None = None, **item) -> Pair:
        return Pair(
            Item(id="clip", **item),
            Clip(write_clip(generated)),
            None if reference is None else Clip(write_clip(reference)),
        )

    return build


@pytest.fixture
def install_weights(tmp_path, monkeypatch) -> Callable[[Mapping[str, Path]], None]:
    """Make files the verified weights of their ids, through a table and folder of their own."""
    return lambda files: install(monkeypatch, tmp_path / "weights", files)


@pytest.fixture(scope="session")
def photographs() -> np.ndarray:
    """Frames (24, 96, 96, 3) uint8 with structure at many scales: smooth noise with edges, drifting."""
    random = np.random.default_rng(0)
    spectrum = np.fft.rfft2(random.standard_normal((3, 192, 192)))
    frequency = np.hypot(np.fft.fftfreq(192)[:, None], np.fft.rfftfreq(192)[None])
    texture = np.fft.irfft2(spectrum / (frequency + 0.02) ** 1.5, s=(192, 192))
    texture = (texture - texture.mean()) / texture.std()
    texture += np.sign(np.sin(np.arange(192) / 7.0))[None, None] * 0.6
    image = np.clip(128 + 45 * texture, 0, 255).astype(np.uint8).transpose(1, 2, 0)
    return np.stack([image[2 * t : 2 * t + 96, 3 * t : 3 * t + 96] for t in range(24)])
