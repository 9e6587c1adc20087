"""Reasons: texts of anybody's making (a plug-in's, an exception's) that can be kept, shown and counted."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from t2av_bench.utils.files import said_of_files
from t2av_bench.utils.terminal_text import printable

_MOST = 2000


def reason(given: Any, otherwise: str) -> str:
    """A text that can be shown and kept; ``otherwise`` where there is none."""
    if given is None:
        return otherwise
    try:
        text = given if isinstance(given, str) else f"{kind(given)} {given!r}"
    except Exception:
        text = kind(given)  # it cannot even be shown
    text = printable(text).strip()
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


@contextmanager
def refusals() -> Iterator[None]:
    """What a user can cause becomes a ValueError with the sentence that the command line would print."""
    try:
        yield
    except (OSError, SystemExit) as error:  # a SystemExit is a plug-in's
        raise ValueError(sentence(error)) from error


def unexpected(error: BaseException) -> str:
    """An exception that nobody meant to raise, and where it came from."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({printable(Path(frames[-1].filename).name)}:{frames[-1].lineno})" if frames else ""
    return f"unexpected {type(error).__name__}: {said(error)}{where}"


def kind(value: Any) -> str:
    return "None" if value is None else type(value).__name__
