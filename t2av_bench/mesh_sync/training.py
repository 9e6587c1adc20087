"""Training of the network: mouths and sounds that belong together, among those that do not (InfoNCE, both ways).

What a moment is told apart from: other moments of the same window, so the same person's speech (its direct neighbours
are left out), all moments of all other windows, and mouths that stand still.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from t2av_bench.mesh_sync.batches import Material, Spoiling
from t2av_bench.mesh_sync.features import MeshSyncFeatures
from t2av_bench.mesh_sync.network import folded, training_network

WINDOWS, LENGTH = 24, 80
UPDATES = 2400
EDGE = 4
_REACH = 6


def train(
    clips: Sequence[MeshSyncFeatures], seed: int, updates: int, *, spoiling: Spoiling = Spoiling(),  # noqa: B008
    report: Callable[[int, dict[str, float]], None] = lambda update, numbers: None,
    width: int = 128, size: int = 96, dropout: float = 0.2, rate: float = 2e-3, decay: float = 0.1,
    still: float = 0.5, across: float = 0.5, windows: int = WINDOWS, length: int = LENGTH,
) -> dict[str, np.ndarray]:  # fmt: skip
    """The arrays of ``network.folded``, averaged over the last updates; the same for the same seed on one machine."""
    import torch

    material = Material(clips, length)
    random = np.random.default_rng([0x3E5C, seed])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = training_network(width, size, dropout)
        scale = torch.nn.Parameter(torch.tensor(2.3))
        optimizer = torch.optim.AdamW([*network.parameters(), scale], lr=rate, weight_decay=decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, updates + 1)
        average = {name: value.clone() for name, value in network.state_dict().items()}
        network.train()
        for update in range(1, updates + 1):
            mouths, sounds, clips_drawn = material.draw(random, windows, spoiling)
            loss, found = _loss(network, scale, mouths, sounds, still, across, random)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            keep = min(0.995, update / (update + 10))
            for name, value in network.state_dict().items():
                if value.is_floating_point():
                    average[name].mul_(keep).add_(value, alpha=1 - keep)
            report(update, {"loss": loss.item(), "found": found})
        network.load_state_dict(average)
        arrays = folded(network.eval())
    # The network has seen each coordinate over its spread.
    arrays["mouth.0.kernel"] /= material.spread[None, :, None]
    return {name: array.astype(np.float16 if array.ndim > 1 else np.float32) for name, array in arrays.items()}


def _loss(
    network: Any, scale: Any, mouths: np.ndarray, sounds: np.ndarray, still: float, across: float,
    random: np.random.Generator,
) -> tuple[Any, float]:  # fmt: skip
    import torch
    from torch.nn.functional import cross_entropy, normalize

    seen, heard = torch.from_numpy(np.ascontiguousarray(mouths)), torch.from_numpy(np.ascontiguousarray(sounds))
    with torch.autocast("cpu", torch.bfloat16):
        mouth, sound = network.mouth(seen), network.sound(heard)
    mouth = normalize(mouth.float(), dim=1)[..., EDGE:-EDGE]
    sound = normalize(sound.float(), dim=1)[..., EDGE:-EDGE]
    count, _, length = mouth.shape
    factor = scale.exp().clamp(max=30.0)
    scores = torch.einsum("bdt,bdu->btu", mouth, sound) * factor
    apart = (torch.arange(length)[:, None] - torch.arange(length)).abs()
    scores = scores.masked_fill(apart == 1, -20.0)
    own = torch.arange(length).expand(count, length).flatten()
    smooth = {"label_smoothing": 0.05}
    loss = cross_entropy(scores.flatten(0, 1), own, **smooth)
    backwards = scores.transpose(1, 2)
    if still:
        # Faces that are held: a moment of sound must not find itself in a mouth that does not move.
        frozen = seen[:, :, random.integers(seen.shape[2])][..., None].expand(-1, -1, 2 * _REACH + 1)
        with torch.autocast("cpu", torch.bfloat16):
            dead = network.mouth(frozen)[..., _REACH]
        extra = torch.einsum("cd,bdu->buc", normalize(dead.float(), dim=1), sound) * factor
        backwards = torch.cat([backwards, extra + float(np.log(still))], 2)
    if across:
        others = torch.einsum("bdt,cdt->tbc", mouth, sound) * factor
        whose = torch.arange(count).expand(length, count).flatten()
        loss = loss + across * cross_entropy(others.flatten(0, 1), whose, **smooth)
    found = (scores.flatten(0, 1).argmax(1) == own).float().mean().item()
    return loss, found
