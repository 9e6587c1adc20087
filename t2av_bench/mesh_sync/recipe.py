"""What makes the packaged network again: features of the training clips, a network for each seed, one file of all."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from t2av_bench.media.clip import Features
from t2av_bench.mesh_sync import evaluation, network
from t2av_bench.mesh_sync.data import Repository, Sample, data_version, samples
from t2av_bench.mesh_sync.training import UPDATES, train
from t2av_bench.scores import library_versions
from t2av_bench.utils.machine import revision
from t2av_bench.utils.progress import Notice, OnStep, Step

SEEDS = (0, 1, 2)
FOLDS = 3
FILE, LOG = "sync_mesh.safetensors", "runs.jsonl"


def make(
    data: Path, out: Path, cache: Features, *, seeds: Sequence[int] = SEEDS, updates: int = UPDATES,
    install: bool = False, on_step: OnStep = lambda step: None, notice: Notice = lambda text: None,
) -> Path:  # fmt: skip
    """Train one network a seed on the training clips and write them into ``out`` as one file, whose path is returned.

    A seed whose network is there already is not trained again. install: also become this installation's network.
    Raises ValueError where the data are not those of the list.
    """
    if len(set(seeds)) != len(seeds) or not seeds:
        raise ValueError(f"seeds are different whole numbers, at least one, got {list(seeds)}")
    found = samples(Repository(data), "train", cache, on_step, lambda path, why: notice(f"{path} left out: {why}"))
    members = [member(found, seed, updates, out / f"seed{seed}-{updates}.safetensors", on_step) for seed in seeds]
    facts = {"seeds": list(seeds), **_facts(len(found), updates)}
    facts["command"] += "".join(f" --seed {seed}" for seed in seeds) + f" --updates {updates}"
    path = out / FILE
    network.save(members, path, facts)
    if install:
        network.save(members, network.CHECKPOINT, facts)
    return path


def member(found: Sequence[Sample], seed: int, updates: int, path: Path, on_step: OnStep) -> dict[str, np.ndarray]:
    """One seed's network, from its file where that is there and of the same data."""
    facts = {"seed": seed, **_facts(len(found), updates)}
    if path.is_file():
        made = network.load(path)
        if made.facts == facts:
            return made.members[0]
        raise ValueError(f"{path} is of other data or settings ({_differing(made.facts, facts)}): choose another --out")

    def report(update: int, numbers: dict[str, float]) -> None:
        shown = "  ".join(f"{name} {value:.3f}" for name, value in numbers.items())
        on_step(Step(f"training seed {seed}", update, updates, "updates", shown))

    arrays = train([sample.features for sample in found], seed, updates, report=report)
    network.save([arrays], path, facts)
    return network.load(path).members[0]


def evaluate(
    data: Path, weights: Path, cache: Features, split: str, on_step: OnStep = lambda step: None,
    notice: Notice = lambda text: None,
) -> dict[str, Any]:  # fmt: skip
    """Look at the clips of a split (``test``) once: the numbers of ``evaluation.evaluate``, which are also logged, in
    the package or, where that cannot be written, beside the network.

    Of a network of several seeds ``seeds`` has the numbers of each of them alone, without intervals.
    """
    repository = Repository(data)
    left: list[str] = []

    def leave(path: str, why: str) -> None:
        left.append(path)
        notice(f"{path} left out: {why}")

    cases = _cases(samples(repository, split, cache, on_step, leave), repository)
    whole = network.load(weights)
    numbers = evaluation.evaluate(cases, whole, len(cases) + len(left))
    if len(whole.members) > 1:
        numbers["seeds"] = [_alone(cases, network.MeshSyncNetwork([each])) for each in whole.members]
    log(f"mochabench {split}", weights, numbers, (evaluation.RUNS, weights.with_name(LOG)), notice)
    return numbers


def _alone(cases: Sequence[evaluation.Case], seed: network.MeshSyncNetwork) -> dict[str, float]:
    found = evaluation.evaluate(cases, seed, len(cases), intervals=False)
    return {name: number[0] for name, number in found.items() if name != "clips" and isinstance(number, list)}


def evaluate_folder(folder: Path, weights: Path, cache: Features, notice: Notice) -> dict[str, Any]:
    """The same of a folder of anybody's clips, which have no published scores; logged beside the network alone."""
    cases, count = evaluation.cases_in(folder, cache, lambda name, why: notice(f"{name} left out: {why}"))
    numbers = evaluation.evaluate(cases, network.load(weights), count)
    log(f"folder {folder.resolve().name}", weights, numbers, (weights.with_name(LOG),), notice)
    return numbers


def cross_validate(
    data: Path, cache: Features, *, seed: int = 0, updates: int = UPDATES, on_step: OnStep = lambda step: None,
    notice: Notice = lambda text: None,
) -> list[dict[str, Any]]:  # fmt: skip
    """The training clips in three parts by person: each scored by a network trained on the other two. For tuning: no
    test clip is looked at, and nothing is logged."""
    repository = Repository(data)
    found = samples(repository, "train", cache, on_step, lambda path, why: notice(f"{path} left out: {why}"))
    persons = sorted({sample.clip.person for sample in found})
    fold = {person: place % FOLDS for place, person in enumerate(persons)}
    numbers = []
    for number in range(FOLDS):
        held = [sample for sample in found if fold[sample.clip.person] == number]
        rest = [sample.features for sample in found if fold[sample.clip.person] != number]

        def report(update: int, _: dict[str, float], number: int = number) -> None:
            on_step(Step(f"training fold {number}", update, updates, "updates"))

        trained = network.MeshSyncNetwork([train(rest, seed, updates, report=report)])
        numbers.append(evaluation.evaluate(_cases(held, repository), trained, len(held)))
    return numbers


def log(what: str, weights: Path, numbers: dict[str, Any], places: Sequence[Path], notice: Notice) -> None:
    """Log in the first of the places that can be written. The numbers have been paid for: they are told in any case."""
    facts = {"what": what, "commit": revision(), "weights": network.digest(weights), "data": data_version(), **numbers}
    for place in places:
        try:
            evaluation.log_run(facts, place)
        except OSError as error:
            notice(f"this look cannot be logged in {place}: {error.strerror or error}")
        else:
            notice(f"logged in {place}")
            if place != places[0]:
                notice(f"add the last line of {place} to {places[0]} before the numbers are published")
            return


def _facts(clips: int, updates: int) -> dict[str, Any]:
    """What a network depends on beside its seed."""
    return {
        "command": "t2av-bench train sync-mesh", "data_version": data_version(), "clips": clips, "updates": updates,
        "libraries": library_versions("numpy", "torch"),
    }  # fmt: skip


def _differing(found: dict[str, Any], wanted: dict[str, Any]) -> str:
    keys = sorted(key for key in found.keys() | wanted.keys() if found.get(key) != wanted.get(key))
    return ", ".join(f"{key} {found.get(key)} against {wanted.get(key)}" for key in keys)


def _cases(found: Sequence[Sample], repository: Repository) -> list[evaluation.Case]:
    stated = repository.published()
    return [
        evaluation.Case(sample.clip.path, sample.clip.person, sample.features, stated.get(sample.clip.path))
        for sample in found
    ]
