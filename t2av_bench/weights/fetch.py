"""Download weight files: the licence accepted, the digest checked before the file gets its name.

A file under its final name is whole and verified, whenever the process is killed; what arrived so far waits beside it
as ``NAME.part``. Nothing that was there before is deleted or overwritten.
"""

import shutil
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from t2av_bench.errors import NotApplicable
from t2av_bench.weights import registry
from t2av_bench.weights.connection import without_password
from t2av_bench.weights.digests import exclusively, hash_file
from t2av_bench.weights.download import (  # fmt: skip
    LARGEST_UNSTATED,
    CannotWrite,
    DownloadError,
    Progress,
    download,
    limit,
    printable,
)
from t2av_bench.weights.entry import Origin, WeightsEntry
from t2av_bench.weights.table import Weights

_HUB = "https://huggingface.co/"


class FetchError(Exception):
    """The file could not be had; the message names each address tried, and why it failed, or the licence to accept."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A verified file. state: ``present`` (nothing was downloaded) or ``fetched`` (from ``source``)."""

    id: str
    path: Path
    sha256: str | None
    state: Literal["present", "fetched"]
    source: str | None = None


def fetch(
    store: Weights,
    id: str,
    accept: Collection[str] = (),
    progress: Progress | None = None,
    pause: Callable[[float], None] = time.sleep,
    largest: int = LARGEST_UNSTATED,
    on_wait: Callable[[], None] = lambda: None,
) -> Fetched:
    """Make the file of ``id`` present in the store's first folder, verified.

    accept: licence groups that the user agreed to; ``free`` needs no word. largest: bytes that are taken where the
    table states no size. Several processes may fetch the same id: one downloads, the others call ``on_wait`` and wait
    for it. Raises UnknownWeights, FetchError, and NotApplicable where a file that is already there is not the one
    expected.
    """
    entry = store.entry(id)
    if store.find(id) is not None:
        return _present(store, entry)
    if entry.group != "free" and entry.group not in accept:
        raise FetchError(
            f"weights {id!r} are under: {entry.licence} (group {entry.group}). If you accept that: {entry.remedy}"
        )
    if entry.archive:
        archive = fetch(store, entry.archive, accept, progress, pause, largest, on_wait)
        return Fetched(id, store.path(id), store.digest(id), "fetched", archive.source or str(archive.path))
    if not entry.origins:
        raise FetchError(store.how_to_get(entry))
    target = store.folders[0] / entry.file
    try:
        with exclusively(target, on_wait):
            if store.find(id) is not None:  # another process was faster
                return _present(store, entry)
            get = partial(download, progress=progress, pause=pause, largest=largest)
            source = _from_origins(store, entry, target, get, largest)
    except OSError as error:
        said = str(error) if isinstance(error, CannotWrite) else f"cannot write {target}: {error}"
        raise FetchError(
            f"weights {id!r}: {said}; make room there, or name another folder (--folder FOLDER), then: {entry.remedy}"
        ) from error
    return Fetched(id, target, store.digest(id), "fetched", source)


def _present(store: Weights, entry: WeightsEntry) -> Fetched:
    verdict = store.verify(entry.id, explicit=True)
    if verdict.path is None or verdict.message:
        raise NotApplicable(verdict.message)
    return Fetched(entry.id, verdict.path, verdict.sha256, "present")


def _from_origins(store: Weights, entry: WeightsEntry, target: Path, get: Callable[..., bool], largest: int) -> str:
    """Try the origins in order; the one that delivered. Raises FetchError with the reasons of all."""
    reasons = []
    for origin in entry.origins:
        try:
            if origin.url:
                source = _from_url(store, entry, origin.url, target, get)
            elif origin.hub:
                source = _from_hub(store, entry, origin, target, largest)
            else:
                source = _from_registry(store, entry, origin, target, get)
        except DownloadError as error:
            reasons.append(f"{origin}: {error}")
        else:
            for waiting in (_part(target), _unpacked(target)):  # what other origins had begun
                shutil.rmtree(waiting) if waiting.is_dir() else waiting.unlink(missing_ok=True)
            return source
    how = f"{entry.manual}; put" if entry.manual else "put"
    by_hand = f"\n  by hand: {how} the result at {target}, then: t2av-bench weights verify {entry.id}"
    raise FetchError(f"weights {entry.id!r} could not be fetched:\n  " + "\n  ".join(reasons) + by_hand)


def _part(target: Path) -> Path:
    """Where a file or a hub's folder waits for the next command."""
    return target.with_name(target.name + ".part")


def _unpacked(target: Path) -> Path:
    """The folder where distributions wait, and what is made of them."""
    return target.with_name(target.name + ".registry")


def _from_url(store: Weights, entry: WeightsEntry, url: str, target: Path, get: Callable[..., bool]) -> str:
    part = _part(target)
    if part.is_dir():
        raise CannotWrite(f"{part} is a folder, expected a partial file")
    free = shutil.disk_usage(target.parent).free + (part.stat().st_size if part.exists() else 0)
    if entry.size is not None and free < entry.size:
        raise CannotWrite(f"{entry.size} bytes are needed, {target.parent} has {free} free")
    address, stated = _on_the_hub(entry, url) if url.startswith(_HUB) else (url, None)

    def difference() -> str | None:
        sha256, found = store.compare(entry, part)
        return found or (f"sha256 is {sha256}, the hub states {stated}" if stated not in (None, sha256) else None)

    proved = bool(entry.digests or stated or store.lock.get(entry.id))
    _get(partial(get, address, part, proved=proved, size=entry.size), part, difference)
    _name(store, entry, part, target, store.compare(entry, part)[0])
    return address


