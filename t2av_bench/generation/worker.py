"""Where clips are made: worker processes that each hold one loaded system and take a few requests at a time.

A worker computes with one thread, so that clips do not depend on how many workers share the machine. A request that
kills or hangs its worker costs itself one clip: those that were asked for together with it are asked for again alone.
"""

import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.generation.lengths import Length, with_length
from t2av_bench.generation.records import MadeFrom, finalize_record, remove_clip
from t2av_bench.systems.base import SLOT, GeneratedClip, Request, System
from t2av_bench.utils.files import disk_trouble
from t2av_bench.utils.reasons import said, unexpected
from t2av_bench.utils.worker import Child
from t2av_bench.utils.worker_engine import Needs
from t2av_bench.utils.worker_pool import Done, Failure, Working

_LOADING_TRIES = 2
_HEARTBEAT_SECONDS = 1.0
_Tell = Callable[[Any], None]


@dataclass(frozen=True, slots=True)
class GenerationTask:
    """A request, and the fingerprint and sources that its clip's record gets. row: whose clip it is.

    length: which one is told, see ``lengths``.
    """

    row: str
    request: Request
    fingerprint: str
    made_from: MadeFrom = field(compare=False)
    length: Length = "native"


@dataclass(frozen=True, slots=True)
class Job:
    """Requests that one system makes together. options are its own; equal systems have equal ``key``.

    slots, start_seconds: see ``System``.
    """

    key: str
    system: str
    options: Mapping[str, Any]
    device: str
    parts: tuple[GenerationTask, ...]
    slots: tuple[str, ...] = ()
    start_seconds: float = System.start_seconds
    needs: Needs = Needs()


@dataclass(frozen=True, slots=True)
class TaskResult:
    """What became of a task: reason is None where the clip is there. disk: error number of a full disk."""

    task: GenerationTask
    reason: str | None
    disk: int | None = None


class Generating:
    """Work of a ``WorkerPool`` on jobs: gives one TaskResult for each task."""

    doing = "generating"
    late = "no sign of life within {:g} s (timeout)"

    def __init__(self) -> None:
        self._unloaded: Counter[str] = Counter()

    def start(self, slot: str | None = None) -> Child:
        return Child(_LoadedSystem, slot)

    def failed(self, failure: Failure, waiting: deque[Job]) -> Iterator[TaskResult]:
        """One of several is to blame, or earlier clips left memory behind: each gets a try in a fresh worker.

        Where the system was not loaded no request is to blame; loading in vain again and again may take days.
        """
        job, blamed, reason = failure.job, failure.left, failure.reason
        if failure.lost:
            waiting.append(replace(job, parts=blamed))
            return
        if failure.loading:
            self._unloaded[job.key] += 1
            if not failure.refused and self._unloaded[job.key] < _LOADING_TRIES:
                waiting.appendleft(job)
                return
            others = [other for other in waiting if other.key == job.key]
            for other in others:
                waiting.remove(other)
            blamed = (*blamed, *(task for other in others for task in other.parts))
            reason = f"{job.system} cannot be loaded: {reason}"
        elif len(blamed) > 1 or failure.leftovers:
            waiting.extendleft(replace(job, parts=(task,)) for task in reversed(blamed))
            return
        for task in blamed:
            remove_clip(task.request.out)
            yield TaskResult(task, reason)


class _LoadedSystem:
    """What a worker holds: one system. slot: the accelerator that is its own."""

    def __init__(self, slot: str | None = None) -> None:
        if slot is not None:
            os.environ[SLOT] = slot
        self._key: str | None = None
        self._system: System | None = None

    def __call__(self, job: Job, tell: _Tell) -> str | None:
        from t2av_bench import systems

        if job.key != self._key:
            if self._system is not None:
                with suppress(Exception):  # it served well so far: what goes wrong now concerns no clip
                    self._system.close()
            self._key, self._system = None, None  # the old one's memory goes before the new one needs it
            try:
                self._system = systems.load(job.system, device=job.device, **job.options)
            except BaseException as error:  # a plug-in's sys.exit() too
                expected = isinstance(error, NotApplicable | ValueError | OSError)
                return said(error) if expected else unexpected(error)
            self._key = job.key
        assert self._system is not None
        tell(Working())
        _make(self._system, job.parts, tell)
        return None


def _make(system: System, tasks: Sequence[GenerationTask], tell: _Tell) -> None:
    """Tell the results of all tasks; where making them together breaks down, each is tried alone."""
    last = time.monotonic()

    def alive(_: object) -> None:
        nonlocal last
        if time.monotonic() - last > _HEARTBEAT_SECONDS:
            last = time.monotonic()
            tell(Working())

    for task in tasks:
        remove_clip(task.request.out)
    try:
        found = system.generate_batch([with_length(task.request, task.length) for task in tasks], alive)
        if len(found) != len(tasks):
            raise RuntimeError(f"{len(tasks)} requests, {len(found)} answers")
    except BaseException as error:  # a system's defect on one request must not cost the others
        if len(tasks) > 1:
            for task in tasks:
                _make(system, [task], tell)
            return
        expected = isinstance(error, NotApplicable | Unscorable)
        result = TaskResult(tasks[0], said(error) if expected else unexpected(error), disk_trouble(error))
        remove_clip(tasks[0].request.out)
        tell(Done(tasks[0], result))
        return
    for task, made in zip(tasks, found, strict=True):
        tell(Done(task, _finalized(task, made)))


def _finalized(task: GenerationTask, made: GeneratedClip | Exception) -> TaskResult:
    error = made if isinstance(made, Exception) else None
    if isinstance(made, GeneratedClip):
        try:
            finalize_record(task.request, made, task.fingerprint, task.made_from, task.length)
        except (Unscorable, OSError, ValueError) as trouble:
            error = trouble
    if error is not None:
        remove_clip(task.request.out)
    return TaskResult(task, None if error is None else said(error), disk_trouble(error))
