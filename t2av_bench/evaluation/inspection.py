"""What the product sees of one file: its streams, the chosen ones, the clock, and what conversion makes of them.

Scoring does not use it; it asks the modules that scoring asks (``media``, ``faces``), so what it says is what happens.
"""

import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from t2av_bench.benchmarks.pairing import Sounds
from t2av_bench.errors import ItemError, MediaError, NotApplicable, Unscorable
from t2av_bench.media.decode import DecodePass, decode_sound
from t2av_bench.media.limits import DEFAULT, Limits
from t2av_bench.media.probe import audio_stream, check_file, open_media, read_info, video_stream
from t2av_bench.media.timeline import Timeline, read_sound_timeline, read_timeline

FRAME_RATE = 25


def inspect(path: Path, faces: bool = False, limits: Limits = DEFAULT) -> dict[str, Any]:
    """JSON-ready facts of a file; what is wrong with it is in ``problems`` and never raised.

    streams: all of them, see ``_stream``. clock, pictures, sound: see the functions of these names; None where the file
    has no such thing or it cannot be used. faces: None unless asked for.
    problems: one reason for each of file, pictures and sound that cannot be used. Pictures without sound, and sound
    without pictures, are no problem.
    """
    facts: dict[str, Any] = {
        "file": str(path), "bytes": None, "format": None, "streams": [], "clock": None, "pictures": None,
        "sound": None, "faces": None, "problems": [],
    }  # fmt: skip
    try:
        facts["bytes"] = check_file(path)
        with open_media(path) as container:
            video, audio = video_stream(container), audio_stream(container)
            facts["format"] = container.format.name
            facts["streams"] = [_stream(stream, video, audio) for stream in container.streams]
            read_info(container, path)
        line = read_timeline(path, limits)
        facts["clock"] = _clock(path, line)
    except MediaError as error:
        facts["problems"].append(str(error))
        return facts
    for part, stream, look in (("pictures", video, _pictures), ("sound", audio, _sound)):
        if stream is None:
            continue
        try:
            facts[part] = look(path, line, limits)
        except MediaError as error:
            facts["problems"].append(str(error))
    if audio is None:
        facts["sound"] = _sound_beside(path, limits, facts["problems"])
    if faces and facts["pictures"]:
        facts["faces"] = _faces(path, limits)
    return facts


def _stream(stream: Any, video: Any, audio: Any) -> dict[str, Any]:
    """index, kind, codec (None where no decoder is known), chosen, why; start and duration in seconds of the file's
    clock; dispositions ("default", "attached_pic"); rate in pictures/s or Hz; size in pixels and pixel_format, or
    channels and layout."""
    from av.stream import Disposition

    codec, chosen = stream.codec_context, stream in (video, audio)
    facts = {
        "index": stream.index,
        "kind": stream.type,
        "codec": codec.name if codec is not None else None,
        "chosen": chosen,
        "why": _why(stream, chosen, video if stream.type == "video" else audio),
        "start": _seconds(stream.start_time, stream.time_base),
        "duration": _seconds(stream.duration, stream.time_base),
        "dispositions": [kind.name for kind in Disposition if stream.disposition & kind],
    }
    if stream.type == "video":
        facts["rate"] = _number(stream.average_rate or stream.guessed_rate)
        if codec is not None:
            facts |= {"size": [codec.width, codec.height], "pixel_format": codec.pix_fmt}
    elif stream.type == "audio" and codec is not None:
        facts |= {"rate": codec.sample_rate or None, "channels": codec.channels, "layout": codec.layout.name}
    return facts


def _why(stream: Any, chosen: bool, winner: Any) -> str:
    from av.stream import Disposition

    if stream.type not in ("video", "audio"):
        return "neither pictures nor sound"
    if not chosen:
        stills = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
        return "a still picture" if stream.disposition & stills else f"stream {winner.index} is taken"
    if sum(other.type == stream.type for other in stream.container.streams) == 1:
        return f"the only {stream.type} stream"
    return "marked as default" if stream.disposition & Disposition.default else f"the first {stream.type} stream"


