"""What the pipeline's stages do here to pictures and sound whose fate is known, before any clip is scored.

The expected numbers are those of the reference tools: crops of syncnet-python 0.2.3, and the pictures and sound of the
commands of joonson/syncnet_python 6efbb1c, run by ffmpeg 5.1.9 and 7.0.2 alike. The detector alone needs its weights:
it is held to syncnet-python's own code with the same ones.
"""

import json
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from t2av_bench.errors import MediaError
from t2av_bench.faces import crop
from t2av_bench.faces.detect import S3FD
from t2av_bench.faces.track import Track
from t2av_bench.media import legacy
from t2av_bench.media.clip import Clip
from t2av_bench.media.encode import write_mp4
from t2av_bench.metrics import sync_legacy
from t2av_bench.utils.checks import Step
from t2av_bench.utils.inference import full_precision

_BLOCK = 56
_LEVELS = 1.0
_SCALE, _CONFIDENCE, _SURE = 0.25, 0.9, 0.01
_PIXELS = 1.0
_FRAMES, _RATE = 48, 24
_AUDIO_RATE = 44100
_BEGINS = 1.0
_SOUND_SECONDS = 0.005
PICTURES = (0, 1, *range(1, 13), *range(12, 37), *range(36, 48))
"""Source frame of every picture after the transcoding: 24 frames become 25, and the AVI begins a frame late."""
SOUND_LATE = {"sync/joonson": 0.025, "sync/syncnet-python": 0.0}
"""Seconds by which the sound of a 44.1 kHz clip comes later: the MP3 encoder's 1105 samples."""


def crop_input() -> tuple[np.ndarray, np.ndarray]:
    """(20, 130, 150, 3) uint8 pictures and (20, 4) boxes of a face that moves out of them, down and to the right."""
    y, x = np.mgrid[0:130, 0:150]
    pictures = np.stack([
        np.stack([(3 * x + 5 * time) % 256, (2 * y + 7 * time) % 256, (x + y) % 256], axis=-1) for time in range(20)
    ]).astype(np.uint8)  # fmt: skip
    time = np.arange(20)
    boxes = np.stack([60 + 3.3 * time, 30 + 0.7 * time, 130 + 3.3 * time + time % 3, 110 + 0.7 * time], axis=1)
    return pictures, boxes


def blocks(crops: np.ndarray) -> np.ndarray:
    """(20, 224, 224, 3) -> (3, 4, 4, 3): means of blocks of 56x56 pixels of the crops 0, 9 and 19."""
    some = crops[[0, 9, 19]].astype(np.float64)
    side = some.shape[1] // _BLOCK
    return some.reshape(3, side, _BLOCK, side, _BLOCK, 3).mean(axis=(2, 4))


def expected_blocks() -> np.ndarray:
    """(3, 4, 4, 3) float64: ``blocks`` of the crops that syncnet-python makes of ``crop_input``."""
    return np.array(json.loads((Path(__file__).with_name("references") / "crop.json").read_text(encoding="utf-8")))


def crops_step() -> Step:
    """Whether crops are the reference tools', within one grey level a block."""
    expected = expected_blocks()
    pictures, boxes = crop_input()
    track = Track(np.arange(len(boxes)), boxes, len(boxes))
    found = blocks(np.concatenate([batch for _, batch in crop.crop_tracks([pictures], [track])]))
    if found.shape != expected.shape:
        return "crop", "failed", f"other crop: {crop.SIZE} pixels a side, expected 224"
    farthest = float(np.abs(found - expected).max())
    words = f"blocks of three crops differ by {farthest:.2f} grey levels from syncnet-python's"
    if farthest > _LEVELS:
        return "crop", "failed", f"other crop: {words}, at most {_LEVELS:g} is rounding"
    return "crop", "ok", words


