"""Opening a media file, and what its header says.

Only local regular files of ordinary media formats are opened: playlists and manifests, which would make the decoder
open other files or addresses, are refused.
"""

import errno
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from t2av_bench.errors import MediaError

# Larger pictures are refused before any is allocated: 8192 x 8192 RGB is 192 MiB a frame.
LARGEST_SIDE = 8192
# No read of a local file takes that long; a hung network drive must not hang a run.
READ_TIMEOUT_SECONDS = 60.0

FORMATS = (
    "3dostr,aac,ac3,aiff,amr,ape,apng,asf,au,av1,avi,avs,bmp_pipe,caf,cavsvideo,dirac,dnxhd,dts,dtshd,dv,eac3,flac,flv,"
    "gif,gif_pipe,gxf,h261,h263,h264,hevc,ivf,jpeg_pipe,m4v,matroska,mjpeg,mlp,mlv,mov,mp3,mpeg,mpegts,mpegvideo,mxf,"
    "nsv,nut,obu,ogg,oma,png_pipe,rm,sox,tak,tiff_pipe,truehd,tta,vc1,voc,vvc,w64,wav,webp_pipe,wtv,wv,xwma,"
    "yuv4mpegpipe"
)


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """What the header of a media file says (nothing is decoded for it, so a damaged file can still have one).

    width, height: as stored, in pixels, before rotation metadata; ``None`` without video.
    frame_rate: mean frames per second of the file itself, before conversion; ``None`` without video or if unknown.
    sample_aspect_ratio: width / height of a pixel (1 where unstated). Frames are delivered as stored, not stretched.
    duration: seconds from the earliest start to the latest end; ``None`` where the container does not say.
    frame_count: frames that the container announces, before conversion; ``None`` where it does not say.
    video_codec, audio_codec: ``None`` without such a stream, and where no decoder is known for it.
    """

    format: str
    has_video: bool
    has_audio: bool
    duration: float | None = None
    width: int | None = None
    height: int | None = None
    frame_rate: Fraction | None = None
    frame_count: int | None = None
    sample_aspect_ratio: Fraction = Fraction(1)
    video_codec: str | None = None
    pixel_format: str | None = None
    audio_codec: str | None = None
    audio_rate: int | None = None
    audio_channels: int | None = None


def check_file(path: Path) -> int:
    """Size in bytes of a readable, non-empty regular file; MediaError with the reason otherwise."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise MediaError(f"{path} is a folder, expected a media file")
        if not stat.S_ISREG(status.st_mode):
            raise MediaError(f"{path} is not a regular file (pipe, socket or device), expected a media file")
        with path.open("rb"):
            pass
    except (OSError, ValueError) as error:
        raise MediaError(_system_reason(path, error)) from error
    if status.st_size == 0:
        raise MediaError(f"{path} is empty (0 bytes)")
    return status.st_size


@contextmanager
def open_media(path: Path, options: Mapping[str, str] | None = None) -> Iterator[Any]:
    """An open ``av`` input container. Every error of the library inside the block becomes a MediaError.

    options: of the demultiplexer.
    """
    import av

    check_file(path)
    try:
        container = av.open(
            f"file:{path}",
            container_options={"format_whitelist": FORMATS, "protocol_whitelist": "file", **(options or {})},
            metadata_errors="replace",
            timeout=READ_TIMEOUT_SECONDS,
        )
    except (av.FFmpegError, ValueError, MemoryError) as error:
        raise MediaError(_open_reason(path, error)) from error
    try:
        with container:
            yield container
    except (av.FFmpegError, MemoryError) as error:
        raise MediaError(f"{path.name} cannot be decoded: {describe(error)}") from error


def video_stream(container: Any) -> Any | None:
    """First moving-picture stream (cover art is none), preferring the one marked as default; None without one."""
    from av.stream import Disposition

    stills = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
    return _preferred([stream for stream in container.streams.video if not stream.disposition & stills])


def audio_stream(container: Any) -> Any | None:
    """First audio stream, preferring the one marked as default; None without one."""
    return _preferred(list(container.streams.audio))


def probe(path: Path) -> MediaInfo:
    """Read the header. MediaError where the file is no media file, or has neither video nor audio."""
    with open_media(path) as container:
        return read_info(container, path)


def with_sound(info: MediaInfo, path: Path | None) -> MediaInfo:
    """The facts of a file whose sound is that of another one (None: its own). Of a file that cannot be opened it is
    only known that there is to be sound: decoding it says why there is none."""
    if path is None:
        return info
    try:
        heard = probe(path)
    except MediaError:
        return replace(info, has_audio=True, audio_codec=None, audio_rate=None, audio_channels=None)
    return replace(
        info, has_audio=heard.has_audio, audio_codec=heard.audio_codec, audio_rate=heard.audio_rate,
        audio_channels=heard.audio_channels,
        duration=max((each for each in (info.duration, heard.duration) if each is not None), default=None),
    )  # fmt: skip


def read_info(container: Any, path: Path) -> MediaInfo:
    """MediaInfo of an open container; refuses picture sizes above the limit."""
    video, audio = video_stream(container), audio_stream(container)
    if video is None and audio is None:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "none"
        raise MediaError(f"{path.name} has neither a video nor an audio stream (streams: {kinds})")
    facts: dict[str, Any] = {}
    if video is not None:
        facts |= {"frame_rate": video.average_rate or video.guessed_rate, "frame_count": video.frames or None}
    if video is not None and video.codec_context is not None:
        width, height = video.codec_context.width, video.codec_context.height
        check_size(width, height, path)
        facts |= {
            "width": width or None,
            "height": height or None,
            "sample_aspect_ratio": video.sample_aspect_ratio or Fraction(1),
            "video_codec": video.codec_context.name,
            "pixel_format": video.codec_context.pix_fmt,
        }
    if audio is not None and audio.codec_context is not None:
        facts |= {
            "audio_codec": audio.codec_context.name,
            "audio_rate": audio.codec_context.sample_rate or None,
            "audio_channels": audio.codec_context.channels or None,
        }
    return MediaInfo(
        format=container.format.name,
        has_video=video is not None,
        has_audio=audio is not None,
        duration=container.duration / 1_000_000 if container.duration is not None else None,
        **facts,
    )


def codec_name(stream: Any, path: Path) -> str:
    """Name of the codec that the decoder library has for a stream; MediaError with the file's own word for it."""
    if stream.codec_context is not None:
        return str(stream.codec_context.name)
    raise MediaError(
        f"{path.name} has {'pictures' if stream.type == 'video' else 'sound'} of an unknown codec "
        f"{_unknown_codec(path)}: encode it as H.264 and AAC, for example"
    )


