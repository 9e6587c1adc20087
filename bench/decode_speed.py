"""Decode speed: one pass of ours for frames and audio against OpenCV for frames plus the ffmpeg program for audio.

    python bench/decode_speed.py [CLIP ...] [--repeats 5]

Without clips two are synthesised. Both sides deliver every frame as uint8 RGB in memory, one at a time, and the mono
16 kHz signal; OpenCV delivers the source's frames, ours the 25 frames/s grid. Times are the
best of the repeats, taken alternately so that other load hits both sides; CPU time counts all threads and the ffmpeg
child, and is the fairer number on a busy machine.
"""

import shutil
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from measuring import options, processor_seconds

from t2av_bench.media.clip import Clip
from t2av_bench.media.encode import write_mp4


def ours(path: Path) -> tuple[int, int]:
    clip = Clip(path, frame_budget=0)
    count = sum(len(batch) for batch in clip.frames(1))
    return count, len(clip.audio()) if clip.info.has_audio else 0


def alternative(path: Path) -> tuple[int, int]:
    capture, count = cv2.VideoCapture(str(path)), 0
    while True:
        okay, picture = capture.read()
        if not okay:
            break
        cv2.cvtColor(picture, cv2.COLOR_BGR2RGB, dst=picture)
        count += 1
    capture.release()
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "audio.wav"
        command = ["ffmpeg", "-nostdin", "-v", "error", "-i", path, "-vn", "-ac", "1", "-ar", "16000", target]
        if subprocess.run(command, capture_output=True).returncode != 0:
            return count, 0
        with wave.open(str(target), "rb") as file:
            samples = np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(np.float32) / 32768
    return count, len(samples)


def timed(run: Callable[[Path], tuple[int, int]], path: Path) -> tuple[float, float, int]:
    """(wall seconds, CPU seconds, frames)."""
    start, busy = time.perf_counter(), processor_seconds()
    count, _ = run(path)
    return time.perf_counter() - start, processor_seconds() - busy, count


def synthesise(folder: Path) -> list[Path]:
    """A 512 x 512 and a 1280 x 720 clip of 8 s with smooth moving content and noise for sound."""
    made = []
    for height, width in ((512, 512), (720, 1280)):
        y, x = np.mgrid[0:height, 0:width] / 64.0

        def picture(index: int, x: np.ndarray = x, y: np.ndarray = y) -> np.ndarray:
            waves = [np.sin(x + 0.1 * index), np.cos(y - 0.07 * index), np.sin(x + y + 0.05 * index)]
            return np.rint(127 + 100 * np.stack(waves, axis=2)).astype(np.uint8)

        sound = 0.1 * np.random.default_rng(0).standard_normal(8 * 24000)
        path = folder / f"synthetic_{width}x{height}.mp4"
        write_mp4(path, map(picture, range(200)), sound.astype(np.float32), audio_rate=24000, preset="veryfast")
        made.append(path)
    return made


def main() -> int:
    parser = options(__doc__)
    parser.add_argument("clips", nargs="*", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    if shutil.which("ffmpeg") is None:
        print("the comparison needs the ffmpeg program on PATH", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        clips = arguments.clips or synthesise(Path(folder))
        print(f"{'':28} {'':>6} {'ours':>13} {'OpenCV+ffmpeg':>15} {'ratio':>13}")
        print(f"{'clip':28} {'frames':>6}" + f" {'wall s':>6} {'CPU s':>6}" * 2 + f"   {'wall':>6} {'CPU':>6}")
        for path in clips:
            mine, theirs = [], []
            for _ in range(arguments.repeats):
                mine.append(timed(ours, path))
                theirs.append(timed(alternative, path))
            wall, cpu = (min(row[k] for row in mine) for k in (0, 1))
            other_wall, other_cpu = (min(row[k] for row in theirs) for k in (0, 1))
            print(
                f"{path.name[:28]:28} {mine[0][2]:6d} {wall:6.2f} {cpu:6.2f} {other_wall:6.2f} {other_cpu:6.2f}"
                f"   {other_wall / wall:6.2f} {other_cpu / cpu:6.2f}"
            )
    print("ratio: how many times faster ours is (above 1 is faster)", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
