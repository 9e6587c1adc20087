"""ECAPA-TDNN (Desplanques et al. 2020, arXiv 2005.07143) on the hidden states of a speech encoder.

Evaluation-time semantics of the head that the release conditions on: the hidden states are averaged with learned
weights, instance-normalised over time, and reduced to one embedding per utterance. Maps are (B, channels, frames).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reference_model.utils.strict_loading import CheckpointError, NameMap, Pairs, under

GROUPS = 8
DILATIONS = (2, 3, 4)


@dataclass(frozen=True)
class EcapaConfig:
    """Sizes of the head. The defaults are the released ones."""

    hidden_states: int = 25
    """Hidden states that are averaged: the first layer's input and every layer's output."""
    feature_dim: int = 1024
    channels: int = 512
    embedding_dim: int = 256
    merged_channels: int = 1536
    bottleneck: int = 128

    @classmethod
    def from_release_state(cls, state: Mapping[str, Tensor]) -> "EcapaConfig":
        """Read the sizes off the shapes of a release state dict."""
        needed = ("feature_weight", "layer1.conv.weight", "linear.weight", "conv.weight", "pooling.linear1.weight")
        if missing := [name for name in needed if name not in state]:
            raise CheckpointError(
                f"the speaker head is not in this checkpoint: {', '.join(missing)} missing. With the WavLM upstream "
                f"alone every similarity would collapse to a few hundredths; use the fine-tuned file "
                f"(wavlm_large_finetune.pth)"
            )
        channels, feature_dim, _ = state["layer1.conv.weight"].shape
        return cls(
            hidden_states=state["feature_weight"].shape[0],
            feature_dim=feature_dim,
            channels=channels,
            embedding_dim=state["linear.weight"].shape[0],
            merged_channels=state["conv.weight"].shape[0],
            bottleneck=state["pooling.linear1.weight"].shape[0],
        )


class ConvReluNorm(nn.Module):
    """Convolution that keeps the length, ReLU, batch norm: in this order."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, dilation: int = 1):
        super().__init__()
        self.convolution = nn.Conv1d(inputs, outputs, kernel, dilation=dilation, padding=(kernel // 2) * dilation)
        self.normalisation = nn.BatchNorm1d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.normalisation(F.relu(self.convolution(x)))


class Res2Convolution(nn.Module):
    """Eight channel groups in cascade: each of the first seven is convolved after adding the one before it."""

    def __init__(self, channels: int, dilation: int):
        super().__init__()
        width = channels // GROUPS
        self.groups = nn.ModuleList(ConvReluNorm(width, width, 3, dilation) for _ in range(GROUPS - 1))

    def forward(self, x: Tensor) -> Tensor:
        *pieces, last = x.chunk(GROUPS, dim=1)
        done: list[Tensor] = []
        for group, piece in zip(self.groups, pieces, strict=True):
            done.append(group(piece + done[-1] if done else piece))
        return torch.cat([*done, last], dim=1)


class SqueezeExcitation(nn.Module):
    """Scales each channel by a gate computed from all channels' means over time."""

    def __init__(self, channels: int, bottleneck: int):
        super().__init__()
        self.squeeze = nn.Linear(channels, bottleneck)
        self.excite = nn.Linear(bottleneck, channels)

    def forward(self, x: Tensor) -> Tensor:
        gate = torch.sigmoid(self.excite(F.relu(self.squeeze(x.mean(dim=2)))))
        return x * gate[..., None]


class SERes2Block(nn.Module):
    """x + gate(leave(res2(enter(x)))): the residual block of ECAPA-TDNN."""

    def __init__(self, channels: int, dilation: int, bottleneck: int):
        super().__init__()
        self.enter = ConvReluNorm(channels, channels)
        self.res2 = Res2Convolution(channels, dilation)
        self.leave = ConvReluNorm(channels, channels)
        self.gate = SqueezeExcitation(channels, bottleneck)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.gate(self.leave(self.res2(self.enter(x))))


class AttentiveStatistics(nn.Module):
    """Mean and standard deviation over time, each channel with its own attention; (B, C, T) to (B, 2 C)."""

    def __init__(self, channels: int, bottleneck: int):
        super().__init__()
        self.hidden = nn.Conv1d(channels, bottleneck, 1)
        self.score = nn.Conv1d(bottleneck, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        weight = torch.softmax(self.score(torch.tanh(self.hidden(x))), dim=2)
        mean = (weight * x).sum(dim=2)
        variance = (weight * x.square()).sum(dim=2) - mean.square()
        return torch.cat([mean, variance.clamp_min(1e-9).sqrt()], dim=1)


class EcapaHead(nn.Module):
    """Hidden states of a speech encoder to one speaker embedding (not normalised) per utterance."""

    def __init__(self, config: EcapaConfig | None = None):
        super().__init__()
        config = config or EcapaConfig()
        self.config = config
        self.layer_weights = nn.Parameter(torch.zeros(config.hidden_states))
        self.stem = ConvReluNorm(config.feature_dim, config.channels, 5)
        self.blocks = nn.ModuleList(SERes2Block(config.channels, dilation, config.bottleneck) for dilation in DILATIONS)
        self.merge = nn.Conv1d(len(DILATIONS) * config.channels, config.merged_channels, 1)
        self.pooling = AttentiveStatistics(config.merged_channels, config.bottleneck)
        self.pooled_normalisation = nn.BatchNorm1d(2 * config.merged_channels)
        self.embedding = nn.Linear(2 * config.merged_channels, config.embedding_dim)

    def features(self, hidden_states: Sequence[Tensor] | Tensor) -> Tensor:
        """Weighted mean of the hidden states, (B, T, feature_dim) each, instance-normalised: (B, feature_dim, T)."""
        if len(hidden_states) != len(self.layer_weights):
            raise ValueError(f"{len(hidden_states)} hidden states for {len(self.layer_weights)} layer weights")
        weights = torch.softmax(self.layer_weights, dim=0)
        mean = sum(weight * state for weight, state in zip(weights, hidden_states, strict=True))
        return F.instance_norm(mean.transpose(1, 2) + 1e-6, eps=1e-5)

    def forward(self, hidden_states: Sequence[Tensor] | Tensor) -> Tensor:
        """``hidden_states``: one (B, T, feature_dim) per layer; returns (B, embedding_dim)."""
        x = self.stem(self.features(hidden_states))
        outputs = []
        for block in self.blocks:
            x = block(x)
            outputs.append(x)
        merged = F.relu(self.merge(torch.cat(outputs, dim=1)))
        return self.embedding(self.pooled_normalisation(self.pooling(merged)))


CONVOLUTION: Pairs = [("conv", "convolution"), ("bn", "normalisation")]
"""A :class:`ConvReluNorm`."""

BLOCK: Pairs = [
    *under("Conv1dReluBn1", "enter", CONVOLUTION),
    *under("Conv1dReluBn2", "leave", CONVOLUTION),
    *((f"Res2Conv1dReluBn.convs.{j}", f"res2.groups.{j}.convolution") for j in range(GROUPS - 1)),
    *((f"Res2Conv1dReluBn.bns.{j}", f"res2.groups.{j}.normalisation") for j in range(GROUPS - 1)),
    ("SE_Connect.linear1", "gate.squeeze"),
    ("SE_Connect.linear2", "gate.excite"),
]


def ecapa_names(prefix: str = "") -> NameMap:
    """Release prefix beside our prefix; ``prefix`` goes in front of ours."""
    pairs = [
        ("feature_weight", "layer_weights"),
        ("conv", "merge"),
        ("pooling.linear1", "pooling.hidden"),
        ("pooling.linear2", "pooling.score"),
        ("bn", "pooled_normalisation"),
        ("linear", "embedding"),
        *under("layer1", "stem", CONVOLUTION),
    ]
    for i in range(len(DILATIONS)):
        pairs += under(f"layer{i + 2}", f"blocks.{i}", BLOCK)
    return NameMap((release, prefix + ours) for release, ours in pairs)
