"""Private copies of a request's files in the forms that every system reads: names of ASCII with one dot, no blanks."""

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from t2av_bench.errors import NotApplicable
from t2av_bench.faces.confirmed import confirmed_blazeface
from t2av_bench.media.clip import Clip
from t2av_bench.media.resample import to_int16
from t2av_bench.systems.base import GenerationFailed, Request
from t2av_bench.systems.delivery import file_facts
from t2av_bench.systems.external.spec import Spec
from t2av_bench.systems.inputs import LONGEST_VOICE, input_named

SIDE = 512


@dataclass(slots=True)
class Prepared:
    """files: what the shim is told, by field; ``out_dir`` is empty. seconds: how long sounds and videos are.

    facts: the originals by name and content. face: what became of looking for one, where the system needs one.
    """

    files: dict[str, str | None] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    face: str = ""


def prepare(request: Request, folder: Path, id: str, spec: Spec) -> Prepared:
    """Copies of everything that the request names and the system has a use for. Raises GenerationFailed.

    identity: its first picture, cut to the middle square, 512x512 PNG. voice (at most 30 s) and driving_audio (at most
    the request's max_seconds): mono PCM16 at the system's rate. driving_video: its pictures as they are, without its
    sound, which may be what is wanted; in mp4.
    """
    inputs, outputs = folder / "in", folder / "out"
    inputs.mkdir(parents=True)
    outputs.mkdir()
    found = Prepared({"out_dir": str(outputs)})
    names = ("identity", "voice", "driving_audio", "driving_video")
    for name in names:
        source = getattr(request, name)
        wanted = name in spec.tasks[request.task] or spec.honours.get(name, "none") != "none"
        found.files[name] = None
        if source is None or not wanted:
            continue
        with input_named(name.replace("_", " ")):
            if name == "identity":
                target = inputs / f"{id}.png"
                write_square(source, target)
            elif name == "driving_video":
                target = inputs / f"{id}.mp4"
                line = Clip(source).timeline
                found.seconds[name] = float(line.pictures / line.rate)
                copy_pictures(source, target)
            else:
                target = inputs / (f"{id}.wav" if name == "driving_audio" else f"{id}voice.wav")
                most = request.max_seconds if name == "driving_audio" else LONGEST_VOICE
                found.seconds[name] = write_sound(source, target, spec.audio_rate_in, most)
            found.facts[name] = file_facts(source)
        found.files[name] = str(target)
        if name == "identity" and spec.needs_face:
            found.face = look_for_face(target, spec.id)
    return found


def look_for_face(picture: Path, system: str) -> str:
    """In words, that a face was found, or why nobody looked: the weights of the detector are not here.

    Raises GenerationFailed where there is none: systems that need one may take the whole picture for it, and say
    nothing.
    """
    try:
        detector = confirmed_blazeface()
    except NotApplicable as reason:
        return f"not checked for a face: {reason}"
    if not len(detector.detect(Clip(picture).frames_at([0]))[0]):
        raise GenerationFailed(f"{system}: no_face: {detector.name} found no face in the picture")
    return f"a face was found by {detector.name}"


def write_sound(source: Path, target: Path, rate: int, most: float) -> float:
    """Mono PCM16 at ``rate`` Hz of at most so many seconds; returns how many. Raises MediaError."""
    from scipy.io import wavfile

    samples = Clip(source).audio(rate)[: round(most * rate)]
    wavfile.write(target, rate, to_int16(samples))
    return len(samples) / rate


def copy_pictures(source: Path, target: Path) -> None:
    """The pictures alone, coded as they are, where mp4 takes them; else coded anew. Raises MediaError."""
    import av

    from t2av_bench.media.encode import write_mp4
    from t2av_bench.media.probe import open_media, video_stream

    try:
        with open_media(source) as read, av.open(str(target), "w") as written:
            stream = video_stream(read)
            if stream is None:
                raise GenerationFailed(f"{source.name} holds no picture")
            copied = written.add_stream_from_template(stream)
            for packet in read.demux(stream):
                if packet.dts is not None:
                    packet.stream = copied
                    written.mux(packet)
    except (av.FFmpegError, ValueError):
        clip = Clip(source, frame_budget=0)
        write_mp4(target, clip.frames(), frame_rate=clip.frame_rate, crf=12)


def write_square(source: Path, target: Path) -> None:
    """The first picture's middle square as a PNG of ``SIDE`` pixels. Raises MediaError and GenerationFailed."""
    import av

    batch = next(Clip(source, frame_budget=0).frames(1), None)
    if batch is None:
        raise GenerationFailed(f"{source.name} holds no picture")
    picture = batch[0]
    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = np.ascontiguousarray(picture[top : top + side, left : left + side])
    frame = av.VideoFrame.from_ndarray(square, format="rgb24")
    frame = frame.reformat(SIDE, SIDE, interpolation="AREA" if side > SIDE else "BICUBIC")
    encoder: Any = av.CodecContext.create("png", "w")
    encoder.width = encoder.height = SIDE
    encoder.pix_fmt, encoder.time_base = "rgb24", Fraction(1)
    target.write_bytes(b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)]))
