"""``t2av-bench env``: what a bug report needs to say."""

import os
import re
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution, entry_points
from typing import Annotated, Any

import typer

from t2av_bench.utils.files import json_text
from t2av_bench.utils.terminal_text import echo

_GROUPS = ("t2av_bench.metrics", "t2av_bench.systems", "t2av_bench.benchmarks")


def env(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show what numbers and faults can depend on: paste it into a bug report."""
    from t2av_bench.utils.registry import stdout_to_stderr

    with stdout_to_stderr():  # libraries that print when they are imported
        found = report()
    if as_json:
        echo(json_text(found, indent=1))
        return
    width = max(map(len, found))
    for name, value in found.items():
        for number, line in enumerate(_lines(value)):
            echo(f"{name if not number else '':<{width}}  {line}")


def report() -> dict[str, Any]:
    """The environment of ``evaluate``'s records; then the machine, the extras, the folders, and who plugs in."""
    from t2av_bench import weights
    from t2av_bench.evaluation.provenance import environment
    from t2av_bench.utils import machine
    from t2av_bench.utils.memory import GB, available

    free = available()
    ids = weights.configured().table
    return {
        **environment(),
        "cores": machine.cores(),
        "memory": "unknown" if free is None else f"{free / GB:.1f} GB available",
        "devices": _devices(),
        "extras": extras(),
        "weights": {
            "folders": [str(folder) for folder in weights.configured().folders],
            "present": f"{sum(map(weights.is_present, ids))} of {len(ids)}",
        },
        "cache": str(machine.user_cache()),
        "plug-ins": [f"{entry.group.partition('.')[2]} {entry.name} ({entry.value})" for group in _GROUPS
                     for entry in entry_points(group=group)],
        "variables": {name: value for name, value in sorted(os.environ.items()) if name.startswith("T2AV_")},
    }  # fmt: skip


def extras() -> dict[str, str]:
    """Extra of pip -> ``installed``, or the packages that it lacks. Empty where the program is not installed."""
    try:
        required = distribution("t2av-bench").requires or []
    except PackageNotFoundError:  # straight from a checkout
        return {}
    lacking: dict[str, list[str]] = {}
    for line in required:
        found = re.match(r"([\w.-]+).*extra == ['\"]([\w-]+)['\"]", line)
        if found and found[1].lower() != "t2av-bench":
            missing = lacking.setdefault(found[2], [])
            if not _installed(found[1]):
                missing.append(found[1])
    return {name: f"lacks {', '.join(missing)}" if missing else "installed" for name, missing in lacking.items()}


def _installed(package: str) -> bool:
    try:
        distribution(package)
    except PackageNotFoundError:
        return False
    return True


def _devices() -> list[str]:
    try:
        import torch
    except Exception as error:  # a broken installation is what such a report is for
        return [f"torch cannot be imported: {error}"]
    found = [f"cuda:{number} {torch.cuda.get_device_name(number)}" for number in range(torch.cuda.device_count())]
    return ["cpu", *(["mps"] if torch.backends.mps.is_available() else []), *found]


def _lines(value: Any) -> Iterable[str]:
    if isinstance(value, dict):
        value = [f"{name} {', '.join(text) if isinstance(text, list) else text}" for name, text in value.items()]
    return [str(value)] if not isinstance(value, list) else value or ["none"]
