"""Material for the demonstration: a few talking clips made on the spot, and systems with known damage.

The clips are real synthetic speech (espeak-ng) and a drawn face that moves with it. Each "system" is a copy of them
with one thing wrong, so that the table shows whether the metrics notice it.
"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from t2av_bench.gridface.data import damage
from t2av_bench.gridface.speech import visemes
from t2av_bench.gridface.speech.synthesizer import SAMPLE_RATE, Synthesizer
from t2av_bench.media.clip import Clip
from t2av_bench.media.encode import fit, samples_for, write_mp4
from t2av_bench.media.resample import resample
from t2av_bench.utils.files import write_text

FRAME_RATE = 25
AUDIO_RATE = 24000
SIZE = 256
SHIFT_FRAMES = 3
BLUR_SIGMA = 2.5
NOISE_DECIBELS = 5.0

# Fast, because the demonstration should be; at this quality the pictures still look untouched.
_PRESET = "veryfast"
_LEAD_SECONDS = 0.24
_TAIL_SECONDS = 0.30

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class TalkingClip:
    """What one clip says and shows. identity, seed: of the portrait and of its motion."""

    id: str
    text: str
    voice: str
    rate: int
    pitch: int
    identity: int
    seed: int


CLIPS = (
    TalkingClip("piano", "My brother has a big brown bear that plays the piano before supper on Fridays.",
                "en-us", 148, 48, 27, 1),
    TalkingClip("umbrella", "Please bring the purple umbrella, for the weather may be wet above the valley.",
                "en-us+f2", 145, 55, 8, 2),
    TalkingClip("wolves", "Five wise wolves moved away from the farm while Paul was making pumpkin pie.",
                "en-us+m3", 150, 45, 34, 3),
    TalkingClip("pebbles", "Bob's baby put five blue pebbles in a box, and then she moved the map.",
                "en-us+f2", 160, 62, 22, 4),
)  # fmt: skip


SYSTEMS: dict[str, Callable[[np.ndarray, np.ndarray, int], tuple[np.ndarray, np.ndarray]]] = {
    "clean": lambda frames, audio, seed: (frames, audio),
    f"audio_shifted_{SHIFT_FRAMES}_frames": lambda frames, audio, seed: (
        frames,
        damage.delay(audio, SHIFT_FRAMES, AUDIO_RATE // FRAME_RATE),
    ),
    "blurred": lambda frames, audio, seed: (damage.blur(frames, BLUR_SIGMA), audio),
    "noisy": lambda frames, audio, seed: (frames, add_noise(audio, NOISE_DECIBELS, seed)),
    "silent": lambda frames, audio, seed: (frames, np.zeros_like(audio)),
    "no_face": lambda frames, audio, seed: (mosaic(frames, SIZE // 8), audio),
    "truncated": lambda frames, audio, seed: (frames, audio),
}
"""What is wrong with each system: pictures, sound and the clip's seed -> its pictures and sound. Of ``truncated`` the
first file is cut in half besides."""


def make_material(folder: Path | str, progress: Progress | None = None) -> Path:
    """Write the clips, the damaged systems and a manifest below ``folder``; returns the manifest's path.

    folder/manifest.jsonl: id, text, language and reference of each clip.
    folder/reference/ID.mp4: the clips. folder/systems/NAME/ID.mp4: the systems, see ``SYSTEMS``.
    progress: called with steps done, steps in all, and what has just been written.
    The same versions of the libraries write the same files; existing ones are replaced, each at once.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"the demonstration's folder {folder} is a file: name another folder")
    for part in ("reference", *(f"systems/{name}" for name in SYSTEMS)):
        (folder / part).mkdir(parents=True, exist_ok=True)
    total, done = len(CLIPS) * (1 + len(SYSTEMS)), 0

    def report(what: str) -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total, what)

    with Synthesizer() as synthesizer:
        for clip in CLIPS:
            frames, audio = make_clip(clip, synthesizer)
            reference = folder / "reference" / f"{clip.id}.mp4"
            write_mp4(reference, frames, audio, audio_rate=AUDIO_RATE, crf=15, preset=_PRESET)
            report(f"reference/{clip.id}")
            seen = np.concatenate(list(Clip(reference, frame_rate=FRAME_RATE).frames()))
            heard = Clip(reference).audio(AUDIO_RATE)
            for name in SYSTEMS:
                path = folder / "systems" / name / f"{clip.id}.mp4"
                pictures, sound = SYSTEMS[name](seen, heard, clip.seed)
                write_mp4(path, pictures, sound, audio_rate=AUDIO_RATE, crf=20, preset=_PRESET, fit_audio=True)
                if name == "truncated" and clip is CLIPS[0]:
                    os.truncate(path, path.stat().st_size // 2)
                report(f"{name}/{clip.id}")
    rows = ({"id": clip.id, "text": clip.text, "language": "en", "reference": f"reference/{clip.id}.mp4"}
            for clip in CLIPS)  # fmt: skip
    manifest = folder / "manifest.jsonl"
    write_text(manifest, "".join(json.dumps(row) + "\n" for row in rows))
    return manifest


def make_clip(clip: TalkingClip, synthesizer: Synthesizer) -> tuple[np.ndarray, np.ndarray]:
    """Frames (T, 256, 256, 3) uint8 RGB at 25 fps and audio (n,) float32 at 24 kHz, of equal length."""
    from t2av_bench.gridface.portrait.portrait import Portrait

    utterance = synthesizer.say(clip.text, clip.voice, rate=clip.rate, pitch=clip.pitch)
    count = int(np.ceil((_LEAD_SECONDS + utterance.duration + _TAIL_SECONDS) * FRAME_RATE))
    speech = utterance.samples.astype(np.float32) / 32768
    lead = np.zeros(round(_LEAD_SECONDS * SAMPLE_RATE), np.float32)
    audio = resample(np.concatenate([lead, 0.7 * speech / np.abs(speech).max()]), SAMPLE_RATE, AUDIO_RATE)
    motion = visemes.motion(visemes.shift(utterance.phonemes, _LEAD_SECONDS), count, clip.seed)
    frames = Portrait(clip.identity, SIZE).render(motion)
    return frames, fit(audio, samples_for(count, FRAME_RATE, AUDIO_RATE))


def add_noise(audio: np.ndarray, decibels: float, seed: int) -> np.ndarray:
    """White noise at a signal-to-noise ratio of ``decibels`` over the whole clip, scaled down where it would clip."""
    noise = np.random.default_rng([0x4015E, seed]).standard_normal(len(audio))
    noise *= np.sqrt(np.mean(audio.astype(np.float64) ** 2) / np.mean(noise**2) / 10 ** (decibels / 10))
    mixed = audio + noise
    return (mixed / max(1.0, np.abs(mixed).max() / 0.98)).astype(np.float32)


def mosaic(frames: np.ndarray, block: int) -> np.ndarray:
    """Every ``block`` x ``block`` pixels become their mean: the person is there, but no face."""
    count, height, width, _ = frames.shape
    tiles = frames.reshape(count, height // block, block, width // block, block, 3)
    means = tiles.mean((2, 4), keepdims=True).round().astype(np.uint8)
    return np.broadcast_to(means, tiles.shape).reshape(frames.shape)
