"""Generation speed of the reference model against the release's way of looping, on the same random weights.

    python bench/generation_speed.py --size small
    python bench/generation_speed.py --size release --dtype float32 bfloat16 --batch 1 4 16 --patches 8 --threads 2
    python bench/generation_speed.py --size release --device cuda --dtype bfloat16 --batch 1 16 --json gpu.json

For every precision: the plain loop (plain_loop.py; batch 1), then the reference loop in every variant and batch size.
Each run is prepared by a short one (packing, compilation and recording included, reported as ``prepare``); then
``--patches`` patches are generated for every item. A patch is 4 frames, 0.16 s of audio and video. Printed:

    s/patch    wall seconds between patches of the stream, for the whole batch
    cpu        processor seconds between patches, all threads; on a busy machine the fairer number
    av/s       seconds of audio and video per second of wall time, all items together
    ratio      av/s over the plain loop's in the same precision; and the same from processor seconds
    first      seconds from the call of stream() to its first patch
    floor      least seconds a patch on this machine by bytes and operations (step_floor.py)
    memory     peak of the process, or of the device

Variants on the CPU: ``loop`` (plain weights), ``packed`` (oneDNN layout). On CUDA: ``loop``, ``paired`` (both heads as
one network), ``graphs``, ``compile``, ``both``; the last three with paired heads.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
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
    """One line of the table; seconds of a patch are those of the whole batch."""

    dtype: str
    variant: str
    batch: int
    prepare_seconds: float
    patch_seconds: float
    patch_cpu_seconds: float
    first_patch_seconds: float
    floor_seconds: float
    memory_bytes: int
    video_seconds_per_second: float
    ratio: float | None = None
    cpu_ratio: float | None = None


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
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        walls.append(time.perf_counter())
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


@contextlib.contextmanager
def peak_memory(device: torch.device) -> Iterator[Callable[[], int]]:
    """A function that tells the peak since the start: of the device's allocator, or of the process."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        yield lambda: torch.cuda.max_memory_allocated(device)
        return
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # Linux: the high-water mark starts again from here

    def peak() -> int:
        with contextlib.suppress(OSError):
            for line in Path("/proc/self/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    yield peak


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
            new = Row(
                name,
                variant,
                batch,
                prepared,
                wall,
                cpu,
                first,
                floor,
                peak(),
                video_seconds_per_second=batch * duration / wall,
            )
        if rows:
            new.ratio = new.video_seconds_per_second / rows[0].video_seconds_per_second
            new.cpu_ratio = batch * rows[0].patch_cpu_seconds / cpu if cpu else None
        rows.append(new)
        print_row(new)
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


HEADER = "dtype     variant  batch  s/patch      cpu    av/s   ratio (cpu)     first    floor  prepare  memory"


def print_row(row: Row) -> None:
    ratio = "" if row.ratio is None else f"{row.ratio:.2f} ({row.cpu_ratio:.2f})"
    print(
        f"{row.dtype:9} {row.variant:8} {row.batch:5d} {row.patch_seconds:8.4f} {row.patch_cpu_seconds:8.4f} "
        f"{row.video_seconds_per_second:7.3f} {ratio:>13} {row.first_patch_seconds:9.4f} {row.floor_seconds:8.4f} "
        f"{row.prepare_seconds:8.2f} {row.memory_bytes / 2**30:6.2f}G",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=sorted(SIZES), default="small")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", nargs="+", choices=("float32", "bfloat16"), default=["float32", "bfloat16"])
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 4, 16])
    parser.add_argument("--variants", nargs="+", help="default: all of the device")
    parser.add_argument("--recipe", choices=("release", "paper"), default="release")
    parser.add_argument("--patches", type=int, default=8, help="patches of every item in a timed run")
    parser.add_argument("--threads", type=int, help="processor threads")
    parser.add_argument("--json", type=Path, help="write everything here as well")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    known = VARIANTS[torch.device(options.device).type]
    options.variants = options.variants or list(known)
    if unknown := set(options.variants) - set(known):
        parser.error(f"no variant {', '.join(sorted(unknown))} on {options.device}; there are {', '.join(known)}")
    if options.patches < 2:
        parser.error("--patches must be at least 2: the time between patches is measured")
    cuda = torch.device(options.device).type == "cuda"
    where = torch.cuda.get_device_name() if cuda else f"{platform.machine()}, {torch.get_num_threads()} threads"
    print(
        f"{options.size}, {options.recipe}, {options.patches} patches; {where}; torch {torch.__version__}; "
        f"load {os.getloadavg()[0]:.1f}\n{HEADER}"
    )
    result = {"device": where, "torch": torch.__version__, "rows": [], "difference": {}}
    result |= {key: value for key, value in vars(options).items() if key not in ("device", "json")}
    for dtype in options.dtype:
        rows, difference = measure(ModelConfig.named(options.size), getattr(torch, dtype), options)
        result["rows"] += [dataclasses.asdict(row) for row in rows]
        result["difference"][dtype] = difference
        if difference is not None:
            print(f"{dtype}: first loop's latents differ from the plain loop's by {difference:.2e} (relative rms)")
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
