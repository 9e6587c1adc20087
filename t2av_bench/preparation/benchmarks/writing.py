"""One item's files: pictures at 25 frames a second, sound beside them without loss, a portrait and a voice."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from t2av_bench.errors import Unscorable
from t2av_bench.media.clip import FRAME_RATE
from t2av_bench.media.encode import fit, samples_for, write_mp4
from t2av_bench.media.resample import to_int16
from t2av_bench.preparation.benchmarks.looking import Stretch
from t2av_bench.preparation.benchmarks.recipe import Pictures
from t2av_bench.preparation.benchmarks.stages import Row
from t2av_bench.utils.files import file_sha256, link, replacing
from t2av_bench.utils.optional import require

_CRF = 12  # near transparent, as GridFace's references
_PLACES = {"identity": "identity_image", "driving_audio": "driving_audio", "voice": "reference_voice"}
"""Fields of a source clip that are files of their own -> the item's field, and the folder it lies in."""
MEDIA = ("clips", *_PLACES.values())
"""Folders of a split in which items' files lie."""


@dataclass(frozen=True, slots=True)
class Writing:
    """folder: of the split. stretch: what is shown and heard; box: the square that is cut out, scaled to ``size``.

    voice: another stretch of the speaker. files: by field of the source clip, files that are taken as they are.
    """

    id: str
    folder: Path
    pictures: Pictures
    stretch: Stretch | None
    box: tuple[int, int, int, int] | None
    size: int
    voice: Stretch | None
    files: Mapping[str, Path]
    audio_rate: int


def write_task(tools: Any, content: Writing, alive: Callable[[], None]) -> Row:
    """``files``: item field -> file below the split; ``seconds``; ``digests`` of what is shown and heard.

    Digests are of samples and pixels: those of the files also depend on the encoder's release.
    """
    row: Row = {"files": {}, "seconds": None, "digests": {}}
    for field, path in content.files.items():
        if field in ("path", "sound"):
            continue
        key = _PLACES[field]
        row["files"][key] = _linked(path, content, key)
        row["digests"][key] = file_sha256(path)
    if content.stretch is not None and content.pictures == "link":
        row["files"]["reference"] = _linked(content.stretch.path, content, "clips")
        row["digests"]["reference"] = file_sha256(content.stretch.path)
        if content.stretch.sound is not None:
            row["files"]["reference_audio"] = _linked(content.stretch.sound, content, "clips")
            row["digests"]["sound"] = file_sha256(content.stretch.sound)
    elif content.stretch is not None:
        _clip(content, row, alive)
    if content.voice is not None:
        alive()
        sound = to_int16(content.voice.audio(content.audio_rate))
        row["files"]["reference_voice"] = _sound(content, "reference_voice", sound)
        row["digests"]["voice"] = hashlib.sha256(sound.tobytes()).hexdigest()
    return row


def _linked(path: Path, content: Writing, folder: str) -> str:
    name = PurePosixPath(folder) / f"{content.id}{path.suffix.lower()}"
    target = content.folder / name
    if not (target.exists() and target.samefile(path)):
        target.unlink(missing_ok=True)
        link(path, target)
    return name.as_posix()


def _clip(content: Writing, row: Row, alive: Callable[[], None]) -> None:
    """Pictures with their sound; the sound once more without loss; the first picture as it was before encoding."""
    assert content.stretch is not None
    image = require("PIL.Image", "video")
    heard = content.stretch.audio(content.audio_rate)
    first: list[np.ndarray] = []

    def shown() -> Iterator[np.ndarray]:
        for batch in content.stretch.frames():  # type: ignore[union-attr]
            for frame in batch:
                picture = _scaled(frame, content, image)
                if not first:
                    first.append(picture)
                yield picture
            alive()

    clip, still = f"clips/{content.id}.mp4", f"identity_image/{content.id}.png"
    (content.folder / "clips").mkdir(parents=True, exist_ok=True)
    sound = to_int16(heard)
    with replacing(content.folder / clip) as temporary:
        frames = write_mp4(temporary, shown(), sound, frame_rate=FRAME_RATE, audio_rate=content.audio_rate, crf=_CRF,
                           fit_audio=True)  # fmt: skip
    wanted = None if content.stretch.end is None else round(content.stretch.end * FRAME_RATE) - content.stretch.first
    if wanted is not None and frames != wanted:
        (content.folder / clip).unlink()
        raise Unscorable(f"the recording ends inside the piece: {frames} of {wanted} frames are there")
    sound = fit(sound, samples_for(frames, Fraction(FRAME_RATE), content.audio_rate))
    files = {"reference": clip, "reference_audio": _sound(content, "clips", sound)}
    if "identity_image" not in row["files"]:
        with replacing(content.folder / still) as temporary:
            image.fromarray(first[0]).save(temporary)
        files["identity_image"] = still
    row["files"].update(files)
    row["seconds"] = frames / FRAME_RATE
    row["digests"] |= {
        "sound": hashlib.sha256(sound.tobytes()).hexdigest(), "picture": hashlib.sha256(first[0].tobytes()).hexdigest()
    }  # fmt: skip


def _scaled(frame: np.ndarray, content: Writing, image: Any) -> np.ndarray:
    if content.box is None:
        height, width = (side - side % 2 for side in frame.shape[:2])
        return frame[:height, :width]
    left, top, right, bottom = content.box
    inside = image.fromarray(np.ascontiguousarray(frame[top:bottom, left:right]))
    return np.asarray(inside.resize((content.size, content.size), image.Resampling.LANCZOS))


def _sound(content: Writing, folder: str, samples: np.ndarray) -> str:
    from scipy.io import wavfile

    name = f"{folder}/{content.id}.wav"
    with replacing(content.folder / name) as temporary:
        wavfile.write(temporary, content.audio_rate, samples)
    return name
