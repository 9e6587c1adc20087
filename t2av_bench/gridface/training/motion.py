"""Training of the motion codec's encoder, on frames that are drawn while it learns.

Persons are those of the train split; mouths move as the train split's sentences make them, heads and eyes as their
seeds do. Each frame takes its mouth from one sentence and its head from another, and one in four is a random pose, so
that rare shapes (f, th, a raised brow over closed lips) are seen too. Pictures are damaged as files are: brightness,
noise, JPEG, resampling.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import smooth_l1_loss

from t2av_bench.gridface.data import corpus
from t2av_bench.gridface.extractors.pictures import network_input
from t2av_bench.gridface.models.motion_encoder import CHECKPOINT, MotionEncoder
from t2av_bench.gridface.portrait.portrait import Portrait
from t2av_bench.gridface.speech.visemes import MOTION_SIZE, SPEECH_SIZE
from t2av_bench.gridface.training.extractors import fast, fit, seeded

UPDATES = 2300
BATCH = 64
LEARNING_RATE = 2e-3
SENTENCES = 300
RANDOM_POSES = 0.25
MOUTH_WEIGHT = 2.0
# Frames are kept and drawn from again: each is used twice on average, and a batch mixes many persons.
_DRAWN_PER_UPDATE = 32
_POOL = 12_800


def mouth_and_head_tracks(split: str, count: int) -> np.ndarray:
    """(frames, 16) float32: the motion of the first ``count`` clips of a split, end to end."""
    return np.concatenate([made.motion for _, made in corpus.recordings(corpus.utterances(split, count))])


def sample_motion(random: np.random.Generator, tracks: np.ndarray, count: int) -> np.ndarray:
    """(count, 16) float32 poses: mouths and heads of ``tracks`` (frames, 16) combined anew, some at random."""
    motion = tracks[random.integers(len(tracks), size=count)].copy()
    motion[:, SPEECH_SIZE:] = tracks[random.integers(len(tracks), size=count), SPEECH_SIZE:]
    anything = random.uniform(size=(count, MOTION_SIZE)).astype(np.float32)
    anything[:, 7:] = np.clip(random.normal(0, 0.45, (count, MOTION_SIZE - 7)), -1, 1)
    # Lip-teeth contact, closure and the tongue are mostly absent, and a blink is mostly an open eye.
    absent = random.uniform(size=(count, MOTION_SIZE)) < 0.6
    absent[:, [0, 1, 2, *range(7, MOTION_SIZE)]] = False
    anything[absent] = 0
    chosen = random.uniform(size=count) < RANDOM_POSES
    motion[chosen] = anything[chosen]
    return motion


def damage(random: np.random.Generator, frames: np.ndarray) -> np.ndarray:
    """(N, H, W, 3) uint8 as files and cameras would have it: uint8 of the same shape, about a third untouched."""
    import cv2

    result = frames.copy()
    size = frames.shape[1:3]
    for frame in result:
        kind = random.uniform(size=4)
        if kind[0] < 0.15:
            smaller = cv2.resize(frame, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
            frame[:] = cv2.resize(smaller, size, interpolation=cv2.INTER_CUBIC)
        elif kind[0] < 0.25:
            frame[:] = cv2.GaussianBlur(frame, (0, 0), random.uniform(0.3, 1.0))
        if kind[1] < 0.3:
            gain, offset = random.uniform(0.85, 1.15), random.uniform(-15, 15)
            frame[:] = np.clip(frame * np.float32(gain) + np.float32(offset), 0, 255)
        if kind[2] < 0.2:
            noise = random.standard_normal(frame.shape, np.float32) * np.float32(random.uniform(1, 8))
            frame[:] = np.clip(frame + noise, 0, 255)
        if kind[3] < 0.3:
            quality = int(random.integers(35, 96))
            frame[:] = jpeg(frame, quality)
    return result


def jpeg(frame: np.ndarray, quality: int) -> np.ndarray:
    """(H, W, 3) uint8 RGB as it comes back from a JPEG file of this quality (0 to 100)."""
    import cv2

    _, packed = cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR))[..., ::-1]


class _Pool:
    """The latest frames drawn, of all persons in turn."""

    def __init__(self, random: np.random.Generator, tracks: np.ndarray, persons: range) -> None:
        self.random, self.tracks = random, tracks
        self.portraits = [Portrait(person, corpus.SIZE) for person in persons]
        self.frames = np.empty((_POOL, corpus.SIZE, corpus.SIZE, 3), np.uint8)
        self.motion = np.empty((_POOL, MOTION_SIZE), np.float32)
        self.drawn = 0
        for _ in self.portraits:
            self.draw()

    def draw(self) -> None:
        place = self.drawn % _POOL
        portrait = self.portraits[self.drawn // _DRAWN_PER_UPDATE % len(self.portraits)]
        motion = sample_motion(self.random, self.tracks, _DRAWN_PER_UPDATE)
        self.motion[place : place + _DRAWN_PER_UPDATE] = motion
        self.frames[place : place + _DRAWN_PER_UPDATE] = portrait.render(motion)
        self.drawn += _DRAWN_PER_UPDATE

    def batch(self) -> tuple[np.ndarray, np.ndarray]:
        """(64, 128, 128, 3) uint8 damaged frames and their motion (64, 16)."""
        self.draw()
        chosen = self.random.integers(min(self.drawn, _POOL), size=BATCH)
        return damage(self.random, self.frames[chosen]), self.motion[chosen]


def train(output: Path, seed: int = 0, updates: int = UPDATES, quiet: bool = False) -> Path:
    """Train the encoder; 8 minutes on one core. Returns the checkpoint's path in the folder ``output``.

    Progress goes to stderr, the curve to ``motion_encoder.metrics.jsonl`` beside the checkpoint.
    Raises ValueError for updates below 1, SpeechError where espeak-ng is missing.
    """
    random = np.random.default_rng([0x307E, seed])
    tracks = mouth_and_head_tracks("train", SENTENCES)
    encoder = seeded(MotionEncoder, seed)
    encoder.mean.copy_(torch.from_numpy(tracks.mean(0)))
    encoder.std.copy_(torch.from_numpy(tracks.std(0)))
    weight = torch.ones(MOTION_SIZE)
    weight[:SPEECH_SIZE] = MOUTH_WEIGHT
    weight /= weight.mean()
    pool = _Pool(random, tracks, corpus.identities("train"))

    def step() -> tuple[Tensor, dict[str, float]]:
        frames, motion = pool.batch()
        target = (torch.from_numpy(motion) - encoder.mean) / encoder.std
        with fast():
            predicted = encoder.standardised(network_input(frames)).float()
        # Random poses lie many standard deviations out where a dimension is rarely used; they must not rule the loss.
        losses = smooth_l1_loss(predicted, target, reduction="none", beta=0.3).mean(0)
        return (losses * weight).mean(), {"mouth": losses[:SPEECH_SIZE].mean().item()}

    return fit(
        encoder, step, CHECKPOINT, output, updates=updates, seed=seed, quiet=quiet, learning_rate=LEARNING_RATE,
        batch=BATCH, sentences=SENTENCES,
    )  # fmt: skip
