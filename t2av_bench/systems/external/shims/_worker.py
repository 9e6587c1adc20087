"""Runs a shim in a system's own interpreter: standard library alone, Python 3.6 and newer.

``python _worker.py SHIM --settings FILE --requests FILE --results FILE`` answers a file of requests, one JSON a line.
t2av-bench starts it with ``--pipes IN,OUT`` instead (descriptors of requests and events), or, as in a container, with
``--follow``: requests come until their file is removed.
"""

import argparse
import importlib.util
import json
import os
import platform
import random
import signal
import sys
import tempfile
import threading
import time
import traceback

from _shared import Cases, link, run, write_sound  # noqa: F401  # for shims, which import from here alone

SCHEMA = 1


class Refused(Exception):
    """There can be no clip, and why. kind: one word, as in ``no_face``."""

    def __init__(self, kind, message):
        super().__init__(message)
        self.kind = kind


class Events:
    """One JSON a line; beats tell that the process lives, and end it where the one that started it has ended.

    followed: a file that is there as long as that one lives.
    """

    def __init__(self, file, beating, followed=None):
        self.file, self.lock, self.parent, self.followed = file, threading.Lock(), os.getppid(), followed
        if beating:
            thread = threading.Thread(target=self.beat)
            thread.daemon = True
            thread.start()

    def tell(self, event, **facts):
        line = json.dumps(dict(facts, event=event)) + "\n"
        with self.lock:
            self.file.write(line)
            self.file.flush()

    def beat(self):
        while True:
            time.sleep(1.0)
            try:
                if os.getppid() != self.parent or (self.followed and not os.path.exists(self.followed)):
                    raise OSError("the parent is gone")
                self.tell("beat")
            except (OSError, ValueError):
                # A hung call into C never notices that nobody listens.
                try:
                    os.killpg(os.getpgrp(), signal.SIGKILL)
                finally:
                    os._exit(1)  # the first process of a container outlives its own signals


def versions():
    """What is already imported tells of itself: importing torch for its version would cost those who have none."""
    found = {"python": platform.python_version(), "executable": sys.executable}
    torch = sys.modules.get("torch")
    if torch is not None:
        try:
            found["torch"] = str(torch.__version__)
            found["cuda"] = str(torch.version.cuda)
            found["gpu"] = torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
        except Exception as error:
            found["torch_trouble"] = f"{type(error).__name__}: {error}"
    return found


def peak_memory():
    """Bytes on the GPU at most since the last look; None without one."""
    torch = sys.modules.get("torch")
    try:
        if torch is None or not torch.cuda.is_available():
            return None
        found = int(torch.cuda.max_memory_allocated())
        torch.cuda.reset_peak_memory_stats()
        return found
    except Exception:
        return None


def load(path, settings):
    sys.modules["_worker"] = sys.modules["__main__"]  # one class Refused, whoever imports it
    sys.path.insert(0, settings["checkout"])
    place = importlib.util.spec_from_file_location("t2av_shim", path)
    shim = importlib.util.module_from_spec(place)
    sys.modules["t2av_shim"] = shim
    place.loader.exec_module(shim)
    return shim, shim.load(settings)


def failed(error):
    if isinstance(error, Refused):
        return {"status": "refused", "kind": error.kind, "message": str(error)}
    trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    sys.stderr.write(trace)
    sys.stderr.flush()
    return {"status": "failed", "type": type(error).__name__, "message": str(error), "trace": trace[-4000:]}


def answers(shim, model, requests):
    """(id, what ``make`` gave or what it raised), for each request."""
    if not hasattr(shim, "make_many"):
        for request in requests:
            random.seed(request["seed"])
            try:
                yield request["id"], shim.make(model, request)
            except BaseException as error:  # research code calls exit()
                yield request["id"], error
        return
    left = [request["id"] for request in requests]
    try:
        for id, made in shim.make_many(model, requests):
            if id in left:
                left.remove(id)
                yield id, made
        trouble = RuntimeError("the system said nothing about it")
    except BaseException as error:
        trouble = error
    for id in left:
        yield id, trouble


def carry_out(shim, model, requests, events):
    started = time.time()
    for id, made in answers(shim, model, requests):
        try:
            if isinstance(made, dict):
                json.dumps(made)
                facts = {"status": "ok", "made": made}
            elif isinstance(made, BaseException):
                facts = failed(made)
            else:
                facts = failed(TypeError(f"the shim gave {made!r}"))
        except (TypeError, ValueError) as error:
            facts = failed(error)
        events.tell("done", id=id, seconds=round(time.time() - started, 3), peak_memory=peak_memory(), **facts)
        started = time.time()


def lines(file, follow=False):
    """Lists of requests, a line each. follow: wait for more until the file is removed."""
    line = ""
    while True:
        line += file.readline()
        if not line.endswith("\n") and follow and os.path.exists(file.name):
            time.sleep(0.1)
            continue
        if line.strip():
            found = json.loads(line)
            yield found if isinstance(found, list) else [found]
        if not line:
            return
        line = ""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shim")
    parser.add_argument("--settings", help="file: JSON of checkout, weights, device, options", required=True)
    parser.add_argument("--pipes")
    parser.add_argument("--requests")
    parser.add_argument("--results")
    parser.add_argument("--follow", action="store_true")
    given = parser.parse_args()
    if given.pipes:
        theirs, ours = map(int, given.pipes.split(","))
        for descriptor in (theirs, ours):  # what the system starts must not hold them
            os.set_inheritable(descriptor, False)
        requests, results = os.fdopen(theirs, encoding="utf-8"), os.fdopen(ours, "w", encoding="utf-8")
    elif given.requests and given.results:
        requests = open(os.path.abspath(given.requests), encoding="utf-8")
        results = open(given.results, "a", encoding="utf-8")
    else:
        parser.error("give --requests FILE and --results FILE")
    # At descriptor level, before anything is imported: C code and programs print too.
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    sys.argv[1:] = []
    with open(given.settings, encoding="utf-8") as file:
        settings = json.load(file)
    os.environ.update(settings.get("variables", {}))
    shim = os.path.abspath(given.shim)
    is_private = settings.get("working_directory", "checkout") == "private"
    os.chdir(tempfile.gettempdir() if is_private else settings["checkout"])
    events = Events(results, bool(given.pipes or given.follow), requests.name if given.follow else None)
    started = time.time()
    try:
        shim, model = load(shim, settings)
    except BaseException as error:
        events.tell("broken", seconds=round(time.time() - started, 3), **failed(error))
        os._exit(1)
    chunk = getattr(shim, "CHUNK", 16) if hasattr(shim, "make_many") else None
    events.tell("ready", versions=versions(), chunk=chunk, seconds=round(time.time() - started, 3), schema=SCHEMA)
    for each in lines(requests, given.follow):
        carry_out(shim, model, each, events)
    events.tell("bye")
    sys.stderr.flush()
    os._exit(0)  # threads and exit handlers of a system must not keep its process


if __name__ == "__main__":
    sys.path[:] = [each for each in sys.path if os.path.abspath(each) != os.path.dirname(os.path.abspath(__file__))]
    main()
