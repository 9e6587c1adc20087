"""Settings from TOML files and from ``NAME=VALUE`` texts, checked strictly by pydantic models.

What is wrong is a :class:`ConfigError`, which names the key and says what would have been right.
"""

import difflib
import json
import tomllib
import typing
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

Model = TypeVar("Model")


@typing.dataclass_transform(frozen_default=True)
def strict_dataclass(cls: type[Model]) -> type[Model]:
    """Makes a class a frozen dataclass whose values pydantic checks: other keys and types are errors."""
    return dataclass(cls, frozen=True, config=ConfigDict(extra="forbid", strict=True))


class ConfigError(ValueError):
    """Settings that cannot be used; the message names the key and what was expected."""


def folded(name: str) -> str:
    """What counts of a name, its letters and digits without case and accents: ``LSE-C`` and ``lse_c`` are one name."""
    return "".join(letter for letter in unicodedata.normalize("NFKD", name).casefold() if letter.isalnum())


def nearest(name: str, known: Iterable[str], most: int = 3) -> list[str]:
    """The known names that look most like it: those that begin with it, then the others, best first."""
    by_folded: dict[str, str] = {}
    for each in known:
        by_folded.setdefault(folded(each), each)
    wanted = folded(name)
    longer = [each for each in by_folded if wanted and each.startswith(wanted)]
    alike = difflib.get_close_matches(wanted, by_folded, n=most)
    return [by_folded[each] for each in dict.fromkeys([*longer, *alike])][:most]


def near(name: str, known: Iterable[str]) -> str:
    """``; did you mean a or b?`` of the known names that look like it; where none does, ``; there are a, b``."""
    known = list(known)
    found = nearest(name, known)
    return f"; did you mean {' or '.join(found)}?" if found else f"; there are {', '.join(known) or 'none'}"


def load_toml(
    file: Path | None, model: type[Model], over: Mapping[str, Any] | None = None, *, what: str = "configuration",
    call: Callable[[str], str] = repr, folder: Path | None = None,
) -> Model:  # fmt: skip
    """A file's keys, with ``over`` laid over them, as a model. Raises ConfigError.

    over: entries that are None are left out. Strings in the file for fields that are paths are relative to ``folder``,
    by default the file's. what: the file, in messages. call: key -> what messages call it.
    """
    values = {}
    if file is not None:
        values = read_toml(file, what)
        for key, field in _fields(model).items():
            if isinstance(values.get(key), str) and Path in (field.annotation, *typing.get_args(field.annotation)):
                values[key] = (folder or file.parent) / values[key]
    given = {key: value for key, value in (over or {}).items() if value is not None}
    try:
        return checked(model, merged(values, given), call)
    except ConfigError as error:
        raise ConfigError(str(error) if file is None else f"{file}: {error}") from error


def read_toml(file: Path, what: str = "configuration") -> dict[str, Any]:
    """A file's keys. Raises ConfigError where it cannot be read or is no TOML."""
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"cannot read the {what} {file}: {error}") from error


def checked(model: type[Model], values: Mapping[str, Any], call: Callable[[str], str] = repr) -> Model:
    """Plain values as a model or ``strict_dataclass``. Raises ConfigError, which says of each what was expected."""
    adapter = TypeAdapter(model)
    try:
        # What is strict takes tables and lists for dataclasses and tuples from JSON alone.
        return adapter.validate_json(json.dumps(values)) if is_dataclass(model) else adapter.validate_python(values)
    except ValidationError as error:
        problems = error.errors()
        # A table with a wrong entry counts as none, which would be said of its array as well.
        places = {place[:end] for place in (problem["loc"] for problem in problems) for end in range(len(place))}
        told = (_explain(problem, model, values, call) for problem in problems if problem["loc"] not in places)
        raise ConfigError("; ".join(dict.fromkeys(told))) from error


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``over`` laid over ``base``, table by table."""
    result = dict(base)
    for key, value in over.items():
        inner = result.get(key)
        result[key] = merged(inner, value) if isinstance(inner, Mapping) and isinstance(value, Mapping) else value
    return result


def assignment(text: str, what: str, expected: str) -> tuple[str, Any]:
    """``NAME=VALUE`` -> name and value: as in TOML (``8``, ``true``, ``["a", "b"]``), and text where it is none.

    what, expected: what the text is, and how it is written, for messages.
    """
    name, equals, value = text.partition("=")
    if not (equals and name.strip()):
        raise ConfigError(f"{what} {text!r}: expected {expected}")
    try:
        return name.strip(), tomllib.loads(f"value = {value}")["value"]
    except (ValueError, RecursionError):  # no TOML, or a number of thousands of digits
        return name.strip(), value.strip()


def _explain(problem: Any, model: type, values: Any, call: Callable[[str], str]) -> str:
    """A sentence on one of pydantic's problems: ``row 'a': unknown key 'sytem'; did you mean system?``."""
    where, path, last = "", [], ""
    for part in problem["loc"]:
        inside = _model_in(_fields(model)[last].annotation) if last in _fields(model) else None
        model = inside or model
        last = part
        if isinstance(values, Mapping) and part in values or isinstance(values, list | tuple) and isinstance(part, int):
            values = values[part]
        elif problem["type"] != "missing":
            continue  # no key: which member of a union was tried
        if isinstance(part, int) and isinstance(values, Mapping):  # a table of many: it goes by its name
            name = values.get("name")
            entry = path.pop().replace("ies", "y").removesuffix("s")
            where += f"{entry} {name!r}: " if isinstance(name, str) else f"{entry} {part + 1}: "
        else:
            path.append(str(part))
    key = ".".join(path)
    if problem["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"{where}unknown key {key!r}{near(str(last), _fields(model))}"
    if problem["type"] == "missing":
        wanted = _fields(model)[last].description
        return f"{where}{call(key)} is missing" + (f": {wanted}" if wanted else "")
    message = str(problem["msg"]).removeprefix("Value error, ")
    got = "" if isinstance(problem["input"], Mapping) else f", got {problem['input']!r:.60}"
    return f"{where}{call(key)}: {message}{got}" if key else where + message


def _fields(model: type) -> dict[str, Any]:
    return getattr(model, "__pydantic_fields__", {})


def _model_in(annotation: Any) -> type | None:
    """``Row`` of ``Row``, ``tuple[Row, ...]`` and ``Row | None``."""
    if isinstance(annotation, type) and _fields(annotation):
        return annotation
    return next(filter(None, map(_model_in, typing.get_args(annotation))), None)
