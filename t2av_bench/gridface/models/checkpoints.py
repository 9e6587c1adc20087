"""The trained models in the box: where each is, what trained it, what it scores.

``checkpoints/index.toml`` has a table for every model: ``file``, ``sha256``, and facts that whoever trained it states
(``command``, ``seed``, ``data_version``, ``updates``, ``parameters``, ``scores``, ...). A file is used only after its
digest was compared with the index, once per process.
"""

import difflib
import hashlib
import json
import re
import shutil
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from t2av_bench.errors import NotApplicable
from t2av_bench.utils.files import replacing, write_text
from t2av_bench.weights.digests import exclusively

FOLDER = Path(__file__).with_name("checkpoints")
INDEX = "index.toml"
REQUIRED = ("command", "seed", "data_version", "updates", "parameters")
"""Facts without which a model cannot be made again; ``add`` insists on them."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_HEAD = "# The trained models of the embedded benchmark, written by `t2av-bench train embedded`; see checkpoints.py.\n"


class UnknownCheckpoint(ValueError):
    """No such model in the index; the message names near ones and the command that trains one."""


class CheckpointUnusable(NotApplicable):
    """The model's file is missing, or is not the file that was scored; the message names the command that helps."""


def names(folder: Path = FOLDER) -> list[str]:
    """All models in the index, in its order."""
    return list(_index(folder))


def facts(name: str, folder: Path = FOLDER) -> dict[str, Any]:
    """What the index says of a model. Raises UnknownCheckpoint."""
    index = _index(folder)
    if name not in index:
        near = difflib.get_close_matches(name, index, n=3)
        known = f"; did you mean {' or '.join(near)}?" if near else f"; there are {', '.join(index) or 'none yet'}."
        raise UnknownCheckpoint(f"no embedded checkpoint is called {name!r}{known} To make it: {command(name)}")
    return index[name]


def path(name: str, folder: Path = FOLDER) -> Path:
    """The model's safetensors file, its digest checked. Raises UnknownCheckpoint and CheckpointUnusable."""
    row = facts(name, folder)
    file = folder / row["file"]
    if not file.is_file():
        raise CheckpointUnusable(f"the checkpoint {name} is missing ({file}): reinstall, or make it: {command(name)}")
    found = _digest(file)
    if found != row["sha256"]:
        raise CheckpointUnusable(
            f"the checkpoint {name} is damaged or was replaced: {file} has sha256 {found}, the index states "
            f"{row['sha256']}: reinstall, or make it again: {command(name)}"
        )
    return file


def digest(name: str, folder: Path = FOLDER) -> str:
    """The sha256 that the index states. Raises UnknownCheckpoint."""
    return facts(name, folder)["sha256"]


def command(name: str) -> str:
    """What makes a model."""
    return f"t2av-bench train embedded {name}"


def add(name: str, file: Path, details: Mapping[str, Any], folder: Path = FOLDER) -> Path:
    """Copy a trained model into the box under ``name`` and describe it in the index; returns its place.

    details: strings, numbers, truth values, and lists and tables of them, with at least ``REQUIRED``. A model of the
    same name is replaced. Readers see the old model or the new one: the file comes under a name with its digest, then
    the index, then the old file goes. Raises ValueError for a name or details that the index cannot hold.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"a checkpoint's name has letters, digits, '-' and '_', got {name!r}")
    if missing := [key for key in REQUIRED if key not in details]:
        raise ValueError(f"the checkpoint {name} lacks {', '.join(missing)}: it could not be made again")
    with file.open("rb") as content:
        found = hashlib.file_digest(content, "sha256").hexdigest()
    row = {"file": f"{name}-{found[:8]}.safetensors", "sha256": found, **details}
    _lines(row, name)
    folder.mkdir(parents=True, exist_ok=True)
    with _changing(folder) as index:
        old = index.get(name)
        place = folder / row["file"]
        with replacing(place) as temporary:
            shutil.copyfile(file, temporary)
        index[name] = row
    if old is not None and old["file"] != row["file"]:
        (folder / old["file"]).unlink(missing_ok=True)
    return place


def describe(name: str, details: Mapping[str, Any], folder: Path = FOLDER) -> None:
    """Add or replace facts of a model (its scores, say), and leave its file alone. Raises UnknownCheckpoint."""
    if fixed := {"file", "sha256"} & details.keys():
        raise ValueError(f"{' and '.join(sorted(fixed))} of a checkpoint follow from its file: use add")
    with _changing(folder) as index:
        index[name] = {**facts(name, folder), **details}


def _index(folder: Path) -> dict[str, dict[str, Any]]:
    place = folder / INDEX
    if not place.is_file():
        return {}
    try:
        rows = tomllib.loads(place.read_text(encoding="utf-8"))
        for name, row in rows.items():
            if Path(row["file"]).name != row["file"] or len(row["sha256"]) != 64:
                raise ValueError(f"the table {name} has no plain file name, or no sha256 of 64 digits")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointUnusable(f"{place} is damaged ({error}): reinstall, or restore it") from error
    return rows


@contextmanager
def _changing(folder: Path) -> Iterator[dict[str, dict[str, Any]]]:
    """The index, written when the block ends well; training runs beside each other wait for their turn."""
    with exclusively(folder / INDEX):
        index = _index(folder)
        yield index
        write_text(folder / INDEX, _HEAD + "".join(_lines(row, name) for name, row in sorted(index.items())))


def _lines(row: Mapping[str, Any], name: str) -> str:
    return f"\n[{name}]\n" + "".join(f"{_key(key)} = {_value(value, f'{name}.{key}')}\n" for key, value in row.items())


def _value(value: Any, where: str) -> str:
    """TOML; JSON's strings, numbers and truth values are TOML's too."""
    if isinstance(value, Mapping):
        inside = ", ".join(f"{_key(key)} = {_value(item, f'{where}.{key}')}" for key, item in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(item, where) for item in value)}]"
    if not isinstance(value, str | bool | int | float):
        raise ValueError(f"{where} is {value!r}; strings, numbers, truth values, lists and tables are taken")
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise ValueError(f"{where} is {value}: a fact is a finite number, or is left out") from error


def _key(key: str) -> str:
    return key if _NAME.fullmatch(key) else json.dumps(key, ensure_ascii=False)


def _digest(file: Path) -> str:
    status = file.stat()
    return _digest_of(file, status.st_mtime_ns, status.st_size)


@lru_cache
def _digest_of(file: Path, changed: int, size: int) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
