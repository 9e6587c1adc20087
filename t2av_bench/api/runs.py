"""A run folder as a notebook sees it."""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports.render.html import html
from reports.render.terminal import terminal
from reports.tables.build import build, interval_ends, measured_cell
from reports.tables.measured import over_all_clips
from reports.tables.model import TableColumn
from t2av_bench.comparison.freezing import Frozen, Media, freeze
from t2av_bench.evaluation.config import EvaluateConfig, load
from t2av_bench.evaluation.planning import requested
from t2av_bench.evaluation.reasons import Reason, count
from t2av_bench.results import baseline
from t2av_bench.results.columns import Column
from t2av_bench.results.run import RunResult
from t2av_bench.results.run import open_run as read
from t2av_bench.results.store import ScoreRow
from t2av_bench.scores import Status
from t2av_bench.utils.config import ConfigError
from t2av_bench.utils.frames import frame
from t2av_bench.utils.reasons import refusals
from t2av_bench.utils.text import counted

if TYPE_CHECKING:
    from pandas import DataFrame

AnyPath = str | os.PathLike[str]
SCORES = {
    "clip": "text", "metric": "text", "quantity": "text", "value": "float64", "status": "text", "reason": "text",
    "weight": "float64", "fingerprint": "text",
}  # fmt: skip
SUMMARY = {
    "metric": "text", "quantity": "text", "label": "text", "value": "float64", "low": "float64", "high": "float64",
    "scored": "int64", "total": "int64", "status": "text", "reason": "text", "penalised": "float64",
    "within_one": "float64", "direction": "text", "unit": "text", "stand_in": "bool", "fingerprint": "text",
    "no_interval": "text",
}  # fmt: skip
REASONS = {
    "status": "text", "reason": "text", "alike": "bool", "clips": "int64", "metrics": "object", "examples": "object",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Logged:
    """What became of logging a run. where: its address, or the folder that holds it; None where it is nowhere.

    hint: what is said in its place, with what to type next. reason: why it is not logged; its scores are in the run
    folder all the same.
    """

    logger: str
    where: str | None = None
    hint: str = ""
    reason: str | None = None

    def __str__(self) -> str:
        if self.reason is not None:
            again = "the same command tries it again, measuring nothing"
            return f"not logged to {self.logger}: {self.reason.rstrip('.')}; {again}"
        return f"logged to {self.logger}: {self.hint or self.where}"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Run:
    """One system's clips with their scores, as they stand in a run folder now; what is read is kept.

    path: the run folder. notices: what was to be known of the files when it was evaluated; empty for a run that was
    opened. logged: what became of ``log``; None where it was not asked for. Raises ValueError where the folder holds no
    run.
    """

    def __init__(self, path: AnyPath, *, notices: Sequence[str] = (), config: EvaluateConfig | None = None) -> None:
        self.path = Path(path)
        self.notices = tuple(notices)
        self.logged: Logged | None = None
        self._config = config
        with refusals():
            self.result: RunResult = read(self.path)

    @property
    def name(self) -> str:
        """The system's name in tables."""
        return self.result.name

    @property
    def clips(self) -> list[str]:
        """The clips' ids, in order."""
        return list(self.result.clips)

    @cached_property
    def scores(self) -> "DataFrame":
        """One row for every clip and quantity: a value, or the reason why there is none.

        clip, metric, quantity: ids. value: float, NaN where there is none. status: ``ok``, ``failed``,
        ``not_applicable``. reason: None where there is a value. weight: see ``Score.weight``. fingerprint: of the
        metric's protocol.
        """
        return frame((score_row(row) for row in self.result.score_rows()), SCORES)

    @cached_property
    def summary(self) -> "DataFrame":
        """One row for every quantity over all clips, in the order of tables.

        value: NaN where there is none, for the ``reason``. low, high: 95 % bootstrap interval, NaN where there is none,
        for the reason ``no_interval``; those of distances between sets take a while. scored, total: clips that the
        value covers, and clips that there are. penalised: the value with failed clips at their penalty. within_one: of
        an offset, the share of clips at most 1 from 0. direction: ``higher``, ``lower`` or ``none``. stand_in: made by
        a bundled extractor, not comparable with published numbers.
        """
        return frame((self._summary_row(column) for column in self.result.columns), SUMMARY)

    @cached_property
    def reasons(self) -> "DataFrame":
        """Why scores are missing, each reason once: failures first, those of most clips first.

        clips: how many it costs. metrics: which, as a tuple. examples: up to three clips. alike: whether the others'
        reasons differ in names and numbers alone.
        """
        rows = [
            {"status": str(status), **reason.as_dict(), "metrics": reason.metrics, "examples": reason.clips[:3]}
            for status in (Status.FAILED, Status.NOT_APPLICABLE) for reason in self.counted(status)
        ]  # fmt: skip
        return frame(rows, REASONS)

    @property
    def failed_clips(self) -> int:
        """Clips that failed in some metric of the last evaluation."""
        return len({failure["clip"] for failure in self.result.failures if not failure["outdated"]})

    @property
    def missing(self) -> list[str]:
        """Metrics asked for by name that have no value; all that were measured where none of them has any."""
        return missing_metrics(self.config, self.result.columns)

    @property
    def exit_status(self) -> int:
        """That of ``t2av-bench evaluate``: 1 where more clips failed, or metrics are missing, than was allowed, or the
        scores could not be logged."""
        config = self.config
        many = self.failed_clips > (config.max_failures if config else 0)
        unlogged = self.logged is not None and self.logged.reason is not None
        return int(many or unlogged or bool(self.missing and not (config and config.allow_missing)))

    def as_dict(self) -> dict[str, Any]:
        """What ``t2av-bench evaluate --json`` prints."""
        kinds = (Status.FAILED, Status.NOT_APPLICABLE)
        return {
            "run": str(self.path), "system": self.name, "clips": len(self.result.clips),
            "columns": [column_document(column) for column in self.result.columns],
            "failures": self.result.failures,
            "notices": list(self.notices), "missing": self.missing, "exit_status": self.exit_status,
            "logged": self.logged.as_dict() if self.logged else None,
            "reasons": {str(kind): [reason.as_dict() for reason in self.counted(kind)] for kind in kinds},
        }  # fmt: skip

    def counted(self, status: Status) -> list[Reason]:
        """The reasons of one status with all of their clips, those of most clips first."""
        rows = (row for row in self.result.score_rows() if row.score.status is status)
        return count((row.clip, row.metric, str(row.score.reason)) for row in rows)

    def save_baseline(self, file: AnyPath) -> list[str]:
        """Write the small JSON file that ``regress`` takes as its baseline: ``t2av-bench baseline save``.

        Returns notes on what could not be kept.
        """
        with refusals():
            return baseline.save(self.result.recorded, Path(file))

    def freeze(
        self, out: AnyPath, *, items: int | None = None, ids: Sequence[str] | None = None, media: Media = "copy"
    ) -> Frozen:  # fmt: skip
        """Make a regression set of the run's items in a folder: ``t2av-bench data freeze``.

        items: how many, drawn; ids: which; all where neither is given. media: ``copy`` the files, or ``link`` them.
        """
        with refusals():
            return freeze(self.result, Path(out), items=items, ids=ids, media=media)

    def __repr__(self) -> str:
        shown = terminal(build([self.result]), width=100, fit=True)
        return f"Run {self.name}: {counted(len(self.clips))} ({self.path})\n{shown.rstrip()}"

    def _repr_html_(self) -> str:
        return html(build([self.result]))

    @property
    def config(self) -> EvaluateConfig | None:
        """What the last evaluation was asked for; None where the run folder does not say it any more."""
        if self._config is None:
            try:
                self._config = load(self.path / "evaluate.toml", {})
            except ConfigError:
                return None
        return self._config

    def _summary_row(self, column: Column) -> dict[str, Any]:
        quantity, summary = column.quantity, column.summary
        shown = TableColumn(quantity.name, quantity.label, quantity.direction, quantity=quantity, metric=column.metric)
        found = over_all_clips(self.result, column)
        cell = measured_cell(found, shown, ends=interval_ends([found], shown, wanted=True)[0])
        low, high = cell.interval or (None, None)
        return column_document(column) | {
            "label": quantity.label, "low": low, "high": high, "within_one": summary.within_one, "unit": quantity.unit,
            "stand_in": column.stand_in, "no_interval": cell.no_interval or None,
        }  # fmt: skip


def open_run(path: AnyPath) -> Run:
    """A run folder that ``evaluate`` or ``run`` made. Raises ValueError where it is none."""
    return Run(path)


def score_row(row: ScoreRow) -> dict[str, Any]:
    """A score as a row of ``Run.scores``."""
    score = row.score
    return {
        "clip": row.clip, "metric": row.metric, "quantity": row.quantity, "value": score.value,
        "status": str(score.status), "reason": score.reason, "weight": score.weight, "fingerprint": row.fingerprint,
    }  # fmt: skip


def column_document(column: Column) -> dict[str, Any]:
    """A run's quantity as ``--json`` prints it."""
    return {
        "quantity": column.quantity.name, "metric": column.metric, "fingerprint": column.fingerprint,
        "direction": column.quantity.direction, "embedded": column.stand_in, **column.summary.as_dict(),
    }  # fmt: skip


def missing_metrics(config: EvaluateConfig | None, found: Sequence[Column]) -> list[str]:
    """Metrics asked for by name that have no value at all; all that were measured where none of them has any."""
    later = config is not None and config.shard is not None  # 'merge' makes the distances between sets
    scored = {
        column.metric for column in found
        if column.summary.score.value is not None or later and column.quantity.aggregate == "set"
    }  # fmt: skip
    named = requested(config.metrics) if config else []
    if not scored and not named:
        return sorted({column.metric for column in found})
    return [metric for metric in named if metric not in scored]
