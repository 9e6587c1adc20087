"""The bundled checkpoints: where each is, what trained it, what it scores.

``checkpoints/index.toml`` has a table for every model: ``file``, ``sha256``, and facts that whoever trained it states
(``command``, ``seed``, ``data_version``, ``updates``, ``parameters``, ``scores``, ...). They are entries of the table
of weights: a file is used only after its digest was compared with the index, once per process.
"""

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from t2av_bench.utils.files import file_sha256, replacing, write_text
from t2av_bench.weights.digests import exclusively
from t2av_bench.weights.table import Weights, opened

FOLDER = Path(__file__).with_name("checkpoints")
INDEX = "index.toml"
REQUIRED = ("command", "seed", "data_version", "updates", "parameters")
"""Facts without which a model cannot be made again; ``add`` insists on them."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_HEAD = "# The trained models of the embedded benchmark, written by `t2av-bench train embedded`; see checkpoints.py.\n"


def _weights(folder: Path) -> Weights:
    return opened((folder,), None, folder / INDEX)


def names(folder: Path = FOLDER) -> list[str]:
    """All models in the index, in its order."""
    return list(_weights(folder).table)


def facts(name: str, folder: Path = FOLDER) -> dict[str, Any]:
    """What the index says of a model. Raises UnknownWeights (ValueError)."""
    return _weights(folder).entry(name).facts


def path(name: str, folder: Path = FOLDER) -> Path:
    """The model's safetensors file, verified. Raises UnknownWeights, and NotApplicable with what to do."""
    return _weights(folder).path(name)


def digest(name: str, folder: Path = FOLDER) -> str:
    """The sha256 that the index states. Raises UnknownWeights."""
    return facts(name, folder)["sha256"]


def command(name: str) -> str:
    """What makes a model."""
    return f"t2av-bench train embedded {name}"


def add(name: str, file: Path, details: Mapping[str, Any], folder: Path = FOLDER) -> Path:
    """Copy a trained model among the bundled checkpoints as ``name`` and describe it in the index; returns its place.

    details: strings, numbers, truth values, and lists and tables of them, with at least ``REQUIRED``. A model of the
    same name is replaced. Readers see the old model or the new one: the file comes under a name with its digest, then
    the index, then the old file goes. Raises ValueError for a name or details that the index cannot hold.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"a checkpoint's name has letters, digits, '-' and '_', got {name!r}")
    if missing := [key for key in REQUIRED if key not in details]:
        raise ValueError(f"the checkpoint {name} lacks {', '.join(missing)}: it could not be made again")
    found = file_sha256(file)
    row = {"file": f"{name}-{found[:8]}.safetensors", "sha256": found, **details}
    _toml({name: row})
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
    """Add or replace facts of a model (its scores, say), and leave its file alone. Raises UnknownWeights."""
    if fixed := {"file", "sha256"} & details.keys():
        raise ValueError(f"{' and '.join(sorted(fixed))} of a checkpoint follow from its file: use add")
    with _changing(folder) as index:
        index[name] = {**facts(name, folder), **details}


@contextmanager
def _changing(folder: Path) -> Iterator[dict[str, dict[str, Any]]]:
    """The index, written when the block ends well; training runs beside each other wait for their turn."""
    with exclusively(folder / INDEX):
        index = {name: facts(name, folder) for name in names(folder)}
        yield index
        write_text(folder / INDEX, _toml(index))


def _toml(index: Mapping[str, Mapping[str, Any]]) -> str:
    import tomli_w

    try:
        json.dumps(index, allow_nan=False)  # no dates, and no numbers that are none
        return f"{_HEAD}\n{tomli_w.dumps(dict(sorted(index.items())))}"  # refuses None, which dump_toml leaves out
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"of {', '.join(index)}: facts are strings, finite numbers, truth values, lists and tables of them: {error}"
        ) from error
