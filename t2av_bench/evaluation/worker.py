"""Where measurements run: worker processes that each take one clip at a time.

A worker loads each network once. It computes with one thread, so that numbers do not depend on how many workers share
the machine. A clip that kills or hangs its worker costs itself one metric; a fresh worker takes over the rest.
"""

from collections import deque
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

from t2av_bench.benchmarks.manifest import Item
from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.media.limits import BATCH_BYTES, DEFAULT, FrameBudget, Limits
from t2av_bench.metrics.base import Measurement, Metric, Pair, SetMetric, Settings
from t2av_bench.metrics.check import OddAnswer, check, json_ready
from t2av_bench.results.features import FeaturesError, FeatureStore
from t2av_bench.scores import Status
from t2av_bench.utils.reasons import said, unexpected
from t2av_bench.utils.worker import Child
from t2av_bench.utils.worker_engine import Needs
from t2av_bench.utils.worker_pool import Done, Failure, Working

CLIPS_TOGETHER = 8
"""Clips that a worker on a GPU takes at a time, so that networks see samples of several (``Metric.prepare``)."""
FRAME_BYTES = 1 << 30
"""Decoded frames that a worker keeps for the next metric, of all its clips; what does not fit is decoded again. No
option: it moves speed alone, and ``--memory`` is the limit of everything that a worker holds."""
START_SECONDS = 300.0
"""Starting an interpreter and importing takes seconds, on a loaded machine many; no metric is to blame for that."""


@dataclass(frozen=True, slots=True)
class Job:
    """One clip and the metrics that it still needs; ``inputs`` identifies the contents that they look at.

    unpaired: see ``metrics.base.Pair``.
    """

    clip: str
    item: Item
    generated: Path
    reference: Path | None
    inputs: str
    metrics: tuple[str, ...]
    unpaired: str | None = None
    key: str = ""
    slots: tuple[str, ...] = ()
    start_seconds: float = START_SECONDS
    needs: Needs = Needs()

    @property
    def parts(self) -> tuple[str, ...]:
        return self.metrics


@dataclass(frozen=True, slots=True)
class Together:
    """Clips that one worker measures together; its parts are pairs (clip, metric)."""

    jobs: tuple[Job, ...]
    key: str = ""
    slots: tuple[str, ...] = ()
    start_seconds: float = START_SECONDS

    @property
    def needs(self) -> Needs:
        return self.jobs[0].needs

    @property
    def parts(self) -> tuple[tuple[str, str], ...]:
        return tuple((job.clip, name) for job in self.jobs for name in job.metrics)


