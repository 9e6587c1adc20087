"""Which clips of a row are there, which have to be made, and making them; whatever cannot be made has its reason.

``out/clips/NAME/`` holds a row's clips and ``failures.jsonl``: one line with ``id`` and ``reason`` for each item that
has no clip. Failures are tried again when the command is repeated.
"""

import errno
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from t2av_bench import systems
from t2av_bench.benchmarks.manifest import Entry
from t2av_bench.benchmarks.pairing import located
from t2av_bench.errors import ItemError, NotApplicable
from t2av_bench.generation.records import (
    Standing,
    counted,
    fingerprint,
    made_from,
    mark,
    option_digests,
    remove_clip,
    standing,
)
from t2av_bench.generation.requests import ItemSet, Requests, unusable_name
from t2av_bench.generation.row import ExperimentRow
from t2av_bench.generation.sources import Digest
from t2av_bench.generation.worker import Generating, GenerationTask, Job
from t2av_bench.systems.base import GenerationFailed, OwnFiles, Request, System
from t2av_bench.utils.files import json_text, write_text
from t2av_bench.utils.registry import PluginError, calling
from t2av_bench.utils.worker_engine import Engine, Needs
from t2av_bench.utils.worker_pool import WorkerPool

FAILURES = "failures.jsonl"


@dataclass(slots=True)
class RowPlan:
    """A row's clips. made: ids whose clip is there; to_make: the other tasks; failures: id -> why there is none.

    again: why clips that are there are made again -> how many. unmarked: tasks of clips that stay, and whose records
    do not say yet what code made them. regenerate: all are made again on request. found: items of finished clips with
    their files, of a row that makes none. notices: for the user, about the row's choices and files.
    """

    row: ExperimentRow
    folder: Path
    items: ItemSet
    made: list[str] = field(default_factory=list)
    to_make: list[GenerationTask] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    again: Counter[str] = field(default_factory=Counter)
    unmarked: list[GenerationTask] = field(default_factory=list)
    regenerate: bool = False
    found: list[Entry] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        return len(self.items.entries)


def plan_row(
    row: ExperimentRow, items: ItemSet, folder: Path, run_seed: int, digest: Digest, regenerate: bool = False
) -> RowPlan:
    """Look at what is there; changes nothing. A system that is broken costs its own row alone.

    Clips that somebody else made are found in their folder, and neither copied nor changed: ItemError if it cannot be
    read. regenerate: make all clips again.
    """
    if row.clips is not None:
        plan = RowPlan(row, row.clips, items)
        entries = located(row.clips, items.entries)
        plan.failures = {entry.item.id: entry.reason for entry in entries if entry.reason}
        plan.found = [entry for entry in entries if not entry.reason]
        plan.made = [entry.item.id for entry in plan.found]
        return plan
    plan = RowPlan(row, folder, items, regenerate=regenerate)
    where = f"the system {row.system} is broken"
    try:
        kind = systems.system_class(row.system)
        requests = Requests(row, run_seed, items, kind, folder, digest)
        with calling(where):
            own = kind.files_of(**row.options)
        if own is not None:
            _keeps_elsewhere(row.options, folder)
        options = counted(row.system, row.options)
        files = option_digests(row.system, options, digest)
        with calling(where):
            source = made_from(row.system, row.options, digest)
    except PluginError as error:
        plan.failures = dict.fromkeys((entry.item.id for entry in items.entries), str(error))
        return plan
    if row.length not in (None, requests.length):
        plan.notices.append(f"length = {row.length!r} has no effect: {row.system} decides by itself how long it speaks")
    for entry in items.entries:
        id = entry.item.id
        try:
            with calling(where):
                request = requests.of(entry)
                named = _named(own, request)
        except PluginError as error:
            request = named = str(error)
        if isinstance(request, str) or isinstance(named, str):
            plan.failures[id] = str(request if isinstance(request, str) else named)
            continue
        held = files | {what: digest(path) for what, path in named.items()}
        earlier, wanted = (
            fingerprint(request, row.system, options, held, digest, stranger, requests.length)
            for stranger in (True, "stranger" in kind.needs[row.task])
        )
        task = GenerationTask(row.name, request, wanted, source, requests.length)
        if regenerate:
            found = Standing("--regenerate asks for it" if request.out.exists() else "")
        else:
            found = standing(request, wanted, source, earlier)
        if found.reason is None:
            plan.made.append(id)
            plan.unmarked += [task] * found.unmarked
        else:
            plan.to_make.append(task)
            plan.again.update([found.reason] if found.reason else [])
    if own is not None:
        plan.notices += own.notices({entry.item.id for entry in items.entries})
    return plan


