"""JSON Lines as strangers write them: every line is read by itself, and what is wrong with one costs no other.

Lines end at ``\\n`` alone: U+2028, U+2029 and U+0085 may stand in a JSON string and end nothing.
"""

import codecs
import json
import math
import re
from collections.abc import Iterator
from typing import Any

_DEEPEST = 32
"""Levels of nesting: far more than a manifest needs, far less than pickling and printing bear."""

_SURROGATE = re.compile("[\ud800-\udfff]")


def numbered(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The lines of a file that are not blank, each with its number from 1, without a byte order mark."""
    for number, line in enumerate(data.removeprefix(codecs.BOM_UTF8).split(b"\n"), start=1):
        if line.strip():
            yield number, line


class LineError(ValueError):
    """Why a line cannot be used; ``record`` is what it holds where it is an object all the same."""

    def __init__(self, reason: str, record: dict[str, Any] | None = None) -> None:
        super().__init__(reason)
        self.record = record


def parse(line: bytes) -> dict[str, Any]:
    """The object on a line. LineError (``is not JSON: …``) where there is none, or one that cannot be kept.

    Refused beside what is not JSON: repeated keys (one of the values would vanish), numbers without a finite value,
    lone surrogates (no file and no database takes them) and deep nesting.
    """
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise LineError(f"is not UTF-8: byte {line[error.start]:#04x} at position {error.start}") from error
    try:
        value = json.loads(
            text, object_pairs_hook=_without_repeats, parse_constant=_refuse_constant, parse_float=_finite
        )
    except json.JSONDecodeError as error:
        raise LineError(f"is not JSON: {error}") from error
    except RecursionError as error:
        raise LineError(f"is not JSON that can be used: it nests more than {_DEEPEST} levels") from error
    except LineError:
        raise
    except ValueError as error:  # Python converts no integer of more than 4,300 digits
        raise LineError("holds a whole number of too many digits") from error
    if not isinstance(value, dict):
        raise LineError(f"holds {type(value).__name__}, expected an object with an 'id'")
    if flaw := _flaw(value):
        raise LineError(flaw, value)
    return value


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise LineError(f"has the key {key!r:.80} twice")
        found[key] = value
    return found


def _refuse_constant(name: str) -> float:
    raise LineError(f"is not JSON: {name} is no JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise LineError(f"holds the number {text:.40}, which is too large")
    return value


def _flaw(value: dict[str, Any]) -> str | None:
    """Why a value cannot be kept, whatever reads it."""
    level: list[Any] = [value]
    for _ in range(_DEEPEST):
        inner: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                inner += [*each.keys(), *each.values()]
            elif isinstance(each, list):
                inner += each
            elif isinstance(each, str) and (lone := _SURROGATE.search(each)):
                return f"holds a lone surrogate (\\u{ord(lone[0]):04x}), which is no character"
        if not inner:
            return None
        level = inner
    return f"nests more than {_DEEPEST} levels"
