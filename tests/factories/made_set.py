"""A made set for preparations at scale: short clips of talking squares, which stand-ins look at and listen to.

    python made_set.py SOURCE OUT WORKERS [STAGE COUNT]

prepares the set in a process of its own. With a stage it kills itself, as nobody can catch, when that many of the
stage's rows are known; 0: before it writes them.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fake_looking import DISPUTED, FakeTools, pictures, speech

from t2av_bench.media.encode import write_mp4
from t2av_bench.preparation.benchmarks import prepare as preparing
from t2av_bench.preparation.benchmarks.cutting import CutRule
from t2av_bench.preparation.benchmarks.recipe import Recipe, Shares, SourceClip
from t2av_bench.preparation.benchmarks.stages import Stages
from t2av_bench.utils.progress import Step

SECONDS = 3.0
STAGES = ("index", "clips", "probe", "faces", "filter", "text", "draw", "write", "finish")


def make_clips(folder: Path, count: int) -> None:
    """3 s at 80 x 64 pixels, no two alike; of every ten one has no face, one no speech, and one disputed words."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        kind = index % 10
        colour = (10 + index % 150, 20 + index // 150 % 150, 40)
        frames = pictures(SECONDS, side=24, size=(64, 80), colour=colour, face=kind != 7)
        heard = speech([] if kind == 8 else [(0.4, 2.4)], SECONDS, DISPUTED if kind == 9 else 400)
        write_mp4(folder / f"{index:05d}.mp4", frames, heard, preset="ultrafast")


class MadeSet(Recipe):
    """All stages; two clips in a row are of one person, so that each is the other's voice."""

    id = "en-200"
    sources = {"made": "a folder of make_clips"}
    cut = CutRule(shortest=1.0, longest=3.0, least_face=10, size=64)
    pictures = "crop"
    text = "recognised"
    other_voice = True
    shares: Mapping[str, Shares] = {}

    def index(self, folders: Mapping[str, Path]) -> Iterable[SourceClip]:
        for path in folders["made"].glob("*.mp4"):
            yield SourceClip(id=path.stem, source="made", path=path.name, speaker=str(int(path.stem) // 2))


def run(source: Path, out: Path, workers: int, on_step: Any = lambda step: None) -> Any:
    return preparing.prepare(
        MadeSet(), {"made": source}, out, workers=workers, tools=(FakeTools, ()), on_step=on_step
    )  # fmt: skip


def kill_at(stage: str, count: int) -> Any:
    """Prepare for the end; an ``on_step``."""

    def end() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    write, finish = Stages.write, preparing.write_folder

    def stop_writing(self: Stages, name: str, rows: Any) -> None:
        if name == stage and count == 0:
            end()
        write(self, name, rows)

    def stop_finishing(*arguments: Any) -> Any:
        if stage == "finish" and count == 0:
            end()
        found = finish(*arguments)
        if stage == "finish":
            end()
        return found

    Stages.write, preparing.write_folder = stop_writing, stop_finishing  # type: ignore[method-assign, assignment]

    def on_step(step: Step) -> None:
        if step.phase == stage and 0 < count <= step.done:
            end()

    return on_step


def highest_memory(process: int | str = "self") -> int:
    """Bytes, of a process since it was started; 0 where it has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


class Watch:
    """Seconds of each stage, and the largest resident size of the workers; an ``on_step``."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.workers = 0
        self._began: dict[str, float] = {}

    def __call__(self, step: Step) -> None:
        now = time.perf_counter()
        self.seconds[step.phase] = now - self._began.setdefault(step.phase, now)
        for children in Path("/proc/self/task").glob("*/children"):
            self.workers = max([self.workers, *map(highest_memory, children.read_text().split())])


def differing(one: Path, other: Path) -> list[str]:
    """Files, those of the stages included, that are not the same in both folders."""
    found = [
        {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (one, other)
    ]
    return sorted(name for name in {**found[0], **found[1]} if found[0].get(name) != found[1].get(name))


def main() -> None:
    source, out, workers, *stop = sys.argv[1:]
    watch = Watch()
    began = time.perf_counter()
    made = run(Path(source), Path(out), int(workers), kill_at(stop[0], int(stop[1])) if stop else watch)
    print(json.dumps({
        "items": made.splits["test"], "left_out": len(made.left_out), "seconds": time.perf_counter() - began,
        "stages": watch.seconds, "parent": highest_memory(), "workers": watch.workers,
    }))  # fmt: skip


if __name__ == "__main__":
    main()
