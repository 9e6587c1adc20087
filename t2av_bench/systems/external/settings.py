"""Where the user keeps a system of other people: ``systems.toml``, one table an id.

::

    [sonic]
    python = "/envs/sonic/bin/python"
    checkout = "/src/Sonic"
    weights = "/models/sonic"
    gpus = [0]

``T2AV_BENCH_SYSTEMS`` names another file; options of a row come before it.
"""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from t2av_bench.errors import NotApplicable

VARIABLE = "T2AV_BENCH_SYSTEMS"
PLACES = ("python", "checkout", "weights", "gpus")
"""What the table of a system may say, and options of ``load`` beside the system's own."""


@dataclass(frozen=True, slots=True)
class Settings:
    """python: an executable. checkout, weights: folders; weights are the checkout's where none are named.

    gpus: indices or UUIDs, one foreign worker each; empty: the machine's first.
    """

    python: Path
    checkout: Path
    weights: Path
    gpus: tuple[str, ...] = ()


def settings_file() -> Path:
    if named := os.environ.get(VARIABLE):
        return Path(named)
    import platformdirs

    return platformdirs.user_config_path("t2av-bench", appauthor=False) / "systems.toml"


def configured(id: str) -> dict[str, Any]:
    """The table of a system; empty where there is none. ValueError for a file that cannot be used."""
    from t2av_bench.utils.config import near, read_toml

    file = settings_file()
    if not file.is_file():
        if os.environ.get(VARIABLE):
            raise ValueError(f"{VARIABLE} names {file}, which is no file")
        return {}
    table = read_toml(file).get(id, {})
    if not isinstance(table, dict):
        raise ValueError(f"{file}: {id} is a table, as in [{id}]")
    for key, value in table.items():
        if key not in PLACES:
            raise ValueError(f"{file}: [{id}] has an unknown key {key!r}{near(key, PLACES)}")
        fits = isinstance(value, list | int | str) if key == "gpus" else isinstance(value, str) and value
        if not fits:
            raise ValueError(f"{file}: [{id}] {key} is a {'list of GPUs' if key == 'gpus' else 'path'}, got {value!r}")
    # A path in the file is meant from where the file is.
    return {
        key: value if key == "gpus" or (key == "python" and "/" not in value)
        else str(file.parent / Path(value).expanduser())
        for key, value in table.items()
    }  # fmt: skip


def settings(id: str, **options: Any) -> Settings:
    """Of a system that runs in its own interpreter. NotApplicable, with what to type, while something is missing."""
    table = configured(id) | {key: value for key, value in options.items() if key in PLACES and value is not None}
    places = f"{settings_file()} or the row's options say where"
    recipe = f"t2av-bench systems recipe {id} says how to set it up, and {places}"
    if missing := [key for key in ("python", "checkout") if not table.get(key)]:
        raise NotApplicable(f"{id} is not set up: nothing says where its {' and its '.join(missing)} is; {recipe}")
    named = str(table["python"])
    python = shutil.which(str(Path(named).expanduser()))
    if python is None:
        raise NotApplicable(f"{id}: its python {named} is no program; {recipe}")
    checkout = Path(table["checkout"]).expanduser().absolute()
    weights = Path(table["weights"]).expanduser().absolute() if table.get("weights") else checkout
    for key, place in (("checkout", checkout), ("weights", weights)):
        if not place.is_dir():
            raise NotApplicable(f"{id}: its {key} {place} is no folder; {recipe}")
    return Settings(Path(python).absolute(), checkout, weights, gpu_list(table.get("gpus")))


def gpu_list(given: Any) -> tuple[str, ...]:
    """GPUs as texts from a list, a number or a text with commas."""
    if given is None or given == "":
        return ()
    if isinstance(given, str):
        return tuple(part.strip() for part in given.split(",") if part.strip())
    return tuple(map(str, given)) if isinstance(given, Sequence) else (str(given),)


def gpu_slots(id: str, options: Mapping[str, Any]) -> tuple[str, ...]:
    """The GPUs that a row's system may use at once, each by a worker of its own; empty: not said."""
    return gpu_list(options.get("gpus") if options.get("gpus") is not None else configured(id).get("gpus"))
