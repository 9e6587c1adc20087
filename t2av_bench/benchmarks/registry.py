"""The benchmarks, by id. Nothing is imported before it is asked for.

GridFace is made on the spot. The others are folders, prepared from data that the user has: those that this package can
prepare, and whatever else lies below the data folder with a ``benchmark.toml``. Other packages add benchmarks through
the entry-point group ``t2av_bench.benchmarks`` (name: the id, value: module:Class).
"""

from t2av_bench.benchmarks import prepared
from t2av_bench.benchmarks.base import Benchmark
from t2av_bench.benchmarks.info import heads
from t2av_bench.utils.registry import Registry

GRIDFACE = "gridface"
_BUILT_IN = {GRIDFACE: "t2av_bench.gridface.benchmark:GridFace"}
_PREPARED = f"{prepared.__name__}:class_of"


class _Benchmarks(Registry[Benchmark]):
    """The data folder is looked at anew each time: a benchmark may have been prepared a moment ago."""

    @property
    def targets(self) -> dict[str, str]:
        classes = super().targets
        folders = dict.fromkeys([*heads(), *prepared.found_below(prepared.data_folder())], _PREPARED)
        return {**classes, **{id: target for id, target in folders.items() if id not in classes}}

    def class_of(self, name: str) -> type[Benchmark]:
        id = self.find(name)
        return prepared.class_of(id) if self.targets[id] == _PREPARED else super().class_of(id)


registry = _Benchmarks("benchmark", _BUILT_IN, Benchmark)  # type: ignore[type-abstract]
benchmark_ids, benchmark = registry.ids, registry.create
