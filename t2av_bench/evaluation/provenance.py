"""Where and by what a run's scores were made."""

import os
import platform
import sys
from typing import Any

from t2av_bench.benchmarks.names import encodable
from t2av_bench.evaluation.config import EvaluateConfig
from t2av_bench.scores import LIBRARIES, library_versions
from t2av_bench.utils.machine import revision
from t2av_bench.version import __version__


def environment() -> dict[str, Any]:
    """What numbers can depend on: versions of this program, Python, the system, libraries and the decoder."""
    import av

    return {
        "t2av_bench": __version__,
        "revision": revision(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "libraries": library_versions(*LIBRARIES),
        "decoder": {name: ".".join(map(str, version)) for name, version in av.library_versions.items()},
    }


def _provenance(plan: EvaluateConfig) -> dict[str, Any]:
    """Who measures: the environment, device and command."""
    return {
        **environment(),
        "device": _device_name(plan.device) if plan.engine == "local" else plan.device,
        "batch_size": plan.batch_size,
        "engine": plan.engine,
        "workers": plan.known_workers,
        "command": [encodable(word) for word in sys.argv],
    }


def _device_name(device: str) -> str:
    if device.startswith("cuda"):
        import torch

        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"{device} ({platform.machine()}, {os.cpu_count()} cores)"
