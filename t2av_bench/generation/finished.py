"""Rows of clips that somebody else made: found in their folder, and neither copied nor changed."""

from t2av_bench.benchmarks.pairing import located
from t2av_bench.generation.generate import RowPlan
from t2av_bench.generation.requests import ItemSet
from t2av_bench.generation.row import ExperimentRow


def plan_finished(row: ExperimentRow, items: ItemSet) -> RowPlan:
    """Which items have a clip in the row's folder, and why others have none. Raises ItemError if it is unreadable."""
    assert row.clips is not None
    plan = RowPlan(row, row.clips, items)
    for entry in located(row.clips, items.entries):
        if entry.reason:
            plan.failures[entry.item.id] = entry.reason
        else:
            plan.made.append(entry.item.id)
            plan.found.append(entry)
    return plan
