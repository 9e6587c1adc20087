"""Fixtures that several test files share."""

import os
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY / "tests"))  # helpers such as media_factory

# One thread: the suite runs two processes at a time in places, and thread pools would fight over the cores.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")


@pytest.fixture(scope="session")
def clips_folder() -> Path:
    """Real, untidy clips: ``T2AV_CLIPS``, or the folder beside the checkout; skips where there is none."""
    folder = Path(os.environ.get("T2AV_CLIPS", REPOSITORY.parent / "shared" / "data" / "clips"))
    if not folder.is_dir():
        pytest.skip(f"no real clips at {folder}: set T2AV_CLIPS to a folder of talking clips")
    return folder


@pytest.fixture(autouse=True, scope="session")
def _no_foreign_weights(tmp_path_factory: pytest.TempPathFactory):
    """Tests see no weights that the user has, unless ``T2AV_BENCH_WEIGHTS`` was set for them on purpose."""
    if "T2AV_BENCH_WEIGHTS" not in os.environ:
        os.environ["T2AV_BENCH_WEIGHTS"] = str(tmp_path_factory.mktemp("weights"))
    yield
