"""A table of some runs: a plain one, or one by a specification."""

from collections.abc import Sequence

from reports.tables import build as table
from reports.tables import from_specification, specification
from reports.tables.model import Table
from t2av_bench.results.budget import Budget
from t2av_bench.results.run import RunResult


def of_runs(
    runs: Sequence[RunResult],
    named: str | None = None,
    *,
    published: bool = False,
    columns: Sequence[str] | None = None,
    intervals: bool | None = None,
    allow_mixed: bool = False,
    by: str | None = None,
    across: bool = False,
    budget: Budget | None = None,
) -> Table:
    """The table of runs; named: the specification that they fill (``paper:1`` or a TOML file).

    by: a key of the items that breaks a plain table down; across: with its groups as columns. intervals: None for those
    of a table by groups alone, where clips are few. budget: of errors; the packaged one where None.
    Raises ValueError for what cannot be made; the message says what to type next.
    """
    loaded = specification.load(named) if named is not None else None
    intervals = by is not None if intervals is None else intervals
    if across and by is None:
        raise ValueError("--across puts the groups of --by side by side: name a key, such as --by category")
    if loaded is None:
        if published:
            tables = [name for name in specification.names() if specification.load(name).rows]
            held = f", and {str(runs[0].path)!r} is a run" if runs else ""
            raise ValueError(
                f"--published shows the published rows of a table{held}; "
                f"name a table first: {', '.join(tables)} or a TOML file"
            )
        if columns is not None and not columns:
            raise ValueError("--columns names no column; expected names such as --columns sync_c,wer,fid")
        if not runs:
            raise ValueError(f"a table needs runs, or the name of a table: {', '.join(specification.names())}")
        return table.build(
            runs, allow_mixed=allow_mixed, columns=columns, intervals=intervals, by=by, across=across, budget=budget
        )
    if by is not None:
        raise ValueError(f"--by is for plain tables; the rows and columns of {named} are those of its specification")
    if columns is not None:
        raise ValueError(f"--columns is for plain tables; the columns of {named} are those of its specification")
    if published and runs:
        raise ValueError("--published shows the published rows alone; leave it out to put runs under them")
    if not runs and not loaded.rows:
        raise ValueError(f"{named} has no published rows; name run folders: table {named} RUN")
    return from_specification.build(loaded, runs, allow_mixed=allow_mixed, intervals=intervals, budget=budget)
