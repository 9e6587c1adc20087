"""What the benchmarks count is counted right."""

import importlib.util
import sys
from pathlib import Path

from reference_model.config import ModelConfig
from reference_model.inference.recipes import RECIPES

BENCH = Path(__file__).resolve().parents[2] / "bench"


def script(name):
    if str(BENCH) not in sys.path:
        sys.path.insert(0, str(BENCH))  # as for a script that is started
    spec = importlib.util.spec_from_file_location(name, BENCH / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def test_the_floor_of_the_released_size():
    """Counted by hand from the sizes of the paper: a Qwen3 layer, a head block, a patch encoder block."""
    floor = script("step_floor")
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
