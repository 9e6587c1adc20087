"""t2av-bench: generate, score and compare talking-portrait audio-video models.

The Python API: ``import t2av_bench as tb``, then ``tb.evaluate("clips/")``; see docs/python.md. Its names are loaded on
first use, so that the import itself costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

from t2av_bench.version import __version__

if TYPE_CHECKING:
    from t2av_bench.agreement.panel import Panel
    from t2av_bench.api.attesting import attest
    from t2av_bench.api.budget import budget, gaps, open_budget
    from t2av_bench.api.clip import ClipScores, score
    from t2av_bench.api.comparing import compare, regress
    from t2av_bench.api.evaluating import evaluate
    from t2av_bench.api.experiment import run
    from t2av_bench.api.history import History, history
    from t2av_bench.api.listing import list_benchmarks, list_metrics, list_systems
    from t2av_bench.api.merging import merge
    from t2av_bench.api.panel import panel
    from t2av_bench.api.runs import Run, open_run
    from t2av_bench.api.tables import Table, table
    from t2av_bench.api.validity import validity
    from t2av_bench.attestation.attest import Attestation
    from t2av_bench.comparison.contrast import Comparison
    from t2av_bench.comparison.verdicts import Gate
    from t2av_bench.evaluation.evaluate import Progress
    from t2av_bench.results.budget import Budget
    from t2av_bench.scores import Score
    from t2av_bench.validation.matrix import Validity

_HOMES = {
    "t2av_bench.agreement.panel": ("Panel",),
    "t2av_bench.api.attesting": ("attest",),
    "t2av_bench.api.budget": ("budget", "gaps", "open_budget"),
    "t2av_bench.api.clip": ("ClipScores", "score"),
    "t2av_bench.api.comparing": ("compare", "regress"),
    "t2av_bench.api.evaluating": ("evaluate",),
    "t2av_bench.api.experiment": ("run",),
    "t2av_bench.api.history": ("History", "history"),
    "t2av_bench.api.listing": ("list_benchmarks", "list_metrics", "list_systems"),
    "t2av_bench.api.merging": ("merge",),
    "t2av_bench.api.panel": ("panel",),
    "t2av_bench.api.runs": ("Run", "open_run"),
    "t2av_bench.api.tables": ("Table", "table"),
    "t2av_bench.api.validity": ("validity",),
    "t2av_bench.attestation.attest": ("Attestation",),
    "t2av_bench.comparison.contrast": ("Comparison",),
    "t2av_bench.comparison.verdicts": ("Gate",),
    "t2av_bench.evaluation.evaluate": ("Progress",),
    "t2av_bench.results.budget": ("Budget",),
    "t2av_bench.scores": ("Score",),
    "t2av_bench.validation.matrix": ("Validity",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Attestation", "Budget", "ClipScores", "Comparison", "Gate", "History", "Panel", "Progress", "Run", "Score",
    "Table", "Validity", "__version__", "attest", "budget", "compare", "evaluate", "gaps", "history",
    "list_benchmarks", "list_metrics", "list_systems", "merge", "open_budget", "open_run", "panel", "regress", "run",
    "score", "table", "validity",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
