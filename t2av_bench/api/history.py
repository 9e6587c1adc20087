"""``history``: checkpoints in order, as a table and a page."""

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from reports.page.history import write_page
from reports.render.formats import html, latex, markdown, rows_as_csv
from reports.render.terminal import terminal
from reports.tables.history import build
from reports.tables.model import Table
from t2av_bench.api.comparing import recorded
from t2av_bench.api.runs import AnyPath, Run
from t2av_bench.api.tables import written
from t2av_bench.comparison import checkpoints
from t2av_bench.comparison import history as comparing
from t2av_bench.comparison.verdicts import ALPHA
from t2av_bench.results.budget import Budget, budget_of
from t2av_bench.utils.files import json_text
from t2av_bench.utils.reasons import refusals
from t2av_bench.utils.text import names


class History(checkpoints.History):
    """Checkpoints in order, each quantity's value with its interval, and the gate's verdicts against the checkpoint
    before and against the reference: the first one, or the baseline.

    checkpoints: their ``points`` by (metric id, quantity name), and the answers ``previous`` and ``reference``, each
    with an ``outcome`` (Gate), ``verdicts`` and ``reasons``. quantities: by the same keys.
    """

    # The page of the API shows what stands in a class itself.
    findings, drifts = checkpoints.History.findings, checkpoints.History.drifts
    to_frame, as_dict = checkpoints.History.to_frame, checkpoints.History.as_dict

    def table(self) -> Table:
        """As a table: checkpoints down; for each quantity its value and the two verdicts."""
        return build(self)

    def to_markdown(self, path: AnyPath | None = None) -> str:
        """GitHub's Markdown; each of these functions also writes a file where one is named."""
        return written(path, markdown(build(self)))

    def to_latex(self, path: AnyPath | None = None) -> str:
        """A ``tabular`` (booktabs)."""
        return written(path, latex(build(self)))

    def to_html(self, path: AnyPath | None = None) -> str:
        """A ``<figure>`` that needs nothing else."""
        return written(path, html(build(self)))

    def to_csv(self, path: AnyPath | None = None) -> str:
        """The rows of ``to_frame``, in full precision."""
        return written(path, rows_as_csv(self.rows(), list(checkpoints.HISTORY)))

    def to_json(self, path: AnyPath | None = None) -> str:
        """Everything: checkpoints, points, the gate's whole answers."""
        return written(path, json_text(self.as_dict(), indent=1) + "\n")

    def to_page(self, out: AnyPath) -> Path:
        """Write a page of plots and the table into a folder; an older page or report in it is replaced.

        Returns the file to open. Raises ValueError where the folder holds anything else.
        """
        with refusals():
            return write_page(self, Path(out))

    def to_terminal(self) -> str:
        """As wide as it is, with lines between its parts."""
        return terminal(build(self))

    def __repr__(self) -> str:
        return terminal(build(self), width=100, fit=True)

    def _repr_html_(self) -> str:
        return html(build(self))


def history(
    runs: Run | AnyPath | Sequence[Run | AnyPath],
    *,
    baseline: Run | AnyPath | None = None,
    margins: AnyPath | Mapping[str, Any] | None = None,
    quantities: str | Sequence[str] | None = None,
    alpha: float = ALPHA,
    max_lost_clips: int = 0,
    independent_clips: bool = False,
    budget: AnyPath | Budget | None = None,
    notice: Callable[[str], None] | None = None,
) -> History:
    """Checkpoints, oldest first, each against the one before and against the first: ``t2av-bench history``.

    runs: runs, run folders or baseline files. baseline: judge against this one instead of the first. The others as of
    ``regress``, which says the same of every pair where what one of them lacks is waived. notice: told of what takes
    long. Raises ValueError for what cannot be read, and for unknown names; what cannot be compared is a reason.
    """
    given = [runs] if isinstance(runs, Run | str | os.PathLike) else list(runs)
    with refusals():
        found = comparing.history(
            [recorded(run, notice) for run in given], baseline=None if baseline is None else recorded(baseline, notice),
            margins=margins, budget=budget_of(budget), quantities=names(quantities), alpha=alpha,
            lost_allowed=max_lost_clips, grouped=not independent_clips,
        )  # fmt: skip
    command = _command(
        [run.path if isinstance(run, Run) else run for run in given], baseline=baseline, margins=margins, budget=budget,
        quantities=",".join(names(quantities) or ()), alpha=None if alpha == ALPHA else alpha,
        max_lost_clips=max_lost_clips, independent_clips=independent_clips,
    )  # fmt: skip
    return History(**{each.name: getattr(found, each.name) for each in fields(found)} | {"command": command})


def _command(runs: Sequence[AnyPath], **given: Any) -> str:
    """What is typed for the same; of margins and budgets that only Python has, it says so behind."""
    words, apart = ["t2av-bench", "history", *map(str, runs)], []
    for name, value in given.items():
        if isinstance(value, Mapping | Budget):
            apart.append(name)
        elif value:
            option = f"--{name.replace('_', '-')}"
            words += [option] if value is True else [option, str(value.path if isinstance(value, Run) else value)]
    return shlex.join(words) + (f"  # with the {' and '.join(apart)} that Python was given" if apart else "")
