"""Systems that run in an interpreter of their own: a shim holds the model, and is asked for one clip after the other.

``worker.ID`` is the class of the specification ``ID``. The shim's word for success counts for nothing: a clip is what
was written, decodes, has the promised streams and the length that the specification's rule gives, within one frame.
"""

import inspect
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self

from t2av_bench.errors import Lack, NotApplicable, Unscorable
from t2av_bench.systems import output
from t2av_bench.systems.base import (
    SLOT,
    BatchSystem,
    GeneratedClip,
    GenerationFailed,
    OnProgress,
    Progress,
    Reason,
    Request,
    native_seed,
)
from t2av_bench.systems.delivery import as_reason, begin, deliver
from t2av_bench.systems.external.answers import product_of
from t2av_bench.systems.external.doctor import commit_of, state_of
from t2av_bench.systems.external.of_spec import SpecifiedSystem, class_of
from t2av_bench.systems.external.prepared import Prepared, prepare
from t2av_bench.systems.external.process import (
    SHARED,
    WORKER,
    Ended,
    Process,
    failure_kind,
    filled,
    private_folder,
    said_of,
)
from t2av_bench.systems.external.prompts import record_of, render
from t2av_bench.systems.external.settings import PLACES, Settings, gpu_slots, settings, weights_state
from t2av_bench.systems.external.spec import Spec, digests, shim_file, spec, spec_file

_LOGS = ".logs"
_MOST_STARTS = 3
_MOST_DEATHS = 5


@dataclass(slots=True)
class _Job:
    """A request on its way. asked: what the shim is told."""

    request: Request
    names: output.Names
    prepared: Prepared
    asked: dict[str, Any]
    answer: GeneratedClip | Reason | None = None


