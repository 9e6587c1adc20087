"""Decoding audio latents as they arrive, with the same result as decoding them all at once.

Every layer keeps the few inputs that its next outputs still need, so nothing is computed twice and memory does
not grow with the length. The convolutions look ahead as well as back: output lags its latents by
:attr:`WaveformStream.delay` samples (6957 with the released strides, 0.29 s), and ``flush`` delivers the rest.
The zero padding that each layer sees at both ends of the sequence is reproduced, so streamed and offline output
differ by rounding only: at most 1e-5 in float32 for waveforms in [-1, 1].
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import ResidualUnit, WaveformDecoder


class _Pointwise:
    """A layer without memory."""

    delay = 0

    def __init__(self, layer: nn.Module):
        self.layer = layer

    def push(self, x: Tensor) -> Tensor:
        return self.layer(x)

    def flush(self, like: Tensor) -> Tensor:
        return self.layer(like)


class _Convolution:
    """A stride-1 convolution that keeps its length: holds the last ``kernel - 1`` (dilated) inputs."""

    def __init__(self, layer: nn.Conv1d):
        self.layer = layer
        self.delay = layer.padding[0]
        self.held: Tensor | None = None

    def push(self, x: Tensor) -> Tensor:
        held = x.new_zeros(*x.shape[:2], self.delay) if self.held is None else self.held
        x = torch.cat([held, x], dim=-1)
        reach = 2 * self.delay
        if x.shape[-1] <= reach:
            self.held = x
            return x.new_zeros(x.shape[0], self.layer.out_channels, 0)
        self.held = x[..., x.shape[-1] - reach :]
        return F.conv1d(x, self.layer.weight, self.layer.bias, dilation=self.layer.dilation)

    def flush(self, like: Tensor) -> Tensor:
        return self.push(like.new_zeros(*like.shape[:2], self.delay))


class _Residual:
    """A residual unit: the skip path waits for the convolution's delay."""

    def __init__(self, unit: ResidualUnit):
        self.unit = unit
        self.dilated = _Convolution(unit.dilated)
        self.delay = self.dilated.delay
        self.waiting: Tensor | None = None

    def push(self, x: Tensor) -> Tensor:
        return self._add(x, self.dilated.push(self.unit.snake1(x)))

    def flush(self, like: Tensor) -> Tensor:
        return self._add(like, self.dilated.flush(like))

    def _add(self, x: Tensor, branch: Tensor) -> Tensor:
        skip = x if self.waiting is None else torch.cat([self.waiting, x], dim=-1)
        ready = branch.shape[-1]
        self.waiting = skip[..., ready:]
        if ready == 0:
            return branch
        return skip[..., :ready] + self.unit.pointwise(self.unit.snake2(branch))


class _Upsampling:
    """A transposed convolution of kernel 2s and stride s: each output hears two neighbouring inputs."""

    def __init__(self, layer: nn.ConvTranspose1d):
        self.layer = layer
        self.stride = layer.stride[0]
        self.delay = layer.padding[0]
        self.last: Tensor | None = None

    def push(self, x: Tensor) -> Tensor:
        if x.shape[-1] == 0:
            return x.new_zeros(x.shape[0], self.layer.out_channels, 0)
        first = self.last is None
        x = torch.cat([x.new_zeros(*x.shape[:2], 1) if first else self.last, x], dim=-1)
        self.last = x[..., -1:]
        full = F.conv_transpose1d(x, self.layer.weight, self.layer.bias, stride=self.stride)
        done = full[..., self.stride : x.shape[-1] * self.stride]
        return done[..., self.delay :] if first else done

    def flush(self, like: Tensor) -> Tensor:
        return self.push(like.new_zeros(*like.shape[:2], 1))[..., : self.delay]


class WaveformStream:
    """Streams one batch of latent sequences through a decoder: push latents, get samples, flush at the end.

    ``project`` maps latents (B, t, latent_dim) to the decoder's input (B, input_dim, t).
    """

    def __init__(self, decoder: WaveformDecoder, project):
        self.project = project
        self.hop = 1
        self.layers = [_Convolution(decoder.stem)]
        for stage in decoder.stages:
            self.layers += [_Pointwise(stage.snake), _Upsampling(stage.up)]
            self.layers += [_Residual(unit) for unit in stage.residual_units]
            self.hop *= stage.stride
        self.layers += [_Pointwise(decoder.snake), _Convolution(decoder.head)]
        self.started = False
        self.finished = False

    @property
    def delay(self) -> int:
        """Samples by which the output lags the latents that were pushed."""
        rate, total = self.hop, 0
        for layer in self.layers:
            if isinstance(layer, _Upsampling):
                rate //= layer.stride
            total += layer.delay * rate
        return total

    @torch.no_grad()
    def push(self, latents: Tensor) -> Tensor:
        """(B, t, latent_dim) to (B, n): every sample that no later latent can change any more."""
        if self.finished:
            raise RuntimeError("this stream was flushed; start another one for the next sequence")
        self.started = self.started or latents.shape[1] > 0
        x = self.project(latents)
        for layer in self.layers:
            x = layer.push(x)
        return torch.tanh(x)[:, 0]

    @torch.no_grad()
    def flush(self) -> Tensor:
        """The remaining samples (B, n). Raises ``RuntimeError`` when nothing was pushed."""
        if not self.started or self.finished:
            raise RuntimeError("nothing to flush: push latents first, and flush once")
        self.finished = True
        stem, *rest = self.layers
        x = stem.flush(stem.held)
        for layer in rest:
            # Each is fed its last inputs, and finishes.
            x = torch.cat([layer.push(x), layer.flush(x[..., :0])], dim=-1)
        return torch.tanh(x)[:, 0]
