"""``t2av-bench evaluate``: progress on stderr, the result on stdout."""

import json
import os
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

from t2av_bench.config import EvaluateConfig, dump, load
from t2av_bench.files import write_text
from t2av_bench.runs import RESULTS, Plan, Progress, columns, evaluate, failures
from t2av_bench.scores import Status
from t2av_bench.store import Store
from t2av_bench.terminal_output import Console, TextColumn
from t2av_bench.terminal_text import echo

TOO_MANY_FAILURES = 1


def run(file: Path | None, given: dict[str, Any], as_json: bool) -> int:
    """Evaluate and print; returns the exit status."""
    config = load(file, given)
    plan = _plan(config)
    _check_device(config.device)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    with _Display(console) as display:
        evaluate(plan, config.out, display.update, lambda text: console.print(f"note: {text}", markup=False))
    write_text(config.out / "evaluate.toml", dump(config))
    with Store(config.out / RESULTS) as store:
        failed = failures(store)
        if as_json:
            echo(json.dumps(_result(config, plan, store, failed), indent=1, ensure_ascii=False))
        else:
            from reports.render import markdown
            from reports.table import build, read_run

            echo(markdown(build([read_run(config.out)])), nl=False)
    _explain(console, failed)
    clips = len({failure["clip"] for failure in failed})
    if clips > config.max_failures:
        console.print(
            f"{clips} clips failed in some metric, --max-failures allows {config.max_failures}: exit status 1. "
            "The same command tries them again."
        )
        return TOO_MANY_FAILURES
    return 0


def default_workers(device: str) -> int:
    """One process a core; one alone where they would share a GPU."""
    return len(os.sched_getaffinity(0)) if device == "cpu" else 1


def _plan(config: EvaluateConfig) -> Plan:
    return Plan(
        name=config.name or config.generated.resolve().name,
        generated=config.generated,
        reference=config.reference,
        manifest=config.manifest,
        metrics=config.metrics,
        device=config.device,
        batch_size=config.batch_size,
        workers=config.workers or default_workers(config.device),
        timeout=config.timeout,
        cache=config.cache,
        options=config.options,
        step=config.step,
    )


def _check_device(device: str) -> None:
    """ValueError where the device is not there, before hours are spent failing clip by clip."""
    if device == "cpu":
        return
    import torch

    backend = device.split(":")[0]
    available = torch.cuda.is_available() if backend == "cuda" else torch.backends.mps.is_available()
    if not available or (":" in device and int(device.split(":")[1]) >= torch.cuda.device_count()):
        raise ValueError(f"--device {device}: torch {torch.__version__} finds no such device here; use --device cpu")


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


def _explain(console: Console, failed: list[dict[str, Any]], most: int = 12) -> None:
    """Reasons of failures, each once, with the clips that share it; whatever is left out is counted."""
    clips_of: dict[tuple[str, str], dict[str, None]] = {}
    for failure in failed:
        clips_of.setdefault((failure["reason"], failure["metric"]), {})[failure["clip"]] = None
    shared: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (reason, metric), found in clips_of.items():
        shared.setdefault((reason, tuple(found)), []).append(metric)
    if shared:
        console.print("failed:")
    for (reason, clips), metrics in list(shared.items())[:most]:
        named = ", ".join(clips[:4]) + (f" and {len(clips) - 4} more" if len(clips) > 4 else "")
        console.print(f"  {named}: {reason}  [{', '.join(metrics)}]", markup=False)
    if len(shared) > most:
        console.print(f"  and {len(shared) - most} more reasons: evaluate --json lists all")


class _Display:
    """A progress bar with time left on a terminal; elsewhere a line every tenth of the work."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._counts: Counter[Status] = Counter()
        self._tenth = 0
        self._bar = Bar(
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            TextColumn("left"), TimeRemainingColumn(), console=console, transient=True, disable=not sys.stderr.isatty(),
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