class WorkerSystem(SpecifiedSystem, BatchSystem):
    """A system of a specification with the carrier ``worker``. Its process starts with the first request.

    After a death or a request that takes too long the next request gets a fresh process; what keeps on failing to start
    (three times), or dies (five times without a clip), is asked no more.
    """

    places = (*PLACES, "item_seconds")

    def __init__(self, places: Settings, options: Mapping[str, Any], device: str, item_seconds: float) -> None:
        self._places, self._options, self._item_seconds = places, dict(options), item_seconds
        self._gpu = os.environ.get(SLOT) or (places.gpus[0] if places.gpus else _named(device))
        self._device = "cpu" if self._gpu == "" else "cuda:0"
        self._process: Process | None = None
        self._provenance: dict[str, Any] = {}
        self._failed_starts = self._deaths = self._count = 0
        self._given_up = ""

    @classmethod
    def load(cls, *, device: str = "cpu", **options: Any) -> Self:
        """Finds its interpreter, checkout and weights; nothing is started yet.

        python, checkout, weights, gpus, command: as in ``settings``; item_seconds: how long a clip may take.
        NotApplicable while something is missing.
        """
        places = settings(cls.id, **options)
        known = cls.spec.defaults
        chosen = known | {name: value for name, value in options.items() if name in known and value is not None}
        return cls(places, chosen, device, options.get("item_seconds") or cls.spec.item_seconds)

    @classmethod
    def missing(cls, **options: Any) -> list[Lack]:
        """Interpreter, checkout and weights; ``systems doctor`` looks into them."""

        how = (f"t2av-bench systems recipe {cls.id}", f"t2av-bench systems doctor {cls.id}")
        try:
            places = settings(cls.id, **options)
        except (NotApplicable, ValueError) as reason:
            return [Lack(str(reason), how, tuple(cls.spec.licences))]
        folders = dict.fromkeys((places.weights, places.checkout))
        absent = [
            weight.path for weight in cls.spec.weights if not any((each / weight.path).exists() for each in folders)
        ]
        if not absent:
            return []
        what = f"weights {', '.join(absent)} are not in {' or '.join(map(str, folders))}"
        return [Lack(what, how, tuple(cls.spec.licences))]

    @classmethod
    def checkpoint_files(cls, **options: Any) -> list[Path]:
        """The specification, the shim and what it stands on: clips are made again where one of them changes."""
        return [spec_file(cls.id), shim_file(cls.id), WORKER, SHARED]

    @classmethod
    def state(cls, **options: Any) -> dict[str, str]:
        """The checkout's commit and changes, and digests of the files of weights that the specification lists.

        Folders of weights are not read: a look would cost tens of GB.
        """
        try:
            places = settings(cls.id, **options)
            commit = state_of(places.checkout)
            listed = (places.weights / weight.path for weight in cls.spec.weights)
            found = weights_state(places.weights, (path for path in listed if path.is_file()))
        except (NotApplicable, ValueError, OSError):  # loading says what is wrong
            return {}
        return found | ({"checkout": commit} if commit else {})

    @classmethod
    def slots(cls, **options: Any) -> tuple[str, ...]:
        return gpu_slots(cls.id, options)

    @property
    def pid(self) -> int | None:
        """Of the process that holds the model, the first of its group."""
        return self._process.pid if self._process else None

    def close(self) -> None:
        if self._process:
            self._process.close()
            self._process = None

    def generate_batch(
        self, requests: Sequence[Request], on_progress: OnProgress | None = None
    ) -> list[GeneratedClip | Reason]:
        """As ``System.generate_batch``; a shim that takes lists gets as many at a time as it says."""
        jobs, made = begin(requests, self._job)
        waiting = list(jobs.values())
        while waiting:
            self._started(waiting[0], on_progress)
            if self._given_up:
                for job in waiting:
                    job.answer = NotApplicable(self._given_up)
                break
            if self._process is None:  # it did not start: this one is answered, the next one may try again
                waiting = waiting[1:]
                continue
            size = self._process.facts.get("chunk") or 1
            self._ask(waiting[:size], on_progress)
            waiting = waiting[size:]
        for number, job in jobs.items():
            assert job.answer is not None
            made[number] = job.answer
        return [made[number] for number in range(len(requests))]

    def _job(self, request: Request) -> _Job:
        self.check(request)
        names = output.names_of(request)
        return _Job(request, names, Prepared(), {"prompt": render(self.id, request)})

    def _started(self, job: _Job, on_progress: OnProgress | None) -> None:
        """A process that lives; where it cannot be had, ``job`` has its answer."""
        if self._given_up or (self._process and self._process.alive and not self._process.killed):
            return
        self.close()
        told = {
            "checkout": str(self._places.checkout), "weights": str(self._places.weights), "device": self._device,
            "options": self._options, "working_directory": self.spec.working_directory,
        }  # fmt: skip
        process, places, folder = None, self._places, private_folder()
        command = filled(places.command, folder, places.checkout, places.weights) or [str(places.python)]
        try:
            process = Process(command, shim_file(self.id), told, self.spec.variables, self._gpu, folder,
                              by_files=bool(places.command))  # fmt: skip
            process.ready(self.spec.start_seconds, lambda: _beat(job.request, "reading", on_progress))
        except Ended as ended:
            self._failed_starts += 1
            tail = "\n".join(process.log_tail(20)) if process else ""
            reason = f"start: {ended.kind}: {ended}"
            job.answer = GenerationFailed(f"{self.id}: {reason}{self._kept_log(job, process)}")
            if process:
                process.close()
            if self._failed_starts >= _MOST_STARTS:
                self._give_up(f"it could not be started {_MOST_STARTS} times in a row, the last time: {reason}", tail)
            return
        self._failed_starts, self._process = 0, process
        commit, changed = commit_of(self._places.checkout)
        self._provenance = {
            **{f"{name}_sha256": digest for name, digest in digests(self.id).items()},
            "written_for": f"{self.spec.repository}@{self.spec.commit}",
            "checkout": {"commit": commit, "changed": changed},
            "interpreter": process.facts.get("versions", {}), "gpu": self._gpu,
        }  # fmt: skip

    def _ask(self, jobs: Sequence[_Job], on_progress: OnProgress | None) -> None:
        """Answer all jobs. Of a list what was made counts; each that was not, and was not refused, is asked for once
        more, alone: one may have cost the others theirs.
        """
        process = self._process
        assert process is not None
        by_id: dict[str, _Job] = {}
        for job in jobs:
            self._count += 1
            id = f"i{self._count:06d}"
            try:
                job.prepared = prepare(job.request, process.folder / id, id, self.spec)
            except Unscorable as reason:
                job.answer = as_reason(reason)
                continue
            job.asked |= self._told(job, id)
            by_id[id] = job
        if not by_id:
            return
        process.start_log()
        asked, alone = list(by_id.values()), len(by_id) == 1
        try:
            for event in process.ask([job.asked for job in asked], self._item_seconds,
                                     lambda: _beat(asked[0].request, "generating", on_progress)):  # fmt: skip
                self._answered(by_id[event["id"]], event, alone)
        except Ended as ended:
            if alone:
                self._died(asked[0], process, ended)
        for id in by_id:  # not before: a list may run in the folder of its first
            shutil.rmtree(process.folder / id, ignore_errors=True)
        for job in asked:
            if job.answer is None:
                self._started(job, on_progress)
                if self._given_up:
                    job.answer = NotApplicable(self._given_up)
                elif job.answer is None:
                    self._ask([job], on_progress)

    def _died(self, job: _Job, process: Process, ended: Ended) -> None:
        self._deaths += 1
        job.answer = GenerationFailed(f"{self.id}: {ended.kind}: {ended}{self._kept_log(job, process)}")
        if self._deaths >= _MOST_DEATHS:
            self._give_up(f"it died {_MOST_DEATHS} times without a clip, the last time: {ended}",
                          "\n".join(process.log_tail(20)))  # fmt: skip

    def _told(self, job: _Job, id: str) -> dict[str, Any]:
        request = job.request
        return {
            "schema": 1, "id": id, "task": request.task, "seed": native_seed(request.seed), "text": request.text,
            "language": request.language, "voice_text": request.voice_text, "scene": request.scene,
            "voice_description": request.voice_description, "target_seconds": request.target_seconds,
            "max_seconds": request.max_seconds, "params": self._options, **job.prepared.files,
        }  # fmt: skip

    def _answered(self, job: _Job, event: Mapping[str, Any], alone: bool) -> None:
        """alone: there is no second try."""
        process = self._process
        assert process is not None
        try:
            if event["status"] != "ok":
                raise GenerationFailed(f"{failure_kind(event)}: {said_of(event)}")
            job.answer = self._delivered(job, event)
            self._deaths = 0
        except (Unscorable, NotApplicable) as reason:
            if alone or event["status"] == "refused":
                job.answer = GenerationFailed(f"{self.id}: {reason}{self._kept_log(job, process)}")
        if alone and event["status"] == "failed" and failure_kind(event) == "out_of_memory":
            process.kill()  # what it still holds would be missing for the next one

    def _delivered(self, job: _Job, event: Mapping[str, Any]) -> GeneratedClip:
        product = product_of(self.spec, job.request, job.prepared, event)
        product.native_seed = job.asked["seed"]
        product.settings = {"options": self._options}
        product.record = self._record(job, event)
        with output.staged(job.names) as folder:
            return deliver(self, job.request, job.names, folder, product)

    def _record(self, job: _Job, event: Mapping[str, Any]) -> dict[str, Any]:
        """What led to a clip beside what was asked for. Fields of the request that the system did not follow too."""
        facts = {**self._provenance, "peak_memory": event.get("peak_memory")}
        if job.prepared.face:
            facts["face"] = job.prepared.face
        return record_of(self.id, job.request, job.asked["prompt"], facts)

    def _kept_log(self, job: _Job, process: Process | None) -> str:
        """What it printed, beside the clips, and where for the reader; nothing where nothing was printed."""
        text = process.log_text().strip() if process else ""
        if not text:
            return ""
        path = job.names.record.parent / _LOGS / f"{job.names.record.stem}.log"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text + "\n", encoding="utf-8")
        except OSError:
            return ""
        return f" (what it printed: {_LOGS}/{path.name})"

    def _give_up(self, why: str, tail: str) -> None:
        self._given_up = f"{self.id} is asked no more: {why}" + (f"\n{tail}" if tail else "")


