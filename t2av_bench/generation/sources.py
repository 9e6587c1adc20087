"""What a system is made of beside its weights: its code and the files that it reads, as digests kept with each clip.

A system's code is what its class and its base classes are written in:

- of this project: their modules, and those that they import from the packages of systems. Not what all systems share
  (how a request looks, how a clip is written), nor networks and benchmarks, which tests hold to stored numbers: a
  release of the harness leaves clips alone whose system it does not touch;
- of a plug-in: their modules, all of their package, and what they import from beside it (not from site-packages).

Comments, docstrings and blank lines are no code.
"""

import ast
import hashlib
import inspect
import io
import os
import sys
import tokenize
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from t2av_bench.systems import base
from t2av_bench.systems.base import System

Digest = Callable[[Path], str | None]
_PROJECT = ("t2av_bench", "baselines", "reference_model", "reports")
_SYSTEMS = ("t2av_bench/systems", "t2av_bench/gridface/systems")
_SHARED = {f"t2av_bench/systems/{name}.py" for name in ("base", "output", "delivery", "inputs")}
_COMPILED = {".so", ".pyd"}


def code_digest(kind: type[System]) -> str | None:
    """Changes with the code of a system; None where its code is in no file."""
    files = code_files(kind)
    lines = []
    for name, path in sorted(files.items()):
        code = _without_comments(_read(path)) if path.suffix == ".py" else _read(path)
        lines.append(f"{hashlib.sha256(code).hexdigest()}  {name}\n")
    return hashlib.sha256("".join(lines).encode()).hexdigest() if lines else None


def code_files(kind: type[System]) -> dict[str, Path]:
    """The files of a system's code by name, from the folder that is imported from."""
    found: dict[str, Path] = {}
    for each in kind.__mro__:
        name, file = each.__module__, _file_of(each.__module__)
        if file is None or name == base.__name__ or name.partition(".")[0] in sys.stdlib_module_names:
            continue
        root = file.parents[name.count(".") + (file.name == "__init__.py")]
        own = name.partition(".")[0] in _PROJECT
        folders = {file.parent, *(root / each for each in _SYSTEMS)} if own else None
        for path in _with_imports(file, root, folders):
            found[path.relative_to(root).as_posix()] = path
        package = root / name.partition(".")[0]
        if not own and package.is_dir():
            for path in package.rglob("*"):
                if path.suffix == ".py" or path.suffix in _COMPILED:
                    found[path.relative_to(root).as_posix()] = path
    return found


def _file_of(module: str) -> Path | None:
    origin = getattr(sys.modules.get(module), "__file__", None)
    return Path(origin) if origin and Path(origin).is_file() else None


def _with_imports(file: Path, root: Path, folders: Collection[Path] | None) -> set[Path]:
    """A module and all that it imports, directly or not: from below ``folders``, or (None) from anywhere below ``root``
    but this project."""
    if root.name in ("site-packages", "dist-packages") and folders is None:
        return {file}
    find, found, waiting = _finder(root), set(), [file]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        if path.suffix != ".py":
            continue
        for name in _imports(_read(path), path.parent.relative_to(root).parts):
            parts = name.split(".")
            if folders is None and parts[0] in _PROJECT:
                continue
            for length in range(1, len(parts) + 1):  # importing a module runs the packages above it
                target = find(*parts[:length])
                if target and (folders is None or _is_own(target, root, folders)):
                    waiting.append(target)
    return found


def _is_own(file: Path, root: Path, folders: Collection[Path]) -> bool:
    """Whether a file of this project is a system's, not what all of them share."""
    is_shared = file.name == "__init__.py" or file.relative_to(root).as_posix() in _SHARED
    return not is_shared and any(folder in file.parents for folder in folders)


