"""``merge``: the shards of one evaluation -> a Run."""

from collections.abc import Callable, Sequence
from pathlib import Path

from t2av_bench.api.runs import AnyPath, Run
from t2av_bench.evaluation import merging
from t2av_bench.evaluation.config import dump
from t2av_bench.utils.files import write_text
from t2av_bench.utils.reasons import refusals


def merge(shards: Sequence[AnyPath], *, out: AnyPath | None = None, notice: Callable[[str], None] | None = None) -> Run:
    """One run of all shards that ``evaluate(…, shard="I/N")`` made: the same as without ``shard``.

    shards: their run folders. out: the run folder; without one the folder that all of them lie in. Distances between
    sets of clips are made here. Nothing else is measured, and the shards stay as they are.

    Raises ValueError where a shard is missing or unfinished, with the command that makes it, or of another evaluation.
    """
    folders = [Path(shard) for shard in shards]
    with refusals():
        if not folders:
            raise ValueError("no shard is named; expected the run folders of all of them")
        asked = merging.merge(folders, Path(out) if out is not None else _around(folders), notice or (lambda _: None))
        write_text(asked.out / "evaluate.toml", dump(asked))
    return Run(asked.out, config=asked)


def _around(folders: Sequence[Path]) -> Path:
    places = {folder.resolve().parent for folder in folders}
    if len(places) > 1:
        raise ValueError(f"the shards lie in {len(places)} folders: name one for the run of all of them (out)")
    return places.pop()
