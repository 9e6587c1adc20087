"""A row of an experiment as it will be carried out."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from t2av_bench.generation.lengths import Length
from t2av_bench.systems.base import Task
from t2av_bench.utils.text import names


class GroupTable(BaseModel):
    """A plain table that a key of the items breaks down.

    by: the key. columns: quantities to show, in this order; all where None. across: groups as columns instead of rows.
    intervals: of 95 %, in every cell.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    by: str = Field(min_length=1)
    columns: Annotated[tuple[str, ...] | None, BeforeValidator(names)] = Field(default=None, min_length=1)
    across: bool = False
    intervals: bool = True

    @property
    def name(self) -> str:
        """How the table is called; its files too."""
        return f"by {self.by}" + (f" ({', '.join(self.columns)})" if self.columns else "")


@dataclass(frozen=True, slots=True)
class ExperimentRow:
    """A row as it will be carried out: defaults filled in, one seed. benchmark: None for a manifest of your own.

    items_named: what the configuration's ``manifests`` call the manifest; empty where a row gives its path.
    clips: folder of finished clips, which take the place of a system (""). length: None where it is not given, see
    ``lengths``.
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
    tables: tuple[str | GroupTable, ...]
    step: int | None
    options: Mapping[str, Any]
    benchmark: str | None = None
    clips: Path | None = None
    items_named: str = ""
    length: Length | None = None

    @property
    def source(self) -> str:
        """Where the clips are from, for readers."""
        return self.system if self.clips is None else f"(clips of {self.clips.name}/)"
