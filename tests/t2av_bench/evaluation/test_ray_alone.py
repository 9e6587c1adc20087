"""Without an address the command starts a cluster of its own, as a program of its own sees it."""

import os
import subprocess
import sys

import pytest
from evaluate_factory import FAKES, plan
from ray_nodes import plug

# Clusters that others run on this machine are not seen.
PROGRAM = """
import ray
init = ray.init
def unseen(address=None, **more):
    if address == "auto":
        raise ConnectionError("none")
    return init(address=address, **more)
ray.init = unseen
from t2av_bench.cli.main import main
main()
"""


@pytest.mark.slow
def test_a_cluster_of_this_machine_alone_is_quiet_and_leaves_nothing(tmp_path, monkeypatch):
    pytest.importorskip("ray", reason="Ray is not installed: pip install 't2av-bench[ray]'")
    plug(tmp_path / "site", monkeypatch)
    for name in [name for name in os.environ if name.startswith("RAY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    asked = plan(tmp_path, ["a", "b"])
    command = [
        sys.executable, "-c", PROGRAM, "evaluate", str(asked.generated), "--reference", str(asked.reference),
        "--metrics", ",".join(FAKES), "--out", str(tmp_path / "run"), "--engine", "ray",
    ]  # fmt: skip
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "Level" in ended.stdout
    assert [line for line in ended.stderr.splitlines() if not line.startswith("scoring: ")] == []
    assert not (tmp_path / "home" / ".ray").exists()
