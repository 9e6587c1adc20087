"""Generation speed of the reference model against the release's way of looping, on the same random weights.

    python bench/generation_speed.py --size small
    python bench/generation_speed.py --size release --dtype float32 bfloat16 --batch 1 4 16 --patches 8 --threads 2
    python bench/generation_speed.py --size release --device cuda --dtype bfloat16 --batch 1 16 --json gpu.json

For every precision: the plain loop (plain_loop.py; batch 1), then the reference loop in every variant and batch size.
Each run is prepared by a short one (packing, compilation and recording included, reported as ``prepare_s``); then
``--patches`` patches are generated for every item. A patch is 4 frames, 0.16 s of audio and video. Printed:

    patch_s    wall seconds between patches of the stream, for the whole batch
    cpu_s      processor seconds between patches, all threads; on a busy machine the fairer number
    av_per_s   seconds of audio and video per second of wall time, all items together
    ratio      av_per_s over the plain loop's in the same precision; cpu_ratio: the same from processor seconds
    first_s    seconds from the call of stream() to its first patch
    floor_s    least seconds a patch on this machine by bytes and operations (step_floor.py)
    memory_gib peak of the process, or of the device

Variants on the CPU: ``loop`` (plain weights), ``packed`` (oneDNN layout). On CUDA: ``loop``, ``paired`` (both heads as
one network), ``graphs``, ``compile``, ``both``; the last three with paired heads.
"""

import argparse
import dataclasses
import sys
import time
from collections.abc import Callable, Iterator

import torch
from measuring import network_options, now, peak_memory, set_threads, show, write_json
from plain_loop import plain_loop
from step_floor import Machine, measure_machine, step_work

from reference_model.acceleration.accelerate import accelerate, can_pack, pack_linears
from reference_model.checkpoints import random_model
from reference_model.config import SIZES, ModelConfig
from reference_model.inference.recipes import RECIPES, Recipe
from reference_model.inference.sampling import stream
from reference_model.inference.types import GeneratedPatch, GenerationItem
from reference_model.model import TalkerT2AV

VARIANTS = {"cpu": ("loop", "packed"), "cuda": ("loop", "paired", "graphs", "compile", "both")}
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
    ratio: float | None
    cpu_ratio: float | None
    first_s: float
    floor_s: float
    prepare_s: float
    memory_gib: float


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


def timed(events: Iterator, device: torch.device) -> tuple[float, float, float, list]:
    """(seconds to the first event, wall and processor seconds between events, the events)."""
    start, walls, cpus, seen = time.perf_counter(), [], [], []
    for event in events:
        walls.append(now(device))
        cpus.append(time.process_time())
        seen.append(event)
    steps = max(len(walls) - 1, 1)
    return walls[0] - start, (walls[-1] - walls[0]) / steps, (cpus[-1] - cpus[0]) / steps, seen


def steps_of(model: TalkerT2AV, batch: list[GenerationItem], recipe: Recipe, pair: bool) -> Iterator[list]:
    """The patches of a batch, step by step: the stream yields one patch of every item a step."""
    step = []
    for event in stream(model, batch, recipe, pair_heads=pair):
        if isinstance(event, GeneratedPatch):
            step.append(event)
            if len(step) == len(batch):
                yield step
                step = []


def prepare(model: TalkerT2AV, variant: str) -> bool:
    """Bring the model into the variant's state; whether it pairs heads."""
    if variant == "packed":
        pack_linears(model)
    if model.device.type == "cuda":
        accelerate(model, compile=variant in ("compile", "both"), graphs=variant in ("graphs", "both"))
    return variant in ("paired", "graphs", "compile", "both")


def measure(config: ModelConfig, dtype: torch.dtype, options: argparse.Namespace) -> tuple[list[Row], float | None]:
    """All rows of one precision, and the relative difference between the plain loop's latents and ours."""
    device = torch.device(options.device)
    recipe = dataclasses.replace(RECIPES[options.recipe], stop_threshold=2.0)
    machine: Machine = measure_machine(device, dtype)
    model, name = random_model(config, device=device, dtype=dtype), str(dtype).removeprefix("torch.")
    duration = config.patch_size / config.fps
    rows: list[Row] = []
    difference: float | None = None

    def row(variant: str, batch: int, run: Callable[[int], Iterator]) -> list:
        with peak_memory(device) as peak:
            began = time.perf_counter()
            for _ in run(WARM_UP_PATCHES):
                pass
            prepared = time.perf_counter() - began
            first, wall, cpu, seen = timed(run(options.patches), device)
            columns = TEXT_TOKENS + PREFIX_PATCHES + options.patches // 2
            floor = machine.seconds(step_work(config, recipe, batch, columns, dtype.itemsize))
            speed, first_row = batch * duration / wall, rows[0] if rows else None
            new = Row(
                name, variant, batch, wall, cpu, speed, speed / first_row.av_per_s if first_row else None,
                batch * first_row.cpu_s / cpu if first_row and cpu else None, first, floor, prepared, peak() / 2**30,
            )  # fmt: skip
        rows.append(new)
        show(new)
        return seen

    plain = row("plain", 1, lambda patches: plain_loop(model, items(config, 1, patches)[0], recipe))
    for variant in options.variants:
        if variant == "packed" and not can_pack(dtype):
            print(f"  {name} packed: this processor has no such products", file=sys.stderr)
            continue
        try:
            pair = prepare(model, variant)
            for batch in options.batch:
                seen = row(variant, batch, lambda n, b=batch, p=pair: steps_of(model, items(config, b, n), recipe, p))
                if difference is None:
                    ours = torch.cat([step[0].speech for step in seen])
                    theirs = torch.cat([speech for speech, _ in plain])
                    difference = float((ours - theirs).square().mean().sqrt() / theirs.square().mean().sqrt())
        except Exception as error:  # a missing compiler or too little memory ends a variant, not the table
            print(f"  {name} {variant}: {type(error).__name__}: {str(error)[:500]}", file=sys.stderr)
    return rows, difference


def main() -> None:
    parser = network_options(__doc__, SIZES)
    parser.add_argument("--dtype", nargs="+", choices=("float32", "bfloat16"), default=["float32", "bfloat16"])
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 4, 16])
    parser.add_argument("--variants", nargs="+", help="default: all of the device")
    parser.add_argument("--recipe", choices=("release", "paper"), default="release")
    parser.add_argument("--patches", type=int, default=8, help="patches of every item in a timed run")
    asked = parser.parse_args()
    known = VARIANTS[torch.device(asked.device).type]
    asked.variants = asked.variants or list(known)
    if unknown := set(asked.variants) - set(known):
        parser.error(f"no variant {', '.join(sorted(unknown))} on {asked.device}; there are {', '.join(known)}")
    if asked.patches < 2:
        parser.error("--patches must be at least 2: the time between patches is measured")
    where = set_threads(asked)
    print(f"{where}; {asked.recipe}, {asked.patches} patches")
    rows, differences = [], {}
    for dtype in asked.dtype:
        found, differences[dtype] = measure(ModelConfig.named(asked.size), getattr(torch, dtype), asked)
        rows += found
        if differences[dtype] is not None:
            print(
                f"{dtype}: first loop's latents differ from the plain loop's by {differences[dtype]:.2e} (relative rms)"
            )
    write_json(asked, rows, where=where, difference=differences)


if __name__ == "__main__":
    main()
