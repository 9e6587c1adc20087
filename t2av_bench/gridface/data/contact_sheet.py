"""A picture of a built split: one row an item, frames from left to right in time, the words below.

``python -m t2av_bench.gridface.data.contact_sheet MANIFEST... OUT.jpg`` makes docs/gridface.jpg; with
``--clips RUN/clips/ROW`` it shows what a system made of the same items below them (docs/gridface_generated.jpg).
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from t2av_bench.benchmarks.manifest import read_manifest
from t2av_bench.media.clip import Clip
from t2av_bench.utils.files import replacing

_CAPTION_HEIGHT = 20
_INK, _PAPER = (30, 30, 30), 255
_QUALITY = 78


def contact_sheet(manifest: Path, count: int, columns: int = 8, clips: Sequence[Path] = ()) -> np.ndarray:
    """(H, W, 3) uint8 RGB of ``count`` items spread over a manifest's first 20, each with ``columns`` frames.

    The first 20 items of every split show 20 persons; later ones come back to them. clips: folders with clips of the
    same items (``ID.mp4``), a row each below the real clip's.

    Raises ValueError where the manifest has fewer items, MediaError where a clip cannot be read.
    """
    entries = read_manifest(manifest)
    if not 1 <= count <= len(entries):
        raise ValueError(f"{manifest} has {len(entries)} items, {count} were asked for")
    rows = []
    for index in np.linspace(0, min(len(entries), max(count, 20)) - 1, count).round().astype(int):
        item = entries[index].item
        assert item.reference is not None
        shown = [_row(path, columns) for path in (Path(item.reference), *(each / f"{item.id}.mp4" for each in clips))]
        rows += [*shown, _caption(f"{item.id}   {item.text}", shown[0].shape[1])]
    return np.concatenate(rows)


def _row(path: Path, columns: int) -> np.ndarray:
    clip = Clip(path)
    # Not the first and the last tenth: the mouth rests there.
    times = np.linspace(0.1, 0.9, columns) * (clip.frame_count - 1)
    frames = clip.frames_at(times.round().astype(int).tolist())
    clip.release()
    return np.concatenate(list(frames), axis=1)


def write(manifests: Sequence[Path], out: Path, count: int, columns: int = 8, clips: Sequence[Path] = ()) -> None:
    """One JPEG of ``count`` items of each manifest, one below the other."""
    from PIL import Image

    sheet = np.concatenate([contact_sheet(manifest, count, columns, clips) for manifest in manifests])
    with replacing(out) as temporary:
        Image.fromarray(sheet).save(temporary, quality=_QUALITY, optimize=True)


def _caption(text: str, width: int) -> np.ndarray:
    """(20, width, 3). The font has no Chinese characters; a text of them is left to the manifest."""
    import cv2

    strip = np.full((_CAPTION_HEIGHT, width, 3), _PAPER, np.uint8)
    shown = "".join(character for character in text if character.isascii()).strip()
    cv2.putText(strip, shown, (3, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.42, _INK, 1, cv2.LINE_AA)
    return strip


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Frames of built items as one JPEG.")
    parser.add_argument("manifests", nargs="+", type=Path, metavar="MANIFEST")
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=3, help="items of each manifest")
    parser.add_argument("--columns", type=int, default=8, help="frames of each item")
    parser.add_argument("--clips", type=Path, action="append", default=[], help="a folder of clips of the same items")
    given = parser.parse_args(arguments)
    write(given.manifests, given.out, given.count, given.columns, given.clips)


if __name__ == "__main__":
    main()
