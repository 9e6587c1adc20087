"""The batch scripts of docs/cluster.md call what they should, told by stand-ins for Slurm, Ray and t2av-bench."""

import os
import re
import subprocess
from pathlib import Path

from typer.main import get_command

from t2av_bench.cli.main import app

PAGE = Path(__file__).resolve().parents[3] / "docs" / "cluster.md"
# Each writes what it is called with; srun carries its command out, as Slurm does on another machine.
STAND_INS = {
    "t2av-bench": 'echo "t2av-bench $*" >> "$CALLS"',
    "ray": 'echo "ray $*" >> "$CALLS"',
    "sleep": "true",
    "scontrol": 'printf "one\\ntwo\\nthree\\nfour\\n"',
    "hostname": 'echo "10.0.0.1 fe80::1"',
    "srun": 'while [[ $1 == --* ]]; do shift; done; "$@"',
}


def scripts() -> list[str]:
    return re.findall(r"```slurm\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def called(script: str, tmp_path: Path, **variables: str) -> list[str]:
    """What a script calls, in no order: some of it runs in the background."""
    programs = tmp_path / "bin"
    programs.mkdir(exist_ok=True)
    for name, body in STAND_INS.items():
        (programs / name).write_text(f"#!/bin/bash\n{body}\n")
        (programs / name).chmod(0o755)
    calls = tmp_path / "calls"
    calls.unlink(missing_ok=True)
    environment = os.environ | variables | {"CALLS": str(calls), "PATH": f"{programs}:{os.environ['PATH']}"}
    subprocess.run(["bash", "-eu", "-c", f"{script}\nwait"], env=environment, check=True, timeout=60)
    return sorted(calls.read_text().splitlines())


def parsed(call: str) -> dict:
    words = call.split()[1:]
    command = get_command(app).commands[words[0]]
    return command.make_context(words[0], words[1:]).params


def test_each_task_of_the_array_is_given_its_own_shard(tmp_path):
    array, _ = scripts()
    first, last = map(int, re.search(r"--array=(\d+)-(\d+)", array).groups())
    shards = []
    for task in range(first, last + 1):
        (call,) = called(array, tmp_path, SLURM_ARRAY_TASK_ID=str(task))
        shards.append(parsed(call)["shard"])
    assert shards == [f"{index}/{last}" for index in range(1, last + 1)]


def test_the_command_and_all_machines_meet_at_one_address(tmp_path):
    _, cluster = scripts()
    head, command = "ray start --head --port=6379", "t2av-bench run"
    calls = called(cluster, tmp_path, SLURM_JOB_NODELIST="node[1-4]")
    assert len(calls) == 3 and sum(call.startswith(head) for call in calls) == 1
    assert any(call.startswith("ray start --address=10.0.0.1:6379") for call in calls)
    given = parsed(next(call for call in calls if call.startswith(command)))
    assert (given["engine"], given["address"], given["device"]) == ("ray", "10.0.0.1:6379", "cuda")
