"""Where a container's time ends, and whether its data is all there."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from t2av_bench.errors import MediaError
from t2av_bench.media.probe import audio_stream, check_file, video_stream

# Other containers estimate their duration from the bit rate.
_STATES_DURATION = ("mov", "matroska")


def declared_end(container: Any, audio: Any) -> Fraction | None:
    """End in seconds that an mp4 audio track declares to the sample; None for other containers."""
    if audio is None or not container.format.name.startswith("mov") or not audio.duration:
        return None
    return ((audio.start_time or 0) + audio.duration) * audio.time_base


def announced_end(container: Any) -> Fraction | None:
    """End in seconds of the longest stream by the header; None where the container only estimates it.

    Containers disagree whether a late start counts, so this is the shorter reading.
    """
    if container.format.name == "avi":
        # The container's own duration is scaled down when the file is short; the streams keep the header's lengths.
        return max((stream.frames * stream.time_base for stream in _timed(container)), default=None) or None
    if container.duration is None or not container.format.name.startswith(_STATES_DURATION):
        return None
    return Fraction(container.duration, 1_000_000)


def _timed(container: Any) -> Iterator[Any]:
    return (stream for stream in container.streams if stream.time_base and stream.frames)


def check_index(container: Any, path: Path) -> None:
    """MediaError where the file's own index points beyond its end (a truncated mp4 or avi)."""
    size = check_file(path)
    for stream in (video_stream(container), audio_stream(container)):
        if stream is None or not len(stream.index_entries):
            continue
        total, inside, reached = 0, 0, 0
        for entry in stream.index_entries:
            total += 1
            if entry.pos + entry.size <= size:
                inside += 1
                reached = max(reached, entry.timestamp)
        if inside < total:
            announced = announced_end(container)
            of_total = f" of {float(announced):.2f}" if announced is not None else ""
            raise MediaError(
                f"{path.name} is truncated: {inside} of {total} indexed {stream.type} packets, up to "
                f"{float(reached * stream.time_base):.2f}{of_total} s, are inside its {size} bytes; "
                "copy or encode it again"
            )
