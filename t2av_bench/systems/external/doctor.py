"""Whether a system of other people is set up as its specification says; each finding is a value, or a reason and what
to type next.

Its interpreter is asked, never imported from, and nothing is changed or downloaded.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from packaging.markers import UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from t2av_bench.systems.external.settings import digest_of
from t2av_bench.systems.external.spec import Spec
from t2av_bench.utils.checks import Status

_PROBE_SECONDS = 300.0  # importing torch from a network disk

# For the foreign interpreter, from Python 3.6 on: what it is, what is installed, what its torch sees.
_PROBE = """
import json, sys
found = {"python": "%d.%d.%d" % sys.version_info[:3], "platform": sys.platform, "packages": {}}
try:
    try:
        from importlib.metadata import distributions
        pairs = [(each.metadata["Name"], each.version) for each in distributions()]
    except ImportError:
        import pkg_resources
        pairs = [(each.project_name, each.version) for each in pkg_resources.working_set]
    found["packages"] = dict((name, version) for name, version in pairs if name)
except Exception as error:
    found["packages_error"] = "%s: %s" % (type(error).__name__, error)
if any(name.lower() == "torch" for name in found["packages"]):
    try:
        import torch
        found["cuda"] = torch.version.cuda
        found["gpus"] = [torch.cuda.get_device_name(each) for each in range(torch.cuda.device_count())]
    except Exception as error:
        found["torch_error"] = "%s: %s" % (type(error).__name__, error)
sys.stdout.write("\\n\\x1e" + json.dumps(found))
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """words: the value, or the reason. remedy: what to type or to do next; empty where nothing is wrong."""

    name: str
    status: Status
    words: str
    remedy: str = ""

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


def doctor(spec: Spec, options: Mapping[str, Any] | None = None) -> list[Finding]:
    """All findings. options: ``python``, ``checkout``, ``weights`` and ``gpus``, before those of the user's settings.

    NotApplicable while a system that runs in its own interpreter has none; ValueError for settings that cannot be read.
    """
    given = dict(options or {})
    if spec.carrier == "folder":
        return [Finding("setup", "skipped", "somebody else makes its clips: there is nothing to set up")]
    if spec.carrier == "lib":
        from t2av_bench.systems.external.settings import weights_folder

        root = weights_folder(spec.id, given.get("weights"))
        # The program's own interpreter: its packages are those that the class imports.
        about = probe([sys.executable], dict(os.environ))
        return [
            *python_findings(spec, about),
            *library_findings(spec),
            *program_findings(spec),
            *weight_findings(spec, root),
        ]
    from t2av_bench.systems.external.process import environment, filled
    from t2av_bench.systems.external.process import given as told
    from t2av_bench.systems.external.settings import settings

    found = settings(spec.id, **given)
    with tempfile.TemporaryDirectory() as name:
        folder, gpu = Path(name), found.gpus[0] if found.gpus else None
        (folder / "tmp").mkdir()
        command = filled(found.command, folder, found.checkout, found.weights) or [str(found.python)]
        about = probe(command, environment(folder, spec.variables, gpu), told(folder, spec.variables, gpu))
    return [
        *checkout_findings(spec, found.checkout),
        *python_findings(spec, about, found.checkout),
        *program_findings(spec),
        *weight_findings(spec, found.weights),
    ]


def failed(findings: Iterable[Finding]) -> bool:
    return any(finding.status == "failed" for finding in findings)


def probe(command: Sequence[str], variables: Mapping[str, str], told: Mapping[str, str] | None = None
          ) -> dict[str, Any]:  # fmt: skip
    """What an interpreter says of itself: python, platform, packages (name -> version), and of its torch gpus, cuda.

    ``error`` alone where it cannot be asked. told: variables that it sets itself, for a
    ``command`` that starts it elsewhere.
    """
    python, code = " ".join(command), f"import os\nos.environ.update({dict(told or {})!r})\n{_PROBE}"
    try:
        done = subprocess.run(
            [*command, "-c", code], env=dict(variables), stdin=subprocess.DEVNULL, capture_output=True,
            timeout=_PROBE_SECONDS, cwd=tempfile.gettempdir(), check=False,
        )  # fmt: skip
    except OSError as error:
        return {"error": f"{python} cannot be started: {error.strerror}"}
    except subprocess.TimeoutExpired:
        return {"error": f"{python} did not answer within {_PROBE_SECONDS:g} s"}
    try:
        # Before the mark stands what packages print when they are imported.
        found = json.loads(done.stdout.decode("utf-8", "replace").rpartition("\x1e")[2])
        return found if isinstance(found, dict) else {"error": f"{python} is no Python"}
    except ValueError:
        last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["it prints nothing"]
        return {"error": f"{python} ended with exit status {done.returncode}: {last[0]}"}


