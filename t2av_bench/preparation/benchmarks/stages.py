"""Stages of a preparation on disk: a row an id, made in parallel, continued where it was interrupted.

    .prepare/STAGE.jsonl          the rows of a finished stage, by id
    .prepare/STAGE.part.jsonl     rows of one that is under way, as they come

Every row carries the digest of what it was made from, so that the same command makes only what is missing or stands on
other ground: a clip that came later, another option, a newer version of the stage.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.preparation.clip_work import Alive, ClipWork
from t2av_bench.utils import json_lines
from t2av_bench.utils.files import disk_trouble, json_text, replacing
from t2av_bench.utils.progress import OnStep, Step
from t2av_bench.utils.reasons import said, unexpected
from t2av_bench.utils.worker_engine import Needs
from t2av_bench.utils.worker_pool import WorkerPool

FOLDER = ".prepare"
Row = dict[str, Any]
Task = Callable[[Any, Any, Alive], Row]
"""tools, content, alive -> row; Unscorable says why there is none. ``alive`` is called now and then."""


@dataclass(frozen=True, slots=True)
class Job:
    """One row to make. task: a function of a module. content: what it takes; made_from: JSON of all that moves it."""

    id: str
    task: Task = field(compare=False)
    content: Any = field(compare=False)
    made_from: Any = field(compare=False)
    slots: tuple[str, ...] = ()
    start_seconds: float = 600.0
    needs: Needs = Needs()

    @property
    def key(self) -> str:
        return ""

    @property
    def parts(self) -> tuple[str]:
        return (self.id,)

    @property
    def digest(self) -> str:
        return hashlib.sha256(json.dumps(self.made_from, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class _Result:
    job: Job
    row: Row
    disk: int | None = None


class Stages:
    """The stages of one folder. tools: called with ``arguments`` in each worker; what it gives is the tasks' first
    argument.
    """

    def __init__(
        self, folder: Path, pool: WorkerPool, tools: Callable[..., Any], arguments: tuple[Any, ...], *, workers: int,
        timeout: float, memory: float | None, on_step: OnStep,
    ) -> None:  # fmt: skip
        self.folder = folder / FOLDER
        self._pool, self._work = pool, _Work(tools, arguments)
        self._workers, self._timeout, self._memory, self._on_step = workers, timeout, memory, on_step

    def run(self, stage: str, jobs: Sequence[Job], valid: Callable[[Row], bool] = lambda row: True) -> dict[str, Row]:
        """Rows by id in the order of ids; one with a ``reason`` has nothing else, and with ``again`` it is tried again
        by the next call. valid: whether what a row of an earlier call speaks of is there still.

        Raises OSError for a full disk, NotApplicable where the tools cannot be loaded.
        """
        digests = {job.id: job.digest for job in jobs}
        rows = {
            id: row for id, row in self._kept(stage).items()
            if row.get("made_from") == digests.get(id) and not row.get("again") and valid(row)
        }  # fmt: skip
        missing = [job for job in jobs if job.id not in rows]
        done = len(jobs) - len(missing)
        self._on_step(Step(stage, done, len(jobs), "clips"))
        if missing:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._part(stage).open("ab") as part:
                for found in self._pool.run(
                    missing, self._work, workers=self._workers, timeout=self._timeout, most=self._memory
                ):
                    if found.disk is not None:
                        raise OSError(found.disk, os.strerror(found.disk), str(self.folder.parent))
                    row = {"id": found.job.id, "made_from": digests[found.job.id], **found.row}
                    rows[found.job.id] = row
                    part.write(json_text(row).encode() + b"\n")
                    part.flush()
                    done += 1
                    self._on_step(Step(stage, done, len(jobs), "clips", found.job.id, "reason" in row))
        ordered = {job.id: rows[job.id] for job in sorted(jobs, key=lambda job: job.id)}
        self.write(stage, ordered.values())
        self._part(stage).unlink(missing_ok=True)
        return ordered

    def write(self, stage: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """A stage's rows, replacing those that are there."""
        write_lines(self.folder / f"{stage}.jsonl", rows)

    def _part(self, stage: str) -> Path:
        return self.folder / f"{stage}.part.jsonl"

    def _kept(self, stage: str) -> dict[str, Row]:
        """Rows of the finished stage, and of one under way; of the latter the last line may be torn."""
        found: dict[str, Row] = {}
        for path in (self.folder / f"{stage}.jsonl", self._part(stage)):
            if path.is_file():
                for _, line in json_lines.numbered(path.read_bytes()):
                    try:
                        row = json_lines.parse(line)
                    except json_lines.LineError:
                        continue
                    found[row["id"]] = row
        return found


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """JSON Lines, atomically; a file that holds the same already stays as it is."""
    text = "".join(json_text(row) + "\n" for row in rows)
    if path.is_file() and path.read_bytes() == text.encode():
        return
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


class _Work(ClipWork[Job, _Result]):
    doing, held = "preparing", "what looks at the clips"

    @staticmethod
    def task_of(job: Job) -> tuple[str, str]:
        return job.task.__name__, job.id

    @staticmethod
    def lost(job: Job, reason: str) -> _Result:
        return _Result(job, {"reason": reason, "again": True})

    @staticmethod
    def carry_out(job: Job, held: Any, alive: Alive) -> _Result:
        try:
            return _Result(job, job.task(held, job.content, alive))
        except NotApplicable:
            raise
        except Unscorable as reason:
            return _Result(job, {"reason": said(reason)})
        except BaseException as error:  # a clip may break any library; it costs itself alone
            return _Result(job, {"reason": unexpected(error), "again": True}, disk_trouble(error))
