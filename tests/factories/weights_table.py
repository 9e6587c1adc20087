"""A weights folder with a table of its own, in place of what the machine has."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from t2av_bench import weights


def install(monkeypatch: pytest.MonkeyPatch, folder: Path, files: Mapping[str, Path], *, others: bool = False) -> None:
    """Make files the verified weights of their ids, in a new ``folder``, for one test. others: those of the package are
    known as well, and not there."""
    rows = []
    if others:
        known = (Path(weights.__file__).parent / "weights.toml").read_text(encoding="utf-8")
        rows += [each for each in re.split(r"^(?=\[\w+\]$)", known, flags=re.MULTILINE)
                 if each.partition("]")[0].lstrip("[") not in files]  # fmt: skip
    for id, path in files.items():
        (folder / id).mkdir(parents=True)
        (folder / id / path.name).symlink_to(path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        rows.append(
            f'[{id}]\npurpose = "test"\nfile = "{id}/{path.name}"\norigins = ["file:///nowhere"]\n'
            f'licence = "none"\ngroup = "free"\nformat = "state_dict"\nloader = "test"\nsha256 = "{digest}"\n'
        )
    use_weights(monkeypatch, folder, "\n".join(rows))


def use_weights(monkeypatch: pytest.MonkeyPatch, folder: Path, rows: str) -> None:
    """Make ``folder`` the weights and ``rows`` (TOML) their table, with caches beside it, for one test."""
    table = folder.with_name("weights.toml")
    table.write_text(rows)
    monkeypatch.setenv("T2AV_BENCH_WEIGHTS", str(folder))
    monkeypatch.setenv("T2AV_BENCH_WEIGHTS_TABLE", str(table))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder.with_name("cache")))
    monkeypatch.setenv("XDG_DATA_HOME", str(folder.with_name("data")))
