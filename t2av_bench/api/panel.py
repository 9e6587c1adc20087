"""``panel``: runs against people's votes."""

from collections.abc import Sequence
from pathlib import Path

from t2av_bench.agreement import panel as agreement
from t2av_bench.agreement.declared import DECLARED
from t2av_bench.agreement.declared import declared as read_declared
from t2av_bench.agreement.panel import Panel
from t2av_bench.agreement.record import keep
from t2av_bench.agreement.votes import Votes, read_votes
from t2av_bench.api.runs import AnyPath, Run
from t2av_bench.results.run import open_run, run_folders
from t2av_bench.utils.files import file_sha256
from t2av_bench.utils.reasons import refusals
from t2av_bench.version import __version__
from t2av_bench.weights.digests import listing_digest


def panel(
    runs: Sequence[Run | AnyPath],
    votes: AnyPath,
    *,
    key: AnyPath | None = None,
    declared: AnyPath | None = None,
    failed_checks: int = 0,
    out: AnyPath | None = None,
) -> Panel:
    """How well every metric that the runs hold agrees with people, clip against clip: ``t2av-bench panel``.

    runs: runs or run folders, one for each system or one for all; an experiment's folder stands for its runs. votes: a
    table (CSV, see docs/panel.md), or a file or folder of a study's answers (JSON), whose ``key`` is looked for beside
    or above them. declared: a file of directions in place of the package's. failed_checks: of a study's participant
    who counts. out: a folder for ``panel.json``, ``panel.md`` and ``runs.jsonl``, which tells of every such call.

    Raises ValueError where votes cannot be read, or no run has a clip that people judged; nothing is written then.
    """
    with refusals():
        opened = [
            result for run in runs
            for result in ([run.result] if isinstance(run, Run) else map(open_run, run_folders(Path(run))))
        ]  # fmt: skip
        directions = DECLARED if declared is None else Path(declared)
        said, (known, asked) = read_declared(directions), _votes(Path(votes), key, failed_checks)
        made = {"t2av_bench": __version__, **asked, "declared": file_sha256(directions)}
        found = agreement.panel(opened, known, said, made)
        if out is not None:
            keep(found, Path(out))
        return found


def _votes(path: Path, key: AnyPath | None, failed_checks: int) -> tuple[Votes, dict[str, str | int]]:
    """The votes, and by what they can be had again: the SHA-256 of the table; of answers, that of ``sha256sum``'s
    lines for the key and them, and ``failed_checks``."""
    if not path.is_dir() and path.suffix.lower() != ".json":
        if key is not None or failed_checks:
            raise ValueError(f"{path} is read as a table of votes, for which there is no key and are no attention "
                             "checks: those are a study's; its answers are a folder, or a .json file")  # fmt: skip
        return read_votes(path), {"votes": file_sha256(path)}
    from reports.study.answers import answer_files, find_key
    from reports.study.votes import study_votes

    files = answer_files([path])
    if not files:
        raise ValueError(f"{path} holds no .json file of answers; expected a folder of a study's answers, or a table "
                         f"of votes such as {next(iter(sorted(path.glob('*.csv'))), path / 'votes.csv')}")  # fmt: skip
    found = find_key(path) if key is None else Path(key)
    votes = study_votes([path], found, failed_checks=failed_checks)
    digest = listing_digest((file.name, file_sha256(file)) for file in [found, *files])
    return votes, {"votes": digest, "failed_checks": failed_checks}
