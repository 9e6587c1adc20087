"""What a generated clip leaves on disk: ``NAME.mp4``, ``NAME.wav`` and ``NAME.json``, all of them or none.

Files are written into a hidden folder beside the clip and named at the end, the JSON last: where it is, the clip is
whole. A reference prefix that was continued goes to ``.prefix/NAME.mp4`` and ``.wav``: out of the way of whoever scores
every clip of the folder. So do files that a program wrote, untouched, where ``NAME.mp4`` was made from them: they are
``.native/NAME`` with their own suffixes.
"""

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from t2av_bench.systems.base import GenerationFailed, Request
from t2av_bench.utils.files import json_text

PREFIX_FOLDER = ".prefix"
NATIVE_FOLDER = ".native"
# The rate of the embedded benchmark's own clips, so that pictures differ by the system and not by their compression.
# At 128x128 "fast" gives the size and error of "medium" in 0.4 of its time (0.07 s for a clip of 2.7 s).
EMBEDDED_ENCODER = {"preset": "fast", "crf": 12}


@dataclass(frozen=True, slots=True)
class Names:
    """The final paths of one clip's files. video: None for sound alone."""

    video: Path | None
    audio: Path
    record: Path

    @property
    def media(self) -> list[Path]:
        """Picture and sound."""
        return [path for path in (self.video, self.audio) if path is not None]

    def prefix(self) -> "Names":
        """Where the continued reference goes; it has no record of its own."""
        folder = self.audio.parent / PREFIX_FOLDER
        return Names(self.video and folder / self.video.name, folder / self.audio.name, folder / self.record.name)

    def native(self, suffix: str) -> Path:
        """Where the file of a program goes that the clip was made from."""
        return self.audio.parent / NATIVE_FOLDER / f"{self.audio.stem}{suffix}"


def names_of(request: Request) -> Names:
    """Raises GenerationFailed where the name does not fit the task, or would replace one of the inputs."""
    suffix, what = (".wav", "a sound") if request.task == "tts" else (".mp4", "a video")
    out = request.out
    if out.suffix.lower() != suffix:
        raise GenerationFailed(f"task {request.task} makes {what}: name it {out.with_suffix('').name}{suffix}, not "
                               f"{out.name}")  # fmt: skip
    names = Names(None if request.task == "tts" else out, out.with_suffix(".wav"), out.with_suffix(".json"))
    for path in (*names.media, names.record):
        if path.is_dir():
            raise GenerationFailed(f"{path} is a folder; name a file (--out FILE)")
        if path.exists() and any(source.exists() and source.samefile(path) for source in request.inputs):
            raise GenerationFailed(f"{path} would be replaced, but it is one of the inputs: choose another --out")
    return names


@contextmanager
def staged(names: Names) -> Iterator[Path]:
    """A folder to write in, on the file system of the final place; it goes when the block ends, whatever happened.

    Raises GenerationFailed at once where nothing can be written there.
    """
    place = names.audio.parent
    made = [folder for folder in (place, *place.parents) if not folder.exists()]
    try:
        try:
            place.mkdir(parents=True, exist_ok=True)
            folder = tempfile.TemporaryDirectory(
                prefix=f".{names.audio.stem[:40]}.", suffix=".part", dir=place, ignore_cleanup_errors=True
            )
        except OSError as error:
            raise GenerationFailed(f"cannot write in {place}: {error.strerror}; choose another --out") from error
        with folder as name:
            yield Path(name)
    finally:
        with suppress(OSError):  # the first that holds something else ends it
            for empty in made:
                empty.rmdir()


def write_clip(
    folder: Path, names: Names, pictures: Iterable[np.ndarray] | None, audio: np.ndarray, audio_rate: int,
    frame_rate: int | Fraction, same_length: bool = True, **encoder: Any,
) -> int:  # fmt: skip
    """Write into ``folder`` under the final file names; returns the number of frames (0 without pictures).

    pictures: batches (n, H, W, 3) uint8 RGB; audio: (n,) float32, exactly as long as the pictures where
    they have the ``same_length``. The wav holds the float samples as they are. encoder: options of ``write_mp4``.
    """
    from scipy.io import wavfile

    from t2av_bench.media.encode import write_mp4

    count = 0
    try:
        if pictures is not None and names.video is not None:
            count = write_mp4(
                folder / names.video.name, pictures, audio, frame_rate=frame_rate, audio_rate=audio_rate, **encoder
            )
            if same_length and count * audio_rate != len(audio) * frame_rate:
                raise AssertionError(f"{count} frames at {frame_rate} fps and {len(audio)} samples at {audio_rate} Hz")
        wavfile.write(folder / names.audio.name, audio_rate, np.ascontiguousarray(audio, np.float32))
    except OSError as error:
        raise GenerationFailed(f"cannot write {names.audio.stem}: {error}") from error
    return count


def remove_native(out: Path) -> None:
    """Remove the files that an earlier clip of this name was made from. Raises OSError."""
    folder = out.parent / NATIVE_FOLDER
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.stem == out.stem:
            path.unlink()
    with suppress(OSError):  # others are in it
        folder.rmdir()


def publish(folder: Path, names: Names, record: dict[str, Any], prefix_folder: Path | None = None,
            native: Sequence[Path] = ()) -> None:  # fmt: skip
    """Give the staged files their names, the record last; an older record goes first, so that none describes others.

    native: the files that the clip was made from, of different suffixes; they are copied.
    """
    try:
        names.record.unlink(missing_ok=True)
        stale = names.prefix().media
        if prefix_folder is None:
            for path in stale:
                path.unlink(missing_ok=True)
        else:
            stale[0].parent.mkdir(exist_ok=True)
            _move(prefix_folder, stale)
        remove_native(names.audio)
        for original in native:
            kept = names.native(original.suffix)
            kept.parent.mkdir(exist_ok=True)
            shutil.copyfile(original, folder / ".native.part")
            os.replace(folder / ".native.part", kept)
        staged_record = folder / names.record.name
        staged_record.write_text(json_text(record, indent=1) + "\n", encoding="utf-8")
        _move(folder, [*names.media, names.record])
    except OSError as error:
        raise GenerationFailed(f"cannot write {names.record.with_suffix('')}: {error}") from error


def _move(folder: Path, paths: list[Path]) -> None:
    moved: list[Path] = []
    try:
        for path in paths:
            os.replace(folder / path.name, path)
            moved.append(path)
    except OSError:
        for path in moved:
            path.unlink(missing_ok=True)
        raise