def _named(own: OwnFiles | None, request: Request | str) -> Mapping[str, Path] | str:
    """The files that a request's clip alone is made from, or why there are none."""
    if own is None or isinstance(request, str):
        return {}
    try:
        return own.of(request)
    except (GenerationFailed, NotApplicable) as reason:
        return str(reason)


def _keeps_elsewhere(options: Mapping[str, Any], folder: Path) -> None:
    """ItemError where an option names what is below the clips' own folder: what is made again is removed first."""
    for name, value in options.items():
        if isinstance(value, Path) and value.resolve().is_relative_to(folder.resolve()):
            raise ItemError(f"option {name}: {value} is where this row's clips are written; keep its files elsewhere")


def make_rows(
    plans: Sequence[RowPlan], *, device: str, batch_size: int, workers: int, timeout: float, memory: float | None,
    on_result: Callable[[RowPlan, str, str | None], None], engine: Engine | None = None,
    needs: Callable[[str], Needs] = lambda id: Needs(),
) -> None:  # fmt: skip
    """Make the clips that are missing; ``on_result`` is told row, item id and reason (None: made) of each.

    memory: bytes that one worker may hold. engine: where workers run; needs: what they take there, by the system's id.
    Updates the plans. ``failures.jsonl`` is written also where this is interrupted. Raises OSError where the disk is
    full or cannot be written: no clip is to blame, and all would fail. Folders of finished clips are left as they are.
    """
    plans = [plan for plan in plans if plan.row.clips is None]
    by_name = {plan.row.name: plan for plan in plans}
    for plan in plans:
        _prepare(plan)
    jobs = list(_jobs(plans, device, batch_size, needs))
    try:
        with WorkerPool(engine) as pool:
            for found in pool.run(jobs, Generating(), workers=workers, timeout=timeout, most=memory):
                request = found.task.request
                if found.disk is not None:
                    raise OSError(found.disk, os.strerror(found.disk), str(request.out))
                plan = by_name[found.task.row]
                plan.to_make.remove(found.task)
                if found.reason is None:
                    plan.made.append(request.id)
                else:
                    remove_clip(request.out)  # an earlier one may be here, where it was made elsewhere
                    plan.failures[request.id] = found.reason
                on_result(plan, request.id, found.reason)
    except BaseException:
        with suppress(OSError):  # the disk may be what this is about
            for plan in plans:
                _write_failures(plan)
        raise
    for plan in plans:
        _write_failures(plan)


def _jobs(plans: Sequence[RowPlan], device: str, batch_size: int, needs: Callable[[str], Needs]) -> Iterator[Job]:
    for plan in plans:
        if not plan.to_make:  # also where the system is broken
            continue
        row, kind = plan.row, systems.system_class(plan.row.system)
        # Batches are for systems with code of their own for them and whose clips do not depend on the company.
        gains = kind.generate_batch is not System.generate_batch and kind.seed_support in ("full", "run")
        size = min(batch_size, kind.most_together or batch_size) if gains else 1
        # Equal where a loaded system serves both.
        key = json.dumps([row.system, row.options], sort_keys=True, default=str)
        try:
            with calling(f"the system {row.system} is broken"):
                slots = tuple(kind.slots(**row.options))
        except (NotApplicable, ValueError, PluginError):
            slots = ()  # loading says what is wrong
        for start in range(0, len(plan.to_make), size):
            tasks = tuple(plan.to_make[start : start + size])
            yield Job(key, row.system, row.options, device, tasks, slots, kind.start_seconds, needs(row.system))


def _prepare(plan: RowPlan) -> None:
    """Make the folder, and remove what a killed command left half-written, and clips of items that cannot be made."""
    plan.folder.mkdir(parents=True, exist_ok=True)
    if plan.to_make and not os.access(plan.folder, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(plan.folder))
    for left in plan.folder.rglob(".*.part"):
        shutil.rmtree(left, ignore_errors=True)
    for left in plan.folder.rglob(".*.json"):
        left.unlink(missing_ok=True)
    for id in plan.failures:
        if not unusable_name(id):
            remove_clip(plan.folder / f"{id}.mp4")
    for task in plan.to_make if plan.regenerate else ():  # at once: interrupted, it continues like any other run
        remove_clip(task.request.out)
    for task in plan.unmarked:
        mark(task.request, task.fingerprint, task.made_from)


def _write_failures(plan: RowPlan) -> None:
    path = plan.folder / FAILURES
    if not plan.failures:
        path.unlink(missing_ok=True)
        return
    ids = [entry.item.id for entry in plan.items.entries if entry.item.id in plan.failures]
    write_text(path, "".join(json_text({"id": id, "reason": plan.failures[id]}) + "\n" for id in ids))
