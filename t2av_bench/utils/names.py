"""Names as people type them: case and punctuation aside, and the nearest known ones where a name is unknown."""

import difflib
import unicodedata
from collections.abc import Iterable


def folded(name: str) -> str:
    """What counts of a name, its letters and digits without case and accents: ``LSE-C`` and ``lse_c`` are one name."""
    return "".join(letter for letter in unicodedata.normalize("NFKD", name).casefold() if letter.isalnum())


def same(name: str, known: Iterable[str]) -> list[str]:
    """Which of the known names it is: the exact one, else all that differ in case and punctuation alone."""
    known = list(dict.fromkeys(known))
    wanted = folded(name)
    return [name] if name and name in known else [each for each in known if wanted and folded(each) == wanted]


def nearest(name: str, known: Iterable[str], most: int = 3) -> list[str]:
    """The known names that look most like it: those that begin with it, then the others, best first."""
    by_folded: dict[str, str] = {}
    for each in known:
        by_folded.setdefault(folded(each), each)
    wanted = folded(name)
    longer = [each for each in by_folded if wanted and each.startswith(wanted)]
    alike = difflib.get_close_matches(wanted, by_folded, n=most)
    return [by_folded[each] for each in dict.fromkeys([*longer, *alike])][:most]


def unknown(what: str, name: str, known: Iterable[str], show: str = "", like: str = "") -> str:
    """What to say to an unknown name: the nearest, or all that there are. show: instead, how to see them all.

    like: what the nearest are to be near to, where that is not the name.
    """
    known = list(known)
    near = nearest(like or name, known)
    hint = f"did you mean {' or '.join(near)}?" if near else "" if show else f"there are {', '.join(known) or 'none'}"
    return f"unknown {what} {name!r}; {' '.join(filter(None, (hint, show)))}"