def detector_step(clips: Iterable[Path], device: str) -> Step:
    """Whether faces are where syncnet-python's own detector sees them, in the first picture that has one.

    Boxes that are no closer than 0.01 to the threshold are compared. Raises NotApplicable without the weights.
    """
    detector = sync_legacy.s3fd(device)
    if not isinstance(detector, S3FD):
        return "detector", "failed", f"other detector: {type(detector).__name__}, expected S3FD"
    for path in clips:
        try:
            picture = next(Clip(path).frames(1))
        except (MediaError, StopIteration):
            continue
        here, there = detector.detect(picture)[0], _official_boxes(detector, picture[0])
        if not len(here) and not len(there):
            continue
        apart = max(_farthest(here, there), _farthest(there, here))
        words = f"{len(here)} faces in {path.name}, {len(there)} by syncnet-python's own code"
        if apart > _PIXELS:
            where = f", up to {apart:.1f} pixels apart" if np.isfinite(apart) else ""
            return "detector", "failed", f"other detector: {words}{where}"
        return "detector", "ok", words
    return "detector", "skipped", "no first picture of a clip has a face"


def _official_boxes(detector: S3FD, picture: np.ndarray) -> np.ndarray:
    from syncnet_python.detectors.s3fd import S3FD as Official

    with full_precision():
        official = Official(net=detector.network, device=detector.device)
        return np.asarray(official.detect_faces(picture, conf_th=_CONFIDENCE, scales=[_SCALE]))


def _farthest(boxes: np.ndarray, others: np.ndarray) -> float:
    """Greatest distance of a sure box's edges from those of the nearest of ``others``; infinite where there is none."""
    sure = boxes[boxes[:, 4] > _CONFIDENCE + _SURE, :4]
    if not len(sure) or not len(others):
        return np.inf if len(sure) else 0.0
    return float(np.abs(sure[:, None] - others[None, :, :4]).max(axis=2).min(axis=1).max())


def write_probe(path: Path) -> None:
    """48 pictures at 24 frames/s, each of a grey of its own, with noise from second 1 on at 44.1 kHz."""
    greys = (16 + 4 * np.arange(_FRAMES)).astype(np.uint8)
    pictures = np.broadcast_to(greys[:, None, None, None], (_FRAMES, 96, 128, 3))
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, _FRAMES * _AUDIO_RATE // _RATE)
    noise[: int(_BEGINS * _AUDIO_RATE)] = 0
    write_mp4(path, pictures, noise.astype(np.float32), frame_rate=_RATE, audio_rate=_AUDIO_RATE, crf=1)


def source_frames(pictures: np.ndarray) -> tuple[int, ...]:
    """Which picture of the probe each of (n, H, W, 3) uint8 shows."""
    return tuple(np.rint((pictures.mean(axis=(1, 2, 3)) - 16) / 4).astype(int).tolist())


def begins(audio: np.ndarray) -> float:
    """Second at which the probe's noise begins in (n,) int16 at 16 kHz."""
    loud = np.abs(audio.astype(np.float64)) > 0.2 * np.abs(audio.astype(np.float64)).max()
    return float(np.argmax(loud)) / legacy.AUDIO_RATE


def media_steps(metric: str) -> tuple[Step, Step]:
    """Whether 24 frames/s become 25 by the rule, and whether the sound is where the rule puts it."""
    with tempfile.TemporaryDirectory(prefix="t2av-attest-") as folder:
        path = Path(folder) / "probe.mp4"
        write_probe(path)
        media = legacy.joonson(Clip(path)) if metric == "sync/joonson" else legacy.syncnet_python(Clip(path))
        try:
            shown = source_frames(np.concatenate(list(media.frames())))
            late = begins(media.audio) - _BEGINS
        finally:
            media.close()
    rate: Step = ("rate", "ok", f"{_FRAMES} frames at {_RATE}/s become {len(shown)} at 25/s, by the tool's rule")
    if shown != PICTURES:
        first = next((at for at, (a, b) in enumerate(zip(shown, PICTURES, strict=False)) if a != b), len(shown))
        words = f"{_FRAMES} frames at {_RATE}/s become {len(shown)}, expected {len(PICTURES)} at 25/s"
        rate = ("rate", "failed", f"other rate rule: {words}; they differ from picture {first} on")
    expected = SOUND_LATE[metric]
    words = f"the transcoded sound is {1000 * late:.0f} ms late, expected {1000 * expected:.0f} ms"
    if abs(late - expected) > _SOUND_SECONDS:
        return rate, ("sound", "failed", f"shifted sound: {words}")
    return rate, ("sound", "ok", words)
