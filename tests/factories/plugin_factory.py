"""Plug-ins as installed packages, for one test: here and in child processes."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


def install(
    site: Path, patch: pytest.MonkeyPatch, entries: Mapping[str, str], modules: Mapping[str, str] | None = None,
    group: str = "t2av_bench.metrics",
) -> dict[str, str]:  # fmt: skip
    """Entry points (id -> ``module:Class``) and the sources of their modules; returns the environment."""
    from t2av_bench import metrics

    described = site / f"{site.name}-1.0.dist-info"
    described.mkdir(parents=True)
    (described / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {site.name}\nVersion: 1.0\n")
    lines = [f"{id} = {target}" for id, target in entries.items()]
    (described / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines]) + "\n")
    for name, source in (modules or {}).items():
        (site / f"{name}.py").write_text(source)
    paths = [str(site), str(REPOSITORY / "tests" / "factories"), str(REPOSITORY), os.environ.get("PYTHONPATH", "")]
    patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    patch.syspath_prepend(str(site))
    metrics.registry.forget()
    return dict(os.environ)
