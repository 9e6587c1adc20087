"""What the training loop costs beside a plain one, or beside another commit; and what activation checkpointing saves.

    python bench/training_speed.py                                   # against a plain loop of torch alone
    python bench/training_speed.py --against ../another-checkout     # against the loop of another commit
    python bench/training_speed.py --memory --size release           # one step with and without checkpointing

Both sides train the packaged configuration ``tiny`` in processes of their own, by turns, so that whatever else the
machine does meets both. Times are processor seconds. A ratio above 1 says that ours is faster.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from measuring import ROOT, now, options, peak_memory, show, write_json


@dataclass
class Pair:
    other_seconds: float
    our_seconds: float
    ratio: float


@dataclass
class Memory:
    activation_checkpointing: bool
    saved_mb: float
    """Peak of a forward and backward pass above what was there before it, gradients freed as they come."""
    seconds: float


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--against", type=Path, help="a checkout of another commit")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--memory", action="store_true", help="measure memory instead")
    parser.add_argument("--size", default="tiny", help="of the model whose memory is measured")
    parser.add_argument("--device", default="cpu", help="where memory is measured; on cuda in bfloat16")
    parser.add_argument("--samples", type=int, default=2, help="of the batch whose memory is measured")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of those samples")
    parser.add_argument("--json", type=Path, help="write everything here as well")
    parser.add_argument("--worker", choices=["loop", "plain"], help="(used by the script itself)")
    asked = parser.parse_args()
    if asked.worker:
        return work({"loop": train_with_the_loop, "plain": train_plainly}[asked.worker], asked.steps)
    rows = memory(asked) if asked.memory else speed(asked)
    if not asked.memory:
        print(f"median ratio {statistics.median(row.ratio for row in rows):.3f}")
    asked.against = asked.against and str(asked.against)
    write_json(asked, rows)


def speed(asked) -> list[Pair]:
    ours = start(ROOT, "loop", asked.steps)
    other = start(asked.against or ROOT, "loop" if asked.against else "plain", asked.steps)
    for worker in (other, ours):
        turn(worker)  # the first one compiles, fills caches and imports
    rows = []
    for number in range(asked.pairs):
        order = (other, ours) if number % 2 else (ours, other)
        seconds = {id(worker): turn(worker) for worker in order}
        rows.append(Pair(seconds[id(other)], seconds[id(ours)], seconds[id(other)] / seconds[id(ours)]))
        show(rows[-1])
    for worker in (other, ours):
        worker.communicate()
    return rows


def start(checkout: Path, worker: str, steps: int) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, __file__, "--worker", worker, "--steps", str(steps)], text=True, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, env={**os.environ, "TRAINED_CHECKOUT": str(checkout.resolve()), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def turn(worker: subprocess.Popen) -> float:
    print(file=worker.stdin, flush=True)
    return float(worker.stdout.readline())


def work(train, steps: int) -> None:
    """Train at each line of stdin; answer with the processor seconds."""
    sys.path.insert(0, os.environ["TRAINED_CHECKOUT"])
    for _ in sys.stdin:
        with tempfile.TemporaryDirectory() as folder:
            begin = time.process_time()
            train([f"output={folder}", f"steps={steps}", "validation.every=0", "device=cpu"])
            print(time.process_time() - begin, flush=True)


def train_with_the_loop(settings: list[str]) -> None:
    from reference_model.training.config import read_config
    from reference_model.training.loop import train

    train(read_config("tiny", settings), quiet=True)


def train_plainly(settings: list[str]) -> None:
    """The same steps without resuming, journal, signals, several processes or checkpoints."""
    import torch

    from reference_model.checkpoints import random_model
    from reference_model.training.config import read_config
    from reference_model.training.loader import MicroBatches
    from reference_model.training.objective import Objective
    from reference_model.training.sources import open_sources

    config = read_config("tiny", settings)
    batches = MicroBatches(config, open_sources(config))
    objective = Objective(random_model(config.model), config.loss, config.aids)
    optimiser = torch.optim.AdamW(objective.parameters(), lr=config.optimiser.learning_rate, fused=True)
    average = torch.optim.swa_utils.AveragedModel(
        objective.model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(config.average.decay)
    )
    for step in range(config.steps):
        objective(batches[step]).loss.backward()
        torch.nn.utils.clip_grad_norm_(objective.parameters(), config.optimiser.clip_norm)
        optimiser.step()
        optimiser.zero_grad()
        average.update_parameters(objective.model)


def memory(asked) -> list[Memory]:
    """One step's passes of the model, without optimiser and average: they do not change with the setting."""
    import torch

    from reference_model.checkpoints import random_model
    from reference_model.modules.transformer import Block
    from reference_model.training.config import TrainingConfig
    from reference_model.training.loader import MicroBatches
    from reference_model.training.objective import Objective
    from reference_model.training.run import recompute
    from reference_model.training.sources import open_sources

    words = round(asked.seconds * 25 / 6)  # of one or two patches of four frames
    samples = {"samples": 2 * asked.samples, "shortest": words, "longest": words}
    settings = {"model": {"size": asked.size}, "batch": {"size": asked.samples}, "output": "unused", "steps": 1}
    config = TrainingConfig.from_dict({**settings, "data": {"kind": "synthetic", "synthetic": samples}})
    device = torch.device(asked.device)
    part = MicroBatches(config, open_sources(config))[0].to(device)
    objective = Objective(random_model(config.model, device=device), config.loss, config.aids).train()
    for parameter in objective.parameters():
        parameter.register_post_accumulate_grad_hook(lambda parameter: setattr(parameter, "grad", None))
    rows = []
    for again in (False, True):
        if again:
            recompute(objective, (Block, type(objective.model.backbone.model.layers[0])))
        for _ in range(2):  # the first pass prepares
            with peak_memory(device) as peak, torch.autocast(device.type, torch.bfloat16, device.type == "cuda"):
                before, begin = peak(), now(device)
                objective(part).loss.backward()
                row = Memory(again, (peak() - before) / 1e6, now(device) - begin)
        rows.append(row)
        show(rows[-1])
    return rows


if __name__ == "__main__":
    main()
