"""The losses on held-out samples: exact means over the whole set, with the same random numbers every time."""

import numpy as np
import torch

from .batch_plan import sample_seed, window_seed
from .collate import collate
from .config import TrainingConfig
from .distributed import Processes
from .layout import layout, totals
from .objective import Objective
from .samples import SampleSource, random_window, read_sample
from .sources import TrainedLengths, sample_shape

STREAM = 2**40
"""Takes the place of the step in the seeds: no training run gets that far."""


@torch.no_grad()
def validate(
    objective: Objective, source: SampleSource, config: TrainingConfig, processes: Processes
) -> dict[str, float]:
    """Losses by name. Processes share the work; every one gets the result."""
    lengths = TrainedLengths(source, config)
    layouts = [layout(row, config.model, config.data.max_tokens) for row in lengths.rows(slice(None))]
    whole = totals(layouts, config.model, config.loss.stop_positive_factor)
    order = np.argsort(lengths[:], kind="stable")
    size, shape = config.validation.batch_size, sample_shape(config.model)
    sums: dict[str, torch.Tensor] = {}
    for start in range(processes.rank * size, len(order), processes.count * size):
        chosen = [int(index) for index in order[start : start + size]]
        part = collate(
            [
                random_window(
                    read_sample(source, index, shape), config.window_frames, window_seed(config.seed, STREAM, index)
                )
                for index in chosen
            ],
            [layouts[index] for index in chosen],
            [sample_seed(config.seed, STREAM, index) for index in chosen],
            whole,
            config.model,
            config.aids,
            config.loss.repeats,
        )
        with processes.autocast(config.precision):
            losses = objective(part.to(processes.device)).detached()
        for name, value in losses.items():
            sums[name] = sums.get(name, 0) + value.double()
    names = ("loss", "speech_loss", "motion_loss", "stop_loss", "regression_loss")
    values = torch.stack(
        [
            sums[name] if name in sums else torch.zeros((), dtype=torch.float64, device=processes.device)
            for name in names
        ]
    )
    return dict(zip(names, processes.sum(values).tolist(), strict=True))
