"""What the reports on GridFace's own parts share: their tables, and the command that measures and writes a page."""

import argparse
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from t2av_bench.utils.files import write_text


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Markdown: the first column to the left, numbers to the right."""
    lines = [columns, [":--", *["--:"] * (len(columns) - 1)], *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def run(description: str, page: str, clips: int, document: Callable[[int], str]) -> None:
    """``[PAGE] [--clips N]``: write what ``document`` measures on so many clips of a set."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("page", nargs="?", type=Path, default=Path(page), help=f"file to write (default {page})")
    parser.add_argument("--clips", type=int, default=clips, help=f"clips of each set (default {clips})")
    chosen = parser.parse_args()
    write_text(chosen.page, document(chosen.clips))
    print(chosen.page)
