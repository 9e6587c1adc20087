"""``t2av-bench evaluate``: progress on stderr, the result on stdout."""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar

from t2av_bench.cli.console import Console, TextColumn
from t2av_bench.evaluation.config import (
    EvaluateConfig,
    Plan,
    check_device,
    dump,
    load,
    plan_of,
)
from t2av_bench.evaluation.evaluate import Progress, evaluate
from t2av_bench.evaluation.planning import requested
from t2av_bench.evaluation.reasons import Reason, count
from t2av_bench.results.columns import RESULTS, Column, columns, failures
from t2av_bench.results.store import Store
from t2av_bench.scores import Status
from t2av_bench.utils.files import write_text
from t2av_bench.utils.plugins import stdout_to_stderr
from t2av_bench.utils.terminal_text import echo
from t2av_bench.utils.text import some

TOO_MANY_FAILURES = 1


def run(file: Path | None, given: dict[str, Any], as_json: bool) -> int:
    """Evaluate and print; returns the exit status."""
    config = load(file, given)
    plan = plan_of(config)
    check_device(config.device)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    notices: list[str] = []

    def notice(text: str) -> None:
        notices.append(text)
        console.print(f"note: {text}", markup=False)

    with _Display(console) as display, stdout_to_stderr():
        evaluate(plan, config.out, display.update, notice)
    write_text(config.out / "evaluate.toml", dump(config))
    with Store(config.out / RESULTS) as store:
        failed = failures(store)
        missing = missing_metrics(config, columns(store))
        reasons = {status: _reasons(store, status) for status in (Status.FAILED, Status.NOT_APPLICABLE)}
        clips = len({failure["clip"] for failure in failed if not failure["outdated"]})
        status = TOO_MANY_FAILURES if clips > config.max_failures or (missing and not config.allow_missing) else 0
        if as_json:
            told = {
                "notices": notices, "missing": missing, "exit_status": status,
                "reasons": {str(kind): [reason.as_dict() for reason in found] for kind, found in reasons.items()},
            }  # fmt: skip
            echo(json.dumps(_result(config, plan, store, failed) | told, indent=1, ensure_ascii=False))
        else:
            from reports.render.formats import markdown
            from reports.tables.build import build, read_run

            echo(markdown(build([read_run(config.out)])), nl=False)
    _tell(console, "failed", reasons[Status.FAILED])
    named = requested(config.metrics)
    _tell(console, "not applicable", [
        reason for reason in reasons[Status.NOT_APPLICABLE] if any(metric in named for metric in reason.metrics)
    ])  # fmt: skip
    if clips > config.max_failures:
        console.print(
            f"{clips} clip{'s' if clips > 1 else ''} failed in some metric, --max-failures allows "
            f"{config.max_failures}: exit status 1. The same command tries them again."
        )
    if missing and not config.allow_missing:
        console.print(
            f"{some(missing, 6)}: no clip was scored: exit status 1 (--allow-missing accepts that)", markup=False
        )
    return status


def missing_metrics(config: EvaluateConfig, found: list[Column]) -> list[str]:
    """Metrics asked for by name that have no value at all; all that were measured where none of them has any."""
    scored = {column.metric for column in found if column.summary.score.value is not None}
    named = requested(config.metrics)
    if not scored and not named:
        return sorted({column.metric for column in found})
    return [metric for metric in named if metric not in scored]


def _reasons(store: Store, status: Status) -> list[Reason]:
    return count((row.clip, row.metric, str(row.score.reason)) for row in store.scores() if row.score.status is status)


def _result(config: EvaluateConfig, plan: Plan, store: Store, failed: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "run": str(config.out),
        "system": plan.name,
        "clips": len(store.clips()),
        "columns": [
            {
                "quantity": column.quantity.name,
                "metric": column.metric,
                "fingerprint": column.fingerprint,
                "direction": column.quantity.direction,
                "embedded": column.embedded,
                **column.summary.as_dict(),
            }
            for column in columns(store)
        ],
        "failures": failed,
    }


def _explain(console: Console, failed: list[dict[str, Any]]) -> None:
    """The reasons of ``failures``."""
    _tell(console, "failed", count((row["clip"], row["metric"], row["reason"]) for row in failed))


def _tell(console: Console, what: str, reasons: list[Reason], most: int = 12) -> None:
    """Reasons with the number of clips and the metrics they cost, the worst first; whatever is left out is counted."""
    for position, reason in enumerate(reasons[:most]):
        if position == 0:
            console.print(f"{what}:")
        clips = f"{len(reason.clips)} clip{'s' if len(reason.clips) > 1 else ''}"
        text = reason.text + (" (the others alike)" if reason.alike else "")
        console.print(f"  {clips}  {some(reason.clips)}: {text}  [{some(reason.metrics, 6)}]", markup=False)
    if len(reasons) > most:
        console.print(f"  and {len(reasons) - most} more reasons: evaluate --json lists all")


class _Display:
    """A progress bar with time left on a terminal; elsewhere a line every tenth of the work."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._counts: Counter[Status] = Counter()
        self._tenth = 0
        self._bar = Bar(
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), console=console, transient=True,
            disable=not sys.stderr.isatty(),
        )  # fmt: skip
        self._task = self._bar.add_task("starting", total=None)

    def __enter__(self) -> "_Display":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def update(self, progress: Progress) -> None:
        self._counts[progress.status] += 1
        description = f"{progress.metric}  {progress.clip}"[:48]
        self._bar.update(self._task, total=progress.total, completed=progress.done, description=f"{description:<48}")
        tenth = 10 * progress.done // progress.total
        if self._bar.disable and tenth > self._tenth:
            failed = self._counts[Status.FAILED]
            self._console.print(f"{progress.done}/{progress.total} measurements, {failed} failed", markup=False)
        self._tenth = tenth
