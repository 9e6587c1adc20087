"""A row of an experiment as it will be carried out."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from t2av_bench.systems.base import Task


@dataclass(frozen=True, slots=True)
class ExperimentRow:
    """A row as it will be carried out: defaults filled in, one seed. benchmark: None for a manifest of your own.

    clips: folder of finished clips, which take the place of a system ("").
    """

    name: str
    label: str
    system: str
    task: Task
    manifest: Path | None
    split: str | None
    items: int | None
    seed: int
    max_seconds: float
    metrics: tuple[str, ...]
    tables: tuple[str, ...]
    step: int | None
    options: Mapping[str, Any]
    benchmark: str | None = None
    clips: Path | None = None

    @property
    def source(self) -> str:
        """Where the clips are from, for readers."""
        return self.system if self.clips is None else f"(clips of {self.clips.name}/)"
