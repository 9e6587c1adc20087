"""The benchmarks, by id. Nothing is imported before it is asked for.

Other packages add benchmarks through the entry-point group ``t2av_bench.benchmarks`` (name: the id, value:
module:Class).
"""

import importlib
import inspect
from functools import cache

from t2av_bench.benchmarks.base import Benchmark
from t2av_bench.utils.plugins import load, targets

GRIDFACE = "gridface"
_BUILT_IN = {GRIDFACE: "t2av_bench.gridface.benchmark:GridFace"}


@cache
def _registry() -> dict[str, str]:
    return targets("t2av_bench.benchmarks", _BUILT_IN)[0]


def benchmark_ids() -> list[str]:
    """All ids, those of this project first; a plug-in among them may be broken."""
    return list(_registry())


def benchmark(id: str) -> Benchmark:
    """The benchmark of an id that there is. Raises PluginError for a plug-in that cannot be used."""
    target = _registry()[id]
    if id not in _BUILT_IN:
        return load(id, target, Benchmark, _check)()  # type: ignore[type-abstract]
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)()


def _check(id: str, kind: type[Benchmark]) -> None:
    if kind.id != id:
        raise ValueError(f"its class says that its id is {kind.id!r}")
    if inspect.isabstract(kind):
        raise ValueError(f"it lacks {', '.join(sorted(kind.__abstractmethods__))}")
