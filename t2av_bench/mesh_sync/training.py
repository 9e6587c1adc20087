"""Training of the network: sounds that belong to a mouth, among those that do not (InfoNCE).

A moment of the mouth is to find its sound among all moments of the same window, so in the same person's speech (direct
neighbours are left out): the direction in which the score looks. And it is to find it among the same moment of all
other windows.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from t2av_bench.mesh_sync.batches import Material, Spoiling
from t2av_bench.mesh_sync.features import MOUTH, MeshSyncFeatures
from t2av_bench.mesh_sync.network import folded, training_network

WINDOWS, LENGTH = 24, 80
UPDATES = 1200
SPOILING = Spoiling()
_RATE, _DECAY, _SMOOTHING, _ACROSS = 2e-3, 0.1, 0.05, 0.5
# Frames at each end of a window whose vectors have seen the zeros beyond it.
_EDGE = 4


def train(
    clips: Sequence[MeshSyncFeatures], seed: int, updates: int = UPDATES, *, spoiling: Spoiling = SPOILING,
    report: Callable[[int, dict[str, float]], None] = lambda update, numbers: None,
    width: int = 128, size: int = 96, dropout: float = 0.2, windows: int = WINDOWS, length: int = LENGTH,
) -> dict[str, np.ndarray]:  # fmt: skip
    """The arrays of ``network.folded``, averaged over the last updates; the same for the same seed on one machine.

    report: told after each update of the ``loss`` and of the share of moments that ``found`` their sound.
    """
    import torch

    material = Material(clips, length)
    random = np.random.default_rng([0x3E5C, seed])
    with torch.random.fork_rng(devices=[]), _one_thread():
        torch.manual_seed(seed)
        network = training_network(3 * len(MOUTH), width, size, dropout)
        scale = torch.nn.Parameter(torch.tensor(2.3))
        optimizer = torch.optim.AdamW([*network.parameters(), scale], lr=_RATE, weight_decay=_DECAY)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, updates + 1)
        average = {name: value.clone() for name, value in network.state_dict().items()}
        network.train()
        for update in range(1, updates + 1):
            loss, found = _loss(network, scale, *material.draw(random, windows, spoiling)[:2])
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


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums over several threads differ in their last digits."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _loss(network: Any, scale: Any, mouths: np.ndarray, sounds: np.ndarray) -> tuple[Any, float]:
    """The loss of a batch, and the share of moments that find their sound."""
    import torch
    from torch.nn.functional import cross_entropy, normalize

    seen, heard = torch.from_numpy(np.ascontiguousarray(mouths)), torch.from_numpy(np.ascontiguousarray(sounds))
    with torch.autocast("cpu", torch.bfloat16):
        mouth, sound = network.mouth(seen), network.sound(heard)
    mouth = normalize(mouth.float(), dim=1)[..., _EDGE:-_EDGE]
    sound = normalize(sound.float(), dim=1)[..., _EDGE:-_EDGE]
    count, _, length = mouth.shape
    factor = scale.exp().clamp(max=30.0)
    scores = torch.einsum("bdt,bdu->btu", mouth, sound) * factor
    apart = (torch.arange(length)[:, None] - torch.arange(length)).abs()
    scores = scores.masked_fill(apart == 1, -20.0)
    own = torch.arange(length).expand(count, length).flatten()
    loss = cross_entropy(scores.flatten(0, 1), own, label_smoothing=_SMOOTHING)
    others = torch.einsum("bdt,cdt->tbc", mouth, sound) * factor
    whose = torch.arange(count).expand(length, count).flatten()
    loss = loss + _ACROSS * cross_entropy(others.flatten(0, 1), whose, label_smoothing=_SMOOTHING)
    found = (scores.flatten(0, 1).argmax(1) == own).float().mean().item()
    return loss, found
