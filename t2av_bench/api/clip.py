"""``score``: one clip, without a run folder."""

import atexit
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from threading import Lock
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from t2av_bench.api.runs import SCORES, AnyPath, score_row
from t2av_bench.benchmarks.manifest import Entry, Item
from t2av_bench.benchmarks.names import printable
from t2av_bench.benchmarks.pairing import Sounds
from t2av_bench.evaluation.config import check_device, load
from t2av_bench.evaluation.planning import file_digests, inputs_of
from t2av_bench.evaluation.scoring import scores_of
from t2av_bench.evaluation.worker import Job, Measuring, MetricResult, WorkerContext
from t2av_bench.media.limits import DEFAULT
from t2av_bench.metrics import create, registry, resolve
from t2av_bench.metrics.base import Metric, SetMetric, Settings
from t2av_bench.results.store import ScoreRow
from t2av_bench.scores import Score, Status, with_variant
from t2av_bench.utils.frames import frame
from t2av_bench.utils.memory import GB
from t2av_bench.utils.reasons import refusals
from t2av_bench.utils.worker_pool import WorkerPool
from t2av_bench.weights.needs import unusable

if TYPE_CHECKING:
    from pandas import DataFrame

_LOCK = Lock()


class ClipScores(Mapping[str, Score]):
    """Quantity -> Score, a value or the reason why there is none. A name that several metrics share has the metric's
    variant behind it: ``wer[pocketsphinx]``."""

    def __init__(self, rows: Sequence[ScoreRow]) -> None:
        self._rows = tuple(rows)
        shared = [row.quantity for row in rows]
        self._scores = {}
        for row in rows:
            self._scores[with_variant(row.quantity, row.metric, shared)] = row.score

    def __getitem__(self, quantity: str) -> Score:
        return self._scores[quantity]

    def __iter__(self) -> Iterator[str]:
        return iter(self._scores)

    def __len__(self) -> int:
        return len(self._scores)

    def to_frame(self) -> "DataFrame":
        """One row a quantity, with the columns of ``Run.scores``."""
        return frame((score_row(row) for row in self._rows), SCORES)

    def __repr__(self) -> str:
        width = max(map(len, self._scores), default=0)
        return "\n".join(
            f"{name:<{width}}  {score.reason if score.value is None else f'{score.value:.6g}'}"
            for name, score in self._scores.items()
        )

    def _repr_html_(self) -> str:
        found: str = self.to_frame().to_html(index=False)
        return found


def score(
    clip: AnyPath,
    metrics: str | Sequence[str] = "all",
    reference: AnyPath | None = None,
    text: str | None = None,
    language: str | None = None,
    *,
    audio: AnyPath | None = None,
    reference_audio: AnyPath | None = None,
    reference_voice: AnyPath | None = None,
    identity_image: AnyPath | None = None,
    device: str = "cpu",
    batch_size: int = 32,
    timeout: float = 1800.0,
    memory: float | None = None,
    max_seconds: float = DEFAULT.seconds,
    max_gigapixels: float = DEFAULT.gigapixels,
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> ClipScores:
    """Score one clip, as ``evaluate`` would: a value or a reason for each quantity; nothing is written.

    metrics: as of ``evaluate``. reference: the real clip. text, language: what should be said, and its ISO 639-1 code.
    audio, reference_audio: the sound in place of the clip's and of the reference's own (default: of a silent video the
    sound file of its name beside it). reference_voice, identity_image: the speaker's voice and portrait, where the
    reference does not show them. The others as of ``evaluate``.

    A process of its own measures and stays, with its networks loaded, until a call with another device, batch size,
    limits or options, or the end of the program. A metric that fails, crashes or hangs costs its own quantities.
    Distances between sets of clips (FID, …) do not apply to one. Raises ValueError for a file, metric or option that is
    not there.
    """
    files = {
        "clip": clip, "reference": reference, "audio": audio, "reference_audio": reference_audio,
        "reference_voice": reference_voice, "identity_image": identity_image,
    }  # fmt: skip
    paths = {name: Path(path).absolute() for name, path in files.items() if path is not None}
    for name, path in paths.items():
        if not path.is_file():
            wrong = "is a folder; evaluate scores folders" if path.is_dir() else "does not exist"
            raise ValueError(f"{name} {path} {wrong}")
    with refusals():
        plan = load(None, {
            "generated": paths["clip"], "metrics": metrics, "device": device, "batch_size": batch_size,
            "timeout": timeout, "memory": memory, "max_seconds": max_seconds, "max_gigapixels": max_gigapixels,
            "options": options,
        })  # fmt: skip
        check_device(device)
        ids = resolve(plan.metrics)
        given = registry.options_of(plan.options, ids)
        asked = {id: create(id, Settings(device, batch_size), given.get(id)) for id in ids}
        entry = Entry(_item(paths, text, language), paths["clip"], paths.get("reference"))
        inputs = inputs_of(entry, file_digests(entry))
        found = {id: known for id, metric in asked.items() if (known := _known(entry.item.id, metric))}
        wanted = tuple(id for id in asked if id not in found)
        if wanted:
            with _LOCK:
                pool, folder = _pool(os.getpid())
                work = Measuring(WorkerContext(Settings(device, batch_size), Path(folder), given, plan.limits))
                job = Job(
                    entry.item.id, entry.item, paths["clip"], entry.reference, inputs, wanted,
                    None if entry.reference else "no reference clip: give 'reference' to score()",
                )  # fmt: skip
                most = memory * GB if memory else None
                for result in pool.run([job], work, workers=1, timeout=timeout, most=most):
                    if isinstance(result, MetricResult):
                        found[result.metric] = result
    return ClipScores([
        ScoreRow(entry.item.id, id, quantity, metric.protocol.fingerprint, each)
        for id, metric in asked.items() for quantity, each in scores_of(metric, found[id], entry.item).items()
    ])  # fmt: skip


def _item(paths: Mapping[str, Path], text: str | None, language: str | None) -> Item:
    named: dict[str, str | None] = {
        name: str(paths[name]) for name in ("reference_voice", "identity_image") if name in paths
    }
    for side, name in (("clip", "audio"), ("reference", "reference_audio")):
        if side in paths:
            named[name] = Sounds().of(paths[side], str(paths[name]) if name in paths else None)
    try:
        return Item.model_validate({"id": printable(paths["clip"].stem), "text": text, "language": language, **named})
    except ValidationError as error:
        raise ValueError(
            "; ".join(f"{each['loc'][0]}: {each['msg']}, got {each['input']!r}" for each in error.errors())
        ) from error


def _known(clip: str, metric: Metric) -> MetricResult | None:
    """What is known without a look at the clip."""
    reason = unusable(metric)
    if isinstance(metric, SetMetric):
        reason = "a distance between sets of clips: evaluate measures it over a folder"
    return MetricResult(clip, metric.id, Status.NOT_APPLICABLE, reason) if reason else None


@cache
def _pool(program: int) -> tuple[WorkerPool, str]:
    """The process that measures for a program (by its id: a fork begins anew), and the folder of what it keeps."""
    pool, folder = WorkerPool(), mkdtemp(prefix="t2av-bench-")

    def end() -> None:
        if os.getpid() == program:  # a fork that ends takes nothing from the program
            pool.close()
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(end)
    return pool, folder
