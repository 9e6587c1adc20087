"""What a checkout offers to a shim, read from its sources and never run: parameters of callables, options of scripts.

A fact is text. Of a parameter: ``image_path`` (needed), ``seed=None`` (with its default), ``*args``. Of an option:
``-s/--seed:int=15`` (names, type, default), ``--audio!:str`` (required), ``--flag`` (takes no value),
``--tiling:store_true=True`` (nor does this one), ``--sizes:int[+]=None`` (nargs), ``--out>folder='x'`` (dest),
``--precision:str='bf16' {fp16|bf16}`` (choices), ``image_path:str`` (positional).
Texts that are long or not ASCII are ``<text of 64 characters>``.
"""

import ast
import hashlib
import json
import re
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from t2av_bench.systems.external.spec import Harvest, Spec
from t2av_bench.utils.config import near

_WIDTH = 120
LONGEST = 60  # characters of a default that are kept: prose of others does not belong in a specification
_OPTION = re.compile(
    r"(?P<names>[^!:>=\s]+)(?P<required>!)?(:(?P<kind>[^>=\s\[]*)(\[(?P<nargs>[^\]]+)\])?)?(>(?P<dest>[^=\s]+))?"
    r"(=(?P<default>.*?))?( \{(?P<choices>[^{}]+)\})?"
)


class Option(NamedTuple):
    """An option as its fact tells it. kind: of its type, or of its action where that is not ``store``."""

    names: tuple[str, ...]
    required: bool
    kind: str
    nargs: str
    dest: str
    default: str | None
    choices: tuple[str, ...]


def option_of(fact: str) -> Option:
    """ValueError for a text that is no fact of an option."""
    found = _OPTION.fullmatch(fact)
    if found is None:
        raise ValueError(f"{fact!r} is no option; expected one as in '-s/--seed:int=15'")
    part = found.groupdict()
    choices = tuple(part["choices"].split("|")) if part["choices"] else ()
    names, required = tuple(part["names"].split("/")), bool(part["required"])
    return Option(
        names, required, part["kind"] or "", part["nargs"] or "", part["dest"] or "", part["default"], choices
    )


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
        with warnings.catch_warnings():  # of their escapes, which are not ours to mend
            warnings.simplefilter("ignore")
            tree = ast.parse(path.read_bytes(), filename=file)
    except OSError as error:
        raise Unharvestable(f"{file} cannot be read: {error.strerror}") from error
    except (SyntaxError, ValueError, RecursionError) as error:
        raise Unharvestable(f"{file} is no Python that can be read: {error}") from error
    known = dict(_callables(tree))
    found = {name: tuple(known[name]) for name in callables if name in known}
    return Harvest(file=file, git_blob=git_blob(path), callables=found, options=tuple(_options(tree)))


