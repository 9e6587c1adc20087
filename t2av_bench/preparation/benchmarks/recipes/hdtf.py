"""HDTF (Zhang et al. 2021): lists of times in public videos, which the user has downloaded.

    HDTF_dataset/{RD,WDA,WRA}_{video_url,annotion_time,crop_wh,resolution}.txt    github.com/MRzzm/HDTF
    videos/NAME.*                                                                 one file a video, with its sound

The lists disagree with each other: a video without times, clips without a window, a byte order mark, addresses with a
time. Windows are in pixels of the resolution that the authors had, so they are scaled to that of the file.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from t2av_bench.errors import ItemError
from t2av_bench.preparation.benchmarks.recipe import SourceClip, file_called, rows_of, safe

SOURCE = "a folder with HDTF_dataset (a clone of MRzzm/HDTF) and videos/NAME.mp4"
GROUPS = ("RD", "WDA", "WRA")
_TIMES = re.compile(r"^((?:\d+:)?\d+:\d+)-((?:\d+:)?\d+:\d+)$")
Window = tuple[float, float, float, float]


def hdtf_clips(folder: Path, source: str, bin: str = "") -> Iterator[SourceClip]:
    """A clip a range of times, ``NAME_N`` as the authors name it; a video without one has that for its reason.

    Raises ItemError where the lists are not there or hold something else.
    """
    lists = folder / "HDTF_dataset"
    if not lists.is_dir():
        raise ItemError(f"{folder} has no folder HDTF_dataset; expected {SOURCE}")
    for group in GROUPS:
        windows = dict(_windows(lists / f"{group}_crop_wh.txt"))
        heights = dict(_heights(lists / f"{group}_resolution.txt"))
        ranges = dict(_ranges(lists / f"{group}_annotion_time.txt"))
        for name in sorted({*ranges, *_addressed(lists / f"{group}_video_url.txt")}):
            file = file_called(name, folder / "videos")
            common: dict[str, Any] = {
                "source": source, "path": f"videos/{file or f'{name}.mp4'}", "bin": bin, "language": "en",
                "video": f"{group}_{name}", "speaker": speaker_of(group, name), "extra": {"group": group},
            }  # fmt: skip
            if name not in ranges:
                yield SourceClip(id=safe(f"{group}_{name}"), reason="the lists give no times for it", **common)
            for index, (start, end) in enumerate(ranges.get(name, ())):
                window = windows.get(f"{name}_{index}") if name in heights else None
                yield SourceClip(
                    id=safe(f"{group}_{name}_{index}"), start=start, end=end, box=window,
                    box_height=heights[name] if window else None, **common,
                )  # fmt: skip


def speaker_of(group: str, name: str) -> str:
    """Who is seen, as far as the names tell: a person's videos are numbered; those called Radio are of many people."""
    return f"{group}_{name}" if name.startswith("Radio") else re.sub(r"[_ ]?\d+$", "", name)


def _named(path: Path) -> Iterator[tuple[int, str, list[str]]]:
    for number, line in rows_of(path, "a list of HDTF"):
        name, *fields = line.split()
        yield number, name.removesuffix(".mp4"), fields


def _addressed(path: Path) -> Iterable[str]:
    """Names of the videos; their addresses, with whatever follows them, are for whoever downloads."""
    return (name for _, name, _ in _named(path))


def _ranges(path: Path) -> Iterator[tuple[str, list[tuple[float, float]]]]:
    for number, name, fields in _named(path):
        found = [_TIMES.match(field) for field in fields]
        if not all(found):
            raise ItemError(f"{path} line {number}: expected NAME.mp4 MM:SS-MM:SS …, got {' '.join(fields)!r:.60}")
        yield name, [(_seconds(each[1]), _seconds(each[2])) for each in found if each]


def _seconds(text: str) -> float:
    seconds = 0.0
    for part in text.split(":"):
        seconds = 60 * seconds + float(part)
    return seconds


def _windows(path: Path) -> Iterator[tuple[str, Window]]:
    """The lists' order is left, width, top, height."""
    for number, name, fields in _named(path):
        left, width, top, height = _numbers(path, number, fields, 4)
        yield name, (left, top, width, height)


def _heights(path: Path) -> Iterator[tuple[str, int]]:
    for number, name, fields in _named(path):
        (height,) = _numbers(path, number, fields, 1)
        yield name, int(height)


def _numbers(path: Path, line: int, fields: list[str], count: int) -> list[float]:
    try:
        numbers = [float(field) for field in fields]
    except ValueError:
        numbers = []
    if len(numbers) != count:
        raise ItemError(f"{path} line {line}: expected {count} number(s) behind the name, got {' '.join(fields)!r:.60}")
    return numbers
