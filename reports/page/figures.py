"""Which plots a report shows, and why others are absent."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from reports.page.content import Content


@dataclass(frozen=True, slots=True)
class Shown:
    """One figure of the page: SVG files by name (light, then dark), or the reason why there is none."""

    group: str
    title: str
    caption: str
    files: dict[str, str] = field(default_factory=dict)
    reason: str | None = None


def figures(content: Content, *, extrapolate: bool = False) -> Iterator[Shown]:
    """All figures in page order."""
    yield from ()
