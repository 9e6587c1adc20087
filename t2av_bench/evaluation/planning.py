"""Everything that can be wrong with a request to evaluate, found before anything is measured, and said at once."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from t2av_bench.benchmarks.manifest import Entry, read_manifest
from t2av_bench.benchmarks.pairing import pair, survey
from t2av_bench.errors import MediaError
from t2av_bench.evaluation.config import EvaluateConfig
from t2av_bench.evaluation.reasons import count
from t2av_bench.media.clip import Clip
from t2av_bench.metrics import create, metric_class, registry, resolve
from t2av_bench.metrics.base import Metric, Settings
from t2av_bench.results.store import Store
from t2av_bench.utils.config import folded
from t2av_bench.weights.needs import lacks

# What a clip was asked to be: a metric may look at it. Labels (speaker, licence, unknown keys, …) move no score.
_ASKED = ("scene", "voice_description", "reference_voice_text", "seconds")


class RunError(ValueError):
    """A run that cannot be started or continued; the message says what to type next."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is going to be measured. options: of the metrics, by id. notices: what the user should know before.

    shard: of a part of the items, which (``I/N``), and number and digest of all items; None where it is the whole.
    """

    metrics: dict[str, Metric]
    options: dict[str, dict[str, Any]]
    entries: list[Entry]
    notices: list[str]
    shard: dict[str, Any] | None = None


def prepare(plan: EvaluateConfig) -> Prepared:
    """Look at paths, manifest, metrics and their options; measures nothing and writes nothing.

    Raises the error itself where there is one, RunError with all of them where there are several.
    """
    problems: list[Exception] = []
    told: list[str] = []

    def attempt(step: Callable[..., Any], *given: Any) -> Any:
        try:
            return step(*given)
        except (ValueError, OSError) as error:
            problems.append(error)
            return None

    ids = list(dict.fromkeys(id for name in plan.metrics for id in attempt(resolve, [name], told.append) or ()))
    if not problems and not ids:
        problems.append(RunError("--metrics names no metric; 't2av-bench list metrics' shows all"))
    # Where a metric's name is wrong, options for it are no second problem.
    options = dict(plan.options) if problems else attempt(registry.options_of, plan.options, ids) or {}
    settings = Settings(plan.device, plan.batch_size)
    metrics = {id: attempt(create, id, settings, options.get(id)) for id in ids}
    places = {"--out": plan.out, "--cache": plan.cache}
    named = {"--generated": plan.generated, "--reference": plan.reference, "--manifest": plan.manifest, **places}
    for option, path in named.items():
        attempt(_check_name, option, path)
    for option, path in places.items():
        attempt(_check_place, option, path)
    attempt(_check_apart, plan)
    planned = attempt(pair, plan.generated, plan.reference, plan.manifest, plan.limit)
    if planned is None:  # it gives up at the first of these
        attempt(survey, plan.generated)
        if plan.reference:
            attempt(survey, plan.reference)
        if plan.manifest:
            attempt(read_manifest, plan.manifest)
    problems = list({str(problem): problem for problem in problems}.values())
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise RunError(f"{len(problems)} problems:" + "".join(f"\n  - {problem}" for problem in problems))
    entries, notices = planned
    shard = None
    if plan.part:
        entries, shard = _dealt(entries, *plan.part)
        notices.append(f"shard {plan.shard}: {len(entries)} of {shard['items']} items")
    return Prepared(metrics, options, entries, [*dict.fromkeys(told), *notices, *_unscorable(entries)], shard)


def _dealt(entries: list[Entry], index: int, parts: int) -> tuple[list[Entry], dict[str, Any]]:
    """One of so many parts of the items, and what it is a part of.

    Items are dealt like cards: by their place in the list, which is the same for all parts. So parts are of equal size,
    neighbours (of one speaker, of one length) are spread, and the order of the whole can be told from the parts.
    """
    if parts > len(entries):
        raise RunError(f"--shard {index}/{parts}: there are {len(entries)} items; cut them into {len(entries)} at most")
    ids = json.dumps([entry.item.id for entry in entries])
    whole = {"items": len(entries), "digest": hashlib.sha256(ids.encode()).hexdigest()}
    return entries[index - 1 :: parts], {"index": index, "parts": parts, **whole}


def requested(names: Iterable[str]) -> list[str]:
    """The metrics that the user asked for by name, not by ``all``: ids. They are missed where they score nothing."""
    return resolve([name for name in names if folded(name) != "all"])


def announced(names: Sequence[str]) -> list[str]:
    """What metrics lack here, to be said before hours of measuring; of those that ``all`` stands for, packages alone.

    Names that are none are left to ``prepare``, which says at once all that is wrong.
    """
    try:
        named = requested(names)
        rest = [id for id in resolve(names) if id not in named]
    except ValueError:
        return []
    told = (lacks(*map(metric_class, named)), lacks(*map(metric_class, rest), weights=False))
    return [text for text in told if text]


def _check_place(option: str, path: Path | None) -> None:
    """A folder to write into, there or still to be made."""
    if path is None:
        return
    existing = next(each for each in (path.absolute(), *path.absolute().parents) if os.path.lexists(each))
    if not existing.is_dir():
        raise RunError(f"{option} {path}: {existing} is not a folder; choose another place")


def _check_apart(plan: EvaluateConfig) -> None:
    """The database is no neighbour of clips, which other programs list, copy and delete."""
    for option, folder in (("--generated", plan.generated), ("--reference", plan.reference)):
        if folder is not None and plan.out.resolve() == folder.resolve():
            raise RunError(
                f"--out {plan.out} is the folder of clips of {option}, and results would lie among them; give a folder "
                f"of their own, such as --out {plan.out / 'run'}, or leave --out out"
            )


def _check_name(option: str, path: Path | None) -> None:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise RunError(f"{option} {os.fsencode(str(path))!r}: the path is not UTF-8; rename the folder") from None


def _unscorable(entries: list[Entry]) -> list[str]:
    """What is known by now of scores that will be missing, by reason."""
    told = []
    for what, known in (
        ("failed", [(entry.item.id, "", entry.reason) for entry in entries if entry.reason]),
        ("without a reference", [(entry.item.id, "", entry.unpaired) for entry in entries if entry.unpaired]),
    ):
        told += [f"{len(reason.clips)} of {len(entries)} items {what}: {reason.told()}" for reason in count(known)]
    return told


def keep_finished(store: Store, plan: EvaluateConfig, entries: list[Entry], out: Path) -> None:
    """Items that left the plan leave the run; but a limit is for trying things, and must not cost what is finished."""
    if plan.limit is None:
        return
    kept = {entry.item.id for entry in entries}
    lost = {clip for clip, _ in store.finished()} - kept
    if lost:
        raise RunError(
            f"--limit {plan.limit} would drop the scores of {len(lost)} more clips from {out}: choose another --out "
            "folder, or leave --limit out"
        )


def file_digests(entry: Entry) -> list[str | None]:
    """sha256 of a clip's files: generated, reference (both with their sound where that is a file of its own), voice,
    portrait. None: not named, or cannot be read."""
    item = entry.item
    files = (
        (entry.generated, item.audio), (entry.reference, item.reference_audio), (item.reference_voice, None),
        (item.identity_image, None),
    )  # fmt: skip
    found: list[str | None] = []
    for file, sound in files:
        try:
            found.append(Clip(file, sound_path=sound).digest if file else None)
        except MediaError:
            found.append(None)  # measuring it will say why
    return found


def inputs_of(entry: Entry, digests: list[str | None]) -> str:
    """Identifies the contents that a clip's scores depend on: a changed file or text is measured again.

    Fields that came later count where they are set, so that items without them keep the identity that they had.
    """
    item = entry.item
    content: list[Any] = [digests, item.text, item.language]
    asked = {name: value for name in _ASKED if (value := getattr(item, name)) is not None}
    if asked:
        content.append(asked)
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
