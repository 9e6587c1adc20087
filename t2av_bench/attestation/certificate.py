"""The certificate: what agreed with published values, and the digests of all that it holds for.

JSON, as attestations of systems are (``systems.external.attestations``): ``schema``, ``id``, ``date`` and ``results``,
whose failures leave nothing to attest. ``digests`` names what it is bound to, ``seal`` is the digest of the rest, so
that a line changed by hand or by accident is noticed; it is no signature, and proves nobody's word.
"""

import hashlib
import importlib.util
import json
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from t2av_bench import weights
from t2av_bench.attestation.agreement import Found, compare
from t2av_bench.attestation.reference import Reference
from t2av_bench.media import legacy
from t2av_bench.metrics import create
from t2av_bench.utils.checks import Step
from t2av_bench.utils.config import ConfigError
from t2av_bench.utils.files import file_sha256, json_text, write_text
from t2av_bench.utils.text import some
from t2av_bench.weights.digests import hash_file, listing_digest

SCHEMA = 1
_PACKAGE = Path(__file__).resolve().parents[1]
_CODE = (
    "extractors/syncnet.py", "faces/crop.py", "faces/detect.py", "faces/find.py", "faces/shots.py", "faces/track.py",
    "media/*.py", "metrics/sync.py", "metrics/sync_legacy.py", "metrics/sync_quantities.py", "utils/inference.py",
)  # fmt: skip
_NETWORKS = ("SyncNetModel.py", "detectors/s3fd/*.py")


def bound(reference: Reference) -> dict[str, str]:
    """Name -> digest (SHA-256) or version of everything but the clips that can move a value.

    ``weights/ID``, ``code/FILE`` of this program and of syncnet-python's networks, ``decoder/ffmpeg`` (all that
    ``ffmpeg -version`` says), ``library/NAME``, ``reference/FILE``. What is absent is ``"absent"``. Raises
    NotApplicable without the ffmpeg program.
    """
    found = {f"weights/{id}": _weight(id) for id in reference.weights}
    found |= {f"code/{name}": file_sha256(path) for name, path in _sources()}
    found["decoder/ffmpeg"] = _program()
    libraries = create(reference.metric).protocol.libraries
    found |= {f"library/{name}": version for name, version in libraries.items() if name != "ffmpeg"}
    found |= {f"reference/{path.name}": file_sha256(path) for path in (reference.file, reference.table)}
    return found


def clip_digests(reference: Reference, source: Path) -> dict[str, str]:
    """File -> digest of git's object (SHA-1), as the repository lists it, of the clips (and sound files) there are."""
    return {
        name: hash_file(source / name, ("git_blob",))["git_blob"]
        for name in reference.files if (source / name).is_file()
    }  # fmt: skip


def write(path: Path, facts: Mapping[str, Any]) -> None:
    """Write a certificate of ``facts``. Raises ValueError where a step failed: there is nothing to attest."""
    if failed := [step["name"] for step in facts["results"] if step["status"] == "failed"]:
        raise ValueError(f"there is nothing to attest: {', '.join(failed)} failed")
    whole = {"schema": SCHEMA, **facts}
    write_text(path, json_text({**whole, "seal": _seal(whole)}, indent=1) + "\n")


def read(path: Path) -> dict[str, Any]:
    """A certificate. Raises ConfigError for a file that is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["schema"] != SCHEMA:
            raise ConfigError(f"{path} has schema {found['schema']}, this version reads {SCHEMA}")
        texts = [found["id"], found["date"], found["seal"], *found["digests"].values(), *found["clips"].values()]
        if not all(isinstance(text, str) for text in texts):
            raise TypeError("a digest is no text")
        for document in found["values"].values():
            Found.of_document(document)
        if not isinstance(found["summary"], dict):
            raise TypeError("the summary is none")
    except ConfigError:
        raise
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigError(f"{path} is no certificate of 't2av-bench attest': {error!r}") from error
    return found


def check(found: Mapping[str, Any], reference: Reference, source: Path | None = None) -> Iterator[Step]:
    """Whether a certificate is whole, and what has changed since: a step for each digest that differs.

    source: the folder with the clips; without it they are not looked at. Raises NotApplicable without the program, and
    ConfigError for a certificate of another reference.
    """
    if found["id"] != reference.id:
        raise ConfigError(f"the certificate is of {found['id']}, not of {reference.id}: name that reference, or none")
    rest = {key: value for key, value in found.items() if key != "seal"}
    if found["seal"] == _seal(rest):
        yield "seal", "ok", "the certificate is as it was written"
    else:
        yield "seal", "failed", "the certificate was changed after it was written"
    values = {id: Found.of_document(document) for id, document in found["values"].items()}
    agreed = compare(reference, values)
    yield from agreed.steps
    if json.loads(json_text(agreed.summary)) != found["summary"]:
        yield "summary", "failed", "the summary is not that of the stored values"
    now, then = bound(reference), {name: digest for name, digest in found["digests"].items() if name != "clips"}
    if found["digests"].get("clips") != listing(found["clips"]):
        yield "clips", "failed", "the one digest of all clips is not that of the clips' digests"
    changed = differing(then, now)
    for name in changed:
        yield name, "failed", f"changed: {_short(then.get(name))} when attested, {_short(now.get(name))} here"
    if not changed:
        yield "digests", "ok", f"{len(now)} of weights, code, decoder, libraries and reference are the same"
    if source is None:
        yield "clips", "skipped", "their folder was not named (--source)"
        return
    yield clips_step(found["clips"], clip_digests(reference, source))


def clips_step(expected: Mapping[str, str], here: Mapping[str, str], least: float = 1.0) -> Step:
    """Whether files are those expected (name -> digest), and which are not. least: share that must be there."""
    missing = [name for name in expected if name not in here]
    other = [name for name in expected if name in here and here[name] != expected[name]]
    same = len(expected) - len(missing) - len(other)
    words = f"{same} of {len(expected)} files are the expected ones"
    for what, names in (("missing", missing), ("changed", other)):
        if names:
            words += f"; {what}: {some(names)}"
    short = len(here.keys() & expected.keys()) < least * len(expected)
    return "clips", "failed" if short or other else "ok", words


def differing(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Names whose digests are not the same on both sides."""
    return [name for name in sorted({*now, *then}) if now.get(name) != then.get(name)]


def listing(digests: Mapping[str, str]) -> str:
    """One digest of all clips."""
    return listing_digest(sorted(digests.items()))


def _sources() -> Iterable[tuple[str, Path]]:
    for pattern in _CODE:
        for path in sorted(_PACKAGE.glob(pattern)):
            yield f"t2av_bench/{path.relative_to(_PACKAGE).as_posix()}", path
    spec = importlib.util.find_spec("syncnet_python")
    for root in map(Path, (spec.submodule_search_locations or []) if spec else []):
        for pattern in _NETWORKS:
            for path in sorted(root.glob(pattern)):
                yield f"syncnet_python/{path.relative_to(root).as_posix()}", path


def _weight(id: str) -> str:
    """Of the file as it lies on disk, whatever a table says of it."""
    path = weights.configured().find(id)
    return "absent" if path is None else file_sha256(path)


def _program() -> str:
    said = subprocess.run([legacy.ffmpeg_program(), "-version"], capture_output=True, timeout=60, check=True).stdout
    return f"{legacy.ffmpeg_version()} sha256 {hashlib.sha256(said).hexdigest()}"


def _seal(whole: Mapping[str, Any]) -> str:
    canonical = json.dumps(whole, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _short(digest: str | None) -> str:
    return "absent" if digest is None else digest if len(digest) < 24 else f"{digest[:16]}…"
