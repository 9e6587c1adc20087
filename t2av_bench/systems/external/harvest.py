"""What a checkout offers to a shim, read from its sources and never run: parameters of callables, options of scripts.

A fact is text: ``image_path`` (needed), ``seed=None`` (with its default), ``*args``; ``--seed=15``, ``--flag``,
``--path!`` (required), ``image_path`` (positional).
"""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

from t2av_bench.systems.external.spec import Harvest, Spec
from t2av_bench.utils.config import near


class Unharvestable(ValueError):
    """A source that cannot be read; the message says why."""


def harvest(root: Path, spec: Spec) -> list[Harvest]:
    """The facts of all files that the shim uses, of a checkout. Raises Unharvestable."""
    wanted: dict[str, dict[str, None]] = {}
    for use in spec.uses:
        wanted.setdefault(use.file, {})[use.callable] = None
    return [harvest_file(root, file, [name for name in names if name]) for file, names in wanted.items()]


def harvest_file(root: Path, file: str, callables: Iterable[str]) -> Harvest:
    """Of one file: the callables that are named, where they are there, and all options. Raises Unharvestable."""
    path = root / file
    try:
        tree = ast.parse(path.read_bytes(), filename=file)
    except OSError as error:
        raise Unharvestable(f"{file} cannot be read: {error.strerror}") from error
    except (SyntaxError, ValueError, RecursionError) as error:
        raise Unharvestable(f"{file} is no Python that can be read: {error}") from error
    known = dict(_callables(tree))
    found = {name: tuple(known[name]) for name in callables if name in known}
    return Harvest(file=file, callables=found, options=tuple(_options(tree)))


def difference(spec: Spec, root: Path) -> list[str]:
    """What the shim passes and a checkout lacks, or newly asks for, as sentences; none: it fits."""
    written_for = f"the shim was written for {spec.commit[:7] or 'an unknown commit'}"
    said = []
    for use in spec.uses:
        try:
            facts = harvest_file(root, use.file, [use.callable] if use.callable else [])
        except Unharvestable as error:
            said.append(f"{error}; {written_for}")
            continue
        if use.callable and use.callable not in facts.callables:
            said.append(f"{use.file}: there is no {use.callable}(); {written_for}")
            continue
        offered = facts.callables[use.callable] if use.callable else facts.options
        where = f"{use.file}: {use.callable}()" if use.callable else use.file
        what = "parameter" if use.callable else "option"
        said += [f"{where} {trouble}; {written_for}" for trouble in _unlike(use.names, offered, what)]
    return list(dict.fromkeys(said))


def _unlike(names: Iterable[str], offered: Iterable[str], what: str) -> Iterator[str]:
    names, facts = list(names), {name_of(fact): fact for fact in offered}
    takes_any = any(name.startswith("**") for name in facts)
    for name in names:
        if name not in facts and not takes_any:
            yield f"lost the {what} {name}{near(name, facts)}"
    for name, fact in facts.items():
        if name not in names and name not in ("self", "cls") and _is_needed(fact, what):
            yield f"needs the {what} {name}, which the shim does not pass"


def _is_needed(fact: str, what: str) -> bool:
    if what == "option":
        return fact.endswith("!") or not fact.startswith("-")
    return "=" not in fact and not fact.startswith("*")


def name_of(fact: str) -> str:
    """The name that a fact is about, stars included."""
    return fact.partition("=")[0].rstrip("!")


def _callables(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, list[str]]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef):
            methods = dict(_callables(node, f"{prefix}{node.name}."))
            yield f"{prefix}{node.name}", methods.get(f"{prefix}{node.name}.__init__", [])
            yield from methods.items()
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{prefix}{node.name}", list(_parameters(node.args))
        elif isinstance(node, ast.If | ast.Try | ast.ExceptHandler):  # a definition may depend on what is installed
            yield from _callables(node, prefix)


def _parameters(given: ast.arguments) -> Iterator[str]:
    plain = [*given.posonlyargs, *given.args]
    defaults = [None] * (len(plain) - len(given.defaults)) + list(given.defaults)
    for each, default in zip(plain, defaults, strict=True):
        yield each.arg if default is None else f"{each.arg}={ast.unparse(default)}"
    if given.vararg:
        yield f"*{given.vararg.arg}"
    for each, default in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        yield each.arg if default is None else f"{each.arg}={ast.unparse(default)}"
    if given.kwarg:
        yield f"**{given.kwarg.arg}"


def _options(tree: ast.AST) -> Iterator[str]:
    """Of every ``add_argument``, wherever it stands; further names of an option are facts of their own."""
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
                and node.func.attr == "add_argument"):  # fmt: skip
            continue
        known = {each.arg: each.value for each in node.keywords if each.arg}
        default, required = known.get("default"), known.get("required")
        flags = [each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
        for flag in flags:
            if isinstance(required, ast.Constant) and required.value is True:
                yield f"{flag}!"
            elif default is None or (isinstance(default, ast.Constant) and default.value is None):
                yield flag
            else:
                text = default.value if isinstance(default, ast.Constant) else None
                yield f"{flag}={text if isinstance(text, str) else ast.unparse(default)}"
