"""What metrics and systems lack: everything is named at once, with one command; what they import is declared."""

import ast
import builtins
import importlib
import importlib.util
import inspect
import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from t2av_bench import metrics, systems
from t2av_bench.errors import NotApplicable
from t2av_bench.metrics.base import Metric
from t2av_bench.utils import optional
from t2av_bench.weights.needs import lacks

CORE = {"numpy", "scipy", "soxr", "av", "pydantic", "safetensors", "t2av_bench", "reference_model", "baselines"}
METRICS, SYSTEMS = metrics.registry.built_in, systems.registry.built_in
USERS = [*map(metrics.metric_class, METRICS), *map(systems.system_class, SYSTEMS)]


def packages_in(node: ast.AST) -> set[str]:
    """What is asked for inside by ``require``, or imported from outside of the core."""
    found = set()
    for each in ast.walk(node):
        if isinstance(each, ast.Call) and isinstance(each.func, ast.Name) and each.func.id == "require":
            [module, _] = map(ast.unparse, each.args)
            found.add(module.strip("'\""))
        elif isinstance(each, ast.Import):
            found |= {alias.name for alias in each.names}
        elif isinstance(each, ast.ImportFrom):
            found.add(each.module or "")
    return {name.partition(".")[0] for name in found} - CORE - set(sys.stdlib_module_names)


def for_type_checkers(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


@pytest.mark.parametrize("user", USERS, ids=lambda user: user.id)
def test_what_a_class_imports_is_declared(user: type) -> None:
    for each in user.__mro__:
        # The class of a specification is made, not written: what it imports is what its base class does.
        is_written = each.__name__ in vars(sys.modules[each.__module__])
        if is_written and each.__module__.startswith("t2av_bench"):
            assert packages_in(ast.parse(inspect.getsource(each))) <= set(user.packages), each


@pytest.mark.parametrize("module", sorted({user.__module__ for user in USERS}))
def test_what_a_module_imports_is_declared_by_one_of_its_classes(module: str) -> None:
    tree = ast.parse(Path(importlib.import_module(module).__file__ or "").read_text(encoding="utf-8"))
    tree.body = [node for node in tree.body if not for_type_checkers(node)]
    declared = {package for user in USERS if user.__module__ == module for package in user.packages}
    assert packages_in(tree) <= declared


def test_the_extra_installs_what_is_declared() -> None:
    """By pyproject.toml, and by what the installed distributions say that they can be imported as."""
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    def plain(name: str) -> str:
        return name.replace("_", "-").lower()

    def installed_by(extra: str) -> set[str]:
        lines = [*project["dependencies"], *project["optional-dependencies"][extra]]
        [others] = re.findall(r"t2av-bench\[(.*)\]", " ".join(lines)) or [""]
        names = {plain(re.split(r"[^\w.-]", line)[0]) for line in lines}
        return names.union(*(installed_by(other) for other in others.split(",") if other))

    made_by: dict[str, set[str]] = {}
    for distribution in metadata.distributions():
        name = plain(distribution.name)  # which reads and parses its METADATA
        # Its list of files as it stands: to ask for them is to look for each of 70,000 on the disk.
        for line in (distribution.read_text("RECORD") or "").splitlines():
            made_by.setdefault(re.split(r"[/.,]", line)[0], set()).add(name)
    for user in USERS:
        for package in user.packages:
            # What is not here is taken to be named as its module is.
            assert made_by.get(package, {plain(package)}) & installed_by(user.extra or ""), (user.id, package)


def test_all_that_is_missing_is_named_at_once_with_one_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("T2AV_BENCH_WEIGHTS", str(tmp_path))
    gone = {"pystoi", "pesq", "cv2", "speechmos"}
    real = importlib.util.find_spec
    monkeypatch.setattr("t2av_bench.weights.needs.find_spec", lambda name: None if name in gone else real(name))
    asked = [metrics.metric_class(id) for id in ("sync/exact", "pesq/itu", "stoi/pystoi", "fid/clean")]
    assert lacks(*asked) == (
        "missing: weights syncnet_v2, sfd_face, inception_nv and Python packages cv2, pesq, pystoi: "
        "pip install 't2av-bench[speech,sync]' && "
        "t2av-bench weights fetch --for sync/exact,fid/clean --accept non-commercial --accept research"
    )
    assert lacks(*asked, weights=False) == (
        "missing: Python packages cv2, pesq, pystoi: pip install 't2av-bench[speech,sync]'"
    )
    assert lacks(metrics.metric_class("psnr/rgb")) == "missing: Python packages cv2: pip install 't2av-bench[video]'"
    assert lacks(metrics.metric_class("utmos/strong-v1")) == (
        "missing: weights utmos22_strong: t2av-bench weights fetch --for utmos/strong-v1"
    )
    assert lacks() is None
    with pytest.raises(NotApplicable, match=r"embedded-codec: missing: Python packages cv2: pip .*\[demo\]"):
        systems.load("embedded-codec")


def test_opencv_without_the_libraries_of_a_desktop_is_named_with_what_brings_them(monkeypatch, tmp_path) -> None:
    pytest.importorskip("cv2", reason="OpenCV is missing: pip install 't2av-bench[video]'")
    monkeypatch.setenv("T2AV_BENCH_WEIGHTS", str(tmp_path))
    psnr, lpips = (metrics.metric_class(id) for id in ("psnr/rgb", "lpips/alex"))
    assert lacks(psnr) is None

    def absent(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    (tmp_path / "cv2.py").write_text("raise ImportError('libxcb.so.1: cannot open shared object file')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "cv2", raising=False)
    monkeypatch.setattr("ctypes.CDLL", absent)
    optional.opencv_fault.cache_clear()
    try:
        told = "a library that OpenCV loads (libxcb.so.1: cannot open shared object file)"
        assert lacks(psnr) == f"missing: {told}: apt-get install libgl1 libglib2.0-0"
        assert "OpenCV" not in str(lacks(lpips))
    finally:
        optional.opencv_fault.cache_clear()


def test_weights_inside_a_package_come_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr("t2av_bench.weights.needs.find_spec", lambda name: None)
    assert lacks(metrics.metric_class("dnsmos/p835")) == (
        "missing: Python packages onnxruntime, speechmos: pip install 't2av-bench[speech]'"
    )


def test_nothing_is_imported_to_say_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(name: str, *arguments: object, **options: object) -> object:
        assert name.partition(".")[0] not in {package for user in USERS for package in user.packages}, name
        return real(name, *arguments, **options)

    real = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", refused)
    lacks(*USERS)


def test_a_plug_in_without_an_extra_is_told_the_names_alone() -> None:
    class Plugin(Metric):
        id = "own/one"
        packages = ("no_such_package",)

    assert lacks(Plugin) == "missing: Python packages no_such_package"
