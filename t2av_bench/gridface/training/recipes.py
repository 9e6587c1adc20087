"""What makes each bundled model, by name: the codec's components, the extractors' networks, the generators."""

import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from t2av_bench.gridface.models import checkpoints
from t2av_bench.gridface.training import generators
from t2av_bench.gridface.training.extractors import facts_of

EXTRACTORS = {
    "audio_codec": "latents:fit_codec", "motion_encoder": "motion:train", "identity_gallery": "identity_gallery:train",
    "sync": "sync:train", "frame_features": "features:train_frames", "clip_features": "features:train_clips",
}  # fmt: skip
"""What makes each, in the order in which they can be made: latents need the first, the gallery needs the second."""
_COMPUTED = ("audio_codec", "identity_gallery")
_SEEDS = {"talker_t2av": 2, "dual_branch": 2}
"""Models of the main table are trained this many times, others once."""


def chosen(names: Sequence[str]) -> list[str]:
    """Models by the names that a user types; ``all`` is every bundled one. ValueError for an unknown one."""
    wanted = dict.fromkeys(name for given in names for name in (packaged() if given == "all" else [given]))
    return [name if name in EXTRACTORS else str(_generator(name)) for name in wanted]


def packaged() -> list[str]:
    """The names of all bundled models, in the order in which they can be made."""
    runs = [generators.Run(model, seed) for model in generators.MODELS for seed in range(_SEEDS.get(model, 1))]
    return [*EXTRACTORS, *map(str, runs)]


def make(
    name: str, out: Path, *, updates: int | None = None, workers: int | None = None, install: bool = False,
    quiet: bool = False,
) -> Path | None:  # fmt: skip
    """Make the model ``name``, one of ``chosen``, below ``out``; returns its file, or None where a signal stopped it
    (and it can be continued).

    install: bundle it with this installation too. Raises ValueError for settings that do not fit.
    """
    if name in EXTRACTORS:
        return _make_extractor(name, out, updates, workers, install, quiet)
    from t2av_bench.gridface.training.latents import build_latents

    for split in ("train", "val"):
        build_latents(
            out / "latents", split, workers=workers, on_progress=(lambda *_: None) if quiet else _counter(split)
        )
    run = _generator(name)
    trained = generators.train(run, out / "latents", out / name, updates=updates, quiet=quiet)
    return generators.install(run, out / name) if install and trained else trained


def _generator(name: str) -> generators.Run:
    try:
        return generators.Run.parse(name)
    except ValueError as error:
        raise ValueError(f"{error}; the extractors are {', '.join(EXTRACTORS)}") from error


def _make_extractor(
    name: str, out: Path, updates: int | None, workers: int | None, install: bool, quiet: bool
) -> Path:  # fmt: skip
    options: dict[str, int | None] = {}
    if updates is not None:
        if name in _COMPUTED:
            raise ValueError(f"{name} is computed, not trained in updates: leave --updates out")
        options["updates"] = updates
    if name == "audio_codec":
        options["workers"] = workers
    module, _, function = EXTRACTORS[name].partition(":")
    maker = getattr(importlib.import_module(f"t2av_bench.gridface.training.{module}"), function)
    file = maker(out / name, quiet=quiet, **options)
    return checkpoints.add(name, file, facts_of(file)) if install else file


def _counter(split: str) -> Callable[[int, int], None]:
    def show(done: int, total: int) -> None:
        if done % 100 == 0 or done == total:
            print(f"latents of {split}: {done} of {total} clips", file=sys.stderr)

    return show
