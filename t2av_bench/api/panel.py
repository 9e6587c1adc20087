"""``panel``: runs against people's votes."""

from collections.abc import Sequence
from pathlib import Path

from t2av_bench.agreement import panel as agreement
from t2av_bench.agreement.declared import declared as read_declared
from t2av_bench.agreement.panel import Panel
from t2av_bench.agreement.votes import Votes, read_votes
from t2av_bench.api.runs import AnyPath, Run
from t2av_bench.results.run import open_run, run_folders
from t2av_bench.utils.reasons import refusals


def panel(
    runs: Sequence[Run | AnyPath],
    votes: AnyPath,
    *,
    key: AnyPath | None = None,
    declared: AnyPath | None = None,
    failed_checks: int = 0,
) -> Panel:
    """How well every metric that the runs hold agrees with people, clip against clip: ``t2av-bench panel``.

    runs: runs or run folders, one for each system or one for all; an experiment's folder stands for its runs. votes: a
    table (CSV, see docs/panel.md), or a file or folder of a study's answers (JSON), whose ``key`` is looked for beside
    or above them. declared: a file of directions in place of the package's. failed_checks: of a study's participant
    who counts.

    Raises ValueError where votes cannot be read, or no run has a clip that people judged.
    """
    with refusals():
        opened = [
            result for run in runs
            for result in ([run.result] if isinstance(run, Run) else map(open_run, run_folders(Path(run))))
        ]  # fmt: skip
        said = read_declared(None if declared is None else Path(declared))
        return agreement.panel(opened, _votes(Path(votes), key, failed_checks), said)


def _votes(path: Path, key: AnyPath | None, failed_checks: int) -> Votes:
    if path.is_dir() or path.suffix.lower() == ".json":
        from reports.study.votes import find_key, study_votes

        return study_votes([path], find_key(path) if key is None else Path(key), failed_checks=failed_checks)
    return read_votes(path)
