"""A weights folder with a table of its own, in place of what the machine has."""

from pathlib import Path

import pytest


def use_weights(monkeypatch: pytest.MonkeyPatch, folder: Path, rows: str) -> None:
    """Make ``folder`` the weights and ``rows`` (TOML) their table, with caches beside it, for one test."""
    table = folder.with_name("weights.toml")
    table.write_text(rows)
    monkeypatch.setenv("T2AV_BENCH_WEIGHTS", str(folder))
    monkeypatch.setenv("T2AV_BENCH_WEIGHTS_TABLE", str(table))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder.with_name("cache")))
    monkeypatch.setenv("XDG_DATA_HOME", str(folder.with_name("data")))