def _finder(root: Path) -> Callable[..., Path | None]:
    """A function from a module's name, in parts, to its file (None: there is none), which lists every folder once."""

    @cache
    def names_in(*folder: str) -> list[str]:
        place = root.joinpath(*folder)
        return sorted(os.listdir(place)) if place.is_dir() else []

    @cache
    def find(*parts: str) -> Path | None:
        *above, name = parts
        place, there = root.joinpath(*above), names_in(*above)
        candidates = [place / f"{name}.py"] if f"{name}.py" in there else []
        candidates += [place / name / "__init__.py"] if name in there else []
        candidates += [
            place / each for each in there if each.startswith(f"{name}.") and Path(each).suffix in _COMPILED
        ]  # fmt: skip
        return next((path for path in candidates if path.is_file()), None)

    return find


@lru_cache(maxsize=1024)
def _imports(data: bytes, package: tuple[str, ...]) -> list[str]:
    """Full names of what a file imports, wherever in it: modules, and names of modules that may be modules too."""
    try:
        return list(_imported(ast.parse(data), package))
    except (SyntaxError, ValueError, RecursionError):
        return []


def _imported(tree: ast.AST, package: tuple[str, ...]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            origin = ".".join([*above, *([node.module] if node.module else [])])
            if origin:
                yield origin
            yield from (f"{origin}.{alias.name}".lstrip(".") for alias in node.names if alias.name != "*")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


@lru_cache(maxsize=1024)
def _without_comments(data: bytes) -> bytes:
    try:
        tokens = list(tokenize.tokenize(io.BytesIO(data).readline))
        lines = data.decode(tokens[0].string).split("\n")
    except (SyntaxError, tokenize.TokenError, ValueError, LookupError):
        return data
    statement: list[tokenize.TokenInfo] = []
    for token in tokens:
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
        elif token.type == tokenize.NEWLINE:
            if statement and all(each.type == tokenize.STRING for each in statement):
                for row in range(statement[0].start[0], statement[-1].end[0] + 1):
                    lines[row - 1] = ""
            statement = []
        elif token.type not in (tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING):
            statement.append(token)
    return "\n".join(line.rstrip() for line in lines if line.strip()).encode()


def read_files(kind: type[System], options: Mapping[str, Any], digest: Digest) -> dict[str, str | None]:
    """sha256 of the files that a system reads and that its options do not name as paths.

    Those that it declares (``checkpoint_files``), those that are defaults of its options, and those that options name
    in plain text, as a folder of finished clips may be.
    """
    accepted = inspect.signature(kind.checkpoint_files).parameters
    every = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in accepted.values())
    known = {name: value for name, value in options.items() if every or name in accepted}
    places = [("declared", Path(path)) for path in kind.checkpoint_files(**known)]
    defaults = {name: each.default for name, each in inspect.signature(kind.load).parameters.items()}
    values = {name: value for name, value in defaults.items() if name not in options and isinstance(value, Path | str)}
    values |= {name: value for name, value in options.items() if not isinstance(value, Path)}  # those are fingerprinted
    places += [(name, place) for name, value in values.items() for place in _places(value)]
    found: dict[str, str | None] = {}
    for name, place in places:
        for path in files_below(place):
            key = f"{name}: {path.relative_to(place.parent).as_posix()}"
            found[key if key not in found else f"{key} ({len(found)})"] = digest(path)
    return found


def files_below(place: Path) -> list[Path]:
    """Of a folder all files in it, of a file that one."""
    files = sorted(place.rglob("*")) if place.is_dir() else [place]
    return [path for path in files if path.is_file()]


def _places(value: Any) -> Iterator[Path]:
    """Files and folders that a value names."""
    if isinstance(value, dict):
        for each in value.values():
            yield from _places(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _places(each)
    elif isinstance(value, Path | str) and str(value):
        try:
            place = Path(value)
            # "." and the like are no choice of files, and reading all of a home folder would take for ever.
            if place.exists() and place.resolve() not in (Path.home(), Path.cwd(), *Path.cwd().parents):
                yield place
        except (OSError, ValueError):  # too long for a name, or no name at all
            pass
