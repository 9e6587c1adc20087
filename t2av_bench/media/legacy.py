"""The lossy intermediates of the reference sync tools, for protocols that must see what those tools see.

joonson/syncnet_python and syncnet-python 0.2.3 do not look at the clip: they transcode it to MPEG-4 and MP3 in an AVI
at 25 frames/s, write that as JPEG images, and score those. This changes pixels, and shifts pictures against sound by up
to one frame depending on the audio rate (the MP3 encoder's delay; duplicated first frames fill the gap). The functions
here run the same commands with the ``ffmpeg`` program on PATH; its version is part of such a protocol. ``exact``
protocols need none of this.
"""

import shutil
import subprocess
import tempfile
import wave
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from types import ModuleType

import numpy as np

from t2av_bench.errors import MediaError, NotApplicable
from t2av_bench.media.clip import Clip

FRAME_RATE = 25
AUDIO_RATE = 16000
# Generous even for an hour of video on a loaded machine; a hung program must not hang a run.
_TIMEOUT_SECONDS = 3600


class LegacyMedia:
    """What a reference tool reads: JPEG images, and 16-bit mono sound at 16 kHz.

    audio: (n,) int16 at 16 kHz. frame_count: number of images. avi: the re-encoded file that the images come from.

    The images live in a temporary folder that goes away with this object; pictures are read on demand.
    """

    def __init__(
        self, folder: "tempfile.TemporaryDirectory[str]", avi: Path, images: list[Path], audio: np.ndarray
    ) -> None:
        self._folder = folder
        self._images = images
        self.audio = audio
        self.avi = avi

    @property
    def frame_count(self) -> int:
        return len(self._images)

    def frames(self, batch: int = 32) -> Iterator[np.ndarray]:
        """All images in order, (n, H, W, 3) uint8 RGB with n <= batch, decoded by OpenCV as the reference does."""
        for start in range(0, self.frame_count, batch):
            yield self.frames_at(range(start, min(start + batch, self.frame_count)))

    def frames_at(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """(k, H, W, 3) uint8 RGB images at ``indices``."""
        cv2 = _opencv()
        return np.stack([cv2.imread(str(self._images[index]))[:, :, ::-1] for index in indices])

    def close(self) -> None:
        """Delete the images now."""
        self._folder.cleanup()


def ffmpeg_program() -> str:
    """Path of the ``ffmpeg`` program; NotApplicable without one."""
    program = shutil.which("ffmpeg")
    if program is None:
        raise NotApplicable(
            "this protocol re-encodes clips with the 'ffmpeg' program, as the reference tool does, and there is none "
            "on PATH: install it (for example apt-get install ffmpeg), or use the 'exact' protocol, which needs none"
        )
    return program


def ffmpeg_version() -> str:
    """Version of the ``ffmpeg`` program, such as ``5.1.9-0+deb12u1``: it can move a legacy protocol's numbers."""
    return _version(ffmpeg_program())


@lru_cache
def _version(program: str) -> str:
    output = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=60, check=True).stdout
    return output.split()[2]


def joonson(clip: Clip) -> LegacyMedia:
    """Images and sound as joonson/syncnet_python 6efbb1c reads them: both from the AVI.

    Raises MediaError where the clip is damaged or lacks a stream, NotApplicable without the ffmpeg program.
    """
    folder, avi = _transcoded(clip)
    images = _images(avi, Path(folder.name), ["-qscale:v", "2"])
    return LegacyMedia(folder, avi, images, _sound(avi, Path(folder.name), []))


def syncnet_python(clip: Clip) -> LegacyMedia:
    """Images and sound as syncnet-python 0.2.3 reads them: images from the AVI, sound from the clip itself.

    So the pictures' shift is not compensated by the sound's. Raises as ``joonson``.
    """
    folder, avi = _transcoded(clip)
    images = _images(avi, Path(folder.name), ["-qscale:v", "2"])
    return LegacyMedia(folder, avi, images, _sound((clip.sound_path or clip.path).resolve(), Path(folder.name), []))