def together(
    jobs: Sequence[Job], metrics: Mapping[str, Metric], device: str, workers: int = 1
) -> Iterator[Job | Together]:
    """The same jobs; on a GPU those that need the same metrics as one, where one of these gains from it.

    workers: that shall all have something to do.
    """
    most = 1 if device == "cpu" else max(1, min(CLIPS_TOGETHER, len(jobs) // workers))
    waiting: dict[tuple[tuple[str, ...], Needs], list[Job]] = {}
    for job in jobs:
        gains = any(type(metrics[name]).prepare is not Metric.prepare for name in job.metrics)
        alike = waiting.setdefault((job.metrics, job.needs), [])
        alike.append(job)
        if len(alike) == (most if gains else 1):
            yield _one_of(waiting.pop((job.metrics, job.needs)))
    yield from map(_one_of, waiting.values())


def _one_of(jobs: Sequence[Job]) -> Job | Together:
    return Together(tuple(jobs)) if len(jobs) > 1 else jobs[0]


@dataclass(frozen=True, slots=True)
class Aggregation:
    """A set metric's value over all clips: ``inputs`` of the measured ones, in the order of the items."""

    metric: str
    inputs: tuple[str, ...]
    clip: str = ""
    key: str = ""
    slots: tuple[str, ...] = ()
    start_seconds: float = START_SECONDS
    needs: Needs = Needs()

    @property
    def parts(self) -> tuple[str, ...]:
        return (self.metric,)


@dataclass(frozen=True, slots=True)
class MediaFacts:
    """What the files of a clip are (see MediaInfo); a side that cannot be read is left out."""

    clip: str
    media: dict[str, Any]


@dataclass(frozen=True, slots=True)
class MetricResult:
    """What one metric made of one clip: a measurement, or a status and its reason."""

    clip: str
    metric: str
    status: Status
    reason: str | None = None
    measurement: Measurement = field(default_factory=Measurement)


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """What every worker is given: settings, the folder of the feature store, options by metric id, and what is decoded
    of a clip at most.
    """

    settings: Settings
    features: Path
    options: dict[str, dict[str, Any]] = field(default_factory=dict)
    limits: Limits = DEFAULT


@dataclass(frozen=True)
class Measuring:
    """Work of a ``WorkerPool`` on jobs and aggregations: gives a clip's MediaFacts, then its MetricResults.

    The pool raises FeaturesError where features cannot be kept.
    """

    context: WorkerContext
    doing = "measuring"
    late = "no result within {:g} s (--timeout)"

    def start(self, slot: str | None = None) -> Child:
        return Child(_LoadedMetrics, self.context)

    def failed(self, failure: Failure, waiting: deque[Job | Together | Aggregation]) -> Iterator[MetricResult]:
        """The metric that was being measured is to blame; where nothing was measured, start-up itself failed.

        Of clips that were measured together each is tried again alone: any of them may be to blame, and a time or
        memory that several took says nothing about one.
        """
        job, left = failure.job, failure.left
        if isinstance(job, Together):
            alone = [
                replace(each, metrics=rest) for each in job.jobs
                if (rest := tuple(name for name in each.metrics if (each.clip, name) in left))
            ]  # fmt: skip
            if failure.lost:
                waiting.extend(alone)
            else:
                waiting.extendleft(reversed(alone))
            return
        blamed = left if failure.part is None else (failure.part,)
        if failure.part is None and len(left) < len(job.parts) or failure.leftovers or failure.lost:
            # It died between two metrics, earlier clips left memory behind, or its machine is gone: a fresh one tells.
            blamed = ()
        for name in blamed:
            yield MetricResult(job.clip, name, Status.FAILED, failure.reason)
        if rest := tuple(name for name in left if name not in blamed):
            again = waiting.append if failure.lost else waiting.appendleft
            again(job if isinstance(job, Aggregation) else replace(job, metrics=rest))


class _LoadedMetrics:
    """What a worker holds: its metrics and the features."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self._store = FeatureStore(context.features, context.settings.device)
        self._metrics: dict[str, Metric] = {}

    def __call__(self, job: Job | Together | Aggregation, tell: Callable[[Any], None]) -> None:
        try:
            if isinstance(job, Aggregation):
                tell(Working(job.metric))
                tell(Done(job.metric, _result("", job.metric, partial(self._set_measurement, job))))
            elif isinstance(job, Together):
                self._measure(job.jobs, tell, lambda clip, name: (clip, name))
            else:
                self._measure([job], tell, lambda clip, name: name)
        except FeaturesError as error:
            tell(FeaturesError(str(error)))  # itself it may hold what cannot be sent

    def _metric(self, name: str) -> Metric:
        from t2av_bench.metrics import create

        if name not in self._metrics:
            self._metrics[name] = create(name, self._context.settings, self._context.options.get(name))
        return self._metrics[name]

    def _measure(self, jobs: Sequence[Job], tell: Callable[[Any], None], part: Callable[[str, str], Hashable]) -> None:
        opened: list[tuple[Job, Pair, str | None]] = []
        budget = FrameBudget(FRAME_BYTES)
        try:
            for job in jobs:
                opened.append((job, *self._open(job, budget, tell)))
            if len(jobs) > 1:
                self._prepare(opened, tell)
            for job, pair, problem in opened:
                for name in job.metrics:
                    tell(Working(part(job.clip, name)))
                    if problem:
                        found = MetricResult(job.clip, name, Status.FAILED, problem)
                    else:
                        found = _result(job.clip, name, partial(self._measurement, job, name, pair))
                    tell(Done(part(job.clip, name), found))
                _release(pair)
        finally:
            for _, pair, _ in opened:
                _release(pair)

    def _open(self, job: Job, budget: FrameBudget, tell: Callable[[Any], None]) -> tuple[Pair, str | None]:
        """The clips of a job, and why the generated one cannot be opened."""
        from t2av_bench.media.clip import Clip

        # A network on a GPU leaves the processor idle; on the processor itself a second thread only takes its time.
        ahead = 0 if self._context.settings.device == "cpu" else BATCH_BYTES
        clip = partial(Clip, features=self._store, limits=self._context.limits, frame_budget=budget, ahead=ahead)
        pair = Pair(job.item, clip(job.generated, sound_path=job.item.audio), unpaired=job.unpaired)
        media = {}
        media["generated"], problem = _probe(pair.generated)
        if job.reference is not None:
            pair.reference = clip(job.reference, sound_path=job.item.reference_audio)
            media["reference"], pair.reference_problem = _probe(pair.reference)
        tell(Done(None, MediaFacts(job.clip, {side: facts for side, facts in media.items() if facts})))
        return pair, problem

    def _prepare(self, opened: Sequence[tuple[Job, Pair, str | None]], tell: Callable[[Any], None]) -> None:
        """What metrics compute for several clips at once; where that fails, measuring each of them says why."""
        pairs = [pair for _, pair, problem in opened if problem is None]
        for name in opened[0][0].metrics if pairs else ():
            tell(Working(share=len(pairs)))
            try:
                self._metric(name).prepare(pairs)
            except FeaturesError:
                raise
            except BaseException:  # a plug-in's sys.exit() too
                continue

    def _measurement(self, job: Job, name: str, pair: Pair) -> Measurement:
        metric = self._metric(name)
        found = check(metric, metric.measure(pair))
        if found.features:
            self._store.put(job.inputs, metric.protocol.fingerprint, "measurement", found.features)
        # Nobody in the parent looks at them, and a pipe is slow.
        return replace(found, features={})

    def _set_measurement(self, job: Aggregation) -> Measurement:
        metric = self._metric(job.metric)
        assert isinstance(metric, SetMetric)
        arrays = [self._store.get(inputs, metric.protocol.fingerprint, "measurement") for inputs in job.inputs]
        found = [each for each in arrays if each is not None]
        if lost := len(arrays) - len(found):
            raise Unscorable(f"the features of {lost} clips are gone; remove the run and evaluate again")
        return check(metric, metric.aggregate(found), of_set=True)


def _result(clip: str, name: str, measured: Callable[[], Measurement]) -> MetricResult:
    """What a metric found, or the reason why it found nothing: its defect must not cost the others."""
    try:
        return MetricResult(clip, name, Status.OK, None, measured())
    except NotApplicable as error:
        return MetricResult(clip, name, Status.NOT_APPLICABLE, said(error))
    except (Unscorable, OddAnswer) as error:
        return MetricResult(clip, name, Status.FAILED, said(error))
    except FeaturesError:
        raise
    except BaseException as error:  # a plug-in's sys.exit() too
        return MetricResult(clip, name, Status.FAILED, unexpected(error))


def _release(pair: Pair) -> None:
    for clip in (pair.generated, pair.reference):
        if clip is not None:
            clip.release()


def _probe(clip: Any) -> tuple[dict[str, Any] | None, str | None]:
    """A clip's facts, or why it cannot be opened."""
    try:
        facts = asdict(clip.info)
    except Unscorable as error:
        return None, said(error)
    except Exception as error:  # whatever a file does to the reader costs this clip alone
        return None, unexpected(error)
    return json_ready({key: str(value) if isinstance(value, Fraction) else value for key, value in facts.items()}), None
