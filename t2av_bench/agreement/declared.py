"""Which quantities are held against people's votes, and which way of each is better: written down before they are."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from t2av_bench.utils.config import load_toml

DECLARED = Path(__file__).parent / "declared.toml"
Direction = Literal["higher", "lower", "nearer to 0"]


class Declared(BaseModel):
    """directions: metric id -> quantity -> which is better. left_out: likewise -> why it is not asked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    directions: dict[str, dict[str, Direction]]
    left_out: dict[str, dict[str, Annotated[str, Field(min_length=1)]]] = {}


def declared(path: Path | None = None) -> Declared:
    """The file of this package, or one of the same form. Raises ConfigError."""
    return load_toml(path or DECLARED, Declared)
