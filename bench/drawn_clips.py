"""Clips of a drawn face that speaks (espeak-ng), made on the spot; face detectors and recognisers take it for one."""

import sys
from pathlib import Path

import cv2
from measuring import ROOT

from t2av_bench.media.encode import write_mp4

sys.path.insert(0, str(ROOT / "tests" / "factories"))

SIZE = 512


def write(folder: Path, count: int, seconds: float) -> list[tuple[Path, str]]:
    """At most four clips of 512x512 at 25 fps, with their texts. Drawn at half the size, which is soon done."""
    from talking_clips import AUDIO_RATE, CLIPS, make_clip

    from t2av_bench.gridface.speech.synthesizer import Synthesizer

    folder.mkdir(parents=True, exist_ok=True)
    made = []
    with Synthesizer() as synthesizer:
        for clip in CLIPS[:count]:
            frames, audio = make_clip(clip, synthesizer, SIZE // 2, seconds)
            path = folder / f"{clip.id}.mp4"
            larger = (cv2.resize(frame, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC) for frame in frames)
            write_mp4(path, larger, audio, audio_rate=AUDIO_RATE, crf=18, preset="veryfast")
            made.append((path, clip.text))
    return made
