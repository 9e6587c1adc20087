"""DistillMOS: a small network that predicts the mean opinion score of speech, distilled from one on XLS-R.

Stahl and Gamper 2025 (arXiv 2502.05356): six convolutions on a compressed complex spectrum, a transformer of seven
layers, attention pooling. The network is defined here for the published state dict (``distill_mos_v7.pt`` of the
package distillmos 0.9.1, MIT), since the package imports torchaudio, which it does not use. That both give the same
scores, the cutting of long sounds included, is what tests/t2av_bench/metrics/test_distillmos.py shows.
"""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from t2av_bench.utils.inference import full_precision

if TYPE_CHECKING:
    import torch

SAMPLE_RATE = 16000
SEGMENT = 122_880
"""Samples that the network hears at once: 7.68 s."""
LONGEST_HOP = 16_000
WINDOW, HOP = 320, 160
POSITIONS = SEGMENT // HOP // 2
WIDTH, LAYERS, HEADS = 200, 7, 8
CHANNELS = (64, 64, 128, 256, 256, 256)
_BANDS = 4
"""What the convolutions leave of the 161 frequencies."""
COMPRESSION = 0.3

# (published prefix, own prefix)
_NAMES = (
    ("cnn.cnn", "convolutions"),
    ("transformer_pool_attn.norm_input", "norms.0"),
    ("transformer_pool_attn.transformer.norm", "norms.1"),
    ("transformer_pool_attn.transformer.linear_proj", "projection"),
    ("transformer_pool_attn.transformer.position_encoding.pe", "positions"),
    ("transformer_pool_attn.transformer.transformer_encoder", "transformer"),
    ("transformer_pool_attn.norm_trans", "last_norm"),
    ("transformer_pool_attn.pool.linear1", "attention.0"),
    ("transformer_pool_attn.pool.linear2", "attention.2"),
    ("transformer_pool_attn.pool.linear3", "score"),
)


def build() -> "torch.nn.Module":
    """The network without weights (on torch's meta device), in evaluation mode."""
    import torch
    from torch import nn

    with torch.device("meta"):
        convolutions: list[nn.Module] = []
        for index, (incoming, outgoing) in enumerate(zip((2, *CHANNELS), CHANNELS, strict=False)):
            stride = (2 if index else 1, 2 if index == len(CHANNELS) - 1 else 1)  # frequency, time
            convolutions += [nn.Conv2d(incoming, outgoing, 3, stride, padding=(0, 1)), nn.LeakyReLU(0.1)]
        features = CHANNELS[-1] * _BANDS
        layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 2 * WIDTH, batch_first=True)
        network: Any = nn.Module()
        network.convolutions = nn.Sequential(*convolutions)
        network.norms = nn.Sequential(nn.BatchNorm1d(features), nn.BatchNorm1d(features))
        network.projection = nn.Linear(features, WIDTH)
        network.register_buffer("positions", torch.empty(1, POSITIONS, WIDTH))
        network.transformer = nn.TransformerEncoder(layer, LAYERS)
        network.last_norm = nn.BatchNorm1d(WIDTH)
        network.attention = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.ReLU(), nn.Linear(2 * WIDTH, 1))
        network.score = nn.Linear(WIDTH, 1)
        return network.eval()


def fill(network: "torch.nn.Module", state: "Mapping[str, torch.Tensor]") -> "torch.nn.Module":
    """Give the network the tensors of a state dict with published names (kept, not copied).

    Raises CheckpointError, a ValueError, naming every missing, unknown and misshapen key.
    """
    from reference_model.utils.strict_loading import NameMap, load_strictly

    load_strictly(network, state, names=NameMap(_NAMES), source="the DistillMOS checkpoint")
    return network.requires_grad_(False)


@functools.lru_cache(maxsize=1)
def load(path: Path, digest: str | None, device: str) -> "torch.nn.Module":
    """The network with the published weights. ``digest`` only keys the cache."""
    import torch

    state = torch.load(path, map_location="cpu", weights_only=True)["model"]
    return fill(build(), state).to(device)


def starts(samples: int) -> np.ndarray:
    """First samples of the segments that a sound is heard in, in order: evenly from its beginning to its end, at most
    a second apart. One that is no longer than a segment is heard once."""
    beyond = max(samples - SEGMENT, 0)
    return (np.linspace(0, 1, -(-beyond // LONGEST_HOP) + 1) * beyond).astype(int)


def segment_score(network: Any, segment: "torch.Tensor") -> "torch.Tensor":
    """Audio (122880,), 16 kHz -> score in [1, 5], a scalar."""
    import torch

    loudest = segment.abs().max() + 1e-8
    edge = (WINDOW - HOP) // 2
    padded = torch.nn.functional.pad((segment / loudest)[None], (edge, edge), mode="reflect")
    window = torch.hann_window(WINDOW, dtype=segment.dtype, device=segment.device)
    spectrum = torch.view_as_real(torch.stft(padded, WINDOW, HOP, window=window, center=False, return_complex=True))
    size = spectrum.square().sum(-1, keepdim=True).sqrt().clip(1e-12)
    image = (spectrum * size**COMPRESSION / size).permute(0, 3, 1, 2)  # (1, 2, 161 frequencies, 768 times)
    features = network.norms(network.convolutions(image).flatten(1, 2))  # (1, 1024, 384)
    units = network.transformer(network.projection(features.transpose(1, 2)) + network.positions)
    units = network.last_norm(units.transpose(1, 2))  # (1, 200, 384)
    weights = network.attention(units.transpose(1, 2)).softmax(1)  # (1, 384, 1)
    return 1 + 4 * network.score((units @ weights)[..., 0]).sigmoid().squeeze()


def distillmos(network: "torch.nn.Module", audio: np.ndarray, device: str = "cpu") -> float:
    """Predicted mean opinion score in [1, 5] of a sound: audio (n,) float32, n >= 1, 16 kHz.

    A sound shorter than 7.68 s is filled up with zeros; the scores of a longer one's segments are averaged. Each
    segment is brought to full scale by its loudest sample, so the level does not count. One segment a call: the last
    digit would follow the size of a batch.
    """
    import torch

    padded = np.pad(audio, (0, max(SEGMENT - len(audio), 0)))
    with full_precision():
        scores = [
            float(segment_score(network, torch.tensor(padded[start : start + SEGMENT], device=device)))
            for start in starts(len(audio))
        ]
    return float(np.mean(scores))
