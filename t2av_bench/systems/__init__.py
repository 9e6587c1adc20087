"""The systems, by id. Nothing is imported before it is asked for.

Other packages add systems through the entry-point group ``t2av_bench.systems`` (name: the id, value: module:Class).
"""

import difflib
import importlib
import inspect
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from t2av_bench.systems.base import System

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


@cache
def _registry() -> dict[str, str]:
    found = dict(_BUILT_IN)
    for entry in entry_points(group="t2av_bench.systems"):
        if entry.name in found:
            raise ValueError(
                f"system id {entry.name!r} of {entry.value} is taken by {found[entry.name]}; rename one of the two"
            )
        found[entry.name] = entry.value
    return found


def system_ids() -> list[str]:
    """All ids, those of this project first."""
    return list(_registry())


def system_class(id: str) -> type[System]:
    """The class behind an id. Raises ValueError naming the nearest id for an unknown one."""
    if id not in _registry():
        near = difflib.get_close_matches(id, _registry(), n=3, cutoff=0.4)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise ValueError(f"unknown system {id!r}{hint} There are {', '.join(_registry())}")
    module, _, name = _registry()[id].partition(":")
    return getattr(importlib.import_module(module), name)


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
