"""Writing clips: H.264 + AAC in mp4.

Files appear under their name only when complete (temporary name in the same folder, then a rename), so an interrupted
run leaves no half clip that looks finished. The same input gives the same bytes.
"""

import os
import secrets
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

# x264's bytes depend on the number of its threads, and with several differ now and then from run to run.
_ENCODER_THREADS = 1
# Pictures of fewer than six macroblocks across: x264's tree of macroblocks reads past their rows there, so that its
# quantisers follow what lay in memory before.
_TREE_NEEDS_WIDTH = 81


def write_mp4(
    path: Path | str,
    frames: Iterable[np.ndarray],
    audio: np.ndarray | None = None,
    *,
    frame_rate: int | Fraction = 25,
    audio_rate: int = 16000,
    crf: int = 18,
    preset: str = "medium",
    audio_bit_rate: int = 128_000,
    fit_audio: bool = False,
) -> int:
    """Write H.264 (yuv420p, BT.601 limited range, declared) and AAC; returns the number of frames written.

    frames: (H, W, 3) uint8 RGB frames, or (n, H, W, 3) batches of them, H and W even; may be a generator.
    audio: (n,) mono or (n, channels), float in [-1, 1] or int16, or ``None`` for a silent video.
    crf: 0 (best) to 51; audio_bit_rate: bits per second.
    fit_audio: cut or zero-pad the audio to exactly as many samples as the frames last.

    BT.601 is declared because decoders that ignore the declaration assume it, so all readers see the same colours.
    """
    import av

    path, base = Path(path), 1 / Fraction(frame_rate)
    if audio is not None:
        audio = _checked_audio(audio)
    pictures = _single(frames)
    first = next(pictures, None)
    if first is None:
        raise ValueError("a clip needs at least one frame")
    height, width = first.shape[:2]
    if height % 2 or width % 2:
        raise ValueError(
            f"H.264 with 4:2:0 chroma needs even picture sizes, got {width}x{height}: crop or pad by one pixel"
        )
    partial = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    count, sent = 0, 0
    try:
        muxer = {"movflags": "+faststart", "fflags": "+bitexact"}
        with av.open(str(partial), "w", format="mp4", container_options=muxer) as container:
            options = {"crf": str(crf), "preset": preset}
            if width < _TREE_NEEDS_WIDTH:
                options["x264-params"] = "mbtree=0"
            video: Any = container.add_stream("libx264", rate=Fraction(frame_rate), options=options)
            video.pix_fmt, video.width, video.height = "yuv420p", width, height
            context = video.codec_context
            context.colorspace, context.color_primaries, context.color_trc, context.color_range = 6, 6, 6, 1
            video.time_base = context.time_base = base
            context.thread_count = _ENCODER_THREADS
            sound: Any = None
            if audio is not None:
                sound = container.add_stream("aac", rate=audio_rate, layout=_layout(audio.shape[1]))
                sound.bit_rate = audio_bit_rate
            for picture in chain([first], pictures):
                if picture.shape != (height, width, 3):
                    raise ValueError(f"frame {count} has shape {picture.shape}, the first one {(height, width, 3)}")
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
                frame = frame.reformat(
                    format=video.pix_fmt, dst_colorspace="ITU601", interpolation="BICUBIC", threads=1
                )
                frame.pts, frame.time_base = count, base
                container.mux(video.encode(frame))
                count += 1
                if audio is not None:
                    # In step with the pictures, so that the muxer never has to hold much of one stream.
                    until = min(samples_for(count, frame_rate, audio_rate), len(audio))
                    _send(container, sound, audio[sent:until], sent, audio_rate)
                    sent = until
            container.mux(video.encode(None))
            if audio is not None:
                total = fit(audio, samples_for(count, frame_rate, audio_rate)) if fit_audio else audio
                _send(container, sound, total[sent:], sent, audio_rate)
                container.mux(sound.encode(None))
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return count


def fit(audio: np.ndarray, samples: int) -> np.ndarray:
    """Cut ``audio`` (first axis) to ``samples``, or pad it with zeros at its end."""
    if len(audio) >= samples:
        return audio[:samples]
    return np.concatenate([audio, np.zeros((samples - len(audio), *audio.shape[1:]), audio.dtype)])


def samples_for(frame_count: int, frame_rate: int | Fraction, audio_rate: int) -> int:
    """Audio samples that last as long as ``frame_count`` frames (nearest)."""
    return round(frame_count * audio_rate / Fraction(frame_rate))


def _send(container: Any, stream: Any, samples: np.ndarray, position: int, rate: int) -> None:
    import av

    if not len(samples):
        return
    data = samples.astype(np.float32) / (32768 if samples.dtype == np.int16 else 1)
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(data.T), format="fltp", layout=_layout(samples.shape[1]))
    frame.sample_rate, frame.pts, frame.time_base = rate, position, Fraction(1, rate)
    container.mux(stream.encode(frame))


def _single(frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    for item in frames:
        array = np.asarray(item)
        if array.dtype != np.uint8 or array.ndim not in (3, 4) or array.shape[-1] != 3:
            raise ValueError(
                f"frames are (H, W, 3) or (n, H, W, 3) uint8 RGB arrays, got shape {array.shape}, {array.dtype}"
            )
        yield from array if array.ndim == 4 else (array,)


def _checked_audio(audio: np.ndarray) -> np.ndarray:
    array = np.asarray(audio)
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2 or not 1 <= array.shape[1] <= 2 or not (array.dtype == np.int16 or array.dtype.kind == "f"):
        raise ValueError(
            f"audio is (n,) or (n, 1 or 2), float in [-1, 1] or int16, got shape {audio.shape}, {array.dtype}"
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError("the audio holds NaN or infinite samples")
    return array


def _layout(channels: int) -> str:
    return {1: "mono", 2: "stereo"}[channels]