def _get(download: Callable[[], bool], part: Path, difference: Callable[[], str | None]) -> None:
    """Fill ``part`` with the file expected. Raises DownloadError where it is another one, which is not kept."""
    for _ in range(2):
        kept = download()
        if (found := difference()) is None:
            return
        part.unlink()
        if not kept:
            break
        # The kept beginning may be what is wrong, so the address gets one try from the start.
    raise DownloadError(found)


def _from_registry(store: Weights, entry: WeightsEntry, origin: Origin, target: Path, get: Callable[..., bool]) -> str:
    """Distributions, each proved by its own digest, and out of their members the file, proved by that of the table."""
    work = _unpacked(target)
    work.mkdir(exist_ok=True)
    places = registry.places()
    sources = [_distribution(places, file, sha256, work / file, get) for file, sha256 in origin.distributions.items()]
    built = work / "built"
    if built.exists():  # of a command that was killed
        shutil.rmtree(built)
    made, archives = built / target.name, [work / file for file in origin.distributions]
    try:
        if origin.conversion:
            from t2av_bench.weights.whisper_conversion import convert

            convert(archives, origin.members, made)
        else:
            registry.join(archives, origin.members, made)
        sha256, difference = store.compare(entry, made, ignore_lock=bool(entry.identity))
        if difference:
            raise DownloadError(difference)
    except DownloadError:
        shutil.rmtree(work)  # proved distributions without the file will not have it next time
        raise
    _name(store, entry, made, target, sha256)
    return ", ".join(sources)


def _distribution(places: Sequence[str], file: str, stated: str, part: Path, get: Callable[..., bool]) -> str:
    """Fill ``part`` with a wheel or source distribution from the first place that has it; which that was."""

    def difference() -> str | None:
        sha256 = hash_file(part)["sha256"]
        return None if sha256 == stated else f"{file}: sha256 is {sha256}, the table states {stated}"

    if part.exists() and difference() is None:
        return file
    reasons = []
    for place in places:
        try:
            address = registry.find(place, file)
            _get(partial(get, address, part, proved=True), part, difference)
            return without_password(address)
        except DownloadError as error:
            reasons.append(f"{without_password(place)}: {error}")
    raise DownloadError("; ".join(reasons) or f"no index to ask for {file} (PIP_NO_INDEX)")


def _on_the_hub(entry: WeightsEntry, url: str) -> tuple[str, str | None]:
    """Where the hub (or its mirror in ``HF_ENDPOINT``) has a file; where the table states no sha256, also the hub's."""
    import huggingface_hub
    from huggingface_hub import constants

    address = url.replace(_HUB, f"{constants.ENDPOINT}/", 1)
    if entry.sha256:
        return address, None
    try:
        etag = huggingface_hub.get_hf_file_metadata(address).etag or ""
    except Exception as error:  # its own, the HTTP client's and the system's
        raise DownloadError(printable(str(error))) from error
    return address, etag if len(etag) == 64 else None  # small files have git's digest, of their blob


def _from_hub(store: Weights, entry: WeightsEntry, origin: Origin, target: Path, largest: int) -> str:
    """A snapshot of a hub repository at the table's revision, else at the recorded one, else at today's."""
    import huggingface_hub

    assert origin.hub
    recorded = store.lock.get(entry.id) or {}
    part = _part(target)
    prefix = f"{origin.folder}/" if origin.folder else ""
    patterns = [prefix + pattern for pattern in entry.patterns or (["*"] if prefix else [])]
    try:
        revision = origin.revision or recorded.get("revision")
        found = huggingface_hub.HfApi().model_info(origin.hub, revision=revision, files_metadata=True)
        commit = found.sha
        _check_size(entry, found.siblings or [], patterns, target.parent, largest)
        huggingface_hub.snapshot_download(origin.hub, revision=commit, allow_patterns=patterns or None, local_dir=part)
    except (DownloadError, CannotWrite):
        raise
    except Exception as error:  # the hub client raises its own, httpx's, the system's and its storage layer's
        raise DownloadError(f"{printable(str(error))}; the same command continues") from error
    content = part / prefix
    if not content.is_dir():
        raise DownloadError(f"has no folder {origin.folder!r} at {commit}")
    sha256, difference = store.compare(entry, content, ignore_lock=bool(entry.identity))
    if difference:
        shutil.rmtree(part)
        raise DownloadError(f"at {commit}: {difference}")
    shutil.rmtree(part / ".cache", ignore_errors=True)
    _name(store, entry, content, target, sha256, commit)
    return f"{origin.hub}@{commit}"


def _check_size(entry: WeightsEntry, files: Sequence[Any], patterns: Sequence[str], folder: Path, largest: int) -> None:
    """Refuse a repository that is larger than ``largest`` bytes or than the disk, as far as the hub states sizes."""
    from huggingface_hub.utils import filter_repo_objects

    wanted = filter_repo_objects(files, allow_patterns=list(patterns) or None, key=lambda file: file.rfilename)
    total = sum(file.size or 0 for file in wanted)
    if total > largest:
        raise DownloadError(f"has {total} bytes; {limit(largest)}: {entry.remedy} --max-size {-(-total // 10**9)}")
    if (free := shutil.disk_usage(folder).free) < total:
        raise CannotWrite(f"{total} bytes are needed, {folder} has {free} free")


def _name(
    store: Weights, entry: WeightsEntry, part: Path, target: Path, sha256: str, revision: str | None = None
) -> None:
    """Record a digest that nobody states, then give the verified file its name."""
    if entry.sha256 is None:
        store.record(entry.id, part, sha256, revision, name=target.name)
    if part.is_dir():
        part.rename(target)  # an existing folder is never replaced: rename refuses one that is not empty
    else:
        part.replace(target)  # the caller holds the lock and has seen that there is no such file
