"""The benchmarks, by id. Nothing is imported before it is asked for.

Other packages add benchmarks through the entry-point group ``t2av_bench.benchmarks`` (name: the id, value:
module:Class).
"""

from t2av_bench.benchmarks.base import Benchmark
from t2av_bench.utils.registry import Registry

GRIDFACE = "gridface"
_BUILT_IN = {GRIDFACE: "t2av_bench.gridface.benchmark:GridFace"}

registry = Registry("benchmark", _BUILT_IN, Benchmark)  # type: ignore[type-abstract]
benchmark_ids, benchmark = registry.ids, registry.create
