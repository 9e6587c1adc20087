"""MoChaBench's panel: clips of four systems for 20 prompts, with people's votes and GPT-4o's scores as published.

The clips are what people saw, known by their digests (``mocha_panel_80.json``); votes of others would be another panel.
"""

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from t2av_bench.errors import ItemError
from t2av_bench.preparation.benchmarks.recipe import Recipe, SourceClip
from t2av_bench.utils.files import file_sha256

_SOURCE = "mochabench"
_CLIPS, _VOTES = "eval-viescore/example_results", "eval-viescore/viescore-alignment.csv"
_PROMPTS = f"{_CLIPS}/text_prompt.csv"
_KNOWN = Path(__file__).with_name("mocha_panel_80.json")
"""``clips``: path below the folder of clips -> SHA-256; ``votes``: of the table that ``published`` makes."""
_SYSTEMS = {"MoCha": "MoCha", "Hallo3": "hallo3", "Aniportrait": "aniportrait-square", "SadTalker": "SadTalker"}
"""Name in the table of votes -> folder of the clips."""
_ASPECTS = {
    "2. Facial Expression Naturalness": "facial expression", "3. Action Naturalness": "action",
    "4. Text Alignment": "text alignment", "5. Visual Quality": "visual quality",
}  # fmt: skip
_PEOPLE, _JUDGE = "Human Major Vote", "GPT4o"


class MoChaPanel(Recipe):
    """Ids are ``SYSTEM/NUMBER``; a split is a system. Clips are outputs, and have no reference."""

    id = "mocha-panel-80"
    sources = {_SOURCE: "a clone of congwei1230/MoChaBench"}
    text = "none"
    outputs = True
    complete = True

    def index(self, folders: Mapping[str, Path]) -> Iterable[SourceClip]:
        """eval-viescore/example_results/SYSTEM/NUMBER.mp4, each held to the digest of what people saw."""
        prompts = _prompts(folders[_SOURCE] / _PROMPTS)
        for system, folder in _SYSTEMS.items():
            for number in sorted({Path(name).stem for name in _known()["clips"]}):
                path, split = f"{_CLIPS}/{folder}/{number}.mp4", system.lower()
                yield SourceClip(
                    id=f"{split}/{number}", source=_SOURCE, path=path, split=split, video=f"panel-{number}",
                    scene=prompts.get(int(number)), extra={"system": system},
                    reason=_other(folders[_SOURCE] / path, _known()["clips"][f"{folder}/{number}.mp4"]),
                )  # fmt: skip

    def published(self, folders: Mapping[str, Path]) -> Mapping[str, str]:
        """``votes.csv``: the majority of people, and GPT-4o, of each clip and aspect, 1 to 4, as ``panel`` reads it.

        Raises ItemError where they are not those that this version of the benchmark holds.
        """
        text = votes_text(folders[_SOURCE] / _VOTES)
        if hashlib.sha256(text.encode()).hexdigest() != _known()["votes"]:
            raise ItemError(f"{folders[_SOURCE] / _VOTES} holds other votes than those of {self.info.get}")
        return {"votes.csv": text}


def votes_text(path: Path) -> str:
    """The published table, one line for each clip and aspect. Raises ItemError."""
    rows = _rows(path)
    try:
        systems, aspects, sides, *body = rows
        columns = {
            (systems[at], _ASPECTS[aspects[at]], sides[at]): at for at in range(1, len(systems))
        }  # fmt: skip
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("item", "system", "aspect", "vote", "judge:gpt-4o", "clip"))
        for aspect in _ASPECTS.values():
            for row in sorted(body, key=lambda row: int(row[0])):
                for system, folder in _SYSTEMS.items():
                    number = f"{int(row[0]):02d}"
                    scores = (row[columns[system, aspect, side]] for side in (_PEOPLE, _JUDGE))
                    writer.writerow((number, system, aspect, *scores, _known()["clips"][f"{folder}/{number}.mp4"]))
    except (KeyError, ValueError, IndexError) as error:
        raise ItemError(f"{path} is not the table of votes of MoChaBench: {error!r}") from error
    return text.getvalue()


@cache
def _known() -> Mapping[str, Mapping[str, str]]:
    found: Mapping[str, Mapping[str, str]] = json.loads(_KNOWN.read_text(encoding="utf-8"))
    return found


def _other(path: Path, digest: str) -> str | None:
    """Why a file is not the clip that people saw, if it is there and is not."""
    if path.is_file() and file_sha256(path) != digest:
        return "it is not the clip that people saw: its SHA-256 is another one"
    return None


def _prompts(path: Path) -> dict[int, str]:
    """Number of the item -> what was asked for."""
    return {at: " ".join(" ".join(row).split()) for at, row in enumerate(_rows(path), start=1)}


def _rows(path: Path) -> list[list[str]]:
    """Lines of a table that are not empty. Raises ItemError where it cannot be read."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return [row for row in csv.reader(file, strict=True) if any(row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ItemError(f"cannot read {path}: {error}; expected a clone of congwei1230/MoChaBench") from error
