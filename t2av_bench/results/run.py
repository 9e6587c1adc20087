"""A run folder as something to compare: per-clip scores from its database, pseudo-values from its features."""

import hashlib
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.metrics.check import OddAnswer, check
from t2av_bench.results.columns import RESULTS, columns
from t2av_bench.results.features import FeatureStore
from t2av_bench.results.recorded import ItemRecord, QuantityRecord, Recorded, digest
from t2av_bench.results.store import Store
from t2av_bench.scores import Protocol, Score, Status
from t2av_bench.statistics.influence import KernelSums, frechet_pseudo_values, jackknife_pseudo_values
from t2av_bench.statistics.samples import GROUP_KEYS
from t2av_bench.utils.reasons import said, unexpected
from t2av_bench.utils.registry import PluginError


def read_run(folder: Path) -> Recorded:
    """Read a run folder; features are opened only when a set metric's sample is asked for. Raises StoreError."""
    with Store(folder / RESULTS) as store:
        claim = store.setting("claim")
        items, order = {}, []
        for row in store.clips():
            order.append(row["clip"])
            items[row["clip"]] = _item(row)
        described = store.protocols()
        protocols = {metric: Protocol(**entry["protocol"]) for metric, entry in described.items()}
        distances = {metric: entry["description"].get("set_distance") for metric, entry in described.items()}
        scores: dict[tuple[str, str], dict[str, Score]] = {}
        for score in store.scores():
            scores.setdefault((score.metric, score.quantity), {})[score.clip] = score.score
        found = columns(store, scores)
        inputs = {metric: _inputs(store, metric) for metric in protocols}
        features = feature_store(folder, store.sessions())
    recorded = Recorded(
        claim["name"] if claim else folder.name, folder, items, protocols, {}, command=_command(folder, claim or {}),
    )  # fmt: skip
    for column in found:
        quantity = column.quantity
        if quantity.direction == "none" and not quantity.is_shift:
            continue  # a description, neither better nor worse
        mine = scores.get((column.metric, quantity.name), {})
        scored = {clip: score for clip, score in mine.items() if score.value is not None}
        missing = {
            clip: (str(mine[clip].status), str(mine[clip].reason)) if clip in mine
            else (str(Status.FAILED), "not measured: repeat the evaluate command")
            for clip in order if clip not in scored
        }  # fmt: skip
        whole = column.summary.score
        record = QuantityRecord(
            column.metric, quantity, column.embedded, whole.value, whole.reason, tuple(sorted(scored)), missing, None
        )
        if quantity.aggregate == "set":
            protocol = protocols[column.metric]
            record.pseudo_values = _pseudo_values(
                protocol, quantity.name, features, inputs[column.metric], distances[column.metric]
            )
        else:
            record.values = {clip: float(score.value) for clip, score in scored.items() if score.value is not None}
            if any(score.weight != 1.0 for score in scored.values()) or quantity.aggregate == "weighted":
                record.weights = {clip: score.weight for clip, score in scored.items()}
        recorded.quantities[column.metric, quantity.name] = record
    return recorded


def _item(row: dict[str, Any]) -> ItemRecord:
    item = row["item"]
    return ItemRecord(
        text=digest(item.get("text")),
        language=item.get("language"),
        reference=_short(row["reference_digest"]),
        reference_voice=_file_digest(item.get("reference_voice")),
        identity_image=_file_digest(item.get("identity_image")),
        generated=_short(row["digest"]),
        **{key: digest(str(item[key])) for key in GROUP_KEYS if item.get(key)},
    )


def _command(folder: Path, claim: Mapping[str, Any]) -> str:
    """The command that scores the run's clips again."""
    given = {f"--{key}": claim.get(key) for key in ("generated", "reference", "manifest")}
    parts = [part for name, value in given.items() if value for part in (name, str(value))]
    return shlex.join(["t2av-bench", "evaluate", *parts, "--out", str(folder)])


def _short(sha256: str | None) -> str | None:
    return sha256[:16] if sha256 else None


def _file_digest(path: str | None) -> str | None:
    """Of a file that the run names but whose digest it does not keep; None where the file is elsewhere by now."""
    if path is None:
        return None
    try:
        with open(path, "rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()[:16]
    except OSError:
        return None


def _inputs(store: Store, metric: str) -> dict[str, str]:
    return {row["clip"]: row["inputs"] for row in store.measurements(metric) if row["status"] == Status.OK}


def feature_store(folder: Path, sessions: Sequence[Mapping[str, Any]]) -> FeatureStore:
    """Where the run kept its features: the cache that its database names, else the run folder itself."""
    device = str(sessions[-1].get("device") or "cpu").split()[0] if sessions else "cpu"
    with Store(folder / RESULTS) as store:
        place = store.setting("features")
    return FeatureStore(Path(place) if place else folder / "features", device)


def _pseudo_values(
    protocol: Protocol,
    quantity: str,
    features: FeatureStore,
    inputs: dict[str, str],
    distance: Mapping[str, Any] | None,
) -> Callable[[Iterable[str]], dict[str, float]]:
    """A function from clips to their pseudo-values, by the fastest way that the metric's distance allows."""
    known: dict[tuple[str, ...], dict[str, float]] = {}

    def compute(clips: Iterable[str]) -> dict[str, float]:
        chosen = tuple(sorted(clips))
        if chosen in known:
            return known[chosen]
        found = {}
        for clip in chosen:
            arrays = features.get(inputs[clip], protocol.fingerprint, "measurement") if clip in inputs else None
            if arrays is None:
                raise Unscorable(
                    f"the features of {clip} are not in {features.folder}: keep the run's features (or its --cache)"
                )
            found[clip] = arrays
        values = _values(protocol, quantity, distance, [found[clip] for clip in chosen])
        known[chosen] = dict(zip(chosen, values.tolist(), strict=True))
        return known[chosen]

    return compute


def _values(
    protocol: Protocol, quantity: str, distance: Mapping[str, Any] | None, arrays: list[dict[str, np.ndarray]]
) -> np.ndarray:
    if distance:
        clips = [(each["generated"], each["reference"]) for each in arrays]
        if distance["kind"] == "frechet":
            return frechet_pseudo_values(clips, ddof=int(distance["ddof"]))
        return KernelSums.of(clips).pseudo_values()
    return jackknife_pseudo_values(len(arrays), _aggregate(protocol, quantity, arrays))


def _aggregate(protocol: Protocol, quantity: str, arrays: list[dict[str, np.ndarray]]) -> Callable[[list[int]], float]:
    """The metric's own aggregate, for set metrics of plug-ins. Raises Unscorable where it is not installed here."""
    from t2av_bench.metrics import create, metric_ids
    from t2av_bench.metrics.base import SetMetric

    try:
        metric = create(protocol.id) if protocol.id in metric_ids() else None
    except PluginError as error:
        raise Unscorable(str(error)) from error
    if not isinstance(metric, SetMetric):
        raise Unscorable(f"{protocol.id} is not installed here, and its features need its own aggregate function")

    def value(chosen: list[int]) -> float:
        try:
            found = check(metric, metric.aggregate([arrays[index] for index in chosen]), of_set=True)
        except Unscorable:
            raise
        except (NotApplicable, OddAnswer) as error:
            raise Unscorable(said(error)) from error
        except Exception as error:  # a plug-in's defect
            raise Unscorable(f"{metric.id}: {unexpected(error)}") from error
        if quantity not in found.values:
            raise Unscorable(found.reasons[quantity])
        return found.values[quantity]

    return value
