"""DH-FaceVid-1K (Di et al. 2024): portraits that speak, most of them Chinese, lent for research by its authors.

The tree that is delivered is described nowhere, so the user says where the clips lie (``glob``) and what in a path
names them (``id_regex``). The repository's examples are ``001106``, ``<video>_<n>`` and ``RS127710_segment_005_745_0``.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from t2av_bench.errors import ItemError
from t2av_bench.preparation.benchmarks.cutting import CutRule
from t2av_bench.preparation.benchmarks.recipe import Facts, Recipe, Shares, SourceClip, foreign_name, safe
from t2av_bench.preparation.benchmarks.recipes.en_200 import LENGTHS

_SOURCE = "dh-facevid"
LEAST_FACE = 256
CLIPS = 4000
"""Of 270,043: twenty for each item, so that not all of 4 TB must be decoded."""
FILE_NAME = r"(?P<id>[^/]+)$"
_RECORDINGS = (re.compile(r"^(RS\d+)_segment_"), re.compile(r"^(.+)_\d+$"))


class Chinese200(Recipe):
    """200 Mandarin clips in the manner of Talker-T2AV's Chinese test set, whose clips are not known.

    glob: of the clips, below the folder. id_regex: searched in a clip's path without its suffix; its groups are ``id``,
    and, where the names tell, ``speaker`` and ``video``. clips: how many are looked at, the first by hash rank.
    """

    id = "zh-200"
    sources = {_SOURCE: "the folder of DH-FaceVid-1K as it was delivered, with its videos unpacked"}
    cut = CutRule(least_face=LEAST_FACE, least_enlarge=1.2)
    pictures = "crop"
    text = "recognised"
    other_voice = True
    shares = {"test": Shares({length: 100 for length, _ in LENGTHS}, lengths=LENGTHS)}

    def __init__(self, glob: str = "**/*.mp4", id_regex: str = FILE_NAME, clips: str = str(CLIPS)) -> None:
        try:
            self._names = re.compile(id_regex)
        except re.error as error:
            raise ValueError(f"zh-200: id_regex {id_regex!r} is no regular expression: {error}") from error
        groups = set(self._names.groupindex)
        if not {"id"} <= groups <= {"id", "speaker", "video"}:
            named = ", ".join(sorted(groups)) or "none"
            raise ValueError(
                f"zh-200: id_regex needs a group (?P<id>…), and may have speaker and video; it has {named}"
            )
        if not glob or glob.startswith("/") or ".." in PurePosixPath(glob).parts:
            raise ValueError(f"zh-200: glob is a pattern below the folder, such as **/*.mp4, got {glob!r}")
        if not clips.isdecimal() or not int(clips):
            raise ValueError(f"zh-200: clips is a number of 1 or more, got {clips!r}")
        self._glob, self.most = glob, int(clips)
        self._grouping = {"id_regex": id_regex} if groups - {"id"} else {}

    @property
    def options(self) -> dict[str, str]:
        """How many clips are looked at and who is one speaker move the draw; where the clips lie does not."""
        return {**({} if self.most == CLIPS else {"clips": str(self.most)}), **self._grouping}

    def index(self, folders: Mapping[str, Path]) -> Iterable[SourceClip]:
        folder = folders[_SOURCE]
        found = [*self._clips(folder)]
        if not any(clip.reason is None for clip in found):
            there = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())[:3]
            raise ItemError(
                f"no clip is found in {folder} by the glob {self._glob!r} and id_regex {self._names.pattern!r}; "
                f"there is {', '.join(there) or 'no file'}: --option glob=… and --option id-regex=… say how yours lie"
            )
        return found

    def _clips(self, folder: Path) -> Iterator[SourceClip]:
        for file in folder.glob(self._glob):
            if not file.is_file():
                continue
            path = file.relative_to(folder).as_posix()
            name = path[: -len(file.suffix)] if file.suffix else path
            if reason := foreign_name(path):
                yield SourceClip(id=f"unnamed/{safe(name)}", source=_SOURCE, reason=reason)
                continue
            match = self._names.search(name)
            id = safe(match["id"] or "") if match else ""
            if match is None or not id:
                yield SourceClip(id=f"unnamed/{safe(name)}", source=_SOURCE, path=path,
                                 reason="its path has no id by id_regex")  # fmt: skip
                continue
            groups = match.groupdict()
            speaker, video = groups.get("speaker"), groups.get("video")
            if not speaker and not video:
                speaker = video = recording_of(id)
            yield SourceClip(
                id=id, source=_SOURCE, path=path, language="zh", speaker=speaker or video or None, video=video or None
            )

    def refuse(self, clip: SourceClip, facts: Mapping[str, Facts]) -> str | None:
        """Before anything is decoded."""
        width, height = facts["path"].width or 0, facts["path"].height or 0
        least = self.cut.least_face
        return (
            None if min(width, height) >= least else f"its pictures are {width}x{height}, smaller than {least:g} pixels"
        )


def recording_of(id: str) -> str | None:
    """The part of a clip's name that it shares with others of one recording; None where there is none.

    Whether these show one person is not known, so they count as one, and none lends another its voice.
    """
    return next((found[1] for pattern in _RECORDINGS if (found := pattern.match(id))), None)