def python_findings(spec: Spec, about: Mapping[str, Any], checkout: Path | None = None) -> Iterator[Finding]:
    """Interpreter, packages and GPU. about: as of ``probe``."""
    recipe = f"t2av-bench systems recipe {spec.id}"
    if "error" in about:
        yield Finding("python", "failed", str(about["error"]), recipe)
        return
    needs, version = spec.environment, str(about["python"])
    if SpecifierSet(needs.python).contains(version, prereleases=True):
        yield Finding("python", "ok", version)
    else:
        yield Finding("python", "failed", f"{version}, expected {needs.python}", recipe)
    if why := about.get("packages_error"):
        yield Finding("packages", "failed", str(why), recipe)
        return
    here: dict[str, str] = {canonicalize_name(name): str(each) for name, each in about["packages"].items()}
    lines = [*needs.torch, *needs.packages, *needs.after]
    for name in needs.requirements:
        file = checkout / name if checkout else None
        if file is None or not file.is_file():
            yield Finding(f"requirements {name}", "failed", "the checkout has no such file",
                          f"git -C CHECKOUT checkout {spec.commit}")  # fmt: skip
        else:
            lines += file.read_text(encoding="utf-8", errors="replace").splitlines()
    yield from _package_findings(dict.fromkeys(lines), here, about, recipe)
    yield _gpu_finding(spec, about, here)


def _package_findings(
    lines: Iterable[str], here: Mapping[str, str], about: Mapping[str, Any], recipe: str
) -> Iterator[Finding]:
    """One finding for all that agree, and one for each that does not; the later line about a package counts."""
    wanted: dict[str, Requirement] = {}
    for line in lines:
        for requirement in _requirements(line, about):
            wanted[canonicalize_name(requirement.name)] = requirement
    agree = []
    for name, requirement in wanted.items():
        version = here.get(name)
        if version is None:
            yield Finding(f"package {name}", "failed", f"not installed, expected {requirement}", recipe)
        elif not _fits(requirement, version):
            yield Finding(f"package {name}", "failed", f"{version}, expected {requirement.specifier}", recipe)
        else:
            agree.append(f"{name} {version}")
    if agree:
        yield Finding("packages", "ok", ", ".join(agree))


def _requirements(line: str, about: Mapping[str, Any]) -> Iterator[Requirement]:
    """The packages that a line of pip asks for here; URLs, files, comments and other machines' packages are none."""
    text = line.split(" #")[0].strip()
    if not text or text.startswith(("#", "-r", "-c", "-e", "--requirement", "--constraint", "--editable")):
        return
    place = {"python_version": ".".join(str(about["python"]).split(".")[:2]),
             "python_full_version": str(about["python"]), "sys_platform": str(about["platform"])}  # fmt: skip
    words = text.split()
    bare = text if "--" not in text else " ".join(word for word in words if not word.startswith("-"))
    try:
        asked = [Requirement(bare)]
    except InvalidRequirement:  # several, or values of options among them
        asked = []
        for word in bare.split():
            with suppress(InvalidRequirement):
                asked.append(Requirement(word))
    for each in asked:
        with suppress(UndefinedEnvironmentName):
            if each.marker is None or each.marker.evaluate(place):
                yield each


def _fits(requirement: Requirement, version: str) -> bool:
    try:
        return requirement.specifier.contains(Version(version), prereleases=True)
    except InvalidVersion:  # of a build by hand
        return not requirement.specifier


def _gpu_finding(spec: Spec, about: Mapping[str, Any], here: Mapping[str, str]) -> Finding:
    gpus = about.get("gpus") or []
    if gpus:
        return Finding("gpu", "ok", f"{', '.join(map(str, gpus))}; CUDA {about.get('cuda')}")
    if why := about.get("torch_error"):
        return Finding("gpu", "failed", f"torch cannot be imported: {why}", f"t2av-bench systems recipe {spec.id}")
    if "torch" not in here:
        return Finding("gpu", "skipped", "its torch would know, and is not installed")
    built = f"built for CUDA {about['cuda']}" if about.get("cuda") else "built without CUDA"
    return Finding("gpu", "failed", f"torch {here['torch']} ({built}) sees none", "nvidia-smi")


