"""A preparation that is killed at any moment is continued by the same command, to the same bytes."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import made_set
import pytest

CLIPS = 20
ROOT = Path(__file__).parents[4]


def preparing(source: Path, out: Path, *stop: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, made_set.__file__, str(source), str(out), "2", *stop], stdout=subprocess.DEVNULL,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    made_set.make_clips(folder, CLIPS)
    return folder


@pytest.fixture(scope="module")
def whole(source, tmp_path_factory) -> tuple[Path, float]:
    """The folder, and the seconds that it took."""
    out, began = tmp_path_factory.mktemp("whole") / "out", time.monotonic()
    assert preparing(source, out).wait() == 0
    return out, time.monotonic() - began


def test_killed_in_every_stage_and_continued(source, whole, tmp_path):
    rows = {"probe": 7, "faces": 11, "text": 3, "write": 5}
    for stage in made_set.STAGES:
        count = rows.get(stage, 0)
        assert preparing(source, tmp_path / "out", stage, str(count)).wait() == -signal.SIGKILL, (stage, count)
    for left in (".items.k1ll_ed0.jsonl", ".prepare/.text.k1ll_ed0.jsonl"):  # by a kill while a file was written
        (tmp_path / "out" / left).write_text("{")
    made_set.run(source, tmp_path / "out", 2, watch := made_set.Watch())
    assert made_set.differing(whole[0], tmp_path / "out") == []
    assert not any(watch.seconds.values()), "each stage told once how much is there, and made nothing"


def test_killed_at_random_moments_and_continued(source, whole, tmp_path):
    chance = random.Random(0)
    for _ in range(2):
        child = preparing(source, tmp_path / "out")
        time.sleep(chance.uniform(0.1, 0.9) * whole[1])
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert preparing(source, tmp_path / "out").wait() == 0
    assert made_set.differing(whole[0], tmp_path / "out") == []
