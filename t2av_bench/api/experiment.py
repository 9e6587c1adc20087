"""``run``: an experiment's TOML file -> its runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from warnings import warn

from t2av_bench.api.runs import AnyPath, Run
from t2av_bench.evaluation.config import ConfigError, check_device
from t2av_bench.experiment import run as experiment
from t2av_bench.experiment.config import Loaded, RunConfig, load, matching
from t2av_bench.utils.progress import Notice, OnStep
from t2av_bench.utils.reasons import refusals
from t2av_bench.utils.text import names

_LOGGED = ("name", "label", "system", "task", "split", "benchmark", "seed", "max_seconds", "length", "step", "options")


class Runs(dict[str, Run]):
    """Row name -> Run, without the rows whose items cannot be read or whose run folder cannot be used.

    result: what became of every row: clips that were there, made and not made, failed scores, rows without a run.
    """

    def __init__(self, result: experiment.Result) -> None:
        super().__init__({row.row.name: Run(row.run, notices=row.notices, config=row.config) for row in result.rows})
        self.result = result


def run(
    config: AnyPath,
    *,
    out: AnyPath | None = None,
    only: str | Sequence[str] = (),
    regenerate: str | Sequence[str] = (),
    items: int | None = None,
    data: AnyPath | None = None,
    manifests: Mapping[str, AnyPath] | None = None,
    workers: int | None = None,
    device: str | None = None,
    batch_size: int | None = None,
    generation_batch_size: int | None = None,
    timeout: float | None = None,
    memory: float | None = None,
    max_failures: int | None = None,
    allow_missing: bool | None = None,
    engine: str | None = None,
    address: str | None = None,
    ship: bool | None = None,
    log: str | None = None,
    log_media: int | None = None,
    progress: OnStep | None = None,
    notice: Notice | None = None,
) -> Runs:
    """Make clips with the systems that a TOML file names, and score them: ``t2av-bench run``, see docs/run.md.

    config: the file, or the name of one that comes with us (``paper-table1``).
    The keywords go before the file's keys. manifests: where the items are that rows go by name for. only: names of
    rows; regenerate: rows whose clips are made again (``all``).
    engine, address, ship: as of ``evaluate``; the file's ``resources`` say what processes take of a machine.
    log, log_media: as of ``evaluate``; a run of Weights & Biases for each row, in one group.
    progress: called after every clip and measurement. notice: told of what is made again, and why, and of rows without
    items or a usable run folder, of which a warning tells otherwise.

    No tables are written: ``table(list(runs.values()))``.
    Raises ValueError, with the sentence that the command would print.
    """
    given = {name: value for name, value in locals().items() if name in RunConfig.model_fields}
    with refusals():
        loaded = load(Path(config), given, names(only) or ())
        check_device(loaded.config.device, loaded.config.engine)
        if loaded.config.log:  # what shows clips is loaded where it is asked for
            from t2av_bench.api import loggers

            loggers.check(loaded.config.log)
        done = experiment.run(
            loaded,
            progress or (lambda _: None),
            notice or (lambda _: None),
            made_again(loaded, names(regenerate) or ()),
        )
    for name, reason in done.unscored.items():
        told = f"{name}: not scored: {reason}"
        notice(told) if notice else warn(told, stacklevel=2)
    runs = Runs(done)
    if loaded.config.log:
        rows = {row.row.name: row.row for row in done.rows}
        about = {name: {key: getattr(row, key) for key in _LOGGED} for name, row in rows.items()}
        loggers.log(runs, loaded.config.log, loaded.config.log_media, loaded.config.out.resolve().name, about)
    return runs


def made_again(loaded: Loaded, regenerate: Sequence[str]) -> set[str]:
    """Names of the rows whose clips are all made again. Raises ConfigError for a name that no row has, and for rows of
    finished clips."""
    finished = {row.name: row.clips for row in loaded.rows if row.clips is not None}
    rows = [row.name for row in loaded.rows]
    if "all" in regenerate:
        return set(rows) - finished.keys()
    found = set(matching(regenerate, rows, "--regenerate"))
    for name in sorted(found & finished.keys()):
        raise ConfigError(
            f"--regenerate {name}: its clips are the finished ones of {finished[name]}, which no system here makes; "
            "put others there, and they are scored again"
        )
    return found
