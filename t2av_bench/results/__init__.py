"""A run on disk: its database, its features, and what two runs are compared by."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from t2av_bench.results.recorded import Recorded


def read(path: Path, notice: Callable[[str], None] | None = None) -> "Recorded":
    """A run folder, a baseline file, or the folder of a regression set, whichever it is.

    notice: told of what takes long. Raises BaselineError or StoreError where it is none of them.
    """
    from t2av_bench.results.baseline import BASELINE, BaselineError, load
    from t2av_bench.results.columns import RESULTS
    from t2av_bench.results.run import open_run

    if path.is_dir():
        if (path / BASELINE).is_file() and not (path / RESULTS).exists():
            return load(path / BASELINE)
        return open_run(path, notice).recorded
    if not path.exists():
        raise BaselineError(f"{path} does not exist; expected a run folder or a file made by 'baseline save RUN FILE'")
    return load(path)
