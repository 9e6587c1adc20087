"""The run files of the paper's tables, and what a test needs to carry them out."""

import tomllib
from pathlib import Path

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"
TABLES = range(1, 6)


def path(table: int) -> Path:
    return EXPERIMENTS / f"paper-table{table}.toml"


def read(table: int) -> dict:
    return tomllib.loads(path(table).read_text(encoding="utf-8"))
