"""Which clips of a row are there, which have to be made, and making them; whatever cannot be made has its reason.

``out/clips/NAME/`` holds a row's clips and ``failures.jsonl``: one line with ``id`` and ``reason`` for each item that
has no clip. Failures are tried again when the command is repeated.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from t2av_bench import systems
from t2av_bench.benchmark_clips import Digest, discard, fingerprint, is_made, option_digests
from t2av_bench.benchmark_config import Row
from t2av_bench.benchmark_items import ItemSet, Requests, unusable_name
from t2av_bench.benchmark_workers import Job, Order, make
from t2av_bench.files import write_text
from t2av_bench.systems.base import System

FAILURES = "failures.jsonl"


@dataclass(slots=True)
class RowPlan:
    """A row's clips. made: ids whose clip is there; orders: those to be made; failures: id -> why there is none."""

    row: Row
    folder: Path
    items: ItemSet
    made: list[str] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return len(self.items.entries)


def plan_row(row: Row, items: ItemSet, folder: Path, run_seed: int, digest: Digest) -> RowPlan:
    """Look at what is there; changes nothing."""
    kind = systems.system_class(row.system)
    plan = RowPlan(row, folder, items)
    requests = Requests(row, run_seed, items, kind, folder, digest)
    files = option_digests(row.system, row.options, digest)
    for entry in items.entries:
        request = requests.of(entry)
        if isinstance(request, str):
            plan.failures[entry.item.id] = request
            continue
        wanted = fingerprint(request, row.system, row.options, files, digest)
        if is_made(request, wanted):
            plan.made.append(entry.item.id)
        else:
            plan.orders.append(Order(row.name, request, wanted))
    return plan


def make_rows(
    plans: Sequence[RowPlan], *, device: str, batch_size: int, workers: int, timeout: float,
    on_answer: Callable[[RowPlan, str, str | None], None], memory: float | None = None,
) -> None:  # fmt: skip
    """Make the clips that are missing; ``on_answer`` is told row, item id and reason (None: made) of each.

    Updates the plans. ``failures.jsonl`` is written also where this is interrupted.
    """
    by_name = {plan.row.name: plan for plan in plans}
    for plan in plans:
        _prepare(plan)
    try:
        jobs = list(_jobs(plans, device, batch_size))
        for answer in make(jobs, workers=workers, timeout=timeout, memory=memory):
            plan, id = by_name[answer.order.row], answer.order.request.id
            plan.orders.remove(answer.order)
            if answer.reason is None:
                plan.made.append(id)
            else:
                plan.failures[id] = answer.reason
            on_answer(plan, id, answer.reason)
    finally:
        for plan in plans:
            _write_failures(plan)


def _jobs(plans: Sequence[RowPlan], device: str, batch_size: int) -> Iterator[Job]:
    for plan in plans:
        row, size = plan.row, batch_size if _gains_from_batches(systems.system_class(plan.row.system)) else 1
        key = system_key(row.system, row.options)
        for start in range(0, len(plan.orders), size):
            yield Job(key, row.system, row.options, device, tuple(plan.orders[start : start + size]))


def _gains_from_batches(kind: type[System]) -> bool:
    """Batches are for systems that have code of their own for them and whose clips do not depend on the company."""
    return kind.generate_batch is not System.generate_batch and kind.seed_support == "full"


def system_key(id: str, options: Mapping[str, Any]) -> str:
    """Equal where a loaded system serves both."""
    return hashlib.sha256(json.dumps([id, options], sort_keys=True, default=str).encode()).hexdigest()


def _prepare(plan: RowPlan) -> None:
    """Make the folder, and remove what a killed command left half-written, and clips of items that cannot be made."""
    plan.folder.mkdir(parents=True, exist_ok=True)
    for left in plan.folder.rglob(".*.part"):
        shutil.rmtree(left, ignore_errors=True)
    for left in plan.folder.rglob(".*.json"):
        left.unlink(missing_ok=True)
    for id in plan.failures:
        if not unusable_name(id):
            discard(plan.folder / f"{id}.mp4")


def _write_failures(plan: RowPlan) -> None:
    path = plan.folder / FAILURES
    if not plan.failures:
        path.unlink(missing_ok=True)
        return
    order = {entry.item.id: position for position, entry in enumerate(plan.items.entries)}
    rows = sorted(plan.failures.items(), key=lambda pair: order.get(pair[0], len(order)))
    text = "".join(json.dumps({"id": id, "reason": reason}, ensure_ascii=False) + "\n" for id, reason in rows)
    write_text(path, text)
