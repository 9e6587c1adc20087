"""``validity``: clips -> which metric notices what."""

from collections.abc import Mapping, Sequence

from t2av_bench.api.runs import AnyPath
from t2av_bench.utils.progress import Notice, OnStep
from t2av_bench.utils.reasons import refusals
from t2av_bench.validation import run
from t2av_bench.validation.matrix import Validity


def validity(
    clips: AnyPath | Sequence[AnyPath],
    *,
    manifest: AnyPath | None = None,
    metrics: str | Sequence[str] | None = None,
    damage: str | Sequence[str] | None = None,
    grades: Sequence[int] | None = None,
    out: AnyPath | None = None,
    workers: int | None = None,
    device: str | None = None,
    batch_size: int | None = None,
    timeout: float | None = None,
    memory: float | None = None,
    options: Mapping[str, Mapping[str, str | int | float | bool]] | None = None,
    progress: OnStep | None = None,
    notice: Notice | None = None,
) -> Validity:
    """Damage clips by grades, score them, and hold every metric to its claims: ``t2av-bench validity``.

    clips: a folder, or files. metrics, options: as of ``evaluate``; all that have what they need here where None.
    damage: kinds of damage, all where None; grades: 1 the weakest. out: the folder; the same call continues it.
    progress: called after every clip written and every measurement.

    Raises ValueError, with the sentence that the command would print. A clip that fails raises nothing: it has a
    reason, and counts. A claim that fails counts for ``Validity.exit_status``.
    """
    given = {name: value for name, value in locals().items() if name in run.ValidityConfig.model_fields}
    with refusals():
        config = run.load(run.ValidityConfig, given)
        return run.validity(config, progress or (lambda _: None), notice or (lambda _: None))
