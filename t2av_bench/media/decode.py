"""One streaming pass over a media file: RGB frames at a constant rate, and the mono signal beside them.

Memory is flat in clip length for the frames (a few pictures at a time); the mono signal is kept whole (4 bytes a
sample). Time is that of ``timeline``: zero is the first picture.

A damaged file is refused, never scored up to where it breaks: packets beyond the end of the file, packets that the
decoder rejects or conceals, and a stream that ends earlier than its container announces are all errors that say how far
decoding came. Only what cannot be decoded before the first picture or sample is forgiven, up to half a second (clips
cut without a key frame).
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np

from t2av_bench.errors import MediaError
from t2av_bench.media.ends import announced_end, check_index, declared_end
from t2av_bench.media.limits import DECODER_THREADS, DEFAULT, Limits
from t2av_bench.media.picture import PictureReader
from t2av_bench.media.probe import (
    LARGEST_SIDE,
    audio_stream,
    check_size,
    codec_name,
    describe,
    open_media,
    prepare_pictures,
    read_info,
    video_stream,
)
from t2av_bench.media.rate import NearestPicture
from t2av_bench.media.sound import Sound, SoundCollector, too_long
from t2av_bench.media.timeline import PictureClock, Timeline, read_timeline

_FORGIVEN_START_SECONDS = Fraction(1, 2)
# Headers round durations and AVI counts empty slots; a real break is longer than this.
_FORGIVEN_END_SECONDS = Fraction(1, 4)


class DecodePass:
    """One pass. Iterate it for (H, W, 3) uint8 RGB frames; afterwards ``sound`` holds the audio or the reason why not,
    and ``times`` the seconds at which the source shows each frame.

    path: media file.
    frame_rate: output frames per second; ``None`` for a pass over the audio alone.
    want_audio: decode the audio stream too, where there is one.
    timeline: the file's clocks, where they have been read already. limits: what is decoded at most.

    Raises MediaError while iterating where the file or its video is at fault. A defect of the audio alone (damaged
    packets, NaN samples) does not stop the frames: it waits in ``sound``, worded as a pass over the audio alone would.
    """

    def __init__(
        self,
        path: Path,
        frame_rate: Fraction | None,
        want_audio: bool = True,
        timeline: Timeline | None = None,
        limits: Limits = DEFAULT,
    ) -> None:
        self.path = path
        self.frame_rate = frame_rate
        self.want_audio = want_audio
        self.limits = limits
        self.sound: Sound | MediaError | None = None
        self.times: list[float] = []
        self._line = timeline
        self._count = 0
        # Ends of what was read and shown, in seconds from the start of the file. Not the packets read so far: a
        # threaded decoder is behind them by as many frames as there are cores.
        self._end = Fraction(0)
        self._shown = Fraction(0)
        self._size: tuple[int, int] | None = None
        self._announced: Fraction | None = None

    def __iter__(self) -> Iterator[np.ndarray]:
        line = self._line or read_timeline(self.path, self.limits)
        with open_media(self.path) as container:
            read_info(container, self.path)
            video = video_stream(container) if self.frame_rate is not None else None
            audio = audio_stream(container) if self.want_audio else None
            if self.frame_rate is not None:
                self._check_pictures(video, line)
            if audio is None:
                self.sound = MediaError(f"{self.path.name} has no audio stream")
            else:
                audio = self._checked_sound(audio, line)
            self._announced = announced_end(container)
            check_index(container, self.path)
            yield from self._decode(container, video, audio, line)
            # Fragmented files fill their index only while they are read.
            check_index(container, self.path)

    def _check_pictures(self, video: Any, line: Timeline) -> None:
        """MediaError where there is nothing to decode, or too much of it."""
        if video is None:
            raise MediaError(f"{self.path.name} has no video stream")
        codec_name(video, self.path)
        if line.picture_seconds > self.limits.seconds:
            raise MediaError(f"{self.path.name}: {too_long(self.limits.seconds)}")
        gigapixels = line.pictures * (video.codec_context.width or 0) * (video.codec_context.height or 0) / 1e9
        if gigapixels > self.limits.gigapixels:
            raise MediaError(
                f"{self.path.name} holds {line.pictures} pictures of {video.codec_context.width}x"
                f"{video.codec_context.height}, {gigapixels:.0f} gigapixels in all; at most "
                f"{self.limits.gigapixels:g} are decoded (--max-gigapixels): scale it down, or raise the limit"
            )

    def _checked_sound(self, audio: Any, line: Timeline) -> Any | None:
        """The stream, or None with the reason in ``sound``."""
        try:
            codec_name(audio, self.path)
            if line.sound_seconds > self.limits.seconds:
                raise MediaError(f"{self.path.name}: the sound: {too_long(self.limits.seconds)}")
        except MediaError as defect:
            self.sound = defect
            return None
        return audio

    def _decode(self, container: Any, video: Any, audio: Any, line: Timeline) -> Iterator[np.ndarray]:
        collector = None
        if audio is not None:
            end = declared_end(container, audio)
            collector = SoundCollector(line.sound_zero, audio.time_base, self.limits.seconds, end)
        if video is not None:
            prepare_pictures(video, min(DECODER_THREADS, os.cpu_count() or 1))
        if audio is not None and audio.codec_context.name == "flac":
            # Its frames carry a checksum that the decoder compares only when asked to.
            audio.codec_context.options = {"err_detect": "crccheck+explode"}
        clock, grid, reader = line.clock(), NearestPicture(Fraction(self.frame_rate or 1)), PictureReader()
        picture: np.ndarray | None = None
        held = Fraction(0)
        duration: Fraction | None = None
        for stream, frames, error in self._packets(container, [video, audio], line.zero or Fraction(0)):
            if stream is audio and collector is not None:
                self._collect(collector, frames, error)
                continue
            for frame in frames:
                time = self._time(frame, stream.time_base, clock)
                shown = grid.place(time)
                if shown and picture is not None:
                    self.times += repeat(float(held), shown)
                    yield from repeat(picture, shown)
                picture, held = self._picture(reader, frame, time), time
                duration = frame.duration * stream.time_base if frame.duration else None
            if error is not None:
                raise self._broken(error, self._shown)
        if video is not None:
            if picture is None:
                raise MediaError(f"{self.path.name} has a video stream without a single decodable frame")
            shown = grid.finish(clock.until(duration))
            self.times += repeat(float(held), shown)
            yield from repeat(picture, shown)
        if collector is not None and self.sound is None:
            self._collect(collector, [], None, last=True)

    def _packets(
        self, container: Any, streams: list[Any], zero: Fraction
    ) -> Iterator[tuple[Any, list[Any], str | None]]:
        """(stream, decoded frames, why that stream cannot go on) in file order; damage of the file itself is raised."""
        import av

        wanted = {stream.index: stream for stream in streams if stream is not None}
        started, skipped = dict.fromkeys(wanted, False), dict.fromkeys(wanted, False)
        packets = iter(container.demux())
        failure: str | None = None
        while True:
            try:
                packet = next(packets, None)
            except (av.FFmpegError, MemoryError) as error:
                failure = describe(error)
                break
            if packet is None:
                break
            if packet.is_corrupt and packet.size:
                failure = "the data of a packet is cut short or damaged"
                break
            if packet.pts is not None:
                self._end = max(self._end, (packet.pts + (packet.duration or 0)) * packet.time_base)
            # A packet at the end of the file says so of its stream alone: its stream_index is always 0.
            index = packet.stream.index
            if index not in wanted:
                continue
            kind = wanted[index].type
            try:
                frames = packet.decode()
            except (av.FFmpegError, MemoryError) as error:
                skipped[index] = True
                if started[index]:
                    yield wanted[index], [], f"undecodable {kind} ({describe(error)})"
                continue
            if frames and not started[index]:
                started[index] = True
                start = frames[0].pts * wanted[index].time_base - zero if frames[0].pts is not None else Fraction(0)
                if skipped[index] and start > _FORGIVEN_START_SECONDS:
                    yield wanted[index], [], f"the beginning of the {kind} cannot be decoded"
            yield wanted[index], frames, None
        if failure is None and self._announced is not None and self._end < self._announced - _FORGIVEN_END_SECONDS:
            failure = "no more data follows"
        if failure is not None:
            # Frames still inside a threaded decoder count as decoded, so the message is the same on every machine.
            for stream in wanted.values():
                with suppress(av.FFmpegError):
                    yield stream, stream.codec_context.decode(None), None
            raise self._broken(failure, self._end - zero)
        for index, stream in wanted.items():
            if skipped[index] and not started[index]:
                yield stream, [], f"no packet of the {stream.type} stream can be decoded{_size_note(stream)}"

    def _collect(self, collector: SoundCollector, frames: list[Any], error: str | None, last: bool = False) -> None:
        """Feed the collector; the first defect ends it and becomes ``sound``."""
        if self.sound is not None:
            return
        try:
            for frame in frames:
                collector.add(frame)
            if error is not None:
                raise MediaError(f"the audio breaks off after {self._of_total(collector.seconds)}: {error}")
            if last:
                self.sound = collector.finish()
        except MediaError as defect:
            self.sound = MediaError(f"{self.path.name}: {defect}")

    def _time(self, frame: Any, base: Fraction, clock: PictureClock) -> Fraction:
        """Seconds from zero; refuses a frame that was decoded with errors."""
        time = clock.time(frame.pts * base if frame.pts is not None else None)
        if frame.is_corrupt:
            raise MediaError(
                f"{self.path.name} is damaged: frame {self._count} ({float(time):.2f} s) decodes only with errors; "
                "copy or encode the file again"
            )
        self._count += 1
        self._shown = max(self._shown, time)
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

    def _broken(self, reason: str, reached: Fraction) -> MediaError:
        frames = f"{self._count} frames, " if self.frame_rate is not None else ""
        return MediaError(
            f"{self.path.name} breaks off after {frames}{self._of_total(max(float(reached), 0.0))}: {reason}; "
            "copy or encode it again"
        )

    def _of_total(self, seconds: float) -> str:
        return f"{seconds:.2f} s" if self._announced is None else f"{seconds:.2f} of {float(self._announced):.2f} s"


def decode_sound(path: Path, timeline: Timeline | None = None, limits: Limits = DEFAULT) -> Sound:
    """The mono signal alone, without decoding pictures. MediaError where there is none."""
    decoding = DecodePass(path, None, timeline=timeline, limits=limits)
    for _ in decoding:
        pass
    if not isinstance(decoding.sound, Sound):
        raise decoding.sound or MediaError(f"{path.name} has no audio stream")
    return decoding.sound


def _size_note(stream: Any) -> str:
    if stream.type == "video" and not (stream.codec_context.width and stream.codec_context.height):
        return f", no picture size up to {LARGEST_SIDE}x{LARGEST_SIDE} is known"
    return ""
