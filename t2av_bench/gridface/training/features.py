"""Training of GridFace's feature networks, on tasks whose answers the drawing gives for nothing.

Frames: how the face is posed (16 motion values) and what the person looks like (colours, proportions, style). Clips:
how the face moves, frame by frame, and whether the clip runs forwards, backwards or at double speed. No noise or blur
is added: a network that learnt to ignore them could not measure them. Frozen, shuffled and jittering clips are kept
out of training, so that the validity table asks about damage that was never shown.
"""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from t2av_bench.gridface.extractors.features import CLIP_CHECKPOINT, FRAME_CHECKPOINT, small_grey
from t2av_bench.gridface.extractors.pictures import network_input
from t2av_bench.gridface.models.feature_networks import WINDOW, ClipNetwork, FrameNetwork
from t2av_bench.gridface.portrait.identity import CLOTHES, HAIR_STYLES, Identity, sample_identity
from t2av_bench.gridface.training.extractors import fast, fit, seeded, training_clips

FRAME_CLIPS, FRAMES_A_CLIP, FRAME_UPDATES = 800, 8, 1000
CLIPS, CLIP_UPDATES = 400, 1000
_FRAME_BATCH, _CLIP_BATCH = 32, 24

Frames = tuple[np.ndarray, np.ndarray, np.ndarray]
Clips = list[tuple[np.ndarray, np.ndarray]]


def appearance(person: Identity) -> np.ndarray:
    """(a,) float32: every number of an identity, and one place for each hair style and piece of clothing."""
    facts = asdict(person)
    numbers = [np.ravel(value) for name, value in facts.items() if name not in ("seed", "hair_style", "clothes")]
    chosen = [[person.hair_style == style for style in HAIR_STYLES], [person.clothes == piece for piece in CLOTHES]]
    return np.concatenate([*numbers, *chosen]).astype(np.float32)


def frame_material(clips: int = FRAME_CLIPS, seed: int = 0) -> Frames:
    """(n, 128, 128, 3) uint8 frames, (n, 16) motion and (n, a) appearance."""
    pictures, motions, looks = [], [], []
    for utterance, recording, indices, frames in training_clips(clips, FRAMES_A_CLIP, seed):
        pictures.append(frames)
        motions.append(recording.motion[indices])
        looks.append(np.tile(appearance(sample_identity(utterance.identity)), (len(indices), 1)))
    return np.concatenate(pictures), np.concatenate(motions), np.concatenate(looks)


def clip_material(clips: int = CLIPS, seed: int = 0) -> Clips:
    """Per clip: (T, 64, 64) uint8 grey frames and (T, 16) motion."""
    return [(small_grey(frames), recording.motion) for _, recording, _, frames in training_clips(clips, None, seed)]


def train_frames(
    output: Path, seed: int = 0, quiet: bool = False, updates: int = FRAME_UPDATES, clips: int = FRAME_CLIPS
) -> Path:  # fmt: skip
    """Train the frame network on the split ``train``; about 2 CPU minutes. Returns the checkpoint's path."""
    pictures, *targets = frame_material(clips, seed)
    motion, looks = (torch.from_numpy(_standardised(values)) for values in targets)
    network = seeded(lambda: FrameNetwork(looks.shape[1]), seed)
    random = np.random.default_rng([0xF4A3, seed])

    def step() -> tuple[Tensor, dict[str, float]]:
        chosen = random.choice(len(pictures), min(_FRAME_BATCH, len(pictures)), replace=False)
        with fast():
            posed, looked = network(network_input(pictures[chosen]))
        posed_loss = (posed - motion[chosen]).square().mean()
        looked_loss = (looked - looks[chosen]).square().mean()
        return posed_loss + looked_loss, {"motion": posed_loss.item(), "appearance": looked_loss.item()}

    some = pictures[:: max(1, len(pictures) // 2000)]
    return fit(
        network, step, FRAME_CHECKPOINT, output, updates=updates, seed=seed, quiet=quiet, clips=clips,
        finish=lambda: _set_scale(network, some, 40),
    )  # fmt: skip


def train_clips(
    output: Path, seed: int = 0, quiet: bool = False, updates: int = CLIP_UPDATES, clips: int = CLIPS
) -> Path:  # fmt: skip
    """Train the clip network on the split ``train``; about 2 CPU minutes. Returns its path."""
    prepared = clip_material(clips, seed)
    every = np.concatenate([motion for _, motion in prepared])
    centre, spread = every.mean(0), every.std(0) + 1e-6
    quick = np.concatenate([motion[2:] - motion[:-2] for _, motion in prepared]).std(0) + 1e-6
    network = seeded(ClipNetwork, seed)
    random = np.random.default_rng([0xC11B, seed])

    def step() -> tuple[Tensor, dict[str, float]]:
        windows, courses, played = [], [], random.integers(0, network.PLAYBACKS, _CLIP_BATCH)
        for playback in played:
            frames, motion = prepared[random.integers(len(prepared))]
            pace = 2 if playback == 2 else 1
            start = random.integers(len(frames) - (WINDOW - 1) * pace)
            order = start + pace * np.arange(WINDOW)
            order = order[::-1] if playback == 1 else order
            windows.append(frames[order])
            course = motion[order]
            change = (course[2:] - course[:-2]) / quick
            courses.append(np.concatenate([(course[1:-1] - centre) / spread, change], 1).T)
        with fast():
            read, guessed = network(network_input(np.stack(windows)))
        moved = (read - torch.from_numpy(np.stack(courses).astype(np.float32))).square().mean()
        told = cross_entropy(guessed, torch.from_numpy(played))
        right = (guessed.argmax(1).numpy() == played).mean()
        return moved + 0.5 * told, {"motion": moved.item(), "playback": told.item(), "right": float(right)}

    starts = [(frames, (len(frames) - WINDOW) * part // 3) for frames, _ in prepared for part in range(4)]
    some = np.stack([frames[start : start + WINDOW] for frames, start in starts])
    return fit(
        network, step, CLIP_CHECKPOINT, output, updates=updates, seed=seed, quiet=quiet, clips=len(prepared),
        finish=lambda: _set_scale(network, some, max(1, len(some) // 32)),
    )  # fmt: skip


def _set_scale(network: FrameNetwork | ClipNetwork, pixels: np.ndarray, batches: int) -> None:
    """From the features of some frames or windows of the training split."""
    with torch.inference_mode():
        parts = [part for part in np.array_split(pixels, batches) if len(part)]
        network.set_scale(torch.cat([network.raw_features(network_input(part)) for part in parts]))


def _standardised(values: np.ndarray) -> np.ndarray:
    return ((values - values.mean(0)) / (values.std(0) + 1e-6)).astype(np.float32)
