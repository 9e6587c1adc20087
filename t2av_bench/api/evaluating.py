"""``evaluate``: a folder of clips -> a Run."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from t2av_bench.api.runs import AnyPath, Run
from t2av_bench.evaluation import evaluate as evaluation
from t2av_bench.evaluation.config import EvaluateConfig, check_device, dump, load
from t2av_bench.evaluation.evaluate import Progress
from t2av_bench.evaluation.planning import announced
from t2av_bench.utils.files import write_text
from t2av_bench.utils.reasons import refusals


def evaluate(
    generated: AnyPath | None = None,
    *,
    reference: AnyPath | None = None,
    manifest: AnyPath | None = None,
    out: AnyPath | None = None,
    metrics: str | Sequence[str] | None = None,
    name: str | None = None,
    workers: int | None = None,
    device: str | None = None,
    batch_size: int | None = None,
    timeout: float | None = None,
    memory: float | None = None,
    max_seconds: float | None = None,
    max_gigapixels: float | None = None,
    max_failures: int | None = None,
    allow_missing: bool | None = None,
    limit: int | None = None,
    shard: str | None = None,
    cache: AnyPath | None = None,
    step: int | None = None,
    engine: str | None = None,
    address: str | None = None,
    ship: bool | None = None,
    resources: Mapping[str, Mapping[str, float]] | None = None,
    options: Mapping[str, Mapping[str, str | int | float | bool]] | None = None,
    log: str | None = None,
    log_media: int | None = None,
    config: AnyPath | None = None,
    progress: Callable[[Progress], None] | None = None,
    notice: Callable[[str], None] | None = None,
) -> Run:
    """Score a folder of clips: ``t2av-bench evaluate`` with its options as keywords, and the same defaults.

    generated: folder of clips. reference: folder of real clips with the same names. manifest: JSON Lines of items.
    metrics: families, ids, columns or the field's names for them (``LSE-C``), as a list or with commas between; all
    where None. options: metric -> its options.
    config: a TOML file with any of these as keys; what is given here goes before.

    out: the run folder; the same call continues it. Without one it is a folder in the user's cache, ``Run.path``: one
    for each question, so that the same call measures nothing twice, and what has changed anew.

    shard: ``"I/N"``, the I-th of N parts of the items (of the first ``limit`` of them); the run is kept in a folder of
    its own below ``out``. ``merge`` makes one run of all parts.

    engine: ``local``, or ``ray``: the processes run on the cluster at ``address``, with the same numbers
    (docs/cluster.md). ship: send the files there, which no path shows.
    resources: metric -> ``num_cpus``, ``num_gpus`` and ``memory`` (GB) that its process takes of a machine there.

    log: ``wandb``: the scores are also a run of Weights & Biases, with the first ``log_media`` clips to be played
    (docs/logging.md). ``Run.logged`` says where, or why not; the scores are in the run folder either way.

    progress: called after every measurement. notice: told what is to be known before the measurements, which
    ``Run.notices`` keeps.

    Raises ValueError, with the sentence that the command would print, where nothing can be scored. A clip that fails
    raises nothing: it has a reason. max_failures and allow_missing count for ``Run.exit_status``.
    """
    given = {name: value for name, value in locals().items() if name in EvaluateConfig.model_fields}
    notices: list[str] = []

    def note(text: str) -> None:
        notices.append(text)
        if notice:
            notice(text)

    with refusals():
        asked = load(Path(config) if config is not None else None, given)
        check_device(asked.device, asked.engine)
        if asked.log:  # what shows clips is loaded where it is asked for
            from t2av_bench.api import loggers

            loggers.check(asked.log)
        for text in announced(asked.metrics):
            note(text)
        evaluation.evaluate(asked, progress or (lambda _: None), note)
        write_text(asked.out / "evaluate.toml", dump(asked))
    run = Run(asked.out, notices=notices, config=asked)
    if asked.log:
        loggers.log({"": run}, asked.log, asked.log_media)
    return run
