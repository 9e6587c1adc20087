"""``budget``: clips -> what every metric changes for reasons that are not the model; ``gaps``: what that leaves."""

from collections.abc import Mapping, Sequence

from reports.tables.gaps import Gaps, published
from t2av_bench.api.runs import AnyPath
from t2av_bench.results.budget import Budget, budget_of
from t2av_bench.utils.progress import Notice, OnStep
from t2av_bench.utils.reasons import refusals
from t2av_bench.utils.text import names
from t2av_bench.validation import budget as measuring
from t2av_bench.validation.run import load


def budget(
    clips: AnyPath | Sequence[AnyPath],
    *,
    manifest: AnyPath | None = None,
    metrics: str | Sequence[str] | None = None,
    sources: str | Sequence[str] | None = None,
    out: AnyPath | None = None,
    add: bool = False,
    work: AnyPath | None = None,
    workers: int | None = None,
    device: str | None = None,
    batch_size: int | None = None,
    timeout: float | None = None,
    memory: float | None = None,
    options: Mapping[str, Mapping[str, str | int | float | bool]] | None = None,
    progress: OnStep | None = None,
    notice: Notice | None = None,
) -> Budget:
    """Measure an error budget on clips and write its file: ``t2av-bench budget``, see docs/error_budget.md.

    clips: a folder, or files. metrics, options: as of ``evaluate``; all where None. sources: of error, all where None.
    out: the JSON file, ``budget.json`` where None; add: keep what it has of other metrics. work: the folder for clips
    and scores, with which the same call continues. progress: called after every clip written and measurement.

    Raises ValueError, with the sentence that the command would print. A clip that fails raises nothing: it has a
    reason, and counts.
    """
    given = {name: value for name, value in locals().items() if name in measuring.BudgetConfig.model_fields}
    with refusals():
        config = load(measuring.BudgetConfig, given)
        return measuring.budget(config, progress or (lambda _: None), notice or (lambda _: None))


def open_budget(file: AnyPath | None = None) -> Budget:
    """Read a budget file; None: what comes with the package, which may be empty. Raises ValueError."""
    with refusals():
        return budget_of(file)


def gaps(file: AnyPath | Budget | None = None, tables: str | Sequence[str] | None = None) -> Gaps:
    """Which gaps of published tables exceed the errors of a budget: ``t2av-bench gaps``.

    file: a budget or its file; None: the packaged one. tables: names (``paper:1``), the paper's five where None.
    Raises ValueError.
    """
    with refusals():
        return published(budget_of(file), names(tables))
