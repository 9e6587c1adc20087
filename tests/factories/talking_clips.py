"""A few talking clips made on the spot: real synthetic speech (espeak-ng), and a drawn face that moves with it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from t2av_bench.gridface.speech import visemes
from t2av_bench.gridface.speech.synthesizer import SAMPLE_RATE, Synthesizer
from t2av_bench.media.encode import fit, samples_for, write_mp4
from t2av_bench.media.resample import resample

FRAME_RATE = 25
AUDIO_RATE = 24000
SIZE = 256
_LEAD_SECONDS = 0.24
_TAIL_SECONDS = 0.30


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


def make_clip(
    clip: TalkingClip, synthesizer: Synthesizer, size: int = SIZE, seconds: float = float("inf")
) -> tuple[np.ndarray, np.ndarray]:
    """Frames (T, size, size, 3) uint8 RGB at 25 fps and audio (n,) float32 at 24 kHz, of equal length: the first
    seconds of the clip."""
    from t2av_bench.gridface.portrait.portrait import Portrait

    utterance = synthesizer.say(clip.text, clip.voice, rate=clip.rate, pitch=clip.pitch)
    count = int(np.ceil((_LEAD_SECONDS + utterance.duration + _TAIL_SECONDS) * FRAME_RATE))
    speech = utterance.samples.astype(np.float32) / 32768
    lead = np.zeros(round(_LEAD_SECONDS * SAMPLE_RATE), np.float32)
    audio = resample(np.concatenate([lead, 0.7 * speech / np.abs(speech).max()]), SAMPLE_RATE, AUDIO_RATE)
    motion = visemes.motion(visemes.shift(utterance.phonemes, _LEAD_SECONDS), count, clip.seed)
    count = round(min(count, seconds * FRAME_RATE))
    frames = Portrait(clip.identity, size).render(motion[:count])
    return frames, fit(audio, samples_for(count, FRAME_RATE, AUDIO_RATE))


def write_clips(folder: Path, count: int, size: int, seconds: float) -> Path:
    """The first seconds of so many of the clips, ``ID.mp4`` each."""
    folder.mkdir(parents=True)
    with Synthesizer() as synthesizer:
        for clip in CLIPS[:count]:
            frames, audio = make_clip(clip, synthesizer, size, seconds)
            write_mp4(folder / f"{clip.id}.mp4", frames, audio, audio_rate=AUDIO_RATE, crf=15, preset="veryfast")
    return folder