def _named(device: str) -> str | None:
    """What CUDA may use for a device: "" for none, the card of ``cuda:N``, None for whichever is first."""
    kind, _, number = device.partition(":")
    return (number or None) if kind == "cuda" else ""


def _beat(request: Request, stage: Any, on_progress: OnProgress | None) -> None:
    if on_progress:
        on_progress(Progress(request.id, stage, 0, 1, "clips"))


@cache
def _class_of(id: str) -> type[WorkerSystem]:
    found = spec(id)
    return class_of(
        WorkerSystem, found, "worker", _parameters(found), most_together=_list_size(shim_file(id)),
        __doc__=f"{found.title}, in an interpreter of its own.",
    )  # fmt: skip


def _list_size(shim: Path) -> int | None:
    """Of the lists that a shim takes: 1 for one that has ``make`` alone, what ``CHUNK`` says, or None: not said."""
    try:
        text = shim.read_text(encoding="utf-8")
    except OSError:  # starting it says what is wrong
        return 1
    if not re.search(r"^def make_many\b", text, re.MULTILINE):
        return 1
    said = re.search(r"^CHUNK\s*=\s*(\d+)", text, re.MULTILINE)
    return int(said[1]) if said else None


def _parameters(found: Spec) -> Iterator[inspect.Parameter]:
    own: dict[str, tuple[Any, Any]] = {
        "device": ("cpu", str), **dict.fromkeys(("python", "checkout", "weights"), (None, str | None)),
        "gpus": (None, Any), "command": (None, Any), "item_seconds": (None, float | None),
    }  # fmt: skip
    for name, option in found.options.items():
        kind = {bool: bool, int: int, float: float, str: str}.get(type(option.default), Any)
        own[name] = (option.default, float | int if kind is float else kind)
    for name, (default, kind) in own.items():
        yield inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)


def __getattr__(name: str) -> type[WorkerSystem]:
    try:
        return _class_of(name)
    except KeyError as error:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}: {error.args[0]}") from error
