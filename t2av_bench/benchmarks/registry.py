"""The benchmarks, by id. Nothing is imported before it is asked for.

Other packages add benchmarks through the entry-point group ``t2av_bench.benchmarks`` (name: the id, value:
module:Class).
"""

import inspect

from t2av_bench.benchmarks.base import Benchmark
from t2av_bench.utils.registry import Registry

GRIDFACE = "gridface"
_BUILT_IN = {GRIDFACE: "t2av_bench.gridface.benchmark:GridFace"}


def benchmark_ids() -> list[str]:
    """All ids, those of this project first; a plug-in among them may be broken."""
    return list(_registry.targets)


def benchmark(id: str) -> Benchmark:
    """The benchmark of an id that there is. Raises PluginError for a plug-in that cannot be used."""
    return _registry.class_of(id)()


def _check(id: str, kind: type[Benchmark]) -> None:
    if kind.id != id:
        raise ValueError(f"its class says that its id is {kind.id!r}")
    if inspect.isabstract(kind):
        raise ValueError(f"it lacks {', '.join(sorted(kind.__abstractmethods__))}")


_registry = Registry("t2av_bench.benchmarks", _BUILT_IN, Benchmark, _check)  # type: ignore[type-abstract]
