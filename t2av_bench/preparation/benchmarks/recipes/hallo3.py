"""The training data of Hallo3 (Cui et al. 2024): talking heads with a description of the picture each.

    videos/NNNN.mp4     from the .tgz parts of fudan-generative-ai/hallo3_training_data
    caption/NNNN.txt    what is to be seen

There are no names of persons, so every video counts as a person of its own; finding the same face in two of them would
be biometric processing.
"""

from collections.abc import Iterator
from pathlib import Path

from t2av_bench.errors import ItemError
from t2av_bench.preparation.benchmarks.recipe import SourceClip, foreign_name, safe

SOURCE = "a folder with videos/NNNN.mp4 and caption/NNNN.txt of hallo3_training_data, unpacked"


def hallo3_clips(folder: Path, source: str, bin: str = "") -> Iterator[SourceClip]:
    """A clip a video. Raises ItemError where there is no folder of them."""
    if not (folder / "videos").is_dir():
        packed = " (its parts are still packed: tar xzf)" if any(folder.glob("*.tgz*")) else ""
        raise ItemError(f"{folder} has no folder videos{packed}; expected {SOURCE}")
    for path in sorted((folder / "videos").glob("*.mp4")):
        if reason := foreign_name(path.name):
            yield SourceClip(id=f"hallo3_{safe(path.stem)}", source=source, reason=reason)
            continue
        yield SourceClip(
            id=f"hallo3_{safe(path.stem)}", source=source, path=f"videos/{path.name}", bin=bin, language="en",
            scene=_caption(folder / "caption" / f"{path.stem}.txt"),
        )  # fmt: skip


def _caption(path: Path) -> str | None:
    """None where it is not there or cannot be read: a description is no condition for an item."""
    try:
        return " ".join(path.read_text(encoding="utf-8-sig").split()) or None
    except (OSError, UnicodeDecodeError):
        return None
