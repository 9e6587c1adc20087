"""The way to a worker that an actor of a Ray cluster holds: calls of the actor, heard of in a thread."""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from t2av_bench.utils.ray_host import Heard
from t2av_bench.utils.reasons import said
from t2av_bench.utils.shipping import Sender
from t2av_bench.utils.worker_engine import Lost

_STARTS = 3
_SENDERS = 8  # jobs whose files are sent at a time
_KILLED = "died: SIGKILL (out of memory?)"  # as a worker's own end by the kernel is told
_Hears = Callable[[Any, BaseException | None], None]


class Calls:
    """Calls of actors that are under way. sender: by whom files go to the machines and back; None: they see them.

    facts: what must be the same on all machines, as it is here.
    """

    def __init__(self, ray: Any, sender: Sender | None, facts: Mapping[str, str]) -> None:
        self._ray, self.sender, self.facts = ray, sender, facts
        self.background = ThreadPoolExecutor(_SENDERS, "ray-sender")
        self._lock = threading.Lock()
        self._listening: dict[Any, _Hears] = {}
        self._closed = False
        self._listener = threading.Thread(target=self._listen, name="ray-listener", daemon=True)
        self._listener.start()

    def close(self) -> None:
        self.background.shutdown(cancel_futures=True)
        self._closed = True
        self._listener.join(timeout=10.0)

    def listen(self, reference: Any, heard: _Hears) -> None:
        """Have ``heard`` called, in another thread, with what a call of an actor gave, or the exception."""
        with self._lock:
            self._listening[reference] = heard

    def get(self, reference: Any) -> Any:
        return self._ray.get(reference)

    def kill(self, actor: Any) -> None:
        with suppress(Exception):  # it is gone already, or the cluster is
            self._ray.kill(actor, no_restart=True)

    def _listen(self) -> None:
        while not self._closed:
            with self._lock:
                references = list(self._listening)
            if not references:
                time.sleep(0.05)
                continue
            lost: BaseException | None = None
            try:
                done, _ = self._ray.wait(references, num_returns=1, timeout=0.1)
            except Exception as raised:  # the whole cluster is gone
                done, lost = references, raised
            for reference in done:
                value = None
                error = lost
                try:
                    value = None if lost else self._ray.get(reference)
                except BaseException as raised:
                    error = raised
                with self._lock:
                    heard = self._listening.pop(reference)
                heard(value, error)


class Remote:
    """A ``Transport`` to the worker of an actor. Its messages come to a pipe's other end, as those of a child do."""

    def __init__(self, calls: Calls, actor: Callable[[], Any], arguments: tuple[Any, ...]) -> None:
        self._calls, self._make, self._arguments = calls, actor, arguments
        self._lock = threading.Lock()
        self._messages: deque[Any] = deque()
        self._read, self._write = os.pipe()
        self._closed = self._up = False
        self._trouble: Exception | None = None
        self._reason = ""
        self._memory: int | None = None
        self._starts = 0
        self._begin()

    def there(self) -> bool:
        if self._trouble is not None:
            raise self._trouble
        return self._up

    def fileno(self) -> int:
        return self._read

    def send(self, message: Any) -> None:
        self._call("send", message, (), self._sent)

    def receive(self) -> Any:
        os.read(self._read, 1)
        message = self._messages.popleft()
        if isinstance(message, EOFError):
            raise message
        return message

    def ended(self) -> bool:
        return False  # its end is a message

    def exit_reason(self) -> str:
        return self._reason

    def memory_held(self) -> int | None:
        return self._memory

    def kill(self) -> None:
        with self._lock:
            self._closed = True
            os.close(self._read)
            os.close(self._write)
        self._calls.kill(self._actor)

    def _begin(self) -> None:
        self._starts += 1
        self._actor = self._make()
        self._call("start", self._arguments[0], self._arguments[1:], self._started)

    def _call(self, method: str, first: Any, others: tuple[Any, ...], heard: _Hears) -> None:
        """A method of the actor, after the files that its first argument names, where these are shipped."""
        actor, sender = self._actor, self._calls.sender
        if sender is None:
            self._calls.listen(getattr(actor, method).remote(first, *others), heard)
            return

        def ship() -> None:
            try:
                data, files = sender.pack(first)
                for digest in self._calls.get(actor.lacks.remote([*files])):
                    for chunk in sender.chunks(files[digest]):
                        self._calls.get(actor.take.remote(digest, chunk))
                    self._calls.get(actor.take.remote(digest, None))
                self._calls.listen(getattr(actor, method).remote(data, *others), heard)
            except BaseException as error:  # also of a machine that is lost meanwhile
                heard(None, error)

        self._calls.background.submit(ship)

    def _started(self, found: Any, error: BaseException | None) -> None:
        if self._closed:
            return
        if error is not None:
            if _is_loss(error) and self._starts < _STARTS:
                self._begin()
            else:
                self._trouble = ValueError(f"a worker cannot be started on the Ray cluster: {said(error)}")
            return
        differing = [
            f"{name} {found.get(name, 'absent')} there, {mine} here"
            for name, mine in self._calls.facts.items()
            if found.get(name, "absent") != mine
        ]
        if differing:
            self._trouble = ValueError(
                f"{found['machine']} of the Ray cluster would give other numbers: {'; '.join(differing)}. Install the "
                "same versions, plug-ins and weights on all machines"
            )
            return
        self._up = True
        self._listen()

    def _listen(self) -> None:
        self._calls.listen(self._actor.hear.remote(), self._heard)

    def _heard(self, found: Heard | None, error: BaseException | None) -> None:
        if found is None:
            self._end(error)
            return
        self._memory = found.memory
        messages = found.messages
        if (sender := self._calls.sender) is not None:
            try:
                sender.keep(found.files)  # before it is told that they are there
                messages = sender.unpack(messages)
            except Exception as trouble:
                self._tell(trouble)
                return
        self._tell(*messages)
        if found.ended is not None:
            self._reason = found.ended
            self._tell(EOFError())
        elif not self._closed:
            self._listen()

    def _sent(self, _: Any, error: BaseException | None) -> None:
        """A job that cannot be sent concerns all; an actor that is gone is heard of elsewhere."""
        if error is not None and (self._calls.sender is not None or not (_is_loss(error) or _was_killed(error))):
            self._end(error)

    def _end(self, error: BaseException | None) -> None:
        if _was_killed(error):
            self._reason = _KILLED
            self._tell(EOFError())
        elif error is not None and _is_loss(error):
            self._reason = f"was lost with its machine, or its actor ended: {said(error)}"
            self._tell(Lost())
        else:
            self._tell(RuntimeError(f"Ray: {said(error or RuntimeError())}"))

    def _tell(self, *messages: Any) -> None:
        with self._lock:
            if not self._closed:
                self._messages.extend(messages)
                os.write(self._write, b"." * len(messages))


def _is_loss(error: BaseException) -> bool:
    from ray.exceptions import NodeDiedError, RayActorError

    return isinstance(error, RayActorError | NodeDiedError)


def _was_killed(error: BaseException | None) -> bool:
    """By Ray, whose watch over a machine's memory may be quicker than the kernel's."""
    from ray.exceptions import OutOfMemoryError

    return isinstance(error, OutOfMemoryError)
