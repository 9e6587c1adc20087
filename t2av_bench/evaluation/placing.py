"""Where a command's workers run, and what they take of their machines: ``--engine`` and what belongs to it."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from t2av_bench import systems, weights
from t2av_bench.evaluation.config import PlacedConfig, Resources
from t2av_bench.metrics import metric_class, resolve
from t2av_bench.metrics.base import Metric
from t2av_bench.systems.base import System
from t2av_bench.utils.config import ConfigError
from t2av_bench.utils.memory import GB
from t2av_bench.utils.ray_engine import chosen_engine
from t2av_bench.utils.worker_engine import Engine, Needs


def engine_of(
    config: PlacedConfig, roots: Sequence[Path], inputs: Sequence[Path] = (), system_ids: Iterable[str] = ()
) -> AbstractContextManager[Engine | None]:
    """The engine of a command, for its ``WorkerPool``s. roots, inputs: see ``chosen_engine``."""
    facts = partial(_used, resolve(config.metrics), [*system_ids])
    return chosen_engine(
        config.engine, config.address, config.device, config.process_bytes, config.ship, roots, inputs, facts
    )


def _used(metric_ids: Iterable[str], system_ids: Iterable[str]) -> dict[str, str]:
    """Digests of the weights that are here, and packages: a clip's value must not depend on who measures it."""
    store = weights.configured()
    users: list[type[Metric] | type[System]] = [metric_class(id) for id in metric_ids]
    users += [systems.system_class(id) for id in system_ids]
    ids = {id for user in users for id in user.weights}
    packages = {name for user in users for name in user.packages if find_spec(name)}
    found = {f"weights {id}": digest for id in sorted(ids) if (digest := store.digest(id))}
    return found | {f"package {name}": "installed" for name in sorted(packages)}


def metric_needs(config: PlacedConfig, ids: Sequence[str]) -> dict[str, Needs]:
    """What a worker takes for each metric: what was asked for, over what the metric declares; alike on one machine.

    Raises ConfigError where resources are those of no metric that is measured.
    """
    if config.engine == "local":
        return dict.fromkeys(ids, Needs())
    asked = {name: {*resolve([name])} for name in config.resources}
    for name, meant in asked.items():
        if not meant & {*ids}:
            raise ConfigError(f"--resource {name}: that metric is not measured; measured are {', '.join(ids)}")
    return {
        id: _needs(metric_class(id).resources, [config.resources[name] for name in asked if id in asked[name]])
        for id in ids
    }


def system_needs(config: PlacedConfig, id: str) -> Needs:
    """What a worker takes for a system."""
    if config.engine == "local":
        return Needs()
    return _needs(systems.system_class(id).resources, [config.resources[id]] if id in config.resources else [])


def _needs(declared: Mapping[str, float], asked: Sequence[Resources]) -> Needs:
    found = dict(declared)
    for each in asked:
        found |= each.model_dump(exclude_none=True)
    memory = found.get("memory")
    return Needs(found.get("num_cpus"), found.get("num_gpus"), None if memory is None else memory * GB)
