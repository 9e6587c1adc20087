"""What ``run`` would do, told without doing it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from t2av_bench.evaluation.planning import file_digests, inputs_of
from t2av_bench.experiment.config import Loaded, RunConfig
from t2av_bench.experiment.run import item_count, manifests, row_plan
from t2av_bench.generation.generate import RowPlan
from t2av_bench.generation.records import digests
from t2av_bench.generation.row import ExperimentRow
from t2av_bench.metrics import create, resolve
from t2av_bench.results.columns import RESULTS
from t2av_bench.results.store import Store, StoreError


@dataclass(frozen=True, slots=True)
class Preview:
    """What ``run`` would do for a row. built: whether its benchmark is; where it is not, all of its clips are to make.

    measurements: (clip, metric) pairs, and how many of them are there already. again: why clips that are there would be
    made again -> how many.
    """

    row: ExperimentRow
    items: int
    built: bool
    made: int
    to_make: int
    failures: dict[str, str]
    measurements: int
    measured: int
    again: Mapping[str, int] = field(default_factory=dict)


def preview(loaded: Loaded, regenerate: Collection[str] = ()) -> list[Preview]:
    """What ``run`` would do. Writes nothing, builds nothing, loads no weights."""
    found_at, digest = manifests(loaded, None), digests()
    found = []
    for row in loaded.rows:
        metrics = resolve(row.metrics)
        if row.manifest is None and not found_at[row.name].is_file():
            count = item_count(row)
            found.append(Preview(row, count, False, 0, count, {}, count * len(metrics), 0))
            continue
        plan = row_plan(loaded.config, row, found_at[row.name], digest, regenerate)
        measured = _measured(loaded.config, plan, metrics)
        found.append(Preview(
            row, plan.total, True, len(plan.made), len(plan.to_make), plan.failures, plan.total * len(metrics),
            measured, plan.again,
        ))  # fmt: skip
    return found


def _measured(config: RunConfig, plan: RowPlan, metrics: Sequence[str]) -> int:
    """How many measurements of clips that stay are there: by today's protocols, of finished clips as they are today."""
    fingerprints = {id: create(id, None, config.options.get(id)).protocol.fingerprint for id in metrics}
    try:
        with Store(config.out / "runs" / plan.row.name / RESULTS) as store:
            finished = store.finished()
    except StoreError:
        return 0
    known = {entry.item.id: inputs_of(entry, file_digests(entry)) for entry in plan.found}
    made = set(plan.made)
    return sum(
        clip in made and fingerprints.get(metric) == fingerprint and known.get(clip, inputs) == inputs
        for (clip, metric), (fingerprint, inputs) in finished.items()
    )
