"""The shards of one evaluation, made side by side on several machines -> the run that one machine would have made."""

import shlex
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from t2av_bench.evaluation.config import EvaluateConfig, load
from t2av_bench.evaluation.evaluate import aggregations, alone_in, claim
from t2av_bench.evaluation.planning import RunError
from t2av_bench.evaluation.scoring import record_set
from t2av_bench.evaluation.worker import Measuring, WorkerContext
from t2av_bench.metrics import create, metric_ids, registry
from t2av_bench.metrics.base import Metric, SetMetric, Settings
from t2av_bench.results.columns import RESULTS
from t2av_bench.results.origins import as_document, from_document
from t2av_bench.results.store import Store
from t2av_bench.utils.files import link
from t2av_bench.utils.worker_pool import WorkerPool

_CONFIG = "evaluate.toml"  # what a run was asked for; written once it is finished


class _Shard(NamedTuple):
    """A shard's run. what: see ``Prepared.shard``."""

    folder: Path
    store: Store
    what: Mapping[str, Any]


def merge(folders: Sequence[Path], out: Path, notice: Callable[[str], None]) -> EvaluateConfig:
    """Make one run of all shards in ``out``, with its set scores; returns what the whole run was asked for.

    Nothing is measured again, and the shards stay as they are. A run that is there already and is of the same clips
    takes what the shards hold; it may be their common folder.

    Raises RunError where a shard is missing, unfinished or of another evaluation, StoreError where one is no run.
    """
    with ExitStack() as stack:
        shards = sorted((_opened(folder, stack) for folder in folders), key=lambda shard: shard.what["index"])
        _check(shards)
        whole = load(shards[0].folder / _CONFIG, {}).model_copy(update={"shard": None, "out": out})
        settings, measured = Settings(whole.device, whole.batch_size), shards[0].store.protocols()
        options = registry.options_of(whole.options, [id for id in measured if id in metric_ids()])
        metrics = _set_metrics(measured, settings, options)
        stack.enter_context(alone_in(out))
        store = stack.enter_context(Store(out / RESULTS, create=True))
        claim(store, whole, out)
        with store.transaction():
            store.unite([shard.store for shard in shards])
            store.set("step", whole.step)
            of_shards = [from_document(shard.store.setting("origins")) for shard in shards]
            store.set("origins", as_document({clip: each for found in of_shards for clip, each in found.items()}))
        features = _features(store, shards, out)
        work = Measuring(WorkerContext(settings, features, options))
        wanted = list(aggregations(store, metrics))
        with WorkerPool() as pool:
            for found in pool.run(wanted, work=work, workers=whole.processes, timeout=whole.timeout):
                record_set(store, metrics[found.metric], found)
        notice(f"{len(shards)} shards of {shards[0].what['items']} items: {out}")
    return whole


def _opened(folder: Path, stack: ExitStack) -> _Shard:
    store = stack.enter_context(Store(folder / RESULTS))
    what = store.setting("shard")
    if what is None:
        raise RunError(f"{folder} is no shard but a run of its own: 't2av-bench evaluate --shard I/N' makes shards")
    return _Shard(folder, store, what)


def _check(shards: Sequence[_Shard]) -> None:
    """RunError unless these are all the shards of one evaluation, each once and finished."""
    first, about = shards[0], _about(shards[0])
    held: dict[int, Path] = {}
    for shard in shards:
        other = _about(shard)
        for key in about | other:
            if about.get(key) != other.get(key):
                raise RunError(
                    f"{first.folder} and {shard.folder} are not of one evaluation: {key} is {about.get(key)!r} and "
                    f"{other.get(key)!r}; evaluate both alike"
                )
        index = shard.what["index"]
        if index in held:
            raise RunError(f"{held[index]} and {shard.folder} are both shard {index}/{shard.what['parts']}: name one")
        held[index] = shard.folder
    parts = first.what["parts"]
    lacking = {index: "is missing" for index in range(1, parts + 1) if index not in held}
    lacking |= {
        shard.what["index"]: f"is not finished ({shard.folder})"
        for shard in shards if not any(each["finished"] for each in shard.store.sessions()[-1:])
    }  # fmt: skip
    if lacking:
        told = "; ".join(f"shard {index}/{parts} {why}" for index, why in sorted(lacking.items()))
        like = next((shard.folder for shard in shards if (shard.folder / _CONFIG).is_file()), first.folder)
        commands = "".join(f"\n  {_command(like, f'{index}/{parts}')}" for index in sorted(lacking))
        raise RunError(f"{told}. Evaluate, and merge again:{commands}")


def _about(shard: _Shard) -> dict[str, Any]:
    """What all shards of one evaluation agree in: name of it -> value."""
    found = {"the number of shards": shard.what["parts"], "the number of items": shard.what["items"]}
    found |= {f"'{key}'": value for key, value in shard.store.setting("claim").items() if key != "shard"}
    found |= {"the list of items": shard.what["digest"], "'step'": shard.store.setting("step")}
    for metric, entry in sorted(shard.store.protocols().items()):
        found[f"the metric {metric}"] = "measured"
        for part, values in entry["protocol"].items():
            for key, value in values.items() if isinstance(values, dict) else [("", values)]:
                found[f"{part} {key} of {metric}"] = value
    return found


def _command(like: Path, shard: str) -> str:
    """What makes a shard as the one in ``like`` was made, and beside it."""
    given = ("--config", str(like / _CONFIG), "--out", str(like.parent), "--shard", shard)
    return shlex.join(["t2av-bench", "evaluate", *given])


def _set_metrics(
    measured: Mapping[str, Mapping[str, Any]], settings: Settings, options: Mapping[str, Mapping[str, Any]]
) -> dict[str, Metric]:
    """The set metrics that the shards measured. RunError where this installation measures one by another protocol."""
    found: dict[str, Metric] = {}
    for id, entry in measured.items():
        if id in metric_ids() and isinstance(metric := create(id, settings, options.get(id)), SetMetric):
            if metric.protocol.fingerprint != entry["fingerprint"]:
                raise RunError(
                    f"the shards measured {id} by another protocol than this installation does with the options of "
                    f"{RESULTS}'s last command: merge where the shards were made, or evaluate them here again"
                )
            found[id] = metric
    return found


def _features(store: Store, shards: Sequence[_Shard], out: Path) -> Path:
    """Where the run's features are: the cache that all shards share, else ``out``, which gets those of each."""
    caches = {shard.store.setting("features") for shard in shards}
    if len(caches) == 1 and (shared := caches.pop()):
        store.set("features", shared)
        return Path(shared)
    store.set("features", None)
    for shard in shards:
        kept = Path(shard.store.setting("features") or shard.folder / "features")
        if kept.is_dir():
            # They are replaced, never changed: both folders may hold one file.
            shutil.copytree(kept, out / "features", dirs_exist_ok=True, copy_function=link)
    return out / "features"
