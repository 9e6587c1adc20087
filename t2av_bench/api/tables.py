"""Runs -> a table that prints itself."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports.render.formats import comma_separated, html, latex, markdown
from reports.render.terminal import terminal
from reports.tables import model
from reports.tables.make import of_runs
from t2av_bench.api.runs import AnyPath, Run
from t2av_bench.results.run import open_run
from t2av_bench.utils.files import write_text
from t2av_bench.utils.frames import frame
from t2av_bench.utils.reasons import refusals
from t2av_bench.utils.text import names

if TYPE_CHECKING:
    from pandas import DataFrame

CELLS = {
    "system": "text", "origin": "text", "column": "text", "metric": "text", "quantity": "text", "text": "text",
    "value": "float64", "low": "float64", "high": "float64", "sd": "float64", "scored": "Int64", "total": "Int64",
    "rank": "text", "reason": "text", "fingerprint": "text",
}  # fmt: skip


@dataclass(slots=True, repr=False)
class Table(model.Table):
    """Systems down, quantities across: the best in bold, the second best underlined where a paired test tells them
    apart. Columns, rows and notes can be read and changed before it is printed."""

    def to_markdown(self, path: AnyPath | None = None) -> str:
        """GitHub's Markdown; each of these functions also writes a file where one is named."""
        return _written(path, markdown(self))

    def to_latex(self, path: AnyPath | None = None) -> str:
        """A ``table`` for papers (booktabs)."""
        return _written(path, latex(self))

    def to_csv(self, path: AnyPath | None = None) -> str:
        """Numbers in full precision, with coverage and reasons."""
        return _written(path, comma_separated(self))

    def to_html(self, path: AnyPath | None = None) -> str:
        """A ``<figure>`` that needs nothing else."""
        return _written(path, html(self))

    def to_frame(self, *, cells: bool = False) -> "DataFrame":
        """One row a system: ``system``, ``origin``, ``clips``, and each column's value (NaN where there is none).

        cells: instead one row a cell, with its text, interval, standard deviation over seeds, coverage, rank (``best``,
        ``second``), reason and protocol. Values are in the printed unit.
        """
        if cells:
            return frame((self._cell(row, column, cell) for row in self.rows
                          for column, cell in zip(self.columns, row.cells, strict=True)), CELLS)  # fmt: skip
        kinds = {"system": "text", "origin": "text", "clips": "Int64"}
        rows: list[dict[str, Any]] = [
            {"system": row.name, "origin": row.origin, "clips": row.clips}
            | {column.key: cell.value for column, cell in zip(self.columns, row.cells, strict=True)}
            for row in self.rows
        ]
        return frame(rows, kinds | {column.key: "float64" for column in self.columns})

    def __repr__(self) -> str:
        return terminal(self, width=100, fit=True)

    def _repr_html_(self) -> str:
        return html(self)

    @staticmethod
    def _cell(row: model.TableRow, column: model.TableColumn, cell: model.Cell) -> dict[str, Any]:
        low, high = cell.interval or (None, None)
        return {
            "system": row.name, "origin": row.origin, "column": column.key, "metric": cell.metric,
            "quantity": cell.quantity, "text": cell.text or None, "value": cell.value, "low": low, "high": high,
            "sd": cell.spread, "scored": cell.scored, "total": cell.total, "rank": cell.rank,
            "reason": None if cell.text else cell.reason, "fingerprint": cell.fingerprint,
        }  # fmt: skip


def table(
    runs: Run | AnyPath | Sequence[Run | AnyPath] = (),
    specification: AnyPath | None = None,
    *,
    published: bool = False,
    columns: str | Sequence[str] | None = None,
    intervals: bool = False,
    allow_mixed: bool = False,
    notice: Callable[[str], None] | None = None,
) -> Table:
    """A table of runs (or run folders), one row each: ``t2av-bench table``.

    specification: ``paper:1`` … ``paper:5``, ``embedded:1`` …, or a TOML file; runs then stand under its published
    rows, which ``published`` shows alone. columns: quantities to show, in this order; all where None. intervals: a 95 %
    bootstrap interval in every cell. allow_mixed: mark cells measured by another protocol instead of refusing them.
    notice: told of what takes long. Raises ValueError for what cannot be made.
    """
    given = [runs] if isinstance(runs, Run | str | os.PathLike) else list(runs)
    with refusals():
        made = of_runs(
            [each.result if isinstance(each, Run) else open_run(Path(each), notice) for each in given],
            None if specification is None else str(specification),
            published=published, columns=names(columns), intervals=intervals, allow_mixed=allow_mixed,
        )  # fmt: skip
    return Table(**{each.name: getattr(made, each.name) for each in fields(made)})


def _written(path: AnyPath | None, text: str) -> str:
    if path is not None:
        with refusals():
            write_text(path, text)
    return text
