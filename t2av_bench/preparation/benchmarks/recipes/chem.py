"""Chem: utterances of one chemistry lecturer, for dubbing. The videos are those of Lip2Wav (Prajwal et al. 2020), the
utterances those of Neural Dubber (Hu et al. 2021), which later papers share as clips with a text each.

    clips       ID-NNN.mp4 (or another container), ID-NNN.lab, and ID-NNN.wav where the clip is silent; in any folders
    dubbing     Data/StyleTTS_Chem_{train,val}.txt      a clone of ZZDoog/InstructDubber: ID/00/ID-NNN.wav|IPA|0
                dataset/Chem/Chem_duration_gt_*.json    durations of the symbols, where they are there
    lip2wav     Dataset/chem/{train,val,test}.txt       a clone of Rudrabha/Lip2Wav: ids of videos

The two splits contradict each other: of the 11 videos that dubbing tests on, Lip2Wav trains on 9. So a benchmark is of
one ``view``. When an utterance begins and ends is published nowhere, so that it cannot be cut from the videos.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from t2av_bench.benchmarks.info import BenchmarkInfo
from t2av_bench.benchmarks.pairing import AUDIO_SUFFIXES, VIDEO_SUFFIXES
from t2av_bench.errors import ItemError
from t2av_bench.preparation.benchmarks.recipe import Facts, Recipe, SourceClip, rows_of
from t2av_bench.utils import json_lines

_CLIPS = "clips"
VIEWS = {
    "dubbing": "a clone of ZZDoog/InstructDubber, for Data/StyleTTS_Chem_*.txt",
    "lip2wav": "a clone of Rudrabha/Lip2Wav, for Dataset/chem/*.txt",
}
SETTINGS = ("1", "2")
TRAIN_UTTERANCES = 6132
SHARED = "video-in-train"
"""Tag of a test item whose video also has utterances in the training list: there is one such video."""
Files = Mapping[str, Mapping[str, str]]
"""Name of an utterance -> kind (``video``, ``sound``, ``.lab``) -> its file, relative to the folder."""


class Chem(Recipe):
    """Every utterance that the view's lists name is an item, with the text of its ``.lab``.

    view: ``dubbing`` (196 utterances of 11 videos) or ``lip2wav`` (all utterances of its 17 videos of val, and 16 of
    test). setting: 1: the voice is that of the truth itself; 2: that of another video's utterance, drawn by hash, as
    the pairs of the papers are not published. train: ``yes``: the training utterances too, as a split of their own.
    """

    id = "chem"
    sources = {_CLIPS: "folders with ID-NNN.mp4 and ID-NNN.lab of Chem's utterances", "dubbing": VIEWS["dubbing"]}
    pictures = "whole"
    one_speaker = True

    def __init__(self, setting: str = "1", view: str = "dubbing", train: str = "no") -> None:
        for name, value, known in (("setting", setting, SETTINGS), ("view", view, VIEWS), ("train", train, _ANSWERS)):
            if value not in known:
                raise ValueError(f"chem: {name} is {' or '.join(known)}, got {value!r}")
        self.setting, self.view, self.train = setting, view, train == "yes"
        self.sources = {_CLIPS: Chem.sources[_CLIPS], view: VIEWS[view]}
        self.other_voice = setting == "2"
        self.complete = view == "dubbing"
        self._found: Counter[str] = Counter()

    @property
    def options(self) -> dict[str, str]:
        return {"setting": self.setting, "view": self.view, **({"train": "yes"} if self.train else {})}

    @property
    def info(self) -> BenchmarkInfo:
        """With the view's splits. Of Lip2Wav's videos all utterances count that are there: no list names them."""
        head = super().info
        if self.view == "dubbing":
            splits = {**head.splits, **({"train": TRAIN_UTTERANCES} if self.train else {})}
        else:
            splits = {split: self._found[split] for split in self._splits}
        return head.model_copy(update={"splits": splits})

    @property
    def _splits(self) -> tuple[str, ...]:
        first = ("test",) if self.view == "dubbing" else ("val", "test")
        return (*first, "train") if self.train else first

    def index(self, folders: Mapping[str, Path]) -> Iterable[SourceClip]:
        files = _files(folders[_CLIPS])
        if not files:
            raise ItemError(f"{folders[_CLIPS]} holds no file named ID-NNN; expected {self.sources[_CLIPS]}")
        read = self._dubbing if self.view == "dubbing" else self._lip2wav
        clips = list(read(folders[self.view], folders[_CLIPS], files))
        self._found = Counter(clip.split for clip in clips if clip.reason is None)
        return clips

    def _dubbing(self, lists: Path, folder: Path, files: Files) -> Iterator[SourceClip]:
        named = {
            split: dict(_utterances(lists / "Data" / f"StyleTTS_Chem_{file}.txt")) for split, file in _LISTS.items()
        }
        trained = {video_of(name) for name in named["train"]}
        for split in self._splits:
            durations = _durations(lists / "dataset" / "Chem" / f"Chem_duration_gt_{_LISTS[split]}.json")
            for name, phonemes in named[split].items():
                shared = split == "test" and video_of(name) in trained
                extra = {"phonemes": phonemes, **durations.get(name, {})}
                yield self._clip(name, split, folder, files.get(name, {}), extra, (SHARED,) if shared else ())

    def _lip2wav(self, lists: Path, folder: Path, files: Files) -> Iterator[SourceClip]:
        by_video: dict[str, list[str]] = {}
        for name in files:
            by_video.setdefault(video_of(name), []).append(name)
        for split in self._splits:
            path = lists / "Dataset" / "chem" / f"{split}.txt"
            for video in dict.fromkeys(_videos(path)):
                if video not in by_video:
                    yield SourceClip(id=video, source=_CLIPS, split=split, reason="no utterance of this video is there")
                for name in by_video.get(video, ()):
                    yield self._clip(name, split, folder, files[name], {}, ())

    def _clip(
        self, name: str, split: str, folder: Path, files: Mapping[str, str], extra: Mapping[str, Any],
        tags: tuple[str, ...],
    ) -> SourceClip:  # fmt: skip
        text, reason = _text(folder, files)
        own = {"voice_relation": "the ground truth itself"} if self.setting == "1" else {}
        return SourceClip(
            id=name, source=_CLIPS, path=files.get("video", f"{name}.mp4"), sound=files.get("sound"), split=split,
            video=video_of(name), language="en", text=text, tags=tags, extra={**extra, **own}, reason=reason,
        )  # fmt: skip

    def refuse(self, clip: SourceClip, facts: Mapping[str, Facts]) -> str | None:
        if not facts["path"].has_video:
            return "there is no video stream"
        heard = facts["path"].has_audio if "sound" not in facts else facts["sound"].has_audio
        return None if heard else f"there is no audio stream, and no {clip.id}.wav beside it"


_ANSWERS = ("no", "yes")
_VIDEO, _NAME = re.compile(r"[A-Za-z0-9_-]+"), re.compile(r"[A-Za-z0-9_-]+-[0-9]+")
_LISTS = {"train": "train", "test": "val"}
"""The list that is called val is what the papers test on."""


def video_of(name: str) -> str:
    """ID of ``ID-NNN``; ids may hold, and begin with, hyphens."""
    return name.rpartition("-")[0]


def _files(folder: Path) -> dict[str, dict[str, str]]:
    """Of a name that occurs in several folders, the first in order counts."""
    found: dict[str, dict[str, str]] = {}
    for path in sorted(folder.rglob("*-[0-9]*"), key=lambda path: path.relative_to(folder).as_posix()):
        suffix = path.suffix.lower()
        kind = "video" if suffix in VIDEO_SUFFIXES else "sound" if suffix in AUDIO_SUFFIXES else suffix
        if kind in ("video", "sound", ".lab") and _NAME.fullmatch(path.stem) and path.is_file():
            found.setdefault(path.stem, {}).setdefault(kind, path.relative_to(folder).as_posix())
    return found


def _text(folder: Path, files: Mapping[str, str]) -> tuple[str | None, str | None]:
    """(text, why there is none)."""
    if "video" not in files:
        return None, "its clip is not there"
    if ".lab" not in files:
        return None, "its .lab is not there"
    try:
        text = " ".join((folder / files[".lab"]).read_text(encoding="utf-8-sig").split())
    except (OSError, UnicodeDecodeError):
        return None, "its .lab cannot be read"
    return (text, None) if text else (None, "its .lab is empty")


def _videos(path: Path) -> Iterator[str]:
    for number, line in rows_of(path, VIEWS["lip2wav"]):
        if not _VIDEO.fullmatch(line.strip()):
            raise ItemError(f"{path} line {number}: expected the id of a video, got {line!r:.60}")
        yield line.strip()


def _utterances(path: Path) -> Iterator[tuple[str, str]]:
    """Name and phonemes. Raises ItemError for another list, or a name that it has twice."""
    seen: dict[str, int] = {}
    for number, line in rows_of(path, VIEWS["dubbing"]):
        file, *fields = line.split("|")
        name = PurePosixPath(file).stem
        if len(fields) != 2 or not _NAME.fullmatch(name):
            raise ItemError(f"{path} line {number}: expected ID/00/ID-NNN.wav|PHONEMES|0, got {line!r:.60}")
        if name in seen:
            raise ItemError(f"{path} line {number}: {name} is already on line {seen[name]}")
        seen[name] = number
        yield name, fields[0].strip()


def _durations(path: Path) -> dict[str, dict[str, tuple[float, ...]]]:
    """Name -> numbers and lengths of its symbols, the pauses at both ends included. Nothing where there is no file.

    The lengths are in frames of the authors' aligner; they do not say how long one is. Raises ItemError for a damaged
    line: whoever has the file wants what it says.
    """
    if not path.is_file():
        return {}
    found = {}
    for number, line in json_lines.numbered(path.read_bytes()):
        try:
            row = json_lines.parse(line)
            symbols = tuple(float(each) for each in row["phoneme_idx"])
            frames = tuple(float(each) for each in row["duration_gt"])
            if len(symbols) != len(frames) or min(frames, default=-1.0) < 0:
                raise ValueError(f"{len(symbols)} symbols have {len(frames)} durations of 0 or more")
            found[PurePosixPath(row["path"]).stem] = {"phoneme_numbers": symbols, "phoneme_frames": frames}
        except (KeyError, TypeError, ValueError) as error:
            raise ItemError(f"{path} line {number}: expected path, phoneme_idx and duration_gt ({error})") from error
    return found
