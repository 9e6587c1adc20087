"""Steps of a check: what was looked at, what became of it, and in words."""

from collections.abc import Iterable
from typing import Literal

Status = Literal["ok", "failed", "skipped"]
Step = tuple[str, Status, str]


def documents(steps: Iterable[Step]) -> list[dict[str, str]]:
    """For JSON: ``name``, ``status`` and ``words``."""
    return [{"name": name, "status": status, "words": words} for name, status, words in steps]


def failed(steps: Iterable[Step]) -> list[str]:
    """Names of those that failed, in their order."""
    return [name for name, status, _ in steps if status == "failed"]
