"""What long work tells of itself."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """How far a phase of the work is (``making``): ``done`` of ``total`` ``unit`` (clips).

    text: what came last, and whether it ``failed``. A phase whose work was partly done before begins with a step that
    says so.
    """

    phase: str
    done: int
    total: int
    unit: str
    text: str = ""
    failed: bool = False


OnStep = Callable[[Step], None]
Notice = Callable[[str], None]
"""Told, in a sentence, what is to be known."""
