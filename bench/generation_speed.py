"""Generation speed of the reference model by way of looping, on the same random weights.

    python bench/generation_speed.py --size small
    python bench/generation_speed.py --size release --dtype float32 bfloat16 --batch 1 4 --patches 8 --threads 2
    python bench/generation_speed.py --size release --device cuda --variants graphs both --batch 1 16 --json gpu.json

For every precision: the page (``reference_model.generate``: batch 1, written as the release loops), then the batched
loop in every variant and batch size. Each run is prepared by a short one (compilation and recording included, reported
as ``prepare_s``); then ``--patches`` patches are generated for every item. A patch is 4 frames, 0.16 s of audio and
video. Printed:

    patch_s    wall seconds between patches of the stream, for the whole batch
    cpu_s      processor seconds between patches, all threads; on a busy machine the fairer number
    av_per_s   seconds of audio and video per second of wall time, all items together
    first_s    seconds from the call of stream() to its first patch
    floor_s    least seconds a patch on this machine by bytes and operations (step_floor.py)
    memory_gib peak of the process, or of the device
    difference of the first item's latents from the page's, root mean square over that of the page's
    ratio      av_per_s over that of the page: what the batched loop gains

Variants: ``loop`` (plain), ``paired`` (both heads as one network), ``compile``; on the CPU also ``packed`` (oneDNN
layout), on CUDA ``graphs``, ``both`` (compiled and recorded), ``all`` (paired as well). A variant that breaks down is
said on stderr and exits with status 1 at the end; what was measured stands in the JSON file from row to row.
"""

import argparse
import dataclasses
import sys
import time
from collections.abc import Callable, Iterator

import torch
from measuring import network_options, now, peak_memory, set_threads, show, write_json
from step_floor import Machine, measure_machine, step_work

from reference_model.acceleration import Accelerated, pack_linears
from reference_model.checkpoints import load_state
from reference_model.config import SIZES, ModelConfig
from reference_model.generate import generate_one
from reference_model.inference.batched.networks import StepNetworks
from reference_model.inference.batched.sampling import stream
from reference_model.inference.recipes import RECIPES, Recipe
from reference_model.inference.types import GeneratedPatch, GenerationItem
from reference_model.model import TalkerT2AV

ACCELERATED = {
    "paired": {"pair_heads": True},
    "compile": {"compile": True},
    "graphs": {"graphs": True},
    "both": {"compile": True, "graphs": True},
    "all": {"compile": True, "graphs": True, "pair_heads": True},
}
TEXT_TOKENS, PREFIX_PATCHES, WARM_UP_PATCHES = 64, 3, 2


@dataclasses.dataclass
class Row:
    """One line of the table, as the head of this file explains it; seconds of a patch are those of the whole batch."""

    dtype: str
    variant: str
    batch: int
    patch_s: float
    cpu_s: float
    av_per_s: float
    first_s: float
    floor_s: float
    prepare_s: float
    memory_gib: float
    difference: float | None = None
    ratio: float | None = None


def random_model(config: ModelConfig, device: torch.device, dtype: torch.dtype) -> TalkerT2AV:
    """Drawn on the device, which takes a GPU a second and a processor half a minute at the size ``release``."""
    torch.manual_seed(0)
    with torch.device(device):
        state = TalkerT2AV(config).state_dict()
    return load_state(state, config, device=device, dtype=dtype)


def items(config: ModelConfig, batch: int, patches: int) -> list[GenerationItem]:
    """T2AV items with a prefix of 12 frames, as the released script makes them, that never stop by themselves."""
    made = []
    for seed in range(batch):
        draw = torch.Generator().manual_seed(seed)
        frames = PREFIX_PATCHES * config.patch_size
        made.append(
            GenerationItem(
                text_ids=torch.randint(config.backbone.vocab_size, (TEXT_TOKENS,), generator=draw),
                max_patches=patches,
                speaker_embedding=torch.randn(config.speaker_dim, generator=draw),
                speech=torch.randn(frames, config.speech_dim, generator=draw),
                motion=torch.randn(frames, config.motion_dim, generator=draw),
                seed=seed,
            )
        )
    return made


