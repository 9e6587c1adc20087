"""Training of the networks behind GridFace's metrics: clips of the training split, one plain loop, one journal."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from t2av_bench.gridface.data import corpus
from t2av_bench.gridface.models import checkpoints
from t2av_bench.scores import library_versions
from t2av_bench.utils.files import replacing

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_LINES = 40
FACTS = "facts"
DATA_VERSION = f"{corpus.NAME} {corpus.VERSION}"


def training_clips(
    count: int, per_clip: int | None, seed: int
) -> Iterator[tuple[corpus.Utterance, corpus.Recording, np.ndarray, np.ndarray]]:
    """The first ``count`` utterances of the split ``train``: utterance, recording, frame indices and those frames.

    per_clip: so many frames of each clip, chosen by ``seed``; None for all of them.
    frames: (n, 128, 128, 3) uint8 RGB. Each of the 200 persons is painted once.
    """
    from t2av_bench.gridface.portrait.portrait import Portrait

    portraits: dict[int, Portrait] = {}
    random = np.random.default_rng([0x6AF0, seed])
    for utterance, recording in corpus.recordings(corpus.utterances("train", count)):
        length = len(recording.motion)
        indices = np.arange(length) if per_clip is None else np.sort(random.choice(length, per_clip, replace=False))
        if utterance.identity not in portraits:
            portraits[utterance.identity] = Portrait(utterance.identity, corpus.SIZE)
        yield utterance, recording, indices, portraits[utterance.identity].render(recording.motion[indices])


def fit(
    network: Any, step: Callable[[], tuple["Tensor", dict[str, float]]], name: str, output: Path, *, updates: int,
    seed: int, quiet: bool = False, learning_rate: float = 1e-3, finish: Callable[[], None] = lambda: None,
    **facts: Any,
) -> Path:  # fmt: skip
    """Train a network and write it below ``output``: AdamW with a short warm-up and a cosine to zero.

    ``step`` draws a batch: the loss, and numbers for the journal, ``NAME.metrics.jsonl``: means since the last line,
    40 lines in all. finish: called on the trained network before it is written, its matrices and kernels in half
    precision, the rest in single. facts: see :func:`write`. Returns the checkpoint's path. Raises ValueError for
    updates below 1.
    """
    import torch

    if updates < 1:
        raise ValueError(f"updates is the number of training steps, at least 1, got {updates}")
    optimizer = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=1e-2)
    warm = max(1, updates // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda done: min(1.0, (done + 1) / warm) * 0.5 * (1 + np.cos(np.pi * done / updates))
    )
    output.mkdir(parents=True, exist_ok=True)
    started, count = time.process_time(), 0
    sums: dict[str, float] = {}
    network.train().to(memory_format=torch.channels_last)
    with open(output / f"{name}.metrics.jsonl", "w", encoding="utf-8") as journal:
        for update in range(1, updates + 1):
            loss, numbers = step()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimizer.step()
            schedule.step()
            count += 1
            for key, value in {"loss": loss.item(), **numbers}.items():
                sums[key] = sums.get(key, 0.0) + value
            if update * _LINES // updates > (update - 1) * _LINES // updates:
                line: dict[str, Any] = {"kind": "train", "step": update}
                line |= {key: round(value / count, 5) for key, value in sums.items()}
                journal.write(json.dumps(line | {"cpu_seconds": round(time.process_time() - started, 1)}) + "\n")
                journal.flush()
                if not quiet:
                    shown = "  ".join(f"{key} {value / count:.4f}" for key, value in sums.items())
                    print(f"{name}: {update}/{updates}  {shown}", file=sys.stderr, flush=True)
                sums, count = {}, 0
    network.eval().to(memory_format=torch.contiguous_format)
    finish()
    arrays = {
        key: value.numpy().astype(np.float16 if value.ndim > 1 else np.float32, order="C")
        for key, value in network.state_dict().items()
        if value.is_floating_point()
    }
    facts |= {"parameters": sum(parameter.numel() for parameter in network.parameters())}
    return write(arrays, name, output, libraries=library_versions("torch"), seed=seed, updates=updates, **facts)


def fast() -> "torch.autocast":
    """Where a network is trained: bfloat16 halves the time and costs these small networks nothing."""
    import torch

    return torch.autocast("cpu", torch.bfloat16)


def write(arrays: Mapping[str, np.ndarray], name: str, output: Path, **facts: Any) -> Path:
    """``NAME.safetensors`` under ``output``; its header keeps what makes it again, see :func:`facts_of`.

    facts: what is not as for a model that is computed at once (``updates`` 0, ``seed`` 0, all numbers parameters).
    """
    from safetensors.numpy import save_file

    told = {
        "command": checkpoints.command(name), "data_version": DATA_VERSION, "seed": 0,
        "updates": 0, "parameters": sum(array.size for array in arrays.values()), **facts,
    }  # fmt: skip
    path = output / f"{name}.safetensors"
    with replacing(path) as temporary:
        save_file(dict(arrays), temporary, {FACTS: json.dumps(told, sort_keys=True)})
    return path


def facts_of(file: Path) -> dict[str, Any]:
    """What ``write`` put into a file's header: what ``checkpoints.add`` asks for."""
    from reference_model.utils.strict_loading import read_safetensors

    return json.loads(read_safetensors(file)[1][FACTS])


def seeded(build: Callable[[], Any], seed: int) -> Any:
    """``build()`` with torch's generator seeded, which is put back afterwards."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()
