"""Ctrl-C and SIGTERM end a run after the step in progress, so that a checkpoint can be written."""

import signal
import threading
from types import FrameType


class Interruption:
    """In a ``with`` block: ``signal_number`` is 0 until a signal arrives, then its number.

    A second signal acts as it would have without this. Only the main thread can receive signals; elsewhere the
    block changes nothing.
    """

    def __init__(self):
        self.signal_number = 0
        self._before: dict[int, object] = {}

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _note(self, number: int, _: FrameType | None) -> None:
        self.signal_number = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
