"""Runs -> a table that prints itself."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports.render.formats import as_json, cell_document, comma_separated, html, latex, markdown
from reports.render.terminal import terminal
from reports.tables import model
from reports.tables.make import of_runs
from t2av_bench.api.runs import AnyPath, Run
from t2av_bench.results.budget import Budget, budget_of
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
        return written(path, markdown(self))

    def to_latex(self, path: AnyPath | None = None) -> str:
        """A ``table`` for papers (booktabs)."""
        return written(path, latex(self))

    def to_csv(self, path: AnyPath | None = None) -> str:
        """Numbers in full precision, with coverage and reasons."""
        return written(path, comma_separated(self))

    def to_json(self, path: AnyPath | None = None) -> str:
        """Everything that a cell knows, for programs."""
        return written(path, as_json(self))

    def to_html(self, path: AnyPath | None = None) -> str:
        """A ``<figure>`` that needs nothing else."""
        return written(path, html(self))

    def to_frame(self, *, cells: bool = False) -> "DataFrame":
        """One row a system (and group): ``system``, ``origin``, ``clips``, ``note`` where a row has one (what to know
        of how its clips came about), and each column's value (NaN where there is none).

        A table by a key has the groups in a column of the key's name, after ``system``.
        cells: instead one row a cell, with its text, interval, standard deviation over seeds, coverage, rank (``best``,
        ``second``), reason and protocol. Values are in the printed unit.
        """
        words = dict.fromkeys(self.text_headings, "text") if any(any(row.texts) for row in self.rows) else {}
        kinds = {"system": "text", **words}

        def about(row: model.TableRow) -> dict[str, Any]:
            return {"system": row.name, **(dict(zip(words, row.texts, strict=True)) if words else {})}

        if cells:
            return frame((about(row) | self._cell(row, column, cell) for row in self.rows
                          for column, cell in zip(self.columns, row.cells, strict=True)), kinds | CELLS)  # fmt: skip
        noted = any(row.origin_note for row in self.rows)
        rows: list[dict[str, Any]] = [
            {**about(row), "origin": row.origin, "clips": row.clips}
            | ({"note": row.origin_note or None} if noted else {})
            | {column.key: cell.value for column, cell in zip(self.columns, row.cells, strict=True)}
            for row in self.rows
        ]
        kinds |= {"origin": "text", "clips": "Int64"} | ({"note": "text"} if noted else {})
        return frame(rows, kinds | {column.key: "float64" for column in self.columns})

    def __repr__(self) -> str:
        return terminal(self, width=100, fit=True)

    def _repr_html_(self) -> str:
        return html(self)

    @staticmethod
    def _cell(row: model.TableRow, column: model.TableColumn, cell: model.Cell) -> dict[str, Any]:
        found = cell_document(cell)
        return {"origin": row.origin, "column": column.key} | {key: found[key] for key in CELLS if key in found}


def table(
    runs: Run | AnyPath | Sequence[Run | AnyPath] = (),
    specification: AnyPath | None = None,
    *,
    published: bool = False,
    columns: str | Sequence[str] | None = None,
    intervals: bool | None = None,
    allow_mixed: bool = False,
    by: str | None = None,
    across: bool = False,
    budget: AnyPath | Budget | None = None,
    notice: Callable[[str], None] | None = None,
) -> Table:
    """A table of runs (or run folders), one row each: ``t2av-bench table``.

    specification: ``paper:1`` … ``paper:5``, ``embedded:1`` …, or a TOML file; runs then stand under its published
    rows, which ``published`` shows alone. columns: quantities to show, in this order; all where None. intervals: a 95 %
    bootstrap interval in every cell; None: where ``by`` is given. allow_mixed: mark cells measured by another protocol
    instead of refusing them. by: a key of the items (``language``, ``tags``, any of your own): a row for each group of
    them and run; across: instead a column for each quantity and group.
    budget: of errors (``tb.budget``) or its file, for a note of differences that are not resolved; the packaged one
    where None. notice: told of what takes long. Raises ValueError for what cannot be made.
    """
    given = [runs] if isinstance(runs, Run | str | os.PathLike) else list(runs)
    with refusals():
        made = of_runs(
            [each.result if isinstance(each, Run) else open_run(Path(each), notice) for each in given],
            None if specification is None else str(specification),
            published=published, columns=names(columns), intervals=intervals, allow_mixed=allow_mixed, by=by,
            across=across, budget=budget_of(budget),
        )  # fmt: skip
    return Table(**{each.name: getattr(made, each.name) for each in fields(made)})


def written(path: AnyPath | None, text: str) -> str:
    """The text, also in a file where one is named."""
    if path is not None:
        with refusals():
            write_text(path, text)
    return text
