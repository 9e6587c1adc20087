"""Memory and time of ``data prepare`` for 250 and for 1,000 clips, and what a kill in each stage leaves of it.

    python bench/prepare_memory.py [--clips 250 1000] [--workers 2] [--kills 1]

Makes clips of 3 s at 80x64 pixels (all different), prepares them with the stand-ins of the tests for detector and
recognisers, in a fresh process each time, and prints the seconds of the stages and the largest resident sizes of the
parent and of its workers: neither memory nor the seconds a clip should grow with their number.

Then the smallest set is prepared once more, killed so many times in each stage, and continued by the same command:
every byte must be that of the preparation which nobody disturbed.
"""

import json
import random
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from measuring import ROOT, options

sys.path.insert(0, str(ROOT / "tests" / "factories"))
import made_set

SCRIPT = ROOT / "tests" / "factories" / "made_set.py"


def prepared(source: Path, out: Path, workers: int, *stop: str) -> tuple[int, dict]:
    """Exit status, and what a preparation says that comes to its end."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(source), str(out), str(workers), *stop], capture_output=True, text=True,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    if done.returncode not in (0, -signal.SIGKILL):
        raise SystemExit(done.stderr)
    return done.returncode, json.loads(done.stdout) if done.stdout else {}


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--clips", type=int, nargs="+", default=[250, 1000])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kills", type=int, default=1)
    asked = parser.parse_args()
    measured = ("probe", "faces", "text", "write")
    print("  ".join(["clips", "items", *(f"{name:>7}" for name in measured), "s a clip", "parent MB", "worker MB"]))
    with tempfile.TemporaryDirectory() as temporary:
        for count in asked.clips:
            source = Path(temporary) / f"clips-{count}"
            made_set.make_clips(source, count)
            _, told = prepared(source, Path(temporary) / f"out-{count}", asked.workers)
            seconds = "  ".join(f"{told['stages'][name]:>5.0f} s" for name in measured)
            print(f"{count:>5}  {told['items']:>5}  {seconds}  {told['seconds'] / count:>8.3f}  "
                  f"{told['parent'] / 2**20:>9.0f}  {told['workers'] / 2**20:>9.0f}", flush=True)  # fmt: skip
        count = min(asked.clips)
        source, whole, out = (Path(temporary) / f"{name}-{count}" for name in ("clips", "out", "killed"))
        chance = random.Random(0)
        killed = 0
        for stage in made_set.STAGES:
            for at in (0, *(chance.randrange(1, count // 2) for _ in range(asked.kills if stage in measured else 0))):
                status, _ = prepared(source, out, asked.workers, stage, str(at))
                killed += status == -signal.SIGKILL
        prepared(source, out, asked.workers)
        differing = made_set.differing(whole, out)
        print(f"killed {killed} times, continued: {len(differing)} files differ {differing[:5] or ''}")


if __name__ == "__main__":
    main()