def git_blob(path: Path) -> str:
    """The name that git gives to a file's content."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def as_toml(facts: Iterable[Harvest]) -> str:
    """What a file ``ID.harvest.toml`` holds."""

    def listed(key: str, values: Iterable[str]) -> str:
        words = [json.dumps(value) for value in values]
        line = f"{key} = [{', '.join(words)}]"
        return line if len(line) <= _WIDTH else f"{key} = [\n{_wrapped(words)}\n]"

    parts = []
    for each in facts:
        lines = ["[[harvest]]", f"file = {json.dumps(each.file)}", f'git_blob = "{each.git_blob}"']
        lines += [listed("options", each.options)] if each.options else []
        if each.callables:
            lines += ["", "[harvest.callables]"]
            lines += [listed(json.dumps(name), known) for name, known in each.callables.items()]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _wrapped(words: Iterable[str]) -> str:
    rows = [" "]
    for word in words:
        if len(rows[-1]) + len(word) + 2 > _WIDTH and rows[-1].strip():
            rows.append(" ")
        rows[-1] += f"{' ' if rows[-1].strip() else '   '}{word},"
    return "\n".join(rows)


def difference(spec: Spec, root: Path) -> list[str]:
    """What the shim passes and a checkout lacks, newly asks for or gives another default, as sentences.

    Of a library ``root`` is the folder of installed packages.
    """
    written_for = f"the shim was written for {spec.commit[:7] or 'an unknown commit'}"
    if spec.carrier == "lib":
        written_for = f"it was written for the versions of the extra {spec.environment.extra}"
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
        pinned = [fact for each in spec.harvest if each.file == use.file
                  for fact in (each.callables.get(use.callable, ()) if use.callable else each.options)]  # fmt: skip
        where = f"{use.file}: {use.callable}()" if use.callable else use.file
        what = "parameter" if use.callable else "option"
        said += [f"{where} {trouble}; {written_for}" for trouble in _unlike(use.names, offered, pinned, what)]
    return list(dict.fromkeys(said))


def _unlike(names: Iterable[str], offered: Iterable[str], pinned: Iterable[str], what: str) -> Iterator[str]:
    names, facts = list(names), {name: fact for fact in offered for name in names_of(fact, what)}
    before = {name: fact for fact in pinned for name in names_of(fact, what)}
    takes_any = any(name.startswith("**") for name in facts)
    for name in names:
        if name not in facts:
            if not takes_any:
                yield f"lost the {what} {name}{near(name, facts)}"
            continue
        was, now = default_of(before.get(name, ""), what), default_of(facts[name], what)
        if name in before and _changed(was, now):
            yield f"gives the {what} {name} the default {now or 'none'}, which was {was or 'none'}"
    for fact in dict.fromkeys(facts.values()):
        known = names_of(fact, what)
        if not {*known} & {*names, "self", "cls"} and _is_needed(fact, what):
            yield f"needs the {what} {'/'.join(known)}, which the shim does not pass"


def _changed(was: str | None, now: str | None) -> bool:
    if (was is None) != (now is None):
        return True
    try:
        return bool(ast.literal_eval(was or "None") != ast.literal_eval(now or "None"))
    except (ValueError, SyntaxError):  # a name or a cut text says nothing of its value
        return False


def _is_needed(fact: str, what: str) -> bool:
    if what == "option":
        option = option_of(fact)
        return option.required or (not option.names[0].startswith("-") and option.nargs not in ("?", "*"))
    return "=" not in fact and not fact.startswith("*")


def names_of(fact: str, what: str = "option") -> tuple[str, ...]:
    """The names that a fact is about (what: option or parameter), stars included."""
    return option_of(fact).names if what == "option" else (fact.partition("=")[0],)


def default_of(fact: str, what: str = "option") -> str | None:
    """The source text of the default; None where there is none."""
    if what == "option":
        return option_of(fact).default if fact else None
    return fact.partition("=")[2] or None


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
        yield each.arg if default is None else f"{each.arg}={_text(default)}"
    if given.vararg:
        yield f"*{given.vararg.arg}"
    for each, default in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        yield each.arg if default is None else f"{each.arg}={_text(default)}"
    if given.kwarg:
        yield f"**{given.kwarg.arg}"


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        if len(node.value) > LONGEST or not node.value.isascii():
            return f"<text of {len(node.value)} characters>"
    return ast.unparse(node)[: 2 * LONGEST]


def _options(tree: ast.AST) -> Iterator[str]:
    """Of every ``add_argument``, wherever it stands, in the order of the lines."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)
             and isinstance(node.func, ast.Attribute) and node.func.attr == "add_argument"]  # fmt: skip
    for node in sorted(calls, key=lambda call: (call.lineno, call.col_offset)):
        names = [each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
        if names:  # a name that is computed cannot be known
            yield "/".join(names) + _rest({each.arg: each.value for each in node.keywords if each.arg}, names)


def _rest(known: dict[str, ast.expr], names: list[str]) -> str:
    """What follows the names of an option's fact."""

    def plain(key: str) -> Any:
        value = known.get(key)
        return value.value if isinstance(value, ast.Constant) else None if value is None else _text(value)

    action = (plain("action") or "store").rpartition(".")[2]
    kind = "" if action == "store" else action
    if not kind and "type" in known:
        kind = plain("type") if isinstance(known["type"], ast.Name | ast.Attribute) else "callable"
    default = None if "default" not in known or plain("default") is None else _text(known["default"])
    if kind == "store_true" and default in (None, "False"):
        return f">{plain('dest')}" if "dest" in known else ""
    needed = plain("required") is True
    if action == "store" and default is None and not needed and names[0].startswith("-"):
        default = "None"
    text = ("!" if needed else "") + (f":{kind}" if kind or "nargs" in known else "")
    if "nargs" in known:
        nargs = str(plain("nargs"))
        text += f"[{'...' if nargs.endswith('REMAINDER') else nargs}]"
    text += f">{plain('dest')}" if "dest" in known else ""
    text += "" if default is None else f"={default}"
    choices = known.get("choices")
    if isinstance(choices, ast.List | ast.Tuple) and all(isinstance(each, ast.Constant) for each in choices.elts):
        text += " {" + "|".join(str(each.value) for each in choices.elts if isinstance(each, ast.Constant)) + "}"
    return text
