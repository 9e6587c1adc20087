"""Who may import whom: each room those below it, none above or beside it, wherever in a file the import stands.

What is chosen by a name at run time (a metric, a system, a benchmark) is no import: the registries hold strings.
"""

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("t2av_bench", "reports", "baselines", "reference_model")

# From the top down; rooms on one line do not know each other. ``t2av_bench`` is its ``__init__``, the Python API.
LAYERS = """
t2av_bench.cli
t2av_bench
t2av_bench.api
t2av_bench.gridface
t2av_bench.experiment  reports  t2av_bench.pytest_plugin  t2av_bench.validation  t2av_bench.attestation
t2av_bench.evaluation  t2av_bench.comparison  t2av_bench.agreement
t2av_bench.generation  t2av_bench.results  t2av_bench.preparation
t2av_bench.systems  t2av_bench.metrics
t2av_bench.mesh_sync
t2av_bench.faces  t2av_bench.extractors
t2av_bench.weights  t2av_bench.benchmarks
t2av_bench.media  t2av_bench.statistics  t2av_bench.utils  baselines
t2av_bench.errors  t2av_bench.scores  t2av_bench.version  reference_model
"""
INSIDE = {
    "t2av_bench.gridface": """
        t2av_bench.gridface.validation
        t2av_bench.gridface.training
        t2av_bench.gridface.metrics  t2av_bench.gridface.systems
        t2av_bench.gridface.extractors  t2av_bench.gridface.benchmark
        t2av_bench.gridface.models
        t2av_bench.gridface.data
        t2av_bench.gridface.portrait
        t2av_bench.gridface.speech
        t2av_bench.gridface""",
    "reports": """
        reports.study
        reports.page
        reports.render  reports.plots
        reports.tables
        reports""",
    "baselines": """
        baselines.diffusion.training
        baselines.checkpoints
        baselines.families
        baselines.audio_driven  baselines.dual_branch  baselines.length_matched_tts
        baselines.diffusion
        baselines""",
    "reference_model": """
        reference_model.train
        reference_model.acceleration  reference_model.generate
        reference_model.training  reference_model.inference
        reference_model.checkpoints
        reference_model.model  reference_model.names
        reference_model.modules
        reference_model.config
        reference_model.arrangement  reference_model.codecs  reference_model.speaker
        reference_model.utils
        reference_model""",
}
# Tables and pages are made from runs by whoever shows them; nothing that measures needs them.
MAY_SHOW = ("t2av_bench.cli.", "t2av_bench.api.", "t2av_bench.gridface.validation.")

MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))
}  # fmt: skip


@cache
def imports(module: str) -> frozenset[str]:
    """Modules of the project that a module imports anywhere in it, for type checkers alone too."""
    return frozenset(_imports(MODULES[module]))


def _imports(path: Path) -> Iterator[str]:
    package = list(path.relative_to(ROOT).parent.parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                found = f"{origin}.{alias.name}" if f"{origin}.{alias.name}" in MODULES else origin
                if found in MODULES:
                    yield found


def ranks(table: str) -> dict[str, int]:
    """Room -> how high it stands."""
    return {room: rank for rank, line in enumerate(reversed(table.strip().splitlines())) for room in line.split()}


def room(module: str, rooms: dict[str, int]) -> str:
    """The smallest room of the table that a module is in."""
    while module not in rooms:
        module = module.rpartition(".")[0]
    return module


def upward(module: str, imported: str) -> str | None:
    """What is wrong with an import, if anything."""
    table = ranks(LAYERS)
    mine, theirs = room(module, table), room(imported, table)
    if mine == theirs:
        if mine not in INSIDE:
            return None
        table = ranks(INSIDE[mine])
        mine, theirs = room(module, table), room(imported, table)
    elif theirs == "reports" and not module.startswith(MAY_SHOW):
        return f"{module} imports {imported}: only modules of {' and '.join(MAY_SHOW)} show anything"
    if mine != theirs and table[mine] <= table[theirs]:
        return f"{module} imports {imported}: {mine} does not stand above {theirs}"
    return None


@pytest.mark.parametrize("package", PACKAGES)
def test_every_room_imports_those_below_it_alone(package):
    mine = [module for module in MODULES if module.partition(".")[0] == package]
    assert len(mine) > 5
    found = {upward(module, imported) for module in mine for imported in imports(module)}
    assert sorted(filter(None, found)) == []


def test_no_modules_import_each_other_in_a_circle():
    sorter = TopologicalSorter({module: imports(module) - {module} for module in MODULES})
    sorter.prepare()  # raises CycleError with the circle


def test_every_package_and_module_has_its_place_in_the_table():
    table = ranks(LAYERS)
    for top in ("t2av_bench", *INSIDE):
        inside = table if top == "t2av_bench" else ranks(INSIDE[top])
        children = {module for module in MODULES if module.rpartition(".")[0] == top}
        assert children and children <= inside.keys(), f"not in the table: {sorted(children - inside.keys())}"
    rooms = [*table, *(each for inside in INSIDE.values() for each in ranks(inside))]
    assert [each for each in rooms if each not in MODULES] == [], "rooms that are not there"


def test_the_table_would_notice():
    """The rules refuse what they are for: an import upwards, beside, into a higher room inside, and of reports."""
    assert upward("t2av_bench.media.clip", "t2av_bench.metrics.base")
    assert upward("t2av_bench.metrics.fid", "t2av_bench.systems.base")
    assert upward("t2av_bench.gridface.models.world", "t2av_bench.gridface.training.sync")
    assert upward("t2av_bench.gridface.metrics.wer", "reports.tables.model")
    assert upward("t2av_bench.evaluation.evaluate", "t2av_bench.cli.main")
    assert upward("t2av_bench.cli.main", "reports.tables.model") is None
    assert upward("t2av_bench.metrics.fid", "t2av_bench.media.clip") is None
