"""Stand-ins for the networks of a preparation, which see bright squares and hear tones in made clips.

A face is a white square. Speech is any tone; its pitch says what the recognisers make of it.
"""

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from media_factory import write_clip

from t2av_bench.extractors.recognisers import Transcript
from t2av_bench.faces.shots import ShotCutter

RATE = 16_000
AGREED, DISPUTED, FOREIGN, CHINESE = 400, 800, 1600, 2400
"""Hertz: both recognisers hear the same; the second hears something else; both hear French; both hear Chinese."""


class SquareDetector:
    name, parameters, weights = "squares", {}, {}

    def detect(self, frames):
        found = []
        for frame in frames:
            bright = (frame.min(axis=2) > 180).astype(np.uint8)
            stats = cv2.connectedComponentsWithStats(bright)[2][1:]
            found.append(
                np.array([[x, y, x + w, y + h, 1.0] for x, y, w, h, area in stats if area > 50]).reshape(-1, 5)
            )
        return found


class ToneRecogniser:
    """Writes one word for each half second, by the loudest pitch. wrong: of disputed tones it writes another text."""

    def __init__(self, wrong: bool) -> None:
        self.wrong = wrong

    def transcribe(self, audio, language=None):
        spectrum = np.abs(np.fft.rfft(audio))
        pitch = float(np.argmax(spectrum)) * RATE / len(audio)
        words = ["north", "wind", "and", "sun"] * 3
        if self.wrong and abs(pitch - DISPUTED) < 100:
            words = ["nothing", "like", "it"] * 3
        text = " ".join(words[: max(1, len(audio) // (RATE // 2) % 9)]).capitalize() + "."
        if abs(pitch - CHINESE) < 100:
            return Transcript("北风和太阳。", "zh")
        return Transcript(text, "fr" if abs(pitch - FOREIGN) < 100 else "en")


class FakeTools:
    detector = SquareDetector()
    recognisers = (ToneRecogniser(False), ToneRecogniser(True))

    def speech(self, audio):
        """Windows of 20 ms that hold a tone, joined."""
        loud = np.abs(audio[: len(audio) // 320 * 320].reshape(-1, 320)).max(axis=1) > 0.05
        edges = np.flatnonzero(np.diff(np.concatenate([[0], loud.astype(int), [0]])))
        return edges.reshape(-1, 2) * 320

    def cutter(self):
        return ShotCutter()


def pictures(seconds, side=48, size=(120, 160), rate=25, faces=1, colour=(40, 40, 40), face=True):
    """(n, H, W, 3): so many white squares on one colour, the first at (40, 30), moving by a pixel or two."""
    frames = np.full((round(seconds * rate), *size, 3), colour, np.uint8)
    for number, frame in enumerate(frames):
        for index in range(faces if face else 0):
            x, y = 40 + index * (side + 12) + number % 3, 30 + number % 2
            frame[y : y + side, x : x + side] = 235
    return frames


def speech(phrases, seconds, hertz=AGREED, amplitude=0.4):
    """(n,) float32 at 16 kHz: a tone in each (begin, end), in seconds, silence around it."""
    time = np.arange(round(seconds * RATE)) / RATE
    heard = np.zeros(len(time), np.float32)
    for begin, end in phrases:
        inside = (time >= begin) & (time < end)
        heard[inside] = amplitude * np.sin(2 * np.pi * hertz * time[inside])
    return heard


def video(path: Path, frames=None, audio=None, rate=25) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_clip(path, frames, audio, frame_rate=Fraction(rate), audio_rate=RATE)
