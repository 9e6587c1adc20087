"""TalkVid-Bench (Chen et al. 2025, arXiv 2508.13618): 500 clips on four lists, each balanced in one respect.

    DIMENSION/test_DIMENSION.json       a list of records (id, info, video-path); age, ethnicity, gender, language
    DIMENSION/videos_crop_512x512/      NAME.mp4: the authors' window, silent
    DIMENSION/videos_w_audios/          NAME.mp4, perhaps in folders: the whole picture with its sound
    DIMENSION/videos/, audios/          NAME.mp4: the whole picture, silent; NAME.*: the sound

A clip that is on several lists is one item. What a record says of a person is the authors' label.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from t2av_bench.errors import ItemError
from t2av_bench.preparation.benchmarks.recipe import Facts, Recipe, SourceClip, Text, safe
from t2av_bench.utils.files import json_text

DIMENSIONS = ("age", "ethnicity", "gender", "language")
LABELS = {
    "Age Group": "age", "Gender": "gender", "Ethnicity": "ethnicity", "Language": "spoken",
    "Video Category": "category",
}  # fmt: skip
"""Keys of a record's ``info`` -> metadata of the item. Of languages the item also has the code, where it is known."""
LANGUAGES = {
    "english": "en", "chinese": "zh", "arabic": "ar", "polish": "pl", "german": "de", "russian": "ru", "french": "fr",
    "korean": "ko", "portuguese": "pt", "japanese": "ja", "thai": "th", "spanish": "es", "italian": "it", "hindi": "hi",
}  # fmt: skip
_SOURCE, _CROPPED, _WHOLE, _SILENT, _SOUND = "talkvid", "videos_crop_512x512", "videos_w_audios", "videos", "audios"
_VIDEO_ID = re.compile(r"(?:[?&]v=|youtu\.be/|shorts/|embed/)([A-Za-z0-9_-]{11})")
_Media = Mapping[tuple[str, str], str]
"""(kind, name without suffix) -> path below the source."""


class TalkVidBench(Recipe):
    """Every clip is an item, with a text where two recognisers agree on it."""

    id = "talkvid-bench"
    sources = {_SOURCE: "the branch bench of huggingface.co/datasets/FreedomIntelligence/TalkVid, or its TalkVid-bench"}
    pictures = "whole"
    text: ClassVar[Text] = "optional"

    def __init__(self, window: str = "crop", text: str = "recognised") -> None:
        """window: ``crop``, the authors' 512 x 512 pixels, or ``whole``. text: ``recognised``, or ``none``.

        Raises ValueError for another.
        """
        for key, value, known in (("window", window, ("crop", "whole")), ("text", text, ("recognised", "none"))):
            if value not in known:
                raise ValueError(f"--option {key}={value}: expected {' or '.join(known)}")
        self._given = {"window": window, "text": text}
        if text == "none":
            self.text = "none"  # type: ignore[misc]

    @property
    def options(self) -> dict[str, str]:
        return {key: value for key, value in self._given.items() if value not in ("crop", "recognised")}

    def index(self, folders: Mapping[str, Path]) -> Iterable[SourceClip]:
        """The clips of those lists that are there. Raises ItemError where none is, or one is no list of records."""
        folder = folders[_SOURCE]
        root = folder / "TalkVid-bench" if (folder / "TalkVid-bench").is_dir() else folder
        listed: dict[str, list[tuple[str, dict[str, Any]]]] = defaultdict(list)
        for dimension in DIMENSIONS:
            for record in _records(root / dimension / f"test_{dimension}.json"):
                listed[record["id"]].append((dimension, record))
        if not listed:
            raise ItemError(f"{folder} has none of the lists age/test_age.json, ethnicity/test_ethnicity.json, …; "
                            f"expected {self.sources[_SOURCE]}")  # fmt: skip
        media = _media(folder, root)
        return (self._clip(id, found, media) for id, found in listed.items())

    def _clip(self, id: str, found: Sequence[tuple[str, dict[str, Any]]], media: _Media) -> SourceClip:
        """found: dimensions and what their lists say of the clip."""
        said = sorted({json_text([_stem(record), _info(record)]) for _, record in found})
        stem, info = json.loads(said[0])
        path, sound = _files(self._given["window"] == "crop", stem, media)
        reason = "its lists say different things of it" if len(said) > 1 else None
        if path is None:
            reason = reason or "its file is not there"
        elif sound is None:
            reason = reason or "its sound is neither in videos_w_audios nor in audios"
        link = _VIDEO_ID.search(info.get("Video Link", ""))
        return SourceClip(
            id=safe(id), source=_SOURCE, path=path, sound=None if sound == path else sound,
            language=LANGUAGES.get(info.get("Language", "").lower()), speaker=info.get("Person ID"),
            video=link[1] if link else None, tags=tuple(dict.fromkeys(dimension for dimension, _ in found)),
            extra={ours: info[theirs] for theirs, ours in LABELS.items() if theirs in info}, reason=reason,
        )  # fmt: skip

    def refuse(self, clip: SourceClip, facts: Mapping[str, Facts]) -> str | None:
        if not facts["path"].has_video:
            return "there is no video stream"
        return None if facts.get("sound", facts["path"]).has_audio else "there is no audio stream"


def _records(path: Path) -> Iterator[dict[str, Any]]:
    """Of a list, none where it is not there; one without a name that can be an id is an ItemError, as is no list."""
    if not path.is_file():
        return
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise ItemError(f"cannot read {path}: {error}; expected a list of records as TalkVid-Bench has it") from error
    if not isinstance(found, list):
        raise ItemError(f"{path} holds no list of records; is it that of TalkVid-Bench?")
    for number, record in enumerate(found, start=1):
        if not (isinstance(record, dict) and isinstance(record.get("id"), str) and safe(record["id"])):
            raise ItemError(f"{path}, record {number}: expected an object with an id, got {str(record)!r:.60}")
        yield record


def _stem(record: Mapping[str, Any]) -> str:
    """What its files are called, whatever folders their author had."""
    named = record.get("video-path")
    return PurePosixPath(named.replace("\\", "/")).stem if isinstance(named, str) and named else str(record["id"])


def _info(record: Mapping[str, Any]) -> dict[str, str]:
    """Labels that are not empty: most records have no Person ID."""
    info = record.get("info")
    texts = {key: str(value).strip() for key, value in info.items()} if isinstance(info, dict) else {}
    return {key: value for key, value in texts.items() if value and value != "None"}


def _media(folder: Path, root: Path) -> _Media:
    found: dict[tuple[str, str], str] = {}
    for dimension in DIMENSIONS:
        for kind in (_CROPPED, _WHOLE, _SILENT, _SOUND):
            for path in sorted((root / dimension / kind).rglob("*")):
                if path.is_file():
                    found.setdefault((kind, path.stem), path.relative_to(folder).as_posix())
    return found


def _files(cropped: bool, stem: str, media: _Media) -> tuple[str | None, str | None]:
    """Pictures and sound. The file that has both comes first: it says how they lie to each other."""
    both, apart = media.get((_WHOLE, stem)), media.get((_SOUND, stem))
    if cropped:
        return media.get((_CROPPED, stem)), both or apart
    return (both, both) if both else (media.get((_SILENT, stem)), apart)
