"""The systems, by id. Nothing is imported before it is asked for.

Other packages add systems through the entry-point group ``t2av_bench.systems`` (name: the id, value: module:Class).
"""

import difflib
import importlib
import inspect
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from t2av_bench.systems.base import TASKS, System

_SYSTEMS = "t2av_bench.systems."
_BUILT_IN = {
    "talker-t2av": f"{_SYSTEMS}talker_t2av:TalkerT2AV",
    "embedded-talker-t2av": f"{_SYSTEMS}embedded_talker:EmbeddedTalkerT2AV",
    "embedded-dual-branch": f"{_SYSTEMS}embedded_diffusion:EmbeddedDualBranch",
    "embedded-audio-driven": f"{_SYSTEMS}embedded_diffusion:EmbeddedAudioDriven",
    "embedded-length-matched-tts": f"{_SYSTEMS}embedded_diffusion:EmbeddedLengthMatchedTTS",
    "cascaded": "baselines.cascaded:Cascaded",
    "embedded-espeak": f"{_SYSTEMS}embedded_espeak:EmbeddedEspeak",
    "embedded-real": f"{_SYSTEMS}embedded_anchors:EmbeddedReal",
    "embedded-codec": f"{_SYSTEMS}embedded_anchors:EmbeddedCodec",
    "embedded-stranger": f"{_SYSTEMS}embedded_anchors:EmbeddedStranger",
}


class SystemBroken(ValueError):
    """A plug-in that cannot be used; the message names it and says what is wrong. Other systems work."""


@cache
def _registry() -> dict[str, list[str]]:
    """Id -> module:Class; of whoever claims an id too, after the first."""
    found = {id: [value] for id, value in _BUILT_IN.items()}
    for entry in entry_points(group="t2av_bench.systems"):
        values = found.setdefault(entry.name, [])
        values += [entry.value] if entry.value not in values else []
    return found


def clashes() -> dict[str, str]:
    """Id -> what is wrong, where a plug-in's id is another system's too. This project's systems keep theirs."""
    return {
        id: f"system id {id!r} of {' and '.join(others)} is taken by {first}; rename one of the two"
        for id, (first, *others) in _registry().items() if others
    }  # fmt: skip


def system_ids() -> list[str]:
    """All ids, those of this project first."""
    return list(_registry())


def system_class(id: str) -> type[System]:
    """The class behind an id. Raises ValueError naming the nearest id for an unknown one, SystemBroken."""
    if id not in _registry():
        near = difflib.get_close_matches(id, _registry(), n=3, cutoff=0.4)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise ValueError(f"unknown system {id!r}{hint} There are {', '.join(_registry())}")
    if id not in _BUILT_IN and id in (wrong := clashes()):
        raise SystemBroken(wrong[id])  # two plug-ins: nobody can tell which one is meant
    module, _, name = _registry()[id][0].partition(":")
    with plug_in(id):
        kind = getattr(importlib.import_module(module), name)
        if not (isinstance(kind, type) and issubclass(kind, System)):
            raise TypeError(f"{module}:{name} is no class derived from t2av_bench.systems.base.System")
        lacking = [name for name in ("title", "paper", "needs", "native", "seed_support") if not hasattr(kind, name)]
        if not lacking and not (isinstance(kind.needs, Mapping) and set(kind.needs) <= set(TASKS)):
            raise TypeError(
                f"{name}.needs is {kind.needs!r:.80}, expected tasks ({', '.join(TASKS)}) with what they need"
            )
        if lacking or kind.__abstractmethods__:
            raise TypeError(f"{name} lacks {', '.join([*lacking, *sorted(kind.__abstractmethods__)])}")
    return kind


@contextmanager
def plug_in(id: str) -> Iterator[None]:
    """Runs code of a system: what it raises (``sys.exit`` too) becomes SystemBroken, what it prints goes to stderr."""
    where = f"the system {id} ({_registry().get(id, ['unknown'])[0]}) is broken"
    try:
        with stdout_to_stderr():
            yield
    except SystemBroken:
        raise
    except SystemExit as error:
        raise SystemBroken(f"{where}: it calls sys.exit({error.code!r})") from error
    except Exception as error:
        raise SystemBroken(f"{where}: {type(error).__name__}: {error}") from error


@contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """What is printed inside, by Python or by libraries beneath it, goes to stderr: stdout is for results."""
    sys.stdout.flush()
    try:
        kept = os.dup(1)
        os.dup2(2, 1)
    except OSError:  # one of the two is closed
        kept = None
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        if kept is not None:
            os.dup2(kept, 1)
            os.close(kept)


def load(id: str, *, device: str = "cpu", **options: Any) -> System:
    """The system with its weights on ``device``. ``options`` are the system's own; ValueError for one it lacks."""
    kind = system_class(id)
    accepted = inspect.signature(kind.load).parameters
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in accepted.values()):
        return kind.load(device=device, **options)
    for name in options:
        if name not in accepted:
            known = ", ".join(name for name in accepted if name != "device") or "none"
            raise ValueError(f"system {id} has no option {name!r}; its options: {known}")
    return kind.load(device=device, **options)
