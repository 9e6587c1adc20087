"""Small forms of text: lists that stay short, numbers with their sign, Markdown."""

import re
from collections.abc import Iterable, Mapping


def some(names: Iterable[str], most: int = 3) -> str:
    """The first few names, and how many more there are."""
    names = list(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def escape(text: str) -> str:
    """Text that Markdown shows as it is, also inside a table."""
    return re.sub(r"([\\|<>*_`\[\]])", r"\\\1", text.replace("\n", " "))


def signed(value: float, decimals: int) -> str:
    """A difference with its sign; two digits more than the value's own where it would print as 0."""
    shown = f"{value:+.{decimals}f}"
    return f"{value:+.{decimals + 2}f}" if value and float(shown) == 0 else shown


def counted(number: int, what: str = "clip") -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def detectable_text(amount: float | None, decimals: int) -> str:
    """The smallest difference that would have been seen; ``none`` where so few units can show none."""
    return "none" if amount is None else f"±{signed(amount, decimals).lstrip('+')}"


def p_text(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def filled(page: str, made: Mapping[str, str]) -> str:
    """The page with its tables between ``<!-- NAME -->`` and ``<!-- end -->``. Raises ValueError where a mark lacks."""
    for name, text in made.items():
        parts = re.split(rf"(<!-- {name} -->\n)(.*?)(?=<!-- end -->)", page, flags=re.DOTALL)
        count = len(parts) // 3
        if count != 1:
            marks = f"{count} marks <!-- {name} --> … <!-- end -->, expected one"
            raise ValueError(f"the page has no place for {name}, or several: {marks}")
        page = f"{parts[0]}{parts[1]}{text}\n{parts[3]}"
    return page


def names(given: str | Iterable[str] | None) -> tuple[str, ...] | None:
    """``"sync,wer"`` as on the command line, or a list of names."""
    if given is None:
        return None
    return tuple(filter(None, map(str.strip, given.split(",")))) if isinstance(given, str) else tuple(given)
