"""``t2av-bench new``: a package of one's own that adds a metric, a system or a benchmark."""

import keyword
import os
import re
import tempfile
from collections.abc import Container
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

import typer

from t2av_bench.cli.errors import usage_errors
from t2av_bench.utils.terminal_text import echo

_TEMPLATES = Path(__file__).with_name("templates")
_MOST = 40
Kind = Literal["metric", "system", "benchmark"]


def new(
    kind: Annotated[Kind, typer.Argument(help="What the package adds.", show_default=False)],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name, and the folder's.", show_default=False)],
) -> None:
    """Write a package that adds a metric, a system or a benchmark: it works, and its test passes.

    The folder NAME holds a module, its test, pyproject.toml and README.md. 'pip install -e ./NAME' makes it known to
    every command; docs/plugins.md says what to put in its place.
    """
    with usage_errors():
        _check(kind, name)
        folder = Path(name)
        files = rendered(kind, name)
        _write(folder, files)
    echo(str(folder))
    echo(f"next: cd {name} && pip install -e '.[dev]' && pytest", err=True)


def rendered(kind: Kind, name: str) -> dict[str, str]:
    """File name -> text, of the package of that name."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    module = _module(name)
    words = module.split("_")
    values = {
        "kind": kind, "name": name, "id": f"{name}/v1" if kind == "metric" else name, "module": module,
        "class_name": "".join(word.capitalize() for word in words), "quantity": module,
        "label": " ".join(words).capitalize(),
    }  # fmt: skip
    loader = FileSystemLoader([_TEMPLATES / kind, _TEMPLATES])
    environment = Environment(loader=loader, undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    return {
        template.removesuffix(".jinja").replace("module", module): environment.get_template(template).render(values)
        for template in environment.list_templates() if "/" not in template
    }  # fmt: skip


def _check(kind: Kind, name: str) -> None:
    """ValueError for a name that cannot be an id and a module, or that is taken."""
    from t2av_bench import metrics, systems
    from t2av_bench.benchmarks import registry as benchmarks

    if not re.fullmatch(r"[a-z]{2}[a-z0-9]*([-_][a-z0-9]+)*", name) or len(name) > _MOST:
        raise ValueError(
            f"{name!r} is no name for a {kind}: expected small letters a-z, digits, and '-' or '_' between them, "
            f"beginning with two letters, {_MOST} characters at most, such as loudness_range"
        )
    known: dict[str, Container[object]] = {
        "metric": metrics.registry, "system": systems.registry, "benchmark": benchmarks.registry,
    }  # fmt: skip
    if name in known[kind]:
        raise ValueError(f"{name!r} is the name of a {kind} already: choose another")
    module = _module(name)
    found = None if keyword.iskeyword(module) else find_spec(module)
    if keyword.iskeyword(module) or (found is not None and found.origin is not None):
        raise ValueError(f"{module!r} is the name of a Python module already: choose another")


def _module(name: str) -> str:
    return name.replace("-", "_")


def _write(folder: Path, files: dict[str, str]) -> None:
    """All files or none: they appear together."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is there already, and not an empty folder: choose another name, or remove it")
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.absolute().parent) as place:
        staged = Path(place) / folder.name
        staged.mkdir()
        for name, text in files.items():
            (staged / name).write_text(text, encoding="utf-8")
        os.replace(staged, folder)
