"""How a browser gets each clip: linked where it lies, copied, or transcoded where browsers cannot play it.

Files inside the report are named by the content they were made from, so that building again finds them.
"""

import base64
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import numpy as np

from reports.page.content import FigureLimit, SourceFile
from t2av_bench.benchmarks.pairing import AUDIO_SUFFIXES, VIDEO_SUFFIXES
from t2av_bench.errors import Unscorable
from t2av_bench.media.clip import Clip
from t2av_bench.media.encode import write_mp4
from t2av_bench.utils.files import replacing, write_text

Mode = Literal["link", "copy", "none"]
FOLDER = "media"
PEAKS = 240
_PEAK_RATE = 8000
# What Chromium, Firefox and Safari all play: (container, picture codec) and (container, sound codec).
_MP4, _WEBM = "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"
_PICTURES = {(_MP4, "h264"), (_WEBM, "vp8"), (_WEBM, "vp9"), (_WEBM, "av1"), (_MP4, "av1")}
_SOUNDS = {
    (_MP4, "aac"), (_MP4, "mp3"), (_WEBM, "opus"), (_WEBM, "vorbis"), ("wav", "pcm_s16le"), ("mp3", "mp3"),
    ("mp3", "mp3float"), (_MP4, "mp3float"), ("flac", "flac"), ("ogg", "vorbis"), ("ogg", "opus"),
}  # fmt: skip
_PIXELS = {"yuv420p", "yuvj420p"}
SOUND_ALONE = Fraction(25)
_AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)


@dataclass(frozen=True, slots=True)
class PageClip:
    """A clip as the page plays it.

    src: address relative to the page; None where there is nothing to play, and ``note`` says why.
    picture, sound: what it has. frame_rate (fps), frames, seconds, width and height (pixels, as stored): of the
        picture, None where unknown.
    peaks: largest magnitude (0 to 255 for full scale) in ``PEAKS`` equal parts of the sound, base64; it lasts
        ``sound_seconds``. note: what a viewer should know (gone, changed, transcoded).
    """

    src: str | None = None
    picture: bool = False
    sound: bool = False
    frame_rate: float | None = None
    frames: int | None = None
    seconds: float | None = None
    width: int | None = None
    height: int | None = None
    peaks: str | None = None
    sound_seconds: float | None = None
    note: str | None = None


def playable(facts: Mapping[str, Any], suffix: str) -> bool:
    """Whether browsers play a file with these facts (see MediaInfo) as it is."""
    container = facts.get("format")
    if container == _WEBM and suffix.lower() != ".webm":
        return False  # Firefox and Safari refuse .mkv whatever is inside
    picture, sound = facts.get("video_codec"), facts.get("audio_codec")
    if facts.get("has_video") and ((container, picture) not in _PICTURES or facts.get("pixel_format") not in _PIXELS):
        return False
    return not facts.get("has_audio") or (container, sound) in _SOUNDS