def _unknown_codec(path: Path) -> str:
    """What the file calls the codec that nobody knows: only the decoder library's own messages say it."""
    import av.logging as log

    before = log.get_level()
    log.set_level(log.VERBOSE)
    try:
        with log.Capture() as messages, open_media(path):
            pass
    except MediaError:
        messages = []
    finally:
        log.set_level(before)
    texts = " ".join(message for _, _, message in messages)
    found = re.search(r"AVCodecID (\S+?)\.?\s|none \((.+?) / |: (?:unknown codec|none) \((.+?)\)", texts + " ")
    return repr(next(filter(None, found.groups()))) if found else "(it has no name)"


def prepare_pictures(video: Any, threads: int) -> None:
    """Set a video stream's decoder up: threads, and no picture above the limit of size."""
    video.codec_context.thread_type = "AUTO" if threads > 1 else "NONE"
    video.codec_context.thread_count = threads
    video.codec_context.options = {"max_pixels": str(LARGEST_SIDE * LARGEST_SIDE)}


def check_size(width: int, height: int, path: Path) -> None:
    """MediaError where a picture is larger than LARGEST_SIDE in either direction."""
    if max(width, height) > LARGEST_SIDE:
        raise MediaError(
            f"{path.name} has pictures of {width}x{height} pixels, at most {LARGEST_SIDE}x{LARGEST_SIDE} are "
            f"accepted: scale it down, for example ffmpeg -i {path.name} -vf scale=1280:-2 smaller.mp4"
        )


def describe(error: BaseException) -> str:
    """The library's reason in a few words, without its error number."""
    if isinstance(error, MemoryError):
        return "not enough memory"
    return str(getattr(error, "strerror", None) or error) or type(error).__name__


def _preferred(streams: list[Any]) -> Any | None:
    import av

    marked = [stream for stream in streams if stream.disposition & av.stream.Disposition.default]
    return (marked or streams or [None])[0]


def _system_reason(path: Path, error: BaseException) -> str:
    code = getattr(error, "errno", None)
    if code == errno.ENOENT:
        kind = "is a link to a file that does not exist" if path.is_symlink() else "does not exist"
        return f"{path} {kind}"
    if code == errno.ELOOP:
        return f"{path} is a symbolic link that leads back to itself"
    if code in (errno.EACCES, errno.EPERM):
        return f"{path} cannot be read: permission denied"
    return f"{path} cannot be read: {getattr(error, 'strerror', None) or error}"


def _open_reason(path: Path, error: BaseException) -> str:
    try:
        with path.open("rb") as file:
            head = file.read(4096)
            size = os.fstat(file.fileno()).st_size
    except OSError as failure:
        return _system_reason(path, failure)
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide"):
        return (
            f"{path.name} is an mp4 without its index (no usable 'moov' box in {size} bytes): the file is truncated "
            "or its writer was interrupted; copy or encode it again"
        )
    if head.strip(b"\0") == b"":
        return f"{path.name} holds only zero bytes ({size}), not media"
    if all(byte in b"\t\n\r\f" or 32 <= byte for byte in head):
        return f"{path.name} is text, not a media file that can be scored (mp4, mkv, webm, avi, wav, ...)"
    return (
        f"{path.name} is not a media file that can be read ({describe(error)}); expected mp4, mkv, webm, avi, wav, ..."
    )