def _clock(path: Path, line: Timeline) -> dict[str, Any]:
    """zero: what it is; zero_stamp: the file's own time of it (s). first_sample: seconds from zero to the first sample
    after priming, negative where the sound begins earlier and is cut. priming_samples: dropped as the file asks.
    constant_rate: pictures/s on whose grid all time stamps lie, None where there is none. decoding_times: True where
    the file states only these, and pictures are shown in their order."""
    first, base, rate, priming = None, Fraction(1), 0, 0
    with open_media(path) as container:
        audio = audio_stream(container)
        if audio is not None and audio.codec_context is not None:
            base, rate = audio.time_base, audio.codec_context.sample_rate
            first, priming = _first_sample(container, audio)
    heard = first * base if first is not None else None
    zero = line.sound_zero if line.pictures else heard
    return {
        "zero": "the first picture" if line.pictures else "the first sample",
        "zero_stamp": _number(zero),
        "first_sample": float(heard - zero) if heard is not None and zero is not None else None,
        "priming_samples": priming,
        "priming_seconds": priming / rate if rate else 0.0,
        "constant_rate": float(line.rate) if line.pictures and line.constant else None,
        "decoding_times": line.order is not None,
    }


def _first_sample(container: Any, audio: Any) -> tuple[int | None, int]:
    """Time stamp in ticks of the first decoded sample, and how many before it the file declares to be priming."""
    import av

    priming = 0
    for packet in container.demux(audio):
        if packet.size and packet.has_sidedata("skip_samples"):
            priming += struct.unpack("<I", bytes(packet.get_sidedata("skip_samples"))[:4])[0]
        try:
            frames = packet.decode()
        except av.FFmpegError:
            continue  # the pass that decodes says why
        if frames:
            return frames[0].pts, priming
    return None, priming


def _pictures(path: Path, line: Timeline, limits: Limits) -> dict[str, Any]:
    """source: pictures in the file. slots: of the 25 frames/s grid, for seconds. repeated: slots that show the picture
    before once more. dropped: pictures that no slot shows."""
    slots, distinct, before = 0, 0, None
    for frame in DecodePass(path, Fraction(FRAME_RATE), want_audio=False, timeline=line, limits=limits):
        slots += 1
        distinct += frame is not before
        before = frame
    assert before is not None
    height, width = before.shape[:2]
    return {
        "source": line.pictures,
        "source_rate": float(line.rate),
        "slots": slots,
        "seconds": slots / FRAME_RATE,
        "repeated": slots - distinct,
        "dropped": max(0, line.pictures - distinct),
        "size": [width, height],
    }


def _sound(path: Path, line: Timeline, limits: Limits) -> dict[str, Any]:
    """rate in Hz as stored; seconds from zero to the end; peak in dBFS of the mono mix, None for digital silence."""
    sound = decode_sound(path, line, limits)
    peak = float(np.max(np.abs(sound.samples)))
    return {
        "rate": sound.rate,
        "seconds": len(sound.samples) / sound.rate,
        "peak_dbfs": 20 * float(np.log10(peak)) if peak > 0 else None,
    }


def _sound_beside(path: Path, limits: Limits, problems: list[str]) -> dict[str, Any] | None:
    """As ``_sound``, with its ``file``, of a silent video with a sound file of its name beside it."""
    try:
        found = Sounds().of(path, None)
        if found is None:
            return None
        return {**_sound(Path(found), read_sound_timeline(Path(found), limits), limits), "file": Path(found).name}
    except (ItemError, MediaError) as error:
        problems.append(str(error))
        return None


def _faces(path: Path, limits: Limits) -> dict[str, Any]:
    """detector, the best that is here; tracks: first and last frame and mean size in pixels of each, by the rules of
    the lip-sync metrics; or reason."""
    from t2av_bench.faces.find import best_detector, face_tracks
    from t2av_bench.media.clip import Clip

    found: dict[str, Any] = {"detector": None, "tracks": [], "reason": None}
    try:
        detector = best_detector()
        found["detector"] = detector.name
        for track in face_tracks(Clip(path, frame_rate=FRAME_RATE, frame_budget=0, limits=limits), detector):
            mean_size = [round(side, 1) for side in track.mean_size]
            first, last = int(track.frames[0]), int(track.frames[-1])
            found["tracks"].append({"first_frame": first, "last_frame": last, "mean_size": mean_size})
    except (Unscorable, NotApplicable) as error:
        found["reason"] = str(error)
    return found


def _seconds(ticks: int | None, base: Fraction | None) -> float | None:
    return float(ticks * base) if ticks is not None and base else None


def _number(value: Fraction | None) -> float | None:
    return float(value) if value is not None else None
