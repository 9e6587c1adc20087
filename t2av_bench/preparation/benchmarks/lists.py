"""``NAME.list.json``: which items a benchmark has, for everybody who has the data. Ids, times, boxes and digests alone:
no picture, no sound, and no words.
"""

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from t2av_bench.errors import ItemError
from t2av_bench.utils.files import json_text
from t2av_bench.utils.text import some

ID = r"^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$"
"""Files are named by it: a list that somebody wrote must not name a place outside the folder."""
_Id = Annotated[str, Field(pattern=ID, max_length=220)]
_Split = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=60)]
_Pixel = Annotated[int, Field(ge=0)]
Box = tuple[_Pixel, _Pixel, _Pixel, _Pixel]


class Piece(BaseModel):
    """A stretch of a source clip. first, end: frames at 25 a second from the clip's beginning, half-open; None: whole.

    box: x1, y1, x2, y2 in pixels of the source's pictures; None: all of the picture.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: _Id
    clip: str
    first: Annotated[int, Field(ge=0)] | None = None
    end: Annotated[int, Field(gt=0)] | None = None
    box: Box | None = None


class ListedItem(BaseModel):
    """voice: piece id of the stretch that the speaker is known by, None: none; relation: how it is related.

    source_sha256: of the file it was cut from. digests: of what is shown and heard, as ``writing`` makes them; text:
    of the words.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: _Id
    split: _Split
    piece: Piece
    voice: Piece | None = None
    relation: str | None = None
    source_sha256: str | None = None
    digests: dict[str, str] = {}


class PublishedList(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_: str = Field(default="t2av-bench.list/1", alias="schema")
    name: str
    version: int
    options: dict[str, str] = {}
    items: tuple[ListedItem, ...]

    @property
    def clips(self) -> set[str]:
        """Ids of the source clips that are needed."""
        pieces = [piece for item in self.items for piece in (item.piece, item.voice) if piece is not None]
        return {piece.clip for piece in pieces}


def read_list(path: Path, name: str, version: int, options: dict[str, str]) -> PublishedList:
    """Raises ItemError where it is none, or that of another benchmark, version or option."""
    try:
        found = PublishedList.model_validate(json.loads(path.read_text(encoding="utf-8-sig")))
    except (OSError, ValueError, ValidationError) as error:
        raise ItemError(f"cannot read the list {path}: {error}; expected a NAME.list.json of this program") from error
    mine, theirs = (name, version, options), (found.name, found.version, found.options)
    if mine != theirs:
        compared = zip(("benchmark", "version", "options"), theirs, mine, strict=True)
        said = " and ".join(f"{what} {one!r}, here {other!r}" for what, one, other in compared if one != other)
        raise ItemError(f"the list {path} is of {said}: it makes that benchmark alone")
    counts = Counter(item.id for item in found.items)
    if twice := [id for id, count in counts.items() if count > 1]:
        raise ItemError(f"the list {path} has {some(twice)} more than once")
    return found


def list_text(found: PublishedList) -> str:
    return json_text(found.model_dump(mode="json", by_alias=True, exclude_none=True), indent=1) + "\n"


def text_digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
