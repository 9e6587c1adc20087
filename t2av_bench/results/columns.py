"""A finished run's columns and failures, read from its database."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from t2av_bench.metrics.base import Metric, SetMetric
from t2av_bench.results.aggregate import Summary, summarise
from t2av_bench.results.store import Store
from t2av_bench.scores import Quantity, Score, Status

RESULTS = "results.db"


@dataclass(frozen=True, slots=True)
class Column:
    """One quantity of a finished run: what it is, by which protocol, and its value over the set."""

    metric: str
    fingerprint: str
    quantity: Quantity
    embedded: bool
    summary: Summary


def columns(store: Store, scores: Mapping[tuple[str, str], Mapping[str, Score]] | None = None) -> list[Column]:
    """Every quantity of a run with its set value, in registry order of the metrics.

    scores: (metric, quantity name) -> clip -> score, where they were read already.
    """
    by_quantity: dict[tuple[str, str], list[Score]] = {}
    if scores is not None:
        by_quantity = {key: list(mine.values()) for key, mine in scores.items()}
    else:
        for row in store.scores():
            by_quantity.setdefault((row.metric, row.quantity), []).append(row.score)
    set_scores = {(row.metric, row.quantity): row for row in store.set_scores()}
    found = []
    for metric, recorded in sorted(store.protocols().items(), key=lambda pair: pair[1]["description"]["position"]):
        for document in recorded["description"]["quantities"]:
            quantity = Quantity.of_document(document)
            mine = by_quantity.get((metric, quantity.name), [])
            whole = set_scores.get((metric, quantity.name))
            if quantity.aggregate == "set":
                reasons = Counter(str(score.reason) for score in mine if score.value is None)
                score = whole.score if whole else Score.failed("the run is not finished: repeat the command")
                summary = Summary(score, whole.scored if whole else 0, len(mine), reasons=reasons)
            else:
                summary = summarise(quantity, mine)
            embedded = recorded["description"]["embedded"]
            found.append(Column(metric, recorded["fingerprint"], quantity, embedded, summary))
    return found


def failures(store: Store) -> list[dict[str, Any]]:
    """Scores that failed (not those that do not apply), in clip order: clip, metric, quantity and reason.

    ``outdated``: of a metric that was not among the last command's, and whose clip has changed or come since.
    """
    return [
        {"clip": row.clip, "metric": row.metric, "quantity": row.quantity, "reason": row.score.reason,
         "outdated": row.outdated}
        for row in store.scores()
        if row.score.status is Status.FAILED
    ]  # fmt: skip


def describe(metric: Metric) -> dict[str, Any]:
    """What a table needs to know about a metric, kept with the run so that reading needs no plug-in."""
    from t2av_bench.metrics import metric_ids

    known = metric_ids()
    return {
        "title": metric.title,
        "quantities": [asdict(quantity) for quantity in metric.quantities],
        "paper": metric.paper,
        "licence": metric.licence,
        "embedded": metric.stand_in,
        "curves": [asdict(curve) for curve in metric.curves],
        "floors": [asdict(floor) for floor in metric.floors],
        "position": known.index(metric.id) if metric.id in known else len(known),
        "set_distance": dict(metric.set_distance) if isinstance(metric, SetMetric) and metric.set_distance else None,
    }
