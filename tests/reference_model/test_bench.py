"""The benchmarks: what they count is counted right, and the one for a GPU records whatever happens."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from scripts import script_module

from reference_model.config import ModelConfig
from reference_model.inference.recipes import RECIPES

BENCH = Path(__file__).resolve().parents[2] / "bench"


def test_the_floor_of_the_released_size():
    """Counted by hand from the sizes of the paper: a Qwen3 layer, a head block, a patch encoder block."""
    floor = script_module("bench/step_floor.py")
    work = {part.part: part for part in floor.step_work(ModelConfig.named("release"), RECIPES["release"], 3, 100, 2)}
    qwen3_layer = 1024 * (2048 + 1024 + 1024) + 2048 * 1024 + 3 * 1024 * 3072 + 2 * 1024 + 2 * 128
    cache = 2 * 28 * 8 * 128 * 100 * 3
    assert work["backbone"].bytes == 2 * (28 * qwen3_layer + cache)
    assert work["backbone"].operations == 2 * 28 * qwen3_layer * 3
    block = 4 * 1024**2 + 3 * 1024 * int(8 * 1024 / 3) + 2 * 1024
    heads = 2 * 8 * block
    assert heads < work["heads"].bytes / (2 * 9) < 1.1 * heads  # nine evaluations; input and time layers on top
    assert work["heads"].operations == work["heads"].bytes / 9 * 9 * 2 * 10 * 3
    assert 2 * 4 * block < work["encoders"].bytes / 2 < 2.2 * 4 * block
    machine = floor.Machine(bandwidth=1e9, throughput=1e12)
    assert machine.seconds([floor.Work("a", 2e9, 1e12), floor.Work("b", 1e9, 3e12)]) == 5.0


def gpu_script(*arguments, python=sys.executable):
    environment = {**os.environ, "PYTHON": str(python)}
    return subprocess.run(["bash", BENCH / "gpu.sh", *arguments], env=environment, capture_output=True, text=True)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_there_is_nothing_to_measure(tmp_path):
    done = gpu_script(tmp_path / "gpu.json")
    assert done.returncode == 0 and "sees no GPU" in done.stderr and not (tmp_path / "gpu.json").exists()


def test_a_step_that_fails_or_hangs_is_a_reason_and_stops_no_other(tmp_path):
    """A stand-in for python: some scripts write their rows, one breaks down after its first, one is killed."""
    stand_in = tmp_path / "python"
    stand_in.write_text(f"""#!/bin/bash
case "$1" in
    -) exec {sys.executable} "$@" ;;
    -c) exit 0 ;;
esac
rows='{{"rows": [{{"difference": null}}, {{"difference": 2e-06}}]}}'
case "$*" in
    *render_speed*) echo "$rows" > "${{@: -1}}"; echo "no kernel image" >&2; exit 3 ;;
    *training_speed*) exit 124 ;;  # as timeout says it
    *) echo "$rows" > "${{@: -1}}" ;;
esac
""")
    stand_in.chmod(0o755)
    done = gpu_script(tmp_path / "gpu.json", python=stand_in)
    assert done.returncode == 0, done.stderr
    steps = json.loads((tmp_path / "gpu.json").read_text())["steps"]
    assert len(steps) == 8 and {step["status"] for step in steps.values()} == {"ok", "failed", "over its 70 s"}
    assert steps["codecs"]["status"] == "failed" and "no kernel image" in steps["codecs"]["said"]
    assert len(steps["codecs"]["result"]["rows"]) == 2, "what was measured before it broke down"
    assert steps["training"]["status"] == "over its 70 s" and "result" not in steps["training"]
    assert steps["latents_equal"]["latents_equal"] is True and "latents_equal" not in steps["graphs"]


@pytest.mark.slow
def test_every_step_runs_on_the_processor(tmp_path):
    """What is measured on a GPU with and without graphs is the same on a processor, and need not run again."""
    stand_in = tmp_path / "python"
    stand_in.write_text(f"""#!/bin/bash
asked="{tmp_path}/$(echo "${{@:1:$#-1}}" | md5sum | cut -c 1-32)"
[ "$1" != - ] && [ -f "$asked" ] && exec cp "$asked" "${{@: -1}}"
{sys.executable} "$@" || exit
[ "$1" = - ] || cp "${{@: -1}}" "$asked"
""")
    stand_in.chmod(0o755)
    done = gpu_script("--cpu-smoke", tmp_path / "smoke.json", python=stand_in)
    steps = json.loads((tmp_path / "smoke.json").read_text())["steps"]
    assert {name: step["status"] for name, step in steps.items()} == dict.fromkeys(steps, "ok"), done.stderr
    assert steps["latents_equal"]["latents_equal"]
    assert all(step["result"]["rows"] for step in steps.values())
