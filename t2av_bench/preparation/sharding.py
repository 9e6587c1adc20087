"""Encoding many clips into a folder of shards: in parallel, interrupted and continued, always the same bytes.

The clips of a list are cut into blocks of ``BLOCK``; each block becomes a shard, which therefore depends neither on
the number of workers nor on who was quicker. What is finished lies in the folder:

    settings.json            what the shards are made of and by; a folder of other settings is refused
    NNNNN.safetensors        the shard of block N, see ``reference_model.training.shards``
    .parts/NNNNN.json        written when a block is finished: its shard, and why clips of it were left out
    .parts/NNNNN/            clips of an unfinished block: a shard of one clip each, or the reason in a ``.json``
    index.json, lengths.npy  written at the end, with left_out.jsonl: id and reason of every clip that is no sample;
                             ``.parts`` goes then
"""

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.preparation.clip_work import Alive, ClipWork
from t2av_bench.utils import json_lines
from t2av_bench.utils.files import disk_trouble, json_text, write_text
from t2av_bench.utils.progress import OnStep, Step
from t2av_bench.utils.reasons import said, unexpected
from t2av_bench.utils.worker_engine import Needs
from t2av_bench.utils.worker_pool import WorkerPool

if TYPE_CHECKING:
    from reference_model.training.samples import Sample

BLOCK = 1000
LEFT_OUT, SETTINGS = "left_out.jsonl", "settings.json"
_PARTS = ".parts"


class Encoder(Protocol):
    """What a worker makes samples with. dims: ``speech_dim``, ``motion_dim`` and ``speaker_dim`` of every sample."""

    @property
    def dims(self) -> Mapping[str, int]: ...

    def __call__(self, content: Any, alive: Callable[[], None], /) -> "Sample":
        """Raises Unscorable with the reason why there is no sample. ``alive`` is called while that takes long."""
        ...


@dataclass(frozen=True, slots=True)
class EncodingTask:
    """A clip to encode: ``content`` is for the encoder; ``identity``: what its sample depends on, JSON-ready.

    reason: why the clip is left out before anything is read of it.
    """

    id: str
    content: Any
    identity: Any
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Shards:
    """A finished folder: ``prepared`` samples, and why each other clip was left out: (id, reason)."""

    folder: Path
    prepared: int
    left_out: list[tuple[str, str]]

    @property
    def total(self) -> int:
        return self.prepared + len(self.left_out)


@dataclass(frozen=True, slots=True)
class _Job:
    """A clip on its way to ``out``, a path without suffix: where it stands in which block."""

    block: int
    place: int
    id: str
    content: Any = field(compare=False)
    out: Path
    dtype: str
    key: str = ""
    slots: tuple[str, ...] = ()
    start_seconds: float = 600.0
    needs: Needs = Needs()

    @property
    def parts(self) -> tuple[str]:
        return (self.id,)


@dataclass(frozen=True, slots=True)
class _Result:
    job: _Job
    reason: str | None
    disk: int | None = None


def make_shards(
    clips: Sequence[EncodingTask], encoder: Callable[..., Encoder], arguments: tuple[Any, ...], folder: Path,
    settings: Mapping[str, Any], *, workers: int, dtype: str = "float32", timeout: float = 1800.0,
    memory: float | None = None, on_step: OnStep = lambda step: None,
) -> Shards:  # fmt: skip
    """Encode clips, each in a process that holds ``encoder(*arguments)``, into ``folder``; or continue, or find it.

    settings: what the encoder's samples depend on, JSON-ready. dtype: of the stored latents. timeout: seconds without
    a sign of life; memory: bytes that one process may hold. Raises ValueError for a folder of other settings, and
    where no clip at all became a sample, NotApplicable for an encoder that lacks something, OSError for a full disk.
    """
    from reference_model.training.shards import INDEX, write_index

    _settle(folder, clips, {**settings, "dtype": dtype})
    if (folder / INDEX).is_file():
        return _finished(folder, clips)
    blocks = [clips[start : start + BLOCK] for start in range(0, len(clips), BLOCK)]
    for unfinished in folder.glob(".*.safetensors.*.part"):
        unfinished.unlink()
    jobs = _missing(folder, blocks, dtype)
    done = len(clips) - len(jobs)
    on_step(Step("preparing", done, len(clips), "clips"))
    for job, reason in _encoded(folder, blocks, jobs, encoder, arguments, workers, dtype, timeout, memory):
        done += 1
        on_step(Step("preparing", done, len(clips), "clips", job.id, reason is not None))
    records = [json.loads(_record(folder, number).read_text(encoding="utf-8")) for number in range(len(blocks))]
    left_out = [row for record in records for row in record["left_out"]]
    shards = [record["shard"] for record in records if record["shard"]]
    write_text(folder / LEFT_OUT, "".join(json_text(row) + "\n" for row in left_out))
    if not shards:
        raise ValueError(f"none of {len(clips)} clips could be prepared, and {folder / LEFT_OUT} says why of each; the "
                         f"first: {left_out[0]['id']}: {left_out[0]['reason']}")  # fmt: skip
    write_index(folder, next(record["dims"] for record in records if record["dims"]), shards)
    shutil.rmtree(folder / _PARTS, ignore_errors=True)
    return _finished(folder, clips)


