"""What is no Python but belongs to the packages is installed with them."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from media_factory import tone_clip

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


# --- what is built, and what it does where no checkout is near --------------------------------------------------------

_BUILD = "import sys; from setuptools import build_meta; print(getattr(build_meta, sys.argv[1])(sys.argv[2]))"
_SHIPPED = {
    "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "LICENSE", "PACKAGE.md", "SECURITY.md", "constraints.txt",
    "pyproject.toml",
}  # fmt: skip


def _built(kind: str, source: Path, out: Path) -> Path:
    """What setuptools makes of a tree, without a network: ``sdist`` or ``wheel``."""
    out.mkdir()
    words = [sys.executable, "-c", _BUILD, f"build_{kind}", str(out)]
    done = subprocess.run(words, cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def sdist(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("package")
    ignored = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "docs-site", "*-run", "*.lock")
    return _built("sdist", shutil.copytree(ROOT, place / "tree", ignore=ignored), place / "sdist")


@pytest.fixture(scope="module")
def unpacked(sdist, tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(place, filter="data")
    return next(place.iterdir())


@pytest.fixture(scope="module")
def wheel(unpacked, tmp_path_factory) -> Path:
    return _built("wheel", unpacked, tmp_path_factory.mktemp("wheels") / "wheel")


@pytest.fixture(scope="module")
def target(wheel, tmp_path_factory) -> Path:
    """A folder into which the wheel is installed, without anything else."""
    folder = tmp_path_factory.mktemp("target")
    words = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-compile", "--target", str(folder), wheel]
    subprocess.run(words, check=True, capture_output=True)
    return folder


@pytest.mark.slow
def test_the_sdist_has_what_a_wheel_is_made_of_and_what_people_look_for(unpacked):
    there = {path.name for path in unpacked.iterdir()}
    assert there >= _SHIPPED | {*PACKAGES} and there.isdisjoint({"tests", "bench", "website", "docs"})


@pytest.mark.slow
def test_the_wheel_is_the_same_out_of_the_sdist_and_out_of_the_tree(wheel, sdist, tmp_path):
    direct = _built("wheel", sdist.parent.parent / "tree", tmp_path / "direct")
    files = [{each.filename: each.CRC for each in zipfile.ZipFile(path).infolist()} for path in (wheel, direct)]
    assert files[0] == files[1]


@pytest.mark.slow
def test_the_wheel_has_the_packages_and_nothing_else(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    info = {name for name in names if ".dist-info/" in name}
    mine = {path.relative_to(ROOT).as_posix() for package in PACKAGES for path in (ROOT / package).rglob("*")
            if path.is_file()}  # fmt: skip
    assert {name for name in mine - names if not _LEFT_OUT.search(name)} == set()
    assert names - info <= mine
    assert {name.partition("/")[2] for name in info} >= {"METADATA", "entry_points.txt", "licenses/LICENSE"}


@pytest.mark.slow
def test_the_metadata_say_what_the_project_says(wheel):
    archive = zipfile.ZipFile(wheel)
    (file,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    told = Parser().parsestr(archive.read(file).decode())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (told["Name"], told["Version"], told["License-Expression"]) == (
        "t2av-bench",
        project["version"],
        "Apache-2.0",
    )
    assert set(told.get_all("Provides-Extra")) == project["optional-dependencies"].keys()
    assert told["Description-Content-Type"] == "text/markdown"
    assert told.get_payload().strip() == (ROOT / "PACKAGE.md").read_text(encoding="utf-8").strip()


_EVERY_CHECKPOINT = """
import t2av_bench
from t2av_bench.gridface.models import checkpoints
from t2av_bench.gridface.training.recipes import packaged

print(t2av_bench.__file__, len([checkpoints.path(name) for name in packaged()]))
"""


@pytest.mark.slow
def test_the_installed_package_works_where_no_checkout_is_near(target, tmp_path):
    (tmp_path / "clips").mkdir()
    tone_clip(tmp_path / "clips" / "a.mp4")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("T2AV_")}
    environment |= {"PYTHONPATH": str(target), "XDG_CACHE_HOME": str(tmp_path / "cache")}

    def run(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-P", *words], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{words}\n{done.stdout}{done.stderr}"
        return done.stdout

    def cli(*words: str) -> str:
        return run("-m", "t2av_bench.cli.main", *words)

    place, count = run("-c", _EVERY_CHECKPOINT).split()
    assert Path(place).is_relative_to(target) and int(count) > 10
    cli("evaluate", "clips", "--reference", "clips", "--metrics", "psnr", "--out", "run", "--workers", "1")
    cli("report", "run", "--out", "page", "--no-plots")
    assert {path.suffix for path in (tmp_path / "page").rglob("*")} >= {".html", ".css", ".js"}
    assert "Talker-T2AV" in cli("table", "paper:1") and "PSNR" in cli("table", "run")
    assert json.loads(cli("gaps", "--json")) and json.loads(cli("weights", "list", "--json"))
    assert {"ovi", "mova"} <= {row["id"] for row in json.loads(cli("list", "systems", "--json"))}
    assert "git clone" in cli("systems", "recipe", "ovi", "--kind", "uv") and "mochabench" in cli("data", "list")
    for kind in ("metric", "system", "benchmark"):
        cli("new", kind, f"my_{kind}")
        assert (tmp_path / f"my_{kind}" / "pyproject.toml").is_file()
    cli(
        "generate",
        "--system",
        "embedded-espeak",
        "--task",
        "tts",
        "--text",
        "bin blue at alpha one now",
        "--out",
        "a.wav",
    )
    assert (tmp_path / "a.wav").is_file()
