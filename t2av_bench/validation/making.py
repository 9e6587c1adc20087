"""Writing the damaged clips of a set, in workers; what cannot be written has its reason.

``OUT/originals/`` holds the clips as they are, ``OUT/manifest.jsonl`` the items with these as references (or with
their own, in ``OUT/references/``), and ``OUT/clips/DAMAGE-GRADE/`` the damaged clips with ``failures.jsonl``: one line
with ``id`` and ``reason`` for each clip that could not be damaged so. A file that is there is complete, so the same
call goes on.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from filecmp import cmp
from pathlib import Path
from typing import Any

from t2av_bench.benchmarks.manifest import PATHS, Entry
from t2av_bench.benchmarks.pairing import FAILURES
from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.generation.requests import unusable_name
from t2av_bench.media.clip import Clip
from t2av_bench.utils.files import json_text, link, write_text
from t2av_bench.utils.progress import OnStep, Step
from t2av_bench.utils.reasons import said, unexpected
from t2av_bench.utils.worker import Child
from t2av_bench.utils.worker_engine import Needs
from t2av_bench.utils.worker_pool import Done, Failure, WorkerPool, Working
from t2av_bench.validation.damages import CONTROL, folder_of, suffix_of, write
from t2av_bench.validation.pictures import Source

Grade = tuple[str, float | str]
"""A damage by name, and how much of it; the control's is no damage's."""
UNDAMAGED: Grade = (CONTROL, 0)
_COMPARED = ("reference", "reference_audio", "reference_voice", "identity_image")


def place_of(folder: Path, id: str, grade: Grade) -> Path:
    """Where a clip of a grade is; ``folder``: that of all grades."""
    name = CONTROL if grade == UNDAMAGED else folder_of(*grade)
    return folder / name / f"{id}{suffix_of(*grade)}"


@dataclass(frozen=True, slots=True)
class _Job:
    """One clip, and the grades that are missing. files: of the clip (pictures, sound or None) and of another one."""

    id: str
    files: tuple[Path, Path | None]
    other: tuple[Path, Path | None] | None
    folder: Path
    parts: tuple[Grade, ...]
    key: str = ""
    slots: tuple[str, ...] = ()
    start_seconds: float = 300.0
    needs: Needs = Needs()


@dataclass(frozen=True, slots=True)
class _Written:
    id: str
    grade: Grade
    reason: str | None


@dataclass(frozen=True)
class _Writing:
    """Work of a ``WorkerPool``: a ``_Written`` for each grade of a job."""

    doing = "writing"
    late = "not written within {:g} s (--timeout)"

    def start(self, slot: str | None = None) -> Child:
        return Child(_Writer)

    def failed(self, failure: Failure, waiting: deque[_Job]) -> Iterator[_Written]:
        """The grade that was being written is to blame; the job's others are tried again."""
        job, blamed = failure.job, failure.left if failure.part is None else (failure.part,)
        blamed = () if failure.lost else blamed
        yield from (_Written(job.id, grade, failure.reason) for grade in blamed)
        if rest := tuple(grade for grade in failure.left if grade not in blamed):
            waiting.appendleft(_Job(job.id, job.files, job.other, job.folder, rest))


class _Writer:
    """What a worker does: one clip after the other, each with all of its grades."""

    def __call__(self, job: _Job, tell: Callable[[Any], None]) -> None:
        clip, other = (files and Clip(files[0], sound_path=files[1]) for files in (job.files, job.other))
        assert clip is not None
        control = place_of(job.folder, job.id, UNDAMAGED)
        for grade in job.parts:
            tell(Working(grade))
            reason = None
            try:
                write(Source(clip, other), job.id, *grade, place_of(job.folder, job.id, grade), control)
            except (Unscorable, NotApplicable) as error:
                reason = said(error)
            except Exception as error:  # whatever a clip does to a library costs it alone
                reason = unexpected(error)
            tell(Done(grade, _Written(job.id, grade, reason)))


def make(
    entries: Sequence[Entry], grades: Sequence[Grade], out: Path, pool: WorkerPool, workers: int, timeout: float,
    on_step: OnStep, *, own_references: bool = False,
) -> None:  # fmt: skip
    """Write every clip undamaged and with every grade, where it is not there.

    own_references: the manifest has the references that the items name, not the clips themselves.
    Raises ValueError where ``out`` holds the damaged copies of other clips.
    """
    folder = out / "clips"
    grades = [UNDAMAGED, *grades]
    kept = _keep_originals(entries, out, own_references)
    lost = {id: entry.reason or unusable_name(id) or "" for entry in entries if (id := entry.item.id) not in kept}
    failures: dict[Grade, dict[str, str]] = {grade: dict(lost) for grade in grades}
    jobs, names = [], list(kept)
    for id, following in zip(names, [*names[1:], *names[:1]], strict=True):
        missing = tuple(grade for grade in grades if not place_of(folder, id, grade).is_file())
        if missing:
            jobs.append(_Job(id, kept[id], kept[following] if following != id else None, folder, missing))
    total = len(names) * len(grades)
    done = total - sum(len(job.parts) for job in jobs)
    on_step(Step("damaging", done, total, "clips"))
    for found in pool.run(jobs, _Writing(), workers=workers, timeout=timeout):
        if found.reason is not None:
            failures[found.grade][found.id] = found.reason
        done += 1
        name = folder_of(*found.grade)
        on_step(Step("damaging", done, total, "clips", f"{name} {found.id}", found.reason is not None))
    for grade, reasons in failures.items():
        lines = (json_text({"id": id, "reason": reason}) + "\n" for id, reason in sorted(reasons.items()))
        write_text(place_of(folder, "", grade).parent / FAILURES, "".join(lines))


def _keep_originals(
    entries: Sequence[Entry], out: Path, own_references: bool
) -> dict[str, tuple[Path, Path | None]]:  # fmt: skip
    """Second names of the clips' files, by id, and the manifest that has them as references, or the items' own."""
    kept, lines = {}, []
    another = f"choose another {'--work' if own_references else '--out'}"
    for entry in entries:
        id, item = entry.item.id, entry.item
        fields = item.model_dump(exclude_defaults=True, exclude={"generated", *PATHS})
        if not entry.reason and entry.generated and not unusable_name(id):
            heard = Path(item.audio) if item.audio else None
            mine = {"reference": entry.generated, **({"reference_audio": heard} if heard else {})}
            names = {
                key: f"originals/{id}{'-sound' * (key != 'reference')}{path.suffix}" for key, path in mine.items()
            }  # fmt: skip
            kept[id] = (out / names["reference"], out / names["reference_audio"] if heard else None)
            if own_references:
                theirs = {key: Path(name) for key in _COMPARED if (name := getattr(item, key))}
                fields |= {key: f"references/{id}-{key}{path.suffix}" for key, path in theirs.items()}
                for key, path in theirs.items():
                    _link(path, out / fields[key], another)
            else:
                fields |= names
            for key, path in mine.items():
                _link(path, out / names[key], another)
        lines.append(json_text(fields) + "\n")
    known = {path for files in kept.values() for path in files}
    if others := sorted(path for path in (out / "originals").rglob("*") if path.is_file() and path not in known):
        raise ValueError(f"{out} holds damaged copies of other clips too ({others[0].name}): {another}")
    write_text(out / "manifest.jsonl", "".join(lines))
    return kept


def _link(source: Path, target: Path, another: str) -> None:
    if target.exists() and not (target.samefile(source) or cmp(source, target, shallow=False)):
        raise ValueError(f"{target} is a copy of what {source} was before it changed: {another}")
    if source.is_file() and not target.exists():
        link(source.resolve(), target)
