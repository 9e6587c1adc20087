"""Where the user keeps a system of other people: ``systems.toml``, one table an id.

::

    [sonic]
    python = "/envs/sonic/bin/python"
    checkout = "/src/Sonic"
    weights = "/models/sonic"
    gpus = [0]

``T2AV_BENCH_SYSTEMS`` names another file; options of a row come before it. In place of ``python`` there may be a
``command`` that starts it elsewhere, as in a container::

    command = ["docker", "run", "--rm", "--init", "-v", "{folder}:{folder}", "-v", "{checkout}:{checkout}:ro", "sonic",
               "python3"]
"""

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from t2av_bench.errors import NotApplicable

VARIABLE = "T2AV_BENCH_SYSTEMS"
PLACES = ("python", "checkout", "weights", "gpus", "command")
"""What the table of a system may say, and options of ``load`` beside the system's own."""


@dataclass(frozen=True, slots=True)
class Settings:
    """python: an executable, that of ``command`` where that is given. checkout, weights: folders; weights are the
    checkout's where none are named.

    gpus: indices or UUIDs, one foreign worker each; empty: the machine's first. command: what starts a Python that
    shares the named places with this machine and nothing else; see ``process.filled``.
    """

    python: Path
    checkout: Path
    weights: Path
    gpus: tuple[str, ...] = ()
    command: tuple[str, ...] = ()


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
        kind, fits = {
            "gpus": ("list of GPUs", isinstance(value, list | int | str)),
            "command": ("list of words", _is_command(value)),
        }.get(key, ("path", isinstance(value, str) and value))  # fmt: skip
        if not fits:
            raise ValueError(f"{file}: [{id}] {key} is a {kind}, got {value!r}")
    # A path in the file is meant from where the file is.
    return {
        key: value if key in ("gpus", "command") or (key == "python" and "/" not in value)
        else str(file.parent / Path(value).expanduser())
        for key, value in table.items()
    }  # fmt: skip


def weights_folder(id: str, given: Any = None) -> Path | None:
    """Of a system that runs in this program: the folder that its option ``weights`` or else ``systems.toml`` names."""
    named = given or configured(id).get("weights")
    return Path(named).expanduser().absolute() if named else None


def digest_of(path: Path) -> str:
    """The SHA-256 of a file, remembered for the user as long as the file stays untouched."""
    from t2av_bench.weights import configured

    return configured().cache.get(path)["sha256"]


def weights_state(folder: Path | None, files: Iterable[Path]) -> dict[str, str]:
    """Digests of files of weights by their paths below a folder, as for ``System.state``."""
    if folder is None:
        return {}
    return {f"weights: {file.relative_to(folder).as_posix()}": digest_of(file) for file in files}


def _is_command(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(word, str) and word for word in value)


def settings(id: str, **options: Any) -> Settings:
    """Of a system that runs in its own interpreter. NotApplicable, with what to type, while something is missing."""
    table = configured(id) | {key: value for key, value in options.items() if key in PLACES and value is not None}
    places = f"{settings_file()} or the row's options say where"
    recipe = f"t2av-bench systems recipe {id} says how to set it up, and {places}"
    # What a row names comes before the other one of the file.
    command = table.get("command") if options.get("command") or not options.get("python") else None
    if command and not _is_command(command):
        raise ValueError(f"{id}: its command is a list of words, got {command!r}")
    python = command[0] if command else table.get("python")
    if missing := [key for key, value in (("python", python), ("checkout", table.get("checkout"))) if not value]:
        which = " and its ".join(missing) + (" are" if len(missing) > 1 else " is")
        raise NotApplicable(f"{id} is not set up: nothing says where its {which}; {recipe}")
    named = str(python)
    program = shutil.which(str(Path(named).expanduser()))
    if program is None:
        raise NotApplicable(f"{id}: its {'command' if command else 'python'} {named} is no program; {recipe}")
    checkout = Path(table["checkout"]).expanduser().absolute()
    weights = Path(table["weights"]).expanduser().absolute() if table.get("weights") else checkout
    for key, place in (("checkout", checkout), ("weights", weights)):
        if not place.is_dir():
            raise NotApplicable(f"{id}: its {key} {place} is no folder; {recipe}")
    return Settings(Path(program).absolute(), checkout, weights, gpu_list(table.get("gpus")), tuple(command or ()))


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