def _settle(folder: Path, clips: Sequence[EncodingTask], settings: Mapping[str, Any]) -> None:
    """Write what the folder is made of, or compare. Raises ValueError where it differs."""
    from reference_model.training.shards import INDEX

    digest = hashlib.sha256()
    for clip in clips:
        digest.update(json.dumps([clip.id, clip.identity], sort_keys=True).encode())
    wanted = json.loads(json.dumps({**settings, "clips": len(clips), "list": digest.hexdigest()}))
    path = folder / SETTINGS
    if not path.is_file():
        if any(folder.glob("*.safetensors")) and (folder / INDEX).is_file():
            raise ValueError(f"{folder} holds shards that this command did not write: choose another folder (--out)")
        write_text(path, json_text(wanted, indent=1) + "\n")
        return
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}): choose another folder (--out)") from error
    if found != wanted:
        keys = [key for key in {**wanted, **found} if found.get(key) != wanted.get(key)]
        told = [f"{key} {found.get(key)!r:.80} there, {wanted.get(key)!r:.80} now" for key in keys if key != "list"]
        told += ["other clips or texts"] if "list" in keys else []
        raise ValueError(
            f"{folder} was made with other settings ({'; '.join(told)}): choose another folder (--out) or remove it; "
            'training takes several folders, data.t2av = ["a", "b"]'
        )


def _finished(folder: Path, clips: Sequence[EncodingTask]) -> Shards:
    rows = [json_lines.parse(line) for _, line in json_lines.numbered((folder / LEFT_OUT).read_bytes())]
    left_out = [(row["id"], row["reason"]) for row in rows]
    return Shards(folder, len(clips) - len(left_out), left_out)


def _record(folder: Path, number: int) -> Path:
    return folder / _PARTS / f"{number:05d}.json"


def _staged(folder: Path, number: int, place: int) -> Path:
    """Where clip ``place`` of a block lies, without its suffix."""
    return folder / _PARTS / f"{number:05d}" / f"{place:05d}"


def _answer(staged: Path) -> Path | None:
    """The file of a clip that is finished: its sample, or the reason why it has none."""
    found = (staged.with_suffix(suffix) for suffix in (".safetensors", ".json"))
    return next((path for path in found if path.is_file()), None)


def _missing(folder: Path, blocks: Sequence[Sequence[EncodingTask]], dtype: str) -> list[_Job]:
    """What is still to be encoded. A block of which nothing is becomes its shard now."""
    jobs: list[_Job] = []
    for number, block in enumerate(blocks):
        if _record(folder, number).is_file():
            continue
        before = len(jobs)
        for place, clip in enumerate(block):
            staged = _staged(folder, number, place)
            if clip.reason is None and _answer(staged) is None:
                jobs.append(_Job(number, place, clip.id, clip.content, staged, dtype))
        if len(jobs) == before:
            _close(folder, number, block, dtype)
    return jobs


def _encoded(
    folder: Path, blocks: Sequence[Sequence[EncodingTask]], jobs: Sequence[_Job], encoder: Callable[..., Encoder],
    arguments: tuple[Any, ...], workers: int, dtype: str, timeout: float, memory: float | None,
) -> Iterator[tuple[_Job, str | None]]:  # fmt: skip
    """Encode what is missing, a shard as soon as its block is complete; gives each clip's job and reason."""
    missing = Counter(job.block for job in jobs)
    with WorkerPool() as pool:
        for found in pool.run(jobs, _Encoding(encoder, arguments), workers=workers, timeout=timeout, most=memory):
            if found.disk is not None:
                raise OSError(found.disk, os.strerror(found.disk), str(folder))
            if found.reason is not None:
                write_text(found.job.out.with_suffix(".json"), json_text({"reason": found.reason}) + "\n")
            number = found.job.block
            missing[number] -= 1
            if not missing[number]:
                _close(folder, number, blocks[number], dtype)
            yield found.job, found.reason


def _close(folder: Path, number: int, block: Sequence[EncodingTask], dtype: str) -> None:
    """Join the clips of a complete block to its shard; the record comes last, then the parts go."""
    import torch
    from safetensors import safe_open

    from reference_model.training.shards import read_shard, write_shard

    entries, left_out, dims = [], [], None
    for place, clip in enumerate(block):
        reason = clip.reason
        path = None if reason is not None else _answer(_staged(folder, number, place))
        if path is not None and path.suffix == ".json":
            reason = json.loads(path.read_text(encoding="utf-8"))["reason"]
        if path is None or reason is not None:
            left_out.append({"id": clip.id, "reason": reason})
            continue
        entries += read_shard(path)
        with safe_open(path, "pt") as file:
            dims = json.loads(file.metadata()["dims"])
    shard = None
    if entries:
        shard = write_shard(folder / f"{number:05d}.safetensors", entries, dims or {}, getattr(torch, dtype))
    write_text(_record(folder, number), json_text({"shard": shard, "dims": dims, "left_out": left_out}) + "\n")
    shutil.rmtree(_staged(folder, number, 0).parent, ignore_errors=True)


class _Encoding(ClipWork[_Job, _Result]):
    doing, held = "encoding", "the encoder"

    @staticmethod
    def task_of(job: _Job) -> Path:
        return job.out

    @staticmethod
    def lost(job: _Job, reason: str) -> _Result:
        return _Result(job, reason)

    @staticmethod
    def carry_out(job: _Job, held: Encoder, alive: Alive) -> _Result:
        import torch

        from reference_model.training.samples import SampleError
        from reference_model.training.shards import check_sample, write_shard

        try:
            sample = held(job.content, alive)
            check_sample(job.id, sample, held.dims)
            path, told = job.out.with_suffix(".safetensors"), {"dims": json.dumps(dict(held.dims))}
            write_shard(path, [(job.id, sample)], held.dims, getattr(torch, job.dtype), told)
        except (Unscorable, NotApplicable, SampleError) as reason:
            return _Result(job, said(reason))
        except BaseException as error:  # a clip may break any library; it costs itself alone
            return _Result(job, unexpected(error), disk_trouble(error))
        return _Result(job, None)
