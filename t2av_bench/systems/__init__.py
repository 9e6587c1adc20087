"""The systems, by id. Nothing is imported before it is asked for.

Other packages add systems through the entry-point group ``t2av_bench.systems`` (name: the id, value: module:Class).
One of theirs that cannot be used is broken alone (see ``utils.registry``). A folder of specifications of the user's own
(``T2AV_BENCH_SPECS``, see ``external.spec``) adds those.
"""

import os
from pathlib import Path
from typing import Any

from t2av_bench.errors import NotApplicable
from t2av_bench.systems.base import TASKS, System
from t2av_bench.utils.registry import Registry

_SYSTEMS = "t2av_bench.systems."
_GRIDFACE = "t2av_bench.gridface.systems."
_BUILT_IN = {
    "talker-t2av": f"{_SYSTEMS}talker_t2av.system:TalkerT2AV",
    "embedded-talker-t2av": f"{_GRIDFACE}talker:EmbeddedTalkerT2AV",
    "embedded-dual-branch": f"{_GRIDFACE}diffusion:EmbeddedDualBranch",
    "embedded-audio-driven": f"{_GRIDFACE}diffusion:EmbeddedAudioDriven",
    "embedded-length-matched-tts": f"{_GRIDFACE}diffusion:EmbeddedLengthMatchedTTS",
    "cascaded": f"{_SYSTEMS}cascaded:Cascaded",
    "ltx-2": f"{_SYSTEMS}external.ltx2:LTX2",
    "mova": f"{_SYSTEMS}external.mova:MOVA",
    "embedded-espeak": f"{_GRIDFACE}espeak:EmbeddedEspeak",
    "embedded-real": f"{_GRIDFACE}anchors:EmbeddedReal",
    "embedded-codec": f"{_GRIDFACE}anchors:EmbeddedCodec",
    "embedded-stranger": f"{_GRIDFACE}anchors:EmbeddedStranger",
    "sonic": f"{_SYSTEMS}external.worker:sonic",
    "echomimic": f"{_SYSTEMS}external.worker:echomimic",
    "aniportrait": f"{_SYSTEMS}external.worker:aniportrait",
    "float": f"{_SYSTEMS}external.worker:float",
    "ditto": f"{_SYSTEMS}external.worker:ditto",
    "ovi": f"{_SYSTEMS}external.worker:ovi",
    "universe-1": f"{_SYSTEMS}external.worker:universe-1",
    "talker-t2av-release": f"{_SYSTEMS}external.worker:talker-t2av-release",
    "f5-tts": f"{_SYSTEMS}external.worker:f5-tts",
    "cosyvoice": f"{_SYSTEMS}external.worker:cosyvoice",
    "folder": f"{_SYSTEMS}external.folder:folder",
    "uniavgen": f"{_SYSTEMS}external.folder:uniavgen",
    "styledubber": f"{_SYSTEMS}external.folder:styledubber",
    "speaker2dubber": f"{_SYSTEMS}external.folder:speaker2dubber",
    "produbber": f"{_SYSTEMS}external.folder:produbber",
    "instructdubber": f"{_SYSTEMS}external.folder:instructdubber",
    "deepdubber": f"{_SYSTEMS}external.folder:deepdubber",
}


def _specified() -> dict[str, str]:
    """Ids of the user's own specifications; they are read when one is asked for."""
    folder = os.environ.get("T2AV_BENCH_SPECS")
    ids = sorted(file.stem for file in Path(folder).glob("*.toml") if "." not in file.stem) if folder else ()
    return {id: f"{_SYSTEMS}external.specified:{id}" for id in ids}


def _check(id: str, system: type[System]) -> None:
    """Everything that is read of a system without loading it. Raises ValueError for what it lacks."""
    from t2av_bench.weights import entry

    if not all(isinstance(text, str) and text for text in (system.title, system.paper)):
        raise ValueError("'title' and 'paper' are texts")
    if unknown := set(system.needs) - set(TASKS):
        raise ValueError(f"it serves unknown tasks {sorted(map(str, unknown))}; there are {', '.join(TASKS)}")
    for weight in system.weights:
        entry(weight)


registry = Registry("system", _specified() | _BUILT_IN, System, _check, lambda kind: kind.load, "device")  # type: ignore[type-abstract]
system_ids, system_class, broken = registry.ids, registry.class_of, registry.broken


def load(id: str, *, device: str = "cpu", **options: Any) -> System:
    """The system with its weights on ``device``. ``options`` are the system's own; ValueError for one it lacks.

    NotApplicable, with the command that brings them, where Python packages are missing.
    """
    from t2av_bench.weights.needs import lacks

    if lacking := lacks(system_class(id), weights=False):  # which weights are needed may depend on the options
        raise NotApplicable(f"{id}: {lacking}")
    return registry.create(id, device=device, **options)