def timed(steps: Iterator, device: torch.device) -> tuple[float, float, float, list]:
    """(seconds to the first step, wall and processor seconds between steps, the steps)."""
    start, walls, cpus, seen = time.perf_counter(), [], [], []
    for step in steps:
        walls.append(now(device))
        cpus.append(time.process_time())
        seen.append(step)
    count = max(len(walls) - 1, 1)
    return walls[0] - start, (walls[-1] - walls[0]) / count, (cpus[-1] - cpus[0]) / count, seen


def steps_of(
    model: TalkerT2AV, batch: list[GenerationItem], recipe: Recipe, networks: StepNetworks
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Of every step of the batch, the first item's patch: the stream yields one patch of every item a step."""
    for event in stream(model, batch, recipe, networks=networks):
        if isinstance(event, GeneratedPatch):
            if event.item == 0:
                first = event
            if event.item == len(batch) - 1:
                yield first.speech, first.motion


def networks_of(model: TalkerT2AV, variant: str) -> StepNetworks:
    """The variant's networks. Raises ValueError where this processor or device has none."""
    if variant in ACCELERATED:
        return Accelerated(model, **ACCELERATED[variant])
    if variant == "packed" and not pack_linears(model):
        raise ValueError("this processor has no such products")
    return StepNetworks(model)


def rows_of(config: ModelConfig, dtype: torch.dtype, options: argparse.Namespace) -> Iterator[Row]:
    """All rows of one precision."""
    device = torch.device(options.device)
    recipe = dataclasses.replace(RECIPES[options.recipe], stop_threshold=2.0)
    machine: Machine = measure_machine(device, dtype)
    model, name = random_model(config, device, dtype), str(dtype).removeprefix("torch.")

    def measured(variant: str, batch: int, run: Callable[[int], Iterator]) -> tuple[Row, list]:
        with peak_memory(device) as peak:
            began = time.perf_counter()
            for _ in run(WARM_UP_PATCHES):
                pass
            prepared = time.perf_counter() - began
            first, wall, cpu, seen = timed(run(options.patches), device)
            columns = TEXT_TOKENS + PREFIX_PATCHES + options.patches // 2
            floor = machine.seconds(step_work(config, recipe, batch, columns, dtype.itemsize))
            speed = batch * config.patch_size / config.fps / wall
            return Row(name, variant, batch, wall, cpu, speed, first, floor, prepared, peak() / 2**30), seen

    alone, page = measured("page", 1, lambda patches: generate_one(model, items(config, 1, patches)[0], recipe))
    yield alone
    for variant in sorted(options.variants, key="packed".__eq__):  # packing is for good
        try:
            networks = networks_of(model, variant)
            for batch in options.batch:
                row, seen = measured(
                    variant, batch, lambda n, b=batch, w=networks: steps_of(model, items(config, b, n), recipe, w)
                )
                ours, theirs = (
                    torch.cat([latents.flatten() for step in steps for latents in step]) for steps in (seen, page)
                )
                row.ratio = row.av_per_s / alone.av_per_s
                row.difference = float((ours - theirs).square().mean().sqrt() / theirs.square().mean().sqrt())
                yield row
        except Exception as error:  # a missing compiler or too little memory ends a variant, not the table
            options.failed = f"{name} {variant}: {type(error).__name__}: {str(error)[:500]}"
            print(options.failed, file=sys.stderr)


def main() -> None:
    parser = network_options(__doc__, SIZES)
    parser.add_argument("--dtype", nargs="+", choices=("float32", "bfloat16"), default=["float32", "bfloat16"])
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 4, 16])
    parser.add_argument("--variants", nargs="+", choices=("loop", "packed", *ACCELERATED), default=["loop"])
    parser.add_argument("--recipe", choices=("release", "paper"), default="release")
    parser.add_argument("--patches", type=int, default=8, help="patches of every item in a timed run")
    parser.set_defaults(failed="")
    asked = parser.parse_args()
    if asked.patches < 2:
        parser.error("--patches must be at least 2: the time between patches is measured")
    where = set_threads(asked)
    print(f"{where}; {asked.recipe}, {asked.patches} patches")
    rows: list[Row] = []
    for dtype in asked.dtype:
        for row in rows_of(ModelConfig.named(asked.size), getattr(torch, dtype), asked):
            show(row)
            rows.append(row)
            write_json(asked, rows, where=where)
    sys.exit(1 if asked.failed else 0)


if __name__ == "__main__":
    main()
