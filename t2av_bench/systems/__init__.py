"""The systems, by id. Nothing is imported before it is asked for.

Other packages add systems through the entry-point group ``t2av_bench.systems`` (name: the id, value: module:Class).
One of theirs that cannot be used is broken alone (see ``plugins``).
"""

import difflib
import inspect
from typing import Any

from t2av_bench.errors import NotApplicable
from t2av_bench.systems.base import TASKS, System
from t2av_bench.utils.plugins import Registry

_SYSTEMS = "t2av_bench.systems."
_GRIDFACE = "t2av_bench.gridface.systems."
_BUILT_IN = {
    "talker-t2av": f"{_SYSTEMS}talker_t2av.system:TalkerT2AV",
    "embedded-talker-t2av": f"{_GRIDFACE}talker:EmbeddedTalkerT2AV",
    "embedded-dual-branch": f"{_GRIDFACE}diffusion:EmbeddedDualBranch",
    "embedded-audio-driven": f"{_GRIDFACE}diffusion:EmbeddedAudioDriven",
    "embedded-length-matched-tts": f"{_GRIDFACE}diffusion:EmbeddedLengthMatchedTTS",
    "cascaded": f"{_SYSTEMS}cascaded:Cascaded",
    "embedded-espeak": f"{_GRIDFACE}espeak:EmbeddedEspeak",
    "embedded-real": f"{_GRIDFACE}anchors:EmbeddedReal",
    "embedded-codec": f"{_GRIDFACE}anchors:EmbeddedCodec",
    "embedded-stranger": f"{_GRIDFACE}anchors:EmbeddedStranger",
}


def system_ids() -> list[str]:
    """All ids, those of this project first; a plug-in among them may be broken."""
    return list(_registry.targets)


def broken() -> dict[str, str]:
    """Plug-ins that cannot be used, by id, and why: each is imported for it."""
    return _registry.broken()


def system_class(id: str) -> type[System]:
    """The class behind an id. Raises ValueError naming the nearest id for an unknown one, PluginError for a broken."""
    if id not in _registry.targets:
        near = difflib.get_close_matches(id, _registry.targets, n=3, cutoff=0.4)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise ValueError(f"unknown system {id!r}{hint} There are {', '.join(_registry.targets)}")
    return _registry.class_of(id)


def _check(id: str, system: type[System]) -> None:
    """Everything that is read of a system without loading it. Raises ValueError for what it lacks."""
    from t2av_bench.weights import entry

    if system.id != id:
        raise ValueError(f"its class says that its id is {system.id!r}")
    if not all(isinstance(text, str) and text for text in (system.title, system.paper)):
        raise ValueError("'title' and 'paper' are texts")
    if unknown := set(system.needs) - set(TASKS):
        raise ValueError(f"it serves unknown tasks {sorted(map(str, unknown))}; there are {', '.join(TASKS)}")
    if inspect.isabstract(system):
        raise ValueError(f"it lacks {', '.join(sorted(system.__abstractmethods__))}")
    for weight in system.weights:
        entry(weight)


_registry = Registry("t2av_bench.systems", _BUILT_IN, System, _check)  # type: ignore[type-abstract]


def load(id: str, *, device: str = "cpu", **options: Any) -> System:
    """The system with its weights on ``device``. ``options`` are the system's own; ValueError for one it lacks.

    NotApplicable, with the command that brings them, where Python packages are missing.
    """
    from t2av_bench.weights.needs import lacks

    kind = system_class(id)
    if lacking := lacks(kind, weights=False):  # which weights are needed may depend on the options
        raise NotApplicable(f"{id}: {lacking}")
    accepted = inspect.signature(kind.load).parameters
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in accepted.values()):
        return kind.load(device=device, **options)
    for name in options:
        if name not in accepted:
            known = ", ".join(name for name in accepted if name != "device") or "none"
            raise ValueError(f"system {id} has no option {name!r}; its options: {known}")
    return kind.load(device=device, **options)
