"""Which quantities are held against people's votes, and which way of each is better: written down before they are."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from t2av_bench.utils.config import load_toml

DECLARED = Path(__file__).parent / "declared.toml"
Direction = Literal["higher", "lower", "nearer to 0"]


class Declared(BaseModel):
    """directions: metric id -> quantity -> which is better. left_out: likewise -> why it is not asked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    directions: dict[str, dict[str, Direction]]
    left_out: dict[str, dict[str, Annotated[str, Field(min_length=1)]]] = {}

    @model_validator(mode="after")
    def _one_of_both(self) -> "Declared":
        for metric, quantities in self.left_out.items():
            if both := quantities.keys() & self.directions.get(metric, {}).keys():
                raise ValueError(f"{sorted(both)[0]} of {metric} has a direction and is left out: keep one of the two")
        return self


def declared(path: Path = DECLARED) -> Declared:
    """The file of this package, or one of the same form. Raises ConfigError."""
    return load_toml(path, Declared)
