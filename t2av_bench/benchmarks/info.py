"""``benchmark.toml``: what a benchmark is, who may use it, and what of it is somebody's decision.

Every benchmark that can be prepared has its head in the package (``sets/NAME.toml``). A prepared folder has the same
head with what was counted and chosen when it was prepared.
"""

from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from t2av_bench.utils.config import dump_toml, load_toml

INFO = "benchmark.toml"
_HEADS = Path(__file__).parent / "sets"
_Text = Annotated[str, Field(min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Licence(_Strict):
    """Of the media, not of this project's recipe.

    id: SPDX where there is one. terms: where they stand. redistribute: whether prepared files may be handed on.
    figures_max: pictures or videos that a publication may show; None: not stated. consent: what was agreed with the
    persons who are seen and heard, as far as it is known. deletion: when copies must be deleted; such a benchmark's
    folder says how (``DELETE.md``). notes: duties that the terms name.
    """

    id: _Text
    terms: _Text
    redistribute: bool
    figures_max: int | None = Field(default=None, ge=0)
    consent: _Text
    deletion: _Text | None = None
    notes: tuple[str, ...] = ()


class Prepared(_Strict):
    """What the folder was made by.

    recipe: its id; version: of the recipe. options: those of the recipe that were given. recognisers: what heard the
    texts, first the one whose writing counts. list: digest of the published list that it follows, else None.
    left_out: source clips that became no item. missing: items of the list that the user's data do not have.
    """

    recipe: _Text
    version: int = Field(ge=1)
    options: dict[str, str] = {}
    recognisers: tuple[str, ...] = ()
    list: str | None = None
    left_out: int = Field(default=0, ge=0)
    missing: int = Field(default=0, ge=0)
    libraries: dict[str, str] = {}


class BenchmarkInfo(_Strict):
    """version: rises when the same data would become other items. splits: name -> items.

    tasks: those that its items can ask of a system. get: how one comes by the data. paper: what the publication that
    uses the set fixed; ours: what it left open and this project decided. rates: characters a second of each language
    (ISO 639-1), silence included, as the references have them; empty where there are none.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    version: int = Field(ge=1)
    title: _Text
    languages: tuple[str, ...]
    tasks: tuple[str, ...]
    splits: dict[str, Annotated[int, Field(ge=0)]]
    get: _Text
    licence: Licence
    frame_rate: int = 25
    audio_rate: int = 16_000
    paper: dict[str, str] = {}
    ours: dict[str, str] = {}
    rates: dict[str, Annotated[float, Field(gt=0)]] = {}
    prepared: Prepared | None = None


def read_info(folder: Path) -> BenchmarkInfo:
    """Of a prepared folder. Raises ConfigError."""
    return load_toml(folder / INFO, BenchmarkInfo)


def info_text(info: BenchmarkInfo) -> str:
    return dump_toml(info.model_dump(mode="json", exclude_none=True))


@cache
def heads() -> dict[str, BenchmarkInfo]:
    """The benchmarks that can be prepared, by name."""
    found = {path.stem: load_toml(path, BenchmarkInfo) for path in sorted(_HEADS.glob("*.toml"))}
    return {info.name: info for info in found.values()}
