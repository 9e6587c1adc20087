"""What real GridFace clips score against other real clips of the same persons, as ``validation.floors`` measured it."""

import tomllib
from functools import cache
from pathlib import Path

from t2av_bench.metrics.base import Floor

FILE = Path(__file__).with_name("floors.toml")
WHAT = "real GridFace clips against real clips of the same persons saying other sentences"


@cache
def floors(metric: str) -> tuple[Floor, ...]:
    """The floors of a metric id, by language and number of clips; none where none were measured."""
    rows = tomllib.loads(FILE.read_text(encoding="utf-8")).get(metric, [])
    return tuple(Floor(what=WHAT, **row) for row in rows)
