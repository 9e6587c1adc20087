"""Reasons: texts of anybody's making (a plug-in's, an exception's) that can be kept, shown and counted."""

import traceback
from pathlib import Path
from typing import Any

from t2av_bench.utils.files import said_of_files

_MOST = 2000


def reason(given: Any, otherwise: str) -> str:
    """A text that can be shown and kept; ``otherwise`` where there is none."""
    if given is None:
        return otherwise
    try:
        text = given if isinstance(given, str) else f"{kind(given)} {given!r}"
    except Exception:
        text = kind(given)  # it cannot even be shown
    text = sound(text).strip()
    return text[:_MOST] + "…" * (len(text) > _MOST) if text else otherwise


def said(error: BaseException) -> str:
    """The message of an exception that is meant to be a reason."""
    try:
        return reason(str(error), f"{type(error).__name__} without a message")
    except Exception:
        return f"{type(error).__name__} whose message cannot be shown"


def sentence(error: BaseException) -> str:
    """An error that ends a command, for its last line on stderr."""
    if isinstance(error, SystemExit):
        return unexpected(error)
    return said_of_files(error) if isinstance(error, OSError) else str(error)


def unexpected(error: BaseException) -> str:
    """An exception that nobody meant to raise, and where it came from."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({sound(Path(frames[-1].filename).name)}:{frames[-1].lineno})" if frames else ""
    return f"unexpected {type(error).__name__}: {said(error)}{where}"


def sound(text: str) -> str:
    """The text without what a database or a terminal cannot take: lone surrogates, control characters (escaped)."""
    text = text.encode("utf-8", "backslashreplace").decode()
    return "".join(each if each >= " " and not "\x7f" <= each <= "\x9f" or each in "\n\t" else f"\\x{ord(each):02x}"
                   for each in text)  # fmt: skip


def kind(value: Any) -> str:
    return "None" if value is None else type(value).__name__
