"""What a benchmark is: sets of items by name, with their media made on the spot."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from t2av_bench.errors import Lack

OnBuild = Callable[[int, int, str], None]
"""Called with how many clips are there, how many there will be, and the id of the one that was made."""


class Benchmark(ABC):
    """Sets of items that an experiment names by benchmark and split."""

    id: ClassVar[str]

    @property
    @abstractmethod
    def splits(self) -> Mapping[str, int]:
        """Split -> number of its items."""

    def splits_in(self, folder: Path | None) -> Mapping[str, int]:
        """``splits`` where the benchmark's data are in a folder of their own."""
        return self.splits

    @abstractmethod
    def manifest(self, split: str, count: int, folder: Path | None) -> Path:
        """Where the manifest of a split's first ``count`` items is once they are built; folder: None for the usual."""

    @abstractmethod
    def build(
        self, splits: Sequence[str], items: int | None, folder: Path | None, workers: int, on_build: OnBuild
    ) -> None:  # fmt: skip
        """Make what is missing of the splits, or of their first so many items."""

    def missing(self, split: str, folder: Path | None) -> list[Lack]:
        """What ``build`` would not find on this machine to make a split of, with the commands that bring it."""
        return []

    def speakers(self, split: str) -> Mapping[str, str]:
        """Item id -> who is heard, where the benchmark knows more than its manifest."""
        return {}
