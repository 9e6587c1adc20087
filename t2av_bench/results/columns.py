"""A run's columns: every quantity with its value over all clips."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from t2av_bench.metrics.base import Metric
from t2av_bench.results.aggregate import Summary, reasons_of, summarise
from t2av_bench.results.store import SetScoreRow
from t2av_bench.scores import Quantity, Score

RESULTS = "results.db"


@dataclass(frozen=True, slots=True)
class Column:
    """One quantity of a finished run: what it is, by which protocol, and its value over the set."""

    metric: str
    fingerprint: str
    quantity: Quantity
    stand_in: bool
    summary: Summary


def columns(
    described: Mapping[str, Mapping[str, Any]], scores: Mapping[tuple[str, str], Mapping[str, Score]],
    set_scores: Iterable[SetScoreRow],
) -> list[Column]:  # fmt: skip
    """Every quantity of a run with its set value, in registry order of the metrics.

    described: metric id -> what ``Store.protocols`` says of it. scores: (metric id, quantity name) -> clip -> score.
    """
    whole = {(row.metric, row.quantity): row for row in set_scores}
    found = []
    for metric, recorded in sorted(described.items(), key=lambda pair: pair[1]["description"]["position"]):
        for document in recorded["description"]["quantities"]:
            quantity = Quantity.of_document(document)
            mine = list(scores.get((metric, quantity.name), {}).values())
            if quantity.aggregate == "set":
                kept = whole.get((metric, quantity.name))
                reasons, inapplicable = reasons_of(mine)
                score = kept.score if kept else Score.failed("the run is not finished: repeat the command")
                summary = Summary(score, kept.scored if kept else 0, len(mine), None, reasons, None, inapplicable)
            else:
                summary = summarise(quantity, mine)
            stand_in = recorded["description"]["embedded"]
            found.append(Column(metric, recorded["fingerprint"], quantity, stand_in, summary))
    return found


def describe(metric: Metric, options: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What a table needs to know about a metric, kept with the run so that reading needs no plug-in.

    options: that the metric was made with; whoever leaves out its clips one by one makes it again with them.
    """
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
        **({"options": dict(options)} if options else {}),
    }
