"""Peak memory of ``evaluate`` for 10 and for 100 clips: it should not grow with their number.

    python bench/run_memory.py [--clips 10 100] [--metrics psnr,ssim,stoi,pesq]

Makes noise clips of 2 s at 256x256 (all different, so that nothing is cached), scores them in a fresh process each
time, and prints the peak resident size of its largest process and the seconds a clip.
"""

import tempfile
from pathlib import Path

import numpy as np
from measuring import command, options

from t2av_bench.media.encode import write_mp4


def make_clips(folder: Path, count: int) -> None:
    """Half of each picture is noise of its own: every clip has another digest and real work to decode."""
    for index in range(count):
        random = np.random.default_rng(index)
        frames = np.full((50, 256, 256, 3), 96, np.uint8)
        frames[:, :128] = random.integers(0, 255, (50, 128, 256, 3), dtype=np.uint8) // 4 * 2
        audio = random.standard_normal(32000).astype(np.float32) * 0.1
        write_mp4(folder / f"{index:04d}.mp4", frames, audio, preset="ultrafast", crf=30)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--clips", type=int, nargs="+", default=[10, 100])
    parser.add_argument("--metrics", default="psnr,ssim,stoi,pesq")
    asked = parser.parse_args()
    print(f"{'clips':>6} {'peak MB':>9} {'s / clip':>9}")
    with tempfile.TemporaryDirectory() as temporary:
        for count in asked.clips:
            folder = Path(temporary) / str(count)
            folder.mkdir()
            make_clips(folder, count)
            used = command(
                "evaluate", "--generated", str(folder), "--reference", str(folder), "--metrics", asked.metrics,
                "--out", str(folder.parent / f"run-{folder.name}"),
            )  # fmt: skip
            print(f"{count:>6} {used['memory_mb']:>9.0f} {used['seconds'] / count:>9.2f}", flush=True)


if __name__ == "__main__":
    main()
