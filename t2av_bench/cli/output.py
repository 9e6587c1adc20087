"""What a finished evaluation prints: its document as JSON, and why clips have no score."""

from typing import Any

from t2av_bench.cli.console import Console
from t2av_bench.evaluation.config import EvaluateConfig, Plan
from t2av_bench.evaluation.reasons import Reason, count
from t2av_bench.results.columns import columns
from t2av_bench.results.store import Store
from t2av_bench.scores import Status
from t2av_bench.utils.text import some


def reasons_of(store: Store, status: Status) -> list[Reason]:
    """Why scores of a status are missing, counted."""
    return count((row.clip, row.metric, str(row.score.reason)) for row in store.scores() if row.score.status is status)


def document(config: EvaluateConfig, plan: Plan, store: Store, failed: list[dict[str, Any]]) -> dict[str, Any]:
    """What ``--json`` prints of a run: its columns and its failures."""
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


def explain(console: Console, failed: list[dict[str, Any]]) -> None:
    """The reasons of ``failures``."""
    tell(console, "failed", count((row["clip"], row["metric"], row["reason"]) for row in failed))


def tell(console: Console, what: str, reasons: list[Reason], most: int = 12) -> None:
    """Reasons with the number of clips and the metrics they cost, the worst first; whatever is left out is counted."""
    for position, reason in enumerate(reasons[:most]):
        if position == 0:
            console.print(f"{what}:")
        clips = f"{len(reason.clips)} clip{'s' if len(reason.clips) > 1 else ''}"
        text = reason.text + (" (the others alike)" if reason.alike else "")
        console.print(f"  {clips}  {some(reason.clips)}: {text}  [{some(reason.metrics, 6)}]", markup=False)
    if len(reasons) > most:
        console.print(f"  and {len(reasons) - most} more reasons: evaluate --json lists all")
