"""One streaming pass over a media file: RGB frames at a constant rate, and the mono signal beside them.

Memory is flat in clip length for the frames (a few pictures at a time); the mono signal is kept whole (4 bytes a
sample).

Time zero is the earlier start of the two streams (encoder priming before time 0 of the audio does not count). A video
that starts later shows its first frame from zero on; audio that starts later gets leading silence.

A damaged file is refused, never scored up to where it breaks: packets beyond the end of the file, packets that the
decoder rejects or conceals, and a stream that ends earlier than its container announces are all errors that say how far
decoding came. Only what cannot be decoded before the first picture or sample is forgiven, up to half a second (clips
cut without a key frame).
"""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from t2av_bench.media.errors import MediaError
from t2av_bench.media.picture import PictureReader
from t2av_bench.media.probe import (
    LARGEST_SIDE,
    audio_stream,
    check_file,
    check_size,
    describe,
    open_media,
    read_info,
    video_stream,
)
from t2av_bench.media.rate import RateConverter
from t2av_bench.media.sound import Sound, SoundCollector

_FORGIVEN_START_SECONDS = Fraction(1, 2)
# Headers round durations and AVI counts empty slots; a real break is longer than this.
_FORGIVEN_END_SECONDS = Fraction(1, 4)
# Other containers estimate their duration from the bit rate.
_STATES_DURATION = ("mov", "matroska", "avi", "wav", "w64", "flac")


class DecodePass:
    """One pass. Iterate it for (H, W, 3) uint8 RGB frames; afterwards ``sound`` holds the audio or the reason why not.

    path: media file.
    frame_rate: output frames per second; ``None`` for a pass over the audio alone.
    want_audio: decode the audio stream too, where there is one.

    Raises MediaError while iterating. A defect of the audio alone (NaN samples, no samples) does not stop the frames:
    it waits in ``sound``.
    """

    def __init__(self, path: Path, frame_rate: Fraction | None, want_audio: bool = True) -> None:
        self.path = path
        self.frame_rate = frame_rate
        self.want_audio = want_audio
        self.sound: Sound | MediaError | None = None
        self._decoded_frames = 0
        self._reached = Fraction(0)
        self._size: tuple[int, int] | None = None

    def __iter__(self) -> Iterator[np.ndarray]:
        with open_media(self.path) as container:
            read_info(container, self.path)
            video = video_stream(container) if self.frame_rate is not None else None
            audio = audio_stream(container) if self.want_audio else None
            if self.frame_rate is not None and video is None:
                raise MediaError(f"{self.path.name} has no video stream")
            if audio is None:
                self.sound = MediaError(f"{self.path.name} has no audio stream")
            self._check_index(container)
            yield from self._decode(container, video, audio)
            self._check_index(container)

    def _decode(self, container: Any, video: Any, audio: Any) -> Iterator[np.ndarray]:
        zero = _zero(container)
        if video is not None:
            video.thread_type = "AUTO"
            video.codec_context.options = {"max_pixels": str(LARGEST_SIDE * LARGEST_SIDE)}
            converter = RateConverter(Fraction(self.frame_rate or 0), video.average_rate or video.guessed_rate)
        collector = SoundCollector(zero, _declared_end(container, audio)) if audio is not None else None
        reader = PictureReader()
        previous: np.ndarray | None = None
        for packet, frames in self._packets(container, video, audio, zero):
            if packet.stream is audio and collector is not None:
                self._collect(collector, frames)
                continue
            for frame in frames:
                time = self._frame_time(frame, zero, converter)
                before, now = converter.place(time, _duration(frame))
                if before and previous is not None:
                    yield from _repeat(previous, before)
                if now:
                    previous = self._picture(reader, frame, time)
                    yield from _repeat(previous, now)
        if video is not None:
            if previous is None:
                raise MediaError(f"{self.path.name} has a video stream without a single decodable frame")
            yield from _repeat(previous, converter.finish())
        if collector is not None and self.sound is None:
            try:
                self.sound = collector.finish()
            except MediaError as error:
                self.sound = MediaError(f"{self.path.name}: {error}")

    def _packets(self, container: Any, video: Any, audio: Any, zero: Fraction) -> Iterator[tuple[Any, list[Any]]]:
        """Packets with their decoded frames; damage becomes a MediaError that says how far decoding came."""
        import av

        wanted = [stream for stream in (video, audio) if stream is not None]
        started = dict.fromkeys((stream.index for stream in wanted), False)
        skipped = dict(started)
        packets = iter(container.demux())
        end = Fraction(0)
        while True:
            try:
                packet = next(packets, None)
            except (av.FFmpegError, MemoryError) as error:
                raise self._broken(container, describe(error)) from error
            if packet is None:
                break
            if packet.pts is not None:
                end = max(end, (packet.pts + (packet.duration or 0)) * packet.time_base)
            if packet.stream_index not in started:
                continue
            index = packet.stream_index
            if packet.is_corrupt and packet.size:
                raise self._broken(container, "the data of a packet is cut short")
            try:
                frames = packet.decode()
            except (av.FFmpegError, MemoryError) as error:
                if started[index]:
                    raise self._broken(container, f"undecodable {packet.stream.type} ({describe(error)})") from error
                skipped[index] = True
                continue
            if frames and not started[index]:
                started[index] = True
                start = frames[0].pts * frames[0].time_base - zero if frames[0].pts is not None else Fraction(0)
                if skipped[index] and start > _FORGIVEN_START_SECONDS:
                    raise self._broken(container, f"the beginning of the {packet.stream.type} cannot be decoded")
            yield packet, frames
        for stream in wanted:
            if skipped[stream.index] and not started[stream.index]:
                raise self._broken(container, f"no packet of the {stream.type} stream can be decoded")
        announced = _announced_end(container)
        if announced is not None and end < announced - _FORGIVEN_END_SECONDS:
            self._reached = max(self._reached, end - zero)
            raise self._broken(container, f"its streams end at {float(end):.2f} s")

    def _collect(self, collector: SoundCollector, frames: list[Any]) -> None:
        if self.sound is not None:
            return
        try:
            for frame in frames:
                collector.add(frame)
        except MediaError as error:
            self.sound = MediaError(f"{self.path.name}: {error}")
        self._reached = max(self._reached, Fraction(collector.seconds))

    def _frame_time(self, frame: Any, zero: Fraction, converter: RateConverter) -> Fraction:
        if frame.pts is not None:
            time = frame.pts * frame.time_base - zero
        else:
            time = self._decoded_frames / (converter.source_rate or converter.rate)
        if frame.is_corrupt:
            raise MediaError(
                f"{self.path.name} is damaged: frame {self._decoded_frames} ({float(time):.2f} s) decodes only with "
                "errors; copy or encode the file again"
            )
        self._decoded_frames += 1
        self._reached = max(self._reached, time)
        return time

    def _picture(self, reader: PictureReader, frame: Any, time: Fraction) -> np.ndarray:
        check_size(frame.width, frame.height, self.path)
        size = (frame.width, frame.height)
        if self._size not in (None, size):
            raise MediaError(
                f"{self.path.name} changes its picture size from {self._size} to {size} at {float(time):.2f} s: "
                "re-encode it at one size"
            )
        self._size = size
        return reader.read(frame)

    def _check_index(self, container: Any) -> None:
        """Refuse a file whose own index points beyond its end (a truncated mp4 or avi), before anything is decoded."""
        size = check_file(self.path)
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
                raise MediaError(
                    f"{self.path.name} is truncated: only {inside} of {total} {stream.type} packets (up to "
                    f"{float(reached * stream.time_base):.2f} s) are in its {size} bytes; copy or encode it again"
                )

    def _broken(self, container: Any, reason: str) -> MediaError:
        announced = _announced_end(container)
        total = f" of {float(announced):.2f}" if announced is not None else ""
        frames = f"{self._decoded_frames} frames, " if self.frame_rate is not None else ""
        return MediaError(
            f"{self.path.name} breaks off after {frames}{float(self._reached):.2f}{total} s: {reason}; "
            "copy or encode it again"
        )


