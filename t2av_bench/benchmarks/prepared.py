"""Benchmarks that are folders: prepared from data that the user has, see ``docs/benchmarks.md``.

NAME/benchmark.toml         see ``info``
NAME/SPLIT/items.jsonl      one item a line, see ``manifest``; its files lie below SPLIT
NAME/NAME.list.json         ids, times, boxes and digests: what may be published
NAME/files.json             digests of all files, for ``data verify``
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from t2av_bench.benchmarks.base import Benchmark, OnBuild
from t2av_bench.benchmarks.info import INFO, BenchmarkInfo, heads, read_info
from t2av_bench.errors import ItemError, Lack
from t2av_bench.utils.files import file_sha256, json_text, write_text
from t2av_bench.utils.machine import user_cache

FOLDER_VARIABLE = "T2AV_BENCH_DATA"
ITEMS, FILES = "items.jsonl", "files.json"


def data_folder() -> Path:
    """Where benchmarks are kept: ``T2AV_BENCH_DATA``, else the user's cache."""
    named = os.environ.get(FOLDER_VARIABLE)
    return Path(named) if named else user_cache() / "data"


def list_file(name: str) -> str:
    return f"{name}.list.json"


def found_below(folder: Path) -> dict[str, Path]:
    """Name -> folder of the prepared benchmarks directly below ``folder``, by the folders' own names."""
    return {path.parent.name: path.parent for path in sorted(folder.glob(f"*/{INFO}"))}


class PreparedBenchmark(Benchmark):
    """A benchmark of the class's name in a folder of that name."""

    def folder(self, data: Path | None = None) -> Path:
        """data: the folder of all benchmarks; None: the usual."""
        return (data_folder() if data is None else data) / self.id

    def info(self, data: Path | None = None) -> BenchmarkInfo:
        """Of the folder where it is prepared, else what it will be. Raises ConfigError for a damaged one."""
        folder = self.folder(data)
        return read_info(folder) if (folder / INFO).is_file() else heads()[self.id]

    @property
    def splits(self) -> Mapping[str, int]:
        return self.splits_in(None)

    def splits_in(self, folder: Path | None) -> Mapping[str, int]:
        return self.info(folder).splits

    def manifest(self, split: str, count: int, folder: Path | None) -> Path:
        return self.folder(folder) / split / ITEMS

    def missing(self, split: str, folder: Path | None) -> list[Lack]:
        home = self.folder(folder)
        if (home / split / ITEMS).is_file():
            return []
        return [Lack(
            f"the benchmark {self.id} is not prepared in {home}: it is made from data that you have",
            (f"t2av-bench data show {self.id}", f"t2av-bench data prepare {self.id} --source FOLDER --out {home}"),
        )]  # fmt: skip

    def build(
        self, splits: Sequence[str], items: int | None, folder: Path | None, workers: int, on_build: OnBuild
    ) -> None:  # fmt: skip
        """Raises ItemError, with the commands, while it is not prepared: that needs to know where the data are."""
        for each in (lack for split in splits for lack in self.missing(split, folder)):
            raise ItemError(str(each))


def class_of(name: str) -> type[Benchmark]:
    """The class of a prepared, or preparable, benchmark."""
    return type("PreparedBenchmark", (PreparedBenchmark,), {"id": name})


def write_digests(folder: Path) -> None:
    """Record the digests of all files of a prepared folder."""
    digests = {path.relative_to(folder).as_posix(): file_sha256(path) for path in _files(folder)}
    write_text(folder / FILES, json_text(digests, indent=1) + "\n")


def verify(folder: Path) -> list[str]:
    """What is not as it was prepared, a line a file; empty: all is. Raises ItemError where nothing can be compared."""
    try:
        recorded = dict(json.loads((folder / FILES).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ItemError(
            f"{folder} has no readable {FILES} ({error}): prepare it with t2av-bench data prepare"
        ) from error
    there = {path.relative_to(folder).as_posix(): path for path in _files(folder)}
    found = []
    for name in sorted({*recorded, *there}):
        if name not in there:
            found.append(f"{name} is missing")
        elif name not in recorded:
            found.append(f"{name} was not there when it was prepared")
        elif file_sha256(there[name]) != recorded[name]:
            found.append(f"{name} has changed")
    return found


def _files(folder: Path) -> list[Path]:
    """All but the digests themselves and the stages of the preparation, which are named with a dot."""
    return [
        path for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != FILES and not any(
            part.startswith(".") for part in path.relative_to(folder).parts
        )
    ]  # fmt: skip
