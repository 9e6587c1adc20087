"""Names of items and files: made readable, compared without regard to Unicode's normal forms, and near misses found."""

import difflib
import hashlib
import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable
from pathlib import PurePath

LONGEST = 1000
"""Characters of an item's id."""

_COMPARED = 100
"""Characters of each end that near misses are judged by: ids may be long, and the time grows with the square."""


def normal(name: str) -> str:
    """The name composed (NFC): macOS writes file names decomposed, and both look alike."""
    return unicodedata.normalize("NFC", name)


def encodable(text: str) -> str:
    """The text with escapes where it is not Unicode: bytes of file names (``\\xff``) and lone surrogates."""
    text = re.sub("[\udc80-\udcff]", lambda found: f"\\x{ord(found[0]) - 0xDC00:02x}", text)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def printable(name: str) -> str:
    """A file's name as an id: control characters and bytes that are not UTF-8 become escapes, very long ones are cut.

    Equal names stay equal, different ones different.
    """
    name = normal(encodable(name))
    name = "".join(character if character >= " " else f"\\x{ord(character):02x}" for character in name)
    if len(name) > LONGEST:
        name = f"{name[: LONGEST - 20]} {hashlib.sha256(name.encode()).hexdigest()[:16]}"
    return name


def name_of(relative: PurePath) -> str:
    """The name that a file pairs by: its path below the folder, without the suffix."""
    return printable(relative.with_suffix("").as_posix())


class Nearest:
    """Finds the name that someone probably meant among many.

    Every name is compared with a handful alone: its neighbours in alphabetical order from the left and from the right,
    and names that are equal apart from case, punctuation and leading zeros. So 10,000 names take seconds.
    """

    def __init__(self, names: Iterable[str]) -> None:
        names = list(names)
        self._forward = sorted((name.casefold(), name) for name in names)
        self._backward = sorted((name.casefold()[::-1], name) for name in names)
        self._alike: dict[str, str] = {}
        for name in names:
            self._alike.setdefault(_essence(name), name)

    def hint(self, name: str) -> str:
        """``; the nearest name is …`` to append to a reason; empty where none is near."""
        near = self.of(name)
        if near is None:
            return ""
        return f"; the nearest name is {near!r}" + (
            ", which differs only in case" if near.casefold() == name.casefold() else ""
        )

    def of(self, name: str) -> str | None:
        """The nearest other name, or None where none is near."""
        folded = name.casefold()
        candidates = dict.fromkeys(
            [*_around(self._forward, folded), *_around(self._backward, folded[::-1]), self._alike.get(_essence(name))]
        )
        matcher = difflib.SequenceMatcher(autojunk=False)
        matcher.set_seq2(_ends(folded))
        best, found = 0.6, None
        for candidate in candidates:
            if candidate is None or candidate == name:
                continue
            matcher.set_seq1(_ends(candidate.casefold()))
            if matcher.real_quick_ratio() > best and matcher.quick_ratio() > best and matcher.ratio() > best:
                best, found = matcher.ratio(), candidate
        return found


def _around(ordered: list[tuple[str, str]], key: str) -> list[str]:
    """The names beside the place of ``key``, two on each side."""
    place = bisect_left(ordered, (key,))
    return [name for _, name in ordered[max(0, place - 2) : place + 2]]


def _essence(name: str) -> str:
    """Letters and numbers alone: ``Clip_007`` and ``clip-7`` are one."""
    return "/".join(part.lstrip("0") or part[:1] for part in re.findall(r"\d+|[^\W\d_]+", name.casefold()))


def _ends(name: str) -> str:
    return name if len(name) <= 2 * _COMPARED else name[:_COMPARED] + name[-_COMPARED:]