def decode_sound(path: Path) -> Sound:
    """The mono signal alone, without decoding pictures. MediaError where there is none."""
    decoding = DecodePass(path, None)
    for _ in decoding:
        pass
    if not isinstance(decoding.sound, Sound):
        raise decoding.sound or MediaError(f"{path.name} has no audio stream")
    return decoding.sound


def _repeat(picture: np.ndarray, times: int) -> Iterator[np.ndarray]:
    for _ in range(times):
        yield picture


def _duration(frame: Any) -> Fraction | None:
    return frame.duration * frame.time_base if frame.duration else None


def _zero(container: Any) -> Fraction:
    """Earlier start of the two streams in seconds; audio before 0 is priming."""
    starts = []
    for stream, lowest in ((video_stream(container), None), (audio_stream(container), Fraction(0))):
        if stream is not None and stream.start_time is not None:
            start = stream.start_time * stream.time_base
            starts.append(start if lowest is None else max(start, lowest))
    return min(starts, default=Fraction(0))


def _declared_end(container: Any, audio: Any) -> Fraction | None:
    if audio is None or not container.format.name.startswith("mov") or not audio.duration:
        return None
    return ((audio.start_time or 0) + audio.duration) * audio.time_base


def _announced_end(container: Any) -> Fraction | None:
    if container.duration is None or not container.format.name.startswith(_STATES_DURATION):
        return None
    return Fraction(container.duration + max(container.start_time or 0, 0), 1_000_000)
