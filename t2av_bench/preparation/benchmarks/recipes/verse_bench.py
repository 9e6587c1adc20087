"""Verse-Bench (Wang et al. 2025): a picture and prompts an item, for joint generation; no real clips.

set1/ID.json, ID.jpg    205 items, of which those with a speech prompt are taken
set3/ID.json, ID.jpg    100 items, all of which speak
"""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from t2av_bench.errors import ItemError
from t2av_bench.preparation.benchmarks.recipe import Recipe, SourceClip, safe

_SOURCE = "verse-bench"
_SETS = ("set1", "set3")
_HAN = re.compile("[\u3400-\u9fff]")
_PICTURES = (".jpg", ".jpeg", ".png")


class VerseBench(Recipe):
    """Ids are ``SET_ID``. The language is Chinese where the text has a Chinese character, else English."""

    id = "verse-bench"
    sources = {_SOURCE: "the folders set1 and set3 of dorni/Verse-Bench"}

    def index(self, folders: Mapping[str, Path]) -> Iterable[SourceClip]:
        folder = folders[_SOURCE]
        sets = [name for name in _SETS if (folder / name).is_dir()]
        if not sets:
            raise ItemError(f"{folder} has neither a folder set1 nor set3; expected {self.sources[_SOURCE]}")
        return (_clip(folder, path, name) for name in sets for path in sorted((folder / name).glob("*.json")))


def _clip(folder: Path, path: Path, name: str) -> SourceClip:
    pictures = [path.with_suffix(suffix) for suffix in _PICTURES if path.with_suffix(suffix).is_file()]
    picture = (pictures[0] if pictures else path.with_suffix(".jpg")).relative_to(folder).as_posix()
    clip = SourceClip(id=f"{name}_{safe(path.stem)}", source=_SOURCE, split=name, identity=picture)
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
        said = found.get("speech_prompt") or {}
        text, speaker = _words(said.get("text")), _words(said.get("speaker"))
        scene, sounds = _words(found.get("video_prompt")), found.get("audio_prompt") or []
    except (OSError, ValueError, AttributeError):
        return clip.model_copy(update={"reason": "its .json cannot be read as a prompt"})
    if not text:
        return clip.model_copy(update={"reason": "nobody speaks in it: there is no speech prompt"})
    sound = " ".join(filter(None, map(_words, sounds if isinstance(sounds, list) else [sounds])))
    return clip.model_copy(update={
        "text": text, "language": "zh" if _HAN.search(text) else "en", "scene": scene or None,
        "voice_description": speaker or None, "extra": {"sound": sound} if sound else {},
    })  # fmt: skip


def _words(value: Any) -> str:
    return " ".join(value.split()) if isinstance(value, str) else ""
