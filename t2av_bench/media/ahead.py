"""Frames decoded ahead of their use, by a thread: a network computes while the next frames are made."""

import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator

import numpy as np


def ahead(frames: Iterable[np.ndarray], most: int) -> Iterator[np.ndarray]:
    """The same arrays in the same order, made by a thread of their own.

    most: bytes that may wait to be taken; one frame may always. What making them raises is raised here, behind the
    frames before it. Whoever closes the iterator waits for the thread to end.
    """
    lock = threading.Condition()
    waiting: deque[np.ndarray] = deque()
    held, ended, closed = 0, False, False
    failure: BaseException | None = None

    def make() -> None:
        nonlocal held, ended, failure
        source = iter(frames)
        try:
            for frame in source:
                with lock:
                    while not closed and waiting and held + frame.nbytes > most:
                        lock.wait()
                    if closed:
                        return
                    waiting.append(frame)
                    held += frame.nbytes
                    lock.notify()
        except BaseException as error:
            failure = error
        finally:
            if isinstance(source, Generator):
                source.close()  # here, where its file was opened
            with lock:
                ended = True
                lock.notify()

    thread = threading.Thread(target=make, name="decoding ahead", daemon=True)
    thread.start()
    try:
        while True:
            with lock:
                lock.wait_for(lambda: waiting or ended)
                if not waiting:
                    break
                frame = waiting.popleft()
                held -= frame.nbytes
                lock.notify()
            yield frame
        if failure is not None:
            raise failure
    finally:
        with lock:
            closed = True
            lock.notify()
        thread.join()
