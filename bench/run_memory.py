"""Peak memory of ``evaluate`` for 10 and for 100 clips: it should not grow with their number.

    python bench/run_memory.py [--clips 10 100] [--metrics psnr,ssim,stoi,pesq]

Makes noise clips of 2 s at 256x256 (all different, so that nothing is cached), scores them in a fresh process each
time, and prints the peak resident size of its largest process and the seconds a clip.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from t2av_bench.media.encode import write_mp4


def make_clips(folder: Path, count: int) -> None:
    """Half of each picture is noise of its own: every clip has another digest and real work to decode."""
    for index in range(count):
        random = np.random.default_rng(index)
        frames = np.full((50, 256, 256, 3), 96, np.uint8)
        frames[:, :128] = random.integers(0, 255, (50, 128, 256, 3), dtype=np.uint8) // 4 * 2
        audio = random.standard_normal(32000).astype(np.float32) * 0.1
        write_mp4(folder / f"{index:04d}.mp4", frames, audio, preset="ultrafast", crf=30)


def measure(folder: Path, metrics: str) -> tuple[float, float]:
    """Peak MB of the largest process, and wall seconds, of one evaluation."""
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "t2av_bench.cli.main", "evaluate", "--generated", str(folder),
         "--reference", str(folder),
         "--metrics", metrics, "--out", str(folder.parent / f"run-{folder.name}")],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=Path(__file__).resolve().parent.parent,
    )  # fmt: skip
    # The usage of a child that was waited for includes its own waited-for children: the workers.
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"evaluate failed with status {os.waitstatus_to_exitcode(status)}")
    return usage.ru_maxrss / 1024, time.monotonic() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, nargs="+", default=[10, 100])
    parser.add_argument("--metrics", default="psnr,ssim,stoi,pesq")
    options = parser.parse_args()
    print(f"{'clips':>6} {'peak MB':>9} {'s / clip':>9}")
    with tempfile.TemporaryDirectory() as temporary:
        for count in options.clips:
            folder = Path(temporary) / str(count)
            folder.mkdir()
            make_clips(folder, count)
            peak, seconds = measure(folder, options.metrics)
            print(f"{count:>6} {peak:>9.0f} {seconds / count:>9.2f}", flush=True)


if __name__ == "__main__":
    main()
