"""From what workers find to scores in a run's store."""

from t2av_bench.benchmarks.manifest import Item
from t2av_bench.evaluation.worker import MetricResult
from t2av_bench.metrics.base import Metric
from t2av_bench.metrics.check import score
from t2av_bench.results.store import SetScoreRow, Store
from t2av_bench.scores import Quantity, Score, Status
from t2av_bench.utils.reasons import reason

_NO_REASON = "no reason was given"


def record(store: Store, metric: Metric, inputs: str, result: MetricResult, item: Item) -> None:
    """Turn a result into one score a quantity and write them."""
    scores = scores_of(metric, result, item)
    told = None if result.reason is None else reason(result.reason, _NO_REASON)
    store.put_measurement(result.clip, metric.protocol, inputs, scores, result.status, told, result.measurement.detail)


def scores_of(metric: Metric, result: MetricResult, item: Item) -> dict[str, Score]:
    """Quantity name -> what a result says of it."""
    lost = _lost_weight(metric, item) if result.status is Status.FAILED else 1.0
    scores = {}
    for quantity in metric.quantities:
        if quantity.aggregate == "set" and result.status is Status.OK:
            # A set metric's clip has features, not a value: 1 says that they exist.
            scores[quantity.name] = Score.ok(1.0)
        else:
            scores[quantity.name] = _score(quantity, result, lost)
    return scores


def _lost_weight(metric: Metric, item: Item) -> float:
    """What a failed clip weighs in the penalised mean; 0: unknown."""
    try:
        weight = float(metric.weight_of(item))
    except Exception:  # a plug-in's code, and no reason to lose the clip's own reason
        return 0.0
    return weight if 0 <= weight < float("inf") else 0.0


def record_set(store: Store, metric: Metric, result: MetricResult | None) -> None:
    """Write a metric's set scores; without a result nothing was there to aggregate, for the clips' first reason."""
    rows = store.measurements(metric.id)
    if result is None:
        first = rows[0] if rows else {"status": Status.FAILED, "reason": "there are no clips"}
        result = MetricResult("", metric.id, Status(first["status"]), first["reason"])
    measured = sum(row["status"] == Status.OK for row in rows)
    store.put_set_scores(
        SetScoreRow(
            metric.id, quantity.name, metric.protocol.fingerprint, _score(quantity, result), measured, len(rows),
            result.measurement.detail,
        )
        for quantity in metric.quantities
    )  # fmt: skip


def _score(quantity: Quantity, result: MetricResult, lost: float = 1.0) -> Score:
    if result.status is not Status.OK:
        return Score(result.status, reason=reason(result.reason, _NO_REASON), weight=lost)
    return score(quantity, result.measurement)