class MediaFolder:
    """Media of one report. ``linked`` holds files outside of it that its pages refer to, relative to it; ``limited``
    how many clips there are of each licence that allows a publication only so many.
    """

    def __init__(self, out: Path, mode: Mode) -> None:
        self.out, self.mode = out.resolve(), mode
        self.linked: set[str] = set()
        self.written: set[str] = set()
        self.limited: Counter[FigureLimit] = Counter()
        self._known: dict[tuple[Path | None, Path | None, str | None], PageClip] = {}
        self._cache = self.out / "data" / "peaks.json"
        try:
            self._peaks: dict[str, Any] = json.loads(self._cache.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            self._peaks = {}
        self._used: dict[str, Any] = {}

    def put(self, source: SourceFile, limit: FigureLimit | None = None) -> PageClip:
        """Make a clip available to the pages; whatever is wrong with it is said in its note.

        A report with copies is there to be published: clips beyond the limit of their licence are left out, those that
        were generated from its pictures too. One with links is not, and shows all.
        """
        key = source.path, source.sound, source.digest
        if key not in self._known and limit is not None and source.path is not None:
            self.limited[limit] += 1
            if self.mode == "copy" and self.limited[limit] > limit.most:
                self._known[key] = PageClip(note=f"left out: {limit}")
        if key not in self._known:
            try:
                self._known[key] = self._put(source)
            except Exception as error:  # whatever a decoder or a damaged record does, the other clips are shown
                self._known[key] = PageClip(note=f"cannot be shown: {_reason(error, source.path)}")
        return self._known[key]

    @property
    def unplayable(self) -> int:
        """Clips that the page cannot play, but for those that a licence keeps out."""
        beyond = sum(max(0, count - limit.most) for limit, count in self.limited.items()) if self.mode == "copy" else 0
        return sum(clip.src is None for clip in self._known.values()) - beyond

    def save_cache(self) -> None:
        """Keep the waveforms of this report for the next time; they are found by content."""
        if self.mode != "none":
            write_text(self._cache, json.dumps(self._used, sort_keys=True) + "\n")
            self.written.add("data/peaks.json")

    def _put(self, source: SourceFile) -> PageClip:
        path = source.path
        if path is None:
            return PageClip(note=source.reason or "the run names no file")
        if self.mode == "none":
            return PageClip(note="this report was built without media")
        clip = Clip(path, sound_path=source.sound)
        try:
            digest, facts = clip.digest, source.facts
            notes = ["the file has changed since it was scored"] if source.digest and digest != source.digest else []
            if facts is None or notes:
                facts = {**asdict(clip.info), "frame_rate": str(clip.info.frame_rate)}
        except Exception as error:
            return PageClip(note=_reason(error, path))
        peaks, sound_seconds = self._waveform(clip, digest, facts)
        try:
            address = self._address(clip, digest, facts)
        except Exception as error:
            note = f"cannot be made playable: {_reason(error, path)}"
            return PageClip(note=note, peaks=peaks, sound_seconds=sound_seconds)
        if address.endswith("-h264.mp4"):
            notes.append(f"transcoded for browsers from {facts.get('video_codec') or facts.get('audio_codec')}")
        has_video = bool(facts.get("has_video"))
        rate = _number(facts.get("frame_rate")) if has_video else None
        frames = facts.get("frame_count") if has_video else None
        return PageClip(
            address, has_video, bool(facts.get("has_audio")), rate, frames,
            frames / rate if frames and rate else facts.get("duration"), facts.get("width"), facts.get("height"), peaks,
            sound_seconds, "; ".join(notes) or None,
        )  # fmt: skip

    def _address(self, clip: Clip, digest: str, facts: Mapping[str, Any]) -> str:
        suffix = clip.path.suffix.lower()
        apart = clip.sound_path is not None
        if apart and facts.get("format") == _MP4 and playable({**facts, "has_audio": False}, suffix):
            name = f"{FOLDER}/{digest[:20]}-joined.mp4"
            if not (self.out / name).exists():
                _join(clip, facts, self.out / name)
        elif apart or suffix not in VIDEO_SUFFIXES | AUDIO_SUFFIXES or not playable(facts, suffix):
            name = f"{FOLDER}/{digest[:20]}-h264.mp4"
            if not (self.out / name).exists():
                _transcode(clip, facts, self.out / name)
        elif self.mode == "copy":
            name = f"{FOLDER}/{digest[:20]}{suffix}"
            if not (self.out / name).exists():
                with replacing(self.out / name) as temporary:
                    shutil.copyfile(clip.path, temporary)
        else:
            relative = Path(os.path.relpath(clip.path.resolve(), self.out)).as_posix()
            self.linked.add(relative)
            return quote(os.fsencode(relative), safe="/")
        self.written.add(name)
        return name

    def _waveform(self, clip: Clip, digest: str, facts: Mapping[str, Any]) -> tuple[str | None, float | None]:
        if not facts.get("has_audio"):
            return None, None
        if digest not in self._peaks:
            try:
                samples = clip.audio(_PEAK_RATE)
            except Exception:  # the picture is shown all the same, and playing it says what is wrong with the sound
                return None, None
            self._peaks[digest] = [peaks(samples), round(len(samples) / _PEAK_RATE, 4)]
        self._used[digest] = self._peaks[digest]
        text, seconds = self._used[digest]
        return text, seconds


def _reason(error: Exception, path: Path | None) -> str:
    """Why a clip is not shown, without the folders of the machine that built the page."""
    text = str(error) if isinstance(error, Unscorable | OSError) and str(error) else f"{type(error).__name__}: {error}"
    return text.replace(str(path), path.name) if path else text


def peaks(samples: np.ndarray) -> str:
    """The waveform's outline: base64 of ``PEAKS`` bytes, the largest magnitude in each equal part (255: full scale)."""
    edges = np.linspace(0, len(samples), PEAKS + 1).astype(int)[:-1]
    magnitudes = np.abs(np.pad(samples, (0, max(0, PEAKS - len(samples)))))
    largest = np.maximum.reduceat(magnitudes, edges)
    return base64.b64encode(np.round(255 * np.clip(largest, 0, 1)).astype(np.uint8).tobytes()).decode("ascii")


def _number(rate: Any) -> float | None:
    """Frames per second from a fraction in text (``30000/1001``)."""
    try:
        return float(Fraction(str(rate)))
    except (ValueError, ZeroDivisionError):
        return None


def _transcode(clip: Clip, facts: Mapping[str, Any], target: Path) -> None:
    """Write H.264 + AAC at the clip's own frame rate."""
    rate = Fraction(str(facts.get("frame_rate") or 25)) if facts.get("has_video") else None
    audio_rate = _aac_rate(facts)
    pictures, audio = pictures_and_sound(clip, rate, audio_rate if facts.get("has_audio") else None)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_mp4(target, pictures, audio, frame_rate=rate or SOUND_ALONE, audio_rate=audio_rate, crf=20)


def pictures_and_sound(
    clip: Clip, rate: Fraction | None, audio_rate: int | None
) -> tuple[Iterator[np.ndarray], np.ndarray | None]:
    """What players need of a clip: batches (n, H, W, 3) of pictures of even size, and its sound, for ``write_mp4``.

    rate: pictures a second; None where there are none: sound alone gets a black picture at ``SOUND_ALONE``, which
    every player can seek. audio_rate: None without sound.
    """
    audio = clip.audio(audio_rate) if audio_rate else None
    if rate is not None:
        return (_even(batch) for batch in Clip(clip.path, frame_rate=rate, frame_budget=0).frames()), audio
    assert audio is not None and audio_rate is not None
    count = max(1, round(len(audio) * SOUND_ALONE / audio_rate))
    return (np.zeros((1, 64, 64, 3), np.uint8) for _ in range(count)), audio


def _join(clip: Clip, facts: Mapping[str, Any], target: Path) -> None:
    """One mp4 of a clip in two files: its pictures as they are, and its sound as AAC."""
    import av

    from t2av_bench.media.probe import open_media, video_stream

    rate = _aac_rate(facts)
    samples, zero = clip.audio(rate), clip.timeline.zero or Fraction(0)
    options = {"movflags": "+faststart"}
    with replacing(target) as temporary, open_media(clip.path) as source:
        with av.open(str(temporary), "w", format="mp4", container_options=options) as joined:
            video: Any = video_stream(source)
            pictures, sound = joined.add_stream_from_template(video), joined.add_stream("aac", rate=rate, layout="mono")
            for packet in source.demux(video):
                if packet.dts is not None:  # the last one is empty
                    packet.stream = pictures
                    joined.mux(packet)
            frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
            frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), round(zero * rate)
            joined.mux(sound.encode(frame))
            joined.mux(sound.encode(None))


def _aac_rate(facts: Mapping[str, Any]) -> int:
    asked = facts.get("audio_rate")
    return int(asked) if asked in _AAC_RATES else 48000


def _even(batch: np.ndarray) -> np.ndarray:
    """Pictures of odd size with their last row or column once more: H.264 needs even sizes."""
    return np.pad(batch, ((0, 0), (0, batch.shape[1] % 2), (0, batch.shape[2] % 2), (0, 0)), mode="edge")
