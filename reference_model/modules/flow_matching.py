"""Flow matching (section 3.3): training loss, time grid, guidance and the Euler sampler.

    x_tau = (1 - tau) x_0 + tau z,   z ~ N(0, I),   velocity = z - x_0

Time runs from 1 (noise) to 0 (data). Patches are ``(B, P, C)``: P frames of C channels.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..utils.config import strict_dataclass
from .diffusion_head import DiffusionHead


@dataclass(frozen=True)
class SamplerSettings:
    """How a patch is drawn (section 4.2).

    ``temperature`` scales the initial noise. ``guidance`` 1 means none. ``zero_star`` projects the
    unconditional velocity on the conditional one and holds the sample still for the first steps; ``sway``
    bends the time grid towards the noise (1: cosine) and 0 leaves it uniform.
    """

    steps: int = 10
    temperature: float = 0.7
    guidance: float = 2.0
    zero_star: bool = False
    sway: float = 0.0

    def __post_init__(self):
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, got {self.steps}")

    @property
    def still_steps(self) -> int:
        """Steps at the start in which time passes and the sample does not move."""
        return max(1, int(0.04 * (self.steps + 1))) if self.zero_star else 0


@strict_dataclass
class LossSettings:
    """The random parts of the loss: logit-normal time and the dropping of conditions (section 3.3).

    ``hidden_dropout`` is what guidance needs; ``context_dropout`` is the release's addition. The paper gives
    neither the rates nor the mean and scale of the time's logit; the values are the release's.
    """

    hidden_dropout: float = 0.1
    context_dropout: float = 0.05
    time_mean: float = -0.4
    time_scale: float = 1.0


@dataclass
class LossDraws:
    """Every random number of one loss: uniforms ``(B,)``, a standard normal ``(B,)`` and noise ``(B, P, C)``."""

    hidden_uniform: Tensor
    context_uniform: Tensor
    time_normal: Tensor
    noise: Tensor

    @classmethod
    def sample(cls, target: Tensor, generator: torch.Generator | None = None) -> "LossDraws":
        """Draw for ``target (B, P, C)`` on its device; ``generator`` must live on that device."""
        options = {"device": target.device, "generator": generator}
        return cls(
            torch.rand(len(target), **options),
            torch.rand(len(target), **options),
            torch.randn(len(target), **options),
            torch.randn(target.shape, **options),
        )


def flow_matching_loss(
    head: DiffusionHead,
    target: Tensor,
    hidden: Tensor,
    context: Tensor,
    condition: Tensor,
    draws: LossDraws,
    settings: LossSettings | None = None,
    frame_mask: Tensor | None = None,
) -> Tensor:
    """Squared error of the velocity: mean over channels, then over rows and frames (Eq. 3); a scalar.

    ``target (B, P, C)``, ``hidden (B, D)``, ``context (B, K, C)``, ``condition (B, G)``; ``frame_mask (B, P)``
    weights frames (None: all count). Hidden state and context are dropped independently, row by row; the
    global condition never is.
    """
    settings = settings or LossSettings()
    noisy, time = noised(target, draws, settings)
    hidden, context = dropped(hidden, context, draws, settings)
    velocity = head(noisy, hidden, time, context, condition)
    error = (velocity.float() - (draws.noise - target)).square().mean(dim=-1)
    if frame_mask is None:
        return error.mean()
    return (error * frame_mask).sum() / frame_mask.sum()


def noised(target: Tensor, draws: LossDraws, settings: LossSettings) -> tuple[Tensor, Tensor]:
    """The noisy patch ``(B, P, C)`` and its logit-normal time ``(B,)``."""
    time = torch.sigmoid(draws.time_normal * settings.time_scale + settings.time_mean)
    share = time[:, None, None]
    return (1 - share) * target + share * draws.noise, time


def dropped(hidden: Tensor, context: Tensor, draws: LossDraws, settings: LossSettings) -> tuple[Tensor, Tensor]:
    """Hidden state and context with the dropped rows set to zero."""
    hidden = hidden * (draws.hidden_uniform > settings.hidden_dropout).to(hidden.dtype)[:, None]
    context = context * (draws.context_uniform > settings.context_dropout).to(context.dtype)[:, None, None]
    return hidden, context


def time_grid(steps: int, sway: float, device: torch.device | str | None = None) -> Tensor:
    """``steps + 1`` times from 1 to 0: ``u + sway * (cos(pi u / 2) - 1 + u)`` with uniform u."""
    uniform = torch.linspace(1, 0, steps + 1, device=device)
    return uniform + sway * (torch.cos(math.pi / 2 * uniform) - 1 + uniform)


def guided(conditional: Tensor, unconditional: Tensor, guidance: float, zero_star: bool) -> Tensor:
    """Classifier-free guidance of velocities ``(B, P, C)``: ``u + guidance * (c - u)``.

    With ``zero_star`` (CFG-Zero*, arXiv 2503.18886) the unconditional velocity is first scaled by
    ``<c, u> / |u|^2``, sample by sample.
    """
    if zero_star:
        inner = (conditional * unconditional).sum(dim=(1, 2), keepdim=True)
        unconditional = inner / (unconditional.square().sum(dim=(1, 2), keepdim=True) + 1e-8) * unconditional
    return unconditional + guidance * (conditional - unconditional)


def euler(velocity: Callable[[Tensor, int], Tensor], noise: Tensor, settings: SamplerSettings) -> Tensor:
    """Integrate from noise to data. ``velocity(x, step)`` is the velocity of x at :func:`sampler_times`'s step.

    ``noise (B, P, C)`` is standard normal; the temperature is applied here. Returns ``(B, P, C)`` in float32.
    """
    _, lengths = sampler_times(settings)
    x = noise.float() * settings.temperature
    for step in range(settings.still_steps, settings.steps):
        x = x - lengths[step] * velocity(x, step).float()
    return x


@functools.lru_cache(maxsize=32)
def sampler_times(settings: SamplerSettings) -> tuple[Tensor, list[float]]:
    """Time at which each step evaluates the network ``(steps,)`` and each step's length.

    Time is accumulated step by step, as the released sampler does: the sinusoidal embedding multiplies it by
    1000, so the last bits matter. On the CPU; cached, since every patch asks again: do not write to it.
    """
    grid = time_grid(settings.steps, settings.sway, "cpu")
    lengths = grid[:-1] - grid[1:]
    times, now = [], grid[0]
    for length in lengths:
        times.append(now)
        now = now - length
    return torch.stack(times), lengths.tolist()


class PatchSampler:
    """Draws patches from one head with fixed settings; what does not depend on the patch is computed once.

    Both guidance branches run as one batch of 2 B, conditional first. With guidance 1 the unconditional
    branch is left out, since its weight is 0.
    """

    def __init__(self, head: DiffusionHead, settings: SamplerSettings):
        self.head, self.settings = head, settings
        self.network = head.velocity
        device = head.noisy_projection.weight.device
        times, _ = sampler_times(settings)
        self.time_tokens = head.time_tokens(times.to(device))

    def __call__(self, noise: Tensor, hidden: Tensor, context: Tensor, condition: Tensor) -> Tensor:
        """``noise (B, P, C)``, ``hidden (B, D)``, ``context (B, K, C)``, ``condition (B, G)`` to ``(B, P, C)``."""
        branches = self.branches(hidden, context, condition)
        return euler(lambda x, step: self.velocity(x, step, *branches), noise, self.settings)

    def branches(self, hidden: Tensor, context: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden states and condition tokens of all branches: ``(R, D)``, ``(R, 1 + K, D)``, R = B or 2 B."""
        hidden = hidden.to(self.head.dtype)
        tokens = self.head.condition_tokens(condition, context)
        if self.settings.guidance == 1:
            return hidden, tokens
        return torch.cat((hidden, torch.zeros_like(hidden))), torch.cat((tokens, tokens))

    def velocity(self, x: Tensor, step: int, hidden: Tensor, tokens: Tensor) -> Tensor:
        """The guided velocity ``(B, P, C)`` in float32."""
        return self.guided(self.network(self._for_branches(x), hidden + self.time_tokens[step], tokens))

    def sequence(self, x: Tensor, step: int, hidden: Tensor, tokens: Tensor) -> Tensor:
        """What the head's trunk reads at ``step``, ``(R, tokens, D)``."""
        return self.head.sequence(self._for_branches(x), hidden + self.time_tokens[step], tokens)

    def guided(self, velocities: Tensor) -> Tensor:
        """All branches' velocities ``(R, P, C)`` to the guided one ``(B, P, C)`` in float32."""
        velocities = velocities.float()
        if self.settings.guidance == 1:
            return velocities
        return guided(*velocities.chunk(2), self.settings.guidance, self.settings.zero_star)

    def _for_branches(self, x: Tensor) -> Tensor:
        return x if self.settings.guidance == 1 else torch.cat((x, x))
