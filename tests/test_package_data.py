"""What is no Python but belongs to the packages is installed with them."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("t2av_bench", "reports", "reference_model", "baselines", "experiments")
# What only they need who work in a checkout.
_LEFT_OUT = re.compile(r"__pycache__|\.lock$|\.md$|reports/embedded/")


# In a process of its own: setuptools puts its distutils in place of Python's, which other tests' imports may undo.
_FILES = """
import json
from setuptools import Distribution

distribution = Distribution()
distribution.parse_config_files()
build = distribution.get_command_obj("build_py")
build.ensure_finalized()
build.manifest_files = {}  # patterns alone: a wheel that is built elsewhere knows nothing of git
print(json.dumps([
    file for name in distribution.packages for file in build.find_data_files(name, name.replace(".", "/"))
]))
"""


@pytest.fixture(scope="module")
def installed() -> set[str]:
    """Files that setuptools would copy, relative to the root."""
    said = subprocess.run([sys.executable, "-c", _FILES], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return {Path(file).as_posix() for file in json.loads(said.splitlines()[-1])}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_file_beside_the_modules_is_installed(package, installed):
    files = {path.relative_to(ROOT).as_posix() for path in (ROOT / package).rglob("*") if path.is_file()}
    missing = {file for file in files - installed if not file.endswith(".py") and not _LEFT_OUT.search(file)}
    assert sorted(missing) == []
    assert package == "baselines" or any(file.startswith(f"{package}/") for file in installed)


def test_attestations_that_are_handed_in_are_installed(tmp_path):
    """There is none yet, so one is put where it belongs; without any there is no such folder in a wheel."""
    folder = tmp_path / "t2av_bench" / "systems" / "external" / "attestations"
    folder.mkdir(parents=True)
    (tmp_path / "t2av_bench" / "__init__.py").touch()
    (folder / "sonic-2030.json").touch()
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    said = subprocess.run([sys.executable, "-c", _FILES], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "t2av_bench/systems/external/attestations/sonic-2030.json" in json.loads(said.stdout.splitlines()[-1])
