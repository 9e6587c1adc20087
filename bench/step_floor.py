"""The least work that generating one patch takes, from the configuration, and how fast this machine could do it.

Every network evaluation reads its weights once, whatever the batch, because no processor's cache holds them; the
operations are two for every weight and token. Attention's scores, norms and activations are left out, so the floor is
a floor. What the machine can do is measured: a large matrix product and a large sum, of the same precision; on a CPU by
processor time over threads, so that the load of others counts little.
"""

import time
from dataclasses import dataclass

import torch
from measuring import now

from reference_model.checkpoints import meta_model
from reference_model.config import ModelConfig
from reference_model.inference.recipes import Recipe


@dataclass
class Work:
    """``bytes`` read and floating-point ``operations`` of a part of a step."""

    part: str
    bytes: float
    operations: float


def step_work(config: ModelConfig, recipe: Recipe, batch: int, columns: int, width: int) -> list[Work]:
    """The parts of one T2AV step of ``batch`` rows; ``columns`` tokens in the cache, ``width`` bytes a weight."""
    model, backbone = meta_model(config), config.backbone
    evaluations = recipe.sampler.steps - recipe.sampler.still_steps
    branches = 1 if recipe.sampler.guidance == 1 else 2
    tokens = 2 + (config.context_patches + 1) * config.patch_size
    weights = {
        "backbone": sum(p.numel() for p in model.backbone.model.layers.parameters()),
        "heads": sum(p.numel() for head in (model.speech_head, model.motion_head) for p in head.parameters()),
        "encoders": sum(
            p.numel() for e in (model.speech_patch_encoder, model.motion_patch_encoder) for p in e.parameters()
        ),
    }
    cached = 2 * backbone.num_hidden_layers * backbone.num_key_value_heads * backbone.head_dim * columns * batch
    rows = {
        "backbone": batch,
        "heads": evaluations * branches * tokens * batch,
        "encoders": (config.patch_size + 1) * batch,
    }
    read = {"backbone": weights["backbone"] + cached, "heads": evaluations * weights["heads"]}
    return [Work(part, width * read.get(part, weights[part]), 2.0 * weights[part] * rows[part]) for part in weights]


@dataclass
class Machine:
    """``bandwidth`` in bytes and ``throughput`` in floating-point operations a second."""

    bandwidth: float
    throughput: float

    def seconds(self, work: list[Work]) -> float:
        """Each part is bound by its reading or by its arithmetic, whichever takes longer."""
        return sum(max(part.bytes / self.bandwidth, part.operations / self.throughput) for part in work)


def measure_machine(device: torch.device, dtype: torch.dtype, seconds: float = 1.0) -> Machine:
    """Best rates of a large matrix product and of a sum over far more than any cache."""
    gpu = device.type == "cuda"
    side = 8192 if gpu else 2048
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    vector = torch.ones((1 << 30 if gpu else 1 << 27) // dtype.itemsize, dtype=dtype, device=device)
    product = _best(lambda: left @ right, device, seconds)
    read = _best(lambda: vector.sum(), device, seconds)
    return Machine(vector.numel() * vector.element_size() / read, 2.0 * side**3 / product)


def _best(run, device: torch.device, seconds: float) -> float:
    best, end, gpu = float("inf"), time.perf_counter() + seconds, device.type == "cuda"
    while best == float("inf") or time.perf_counter() < end:
        start = now(device) if gpu else time.process_time()
        run()
        took = now(device) - start if gpu else (time.process_time() - start) / torch.get_num_threads()
        best = min(best, took)
    return best