def crop_round_trip(crops: np.ndarray, audio: np.ndarray, first_frame: int) -> LegacyMedia:
    """The second generation of losses: a face track's crops as both tools read them for scoring.

    crops: (T, H, W, 3) uint8 RGB, one per frame of the track. audio: (n,) int16 at 16 kHz of the whole clip.
    first_frame: index of the track's first frame; the sound is cut from there to the track's end, in milliseconds.

    Crops become an XVID AVI at 25 frames/s written by OpenCV, the cut sound joins it as PCM, and the file is read again
    as JPEG images of ffmpeg's default quality and as 16 kHz sound.
    """
    program, cv2 = ffmpeg_program(), _opencv()
    folder = tempfile.TemporaryDirectory(prefix="t2av-crop-")
    work = Path(folder.name)
    height, width = crops.shape[1:3]
    writer = cv2.VideoWriter(str(work / "pictures.avi"), cv2.VideoWriter_fourcc(*"XVID"), FRAME_RATE, (width, height))
    if not writer.isOpened():
        raise NotApplicable("this build of OpenCV cannot write XVID in AVI: pip install opencv-contrib-python")
    for crop in crops:
        writer.write(np.ascontiguousarray(crop[:, :, ::-1]))
    writer.release()
    _write_wav(work / "whole.wav", audio)
    start, end = first_frame / FRAME_RATE, (first_frame + len(crops)) / FRAME_RATE
    # Options after the input: the program decodes and discards, it does not seek.
    _run(program, ["-i", work / "whole.wav", "-ss", f"{start:.3f}", "-to", f"{end:.3f}", work / "cut.wav"])
    avi = work / "crop.avi"
    _run(program, ["-i", work / "pictures.avi", "-i", work / "cut.wav", "-c:v", "copy", "-c:a", "copy", avi])
    return LegacyMedia(folder, avi, _images(avi, work, []), _sound(avi, work, ["-async", "1"]))


def _transcoded(clip: Clip) -> "tuple[tempfile.TemporaryDirectory[str], Path]":
    """A temporary folder with the 25 frames/s AVI that the reference tools start from."""
    program = ffmpeg_program()
    # The program would silently process the intact part of a damaged file: let our decoder judge it first.
    _ = clip.frame_count
    clip.audio(AUDIO_RATE)
    folder = tempfile.TemporaryDirectory(prefix="t2av-legacy-")
    avi = Path(folder.name) / "video.avi"
    rate = str(FRAME_RATE)
    source: list[str | Path] = ["-i", clip.path.resolve()]
    if clip.sound_path is not None:  # "V" is no cover picture
        source += ["-i", clip.sound_path.resolve(), "-map", "0:V:0", "-map", "1:a:0"]
    _run(program, [*source, "-qscale:v", "2", "-async", "1", "-r", rate, avi])
    return folder, avi


def _images(avi: Path, folder: Path, quality: list[str]) -> list[Path]:
    pictures = folder / "images"
    pictures.mkdir(exist_ok=True)
    _run(ffmpeg_program(), ["-i", avi, *quality, "-threads", "1", "-f", "image2", pictures / "%06d.jpg"])
    images = sorted(pictures.glob("*.jpg"))
    if not images:
        raise MediaError("the ffmpeg program wrote no images of the transcoded clip")
    return images


def _sound(source: Path, folder: Path, options: list[str]) -> np.ndarray:
    target = folder / "audio.wav"
    encoding = ["-ac", "1", "-vn", "-acodec", "pcm_s16le", "-ar", str(AUDIO_RATE)]
    _run(ffmpeg_program(), ["-i", source, *options, *encoding, target])
    with wave.open(str(target), "rb") as file:
        return np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")


def _write_wav(path: Path, audio: np.ndarray) -> None:
    if audio.dtype != np.int16 or audio.ndim != 1:
        raise ValueError(f"audio is (n,) int16 at {AUDIO_RATE} Hz, got shape {audio.shape}, {audio.dtype}")
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, AUDIO_RATE, 0, "NONE", ""))
        file.writeframes(audio.astype("<i2").tobytes())


def _run(program: str, arguments: list[str | Path]) -> None:
    command = [program, "-nostdin", "-v", "error", "-y", *map(str, arguments)]
    try:
        outcome = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise MediaError(f"the ffmpeg program did not finish within {_TIMEOUT_SECONDS} s") from error
    if outcome.returncode == 0:
        return
    lines = outcome.stderr.strip().splitlines() or [f"exit status {outcome.returncode}"]
    if any("Unrecognized option" in line or "Unknown encoder" in line for line in lines):
        raise NotApplicable(
            f"the ffmpeg program on PATH ({_version(program)}) lacks what the reference tool's commands need "
            f"({lines[0].strip()}): use ffmpeg 5.1 to 7.0 with libmp3lame, or the 'exact' protocol"
        )
    raise MediaError(f"the ffmpeg program cannot transcode the clip: {lines[-1].strip()}")


def _opencv() -> ModuleType:
    try:
        import cv2
    except ImportError as error:
        raise NotApplicable(f"the Python package 'cv2' is missing ({error}): pip install 't2av-bench[sync]'") from error
    return cv2