def program_findings(spec: Spec) -> Iterator[Finding]:
    """The programs that the system calls."""
    for name in spec.environment.programs:
        if found := shutil.which(name):
            yield Finding(f"program {name}", "ok", found)
        else:
            yield Finding(f"program {name}", "failed", "not on PATH", f"conda install -c conda-forge {name}")


def weight_findings(spec: Spec, folder: Path | None) -> Iterator[Finding]:
    """Names, sizes and digests of the weights below a folder; None: nobody said which."""
    for weight in spec.weights:
        name = f"weights {weight.path}"
        source = f"get it from {weight.source}" if weight.source else f"t2av-bench systems recipe {spec.id}"
        if folder is None:
            yield Finding(name, "skipped", "no folder of weights is named", f"--weights FOLDER; {source}")
            continue
        path = folder / weight.path
        if not path.exists():
            yield Finding(name, "failed", f"not in {folder}", source)
            continue
        size = path.stat().st_size if path.is_file() else None
        if weight.bytes is not None and size is not None and size != weight.bytes:
            yield Finding(name, "failed", f"{size:,} bytes, expected {weight.bytes:,}", source)
        elif path.is_dir():
            inside = any(each.is_file() for each in path.rglob("*"))
            words = str(path) if inside else f"{path} is an empty folder"
            yield Finding(name, "ok" if inside else "failed", words, "" if inside else source)
        else:
            digest = digest_of(path)
            if weight.sha256 and digest != weight.sha256:
                yield Finding(name, "failed", f"SHA-256 {digest}, expected {weight.sha256}", source)
            else:
                yield Finding(name, "ok", f"{path}, {size:,} bytes, SHA-256 {digest}")


def checkout_findings(spec: Spec, root: Path) -> Iterator[Finding]:
    """The commit, and what differs in what the shim uses."""
    head, dirty = commit_of(root)
    wanted = f"git -C {root} checkout {spec.commit}"
    if head is None:
        yield Finding("commit", "skipped", f"{root} is no git checkout; the shim was written for {spec.commit}")
    elif head != spec.commit:
        yield Finding("commit", "failed", f"{head}; the shim was written for {spec.commit}", wanted)
    else:
        changed = f", with changes in {', '.join(dirty[:5])}" if dirty else ""
        yield Finding("commit", "ok", f"{head}{changed}")
    yield from _interface_findings(spec, root, wanted)


def library_findings(spec: Spec) -> Iterator[Finding]:
    """What differs in what a class uses of packages that are installed here."""
    package = spec.uses[0].file.partition("/")[0] if spec.uses else ""
    place = find_spec(package) if package else None
    if place and place.origin:
        yield from _interface_findings(
            spec, Path(place.origin).parents[1], f"pip install 't2av-bench[{spec.environment.extra}]'"
        )


def _interface_findings(spec: Spec, root: Path, remedy: str) -> Iterator[Finding]:
    from t2av_bench.systems.external.harvest import difference

    differences = difference(spec, root)
    for each in differences:
        yield Finding("interface", "failed", each, remedy)
    if not differences:
        yield Finding("interface", "ok", f"all that is used of it in {len(spec.uses)} places is there"
                      if spec.uses else "the specification names nothing to compare")  # fmt: skip


def commit_of(root: Path) -> tuple[str | None, list[str]]:
    """The commit of a checkout and the files that differ from it; (None, []) where the folder is none."""

    try:
        # Of this folder: a fake tree inside another checkout is none.
        if Path(os.fsdecode(_git(root, "rev-parse", "--show-toplevel")).strip()).resolve() != root.resolve():
            return None, []
        changes = os.fsdecode(_git(root, "status", "--porcelain", "--untracked-files=no")).splitlines()
        return _git(root, "rev-parse", "HEAD").decode().strip(), [line[3:] for line in changes]
    except (OSError, subprocess.SubprocessError):
        return None, []


def state_of(root: Path) -> str | None:
    """The commit of a checkout, with a digest of what differs from it, if anything does; None where it is none."""
    commit, changed = commit_of(root)
    if not commit or not changed:
        return commit
    try:
        return f"{commit}+{hashlib.sha256(_git(root, 'diff', '--no-ext-diff', 'HEAD')).hexdigest()[:16]}"
    except (OSError, subprocess.SubprocessError):
        return f"{commit}+"


def _git(root: Path, *words: str) -> bytes:
    done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, check=True, timeout=60)
    return done.stdout
