"""Weight files by id: where each is, what its digest must be, under which licence.

A file is used only after its digest was compared, once per process, with the table's (``weights.toml``) or, where
nobody states one, with the digest recorded on first use. Files are looked up by name in the folders of
``T2AV_BENCH_WEIGHTS`` (several are separated as in ``PATH``; the first receives downloads), else in the user's data
folder. Nothing is downloaded here: see ``fetch``.
"""

import importlib.util
import json
import os
import shutil
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from t2av_bench.errors import NotApplicable
from t2av_bench.utils.config import near
from t2av_bench.utils.files import replacing
from t2av_bench.utils.machine import user_cache, user_data
from t2av_bench.weights.digests import DigestCache, Lock, stamp
from t2av_bench.weights.entry import WeightsEntry, load_index, load_table

FOLDERS_VARIABLE = "T2AV_BENCH_WEIGHTS"
TABLE_VARIABLE = "T2AV_BENCH_WEIGHTS_TABLE"
_TABLE = Path(__file__).with_name("weights.toml")

_BUNDLED = Path(__file__).parent.parent / "gridface" / "models" / "checkpoints" / "index.toml"
"""A file of data: what is in it is described here, and made and loaded by GridFace."""


class UnknownWeights(ValueError):
    """No such id in the table; the message names near ones."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What ``Weights.verify`` found. state: ``ok`` (table's digest), ``locked`` (recorded digest agrees), ``recorded``
    (recorded now), ``refused`` or ``missing``; ``message`` says why for the last two."""

    id: str
    state: Literal["ok", "locked", "recorded", "refused", "missing"]
    path: Path | None = None
    sha256: str | None = None
    message: str | None = None


class Weights:
    """A table together with the folders in which its files are looked up.

    folders: the first one receives downloads; at least one. table: TOML file of published weights, if any. index: that
    of bundled checkpoints, if any. cache: JSON file of remembered digests.
    """

    def __init__(
        self, folders: Sequence[Path], table: Path | None, index: Path | None = None, cache: Path | None = None
    ) -> None:
        if not folders:
            raise ValueError("at least one weights folder is needed")
        try:
            self.folders = [Path(folder).expanduser() for folder in folders]
        except RuntimeError as error:
            raise ValueError(f"{error}: {', '.join(map(str, folders))}; name weights folders in full") from error
        self.table = (load_table(table) if table else {}) | (load_index(index) if index else {})
        self.cache = DigestCache(cache or user_cache() / "weight-digests.json")
        self.lock = Lock([*self.folders, user_data() / "weights"])
        self._verified: dict[str, Path] = {}

    def entry(self, id: str) -> WeightsEntry:
        """What the table says. Raises UnknownWeights."""
        if id not in self.table:
            raise UnknownWeights(f"unknown weights id {id!r}{near(id, self.table)} ('t2av-bench weights list')")
        return self.table[id]

    def find(self, id: str) -> Path | None:
        """The file (or folder) as it lies on disk, unverified; None where there is none."""
        entry = self.entry(id)
        if entry.bundled:
            bundled = entry.bundled / entry.file
            return bundled if bundled.is_file() else None
        if entry.package:
            spec = importlib.util.find_spec(entry.package)
            roots = [Path(root) for root in (spec.submodule_search_locations or [])] if spec else []
            return next((root / entry.file for root in roots if (root / entry.file).is_file()), None)
        name = Path(entry.file).name
        unique = sum(Path(other.file).name == name for other in self.table.values()) == 1
        candidates = [entry.file, f"{id}/{name}", *([name] if unique else []), *([id] if entry.is_folder else [])]
        for folder in self.folders:
            for candidate in candidates:
                path = folder / candidate
                with suppress(OSError):  # a folder that may not be looked into holds nothing for us
                    if path.is_dir() if entry.is_folder else path.is_file():
                        return path
        return None

    def is_present(self, id: str) -> bool:
        """Whether the file is there, without reading it. ``path`` may still refuse it."""
        archive = self.entry(id).archive
        return self.find(id) is not None or (archive is not None and self.is_present(archive))

    def digest(self, id: str) -> str | None:
        """SHA-256 that the table states or that was recorded on first use; None while the file is missing.

        Folders: see ``WeightsEntry.identity``; one without stated digests has that of its sorted list of files.
        """
        entry = self.entry(id)
        if not self.is_present(id):
            return None
        if entry.identity:
            return entry.identity
        if recorded := self.lock.get(id):
            return recorded["sha256"]
        return self.verify(id).sha256

    def path(self, id: str) -> Path:
        """The verified file: the one function that loaders use. Its digest is compared once per process.

        Raises NotApplicable: the message is the command that fetches the file, or names both digests.
        """
        if id not in self._verified:
            entry = self.entry(id)
            if entry.archive and self.find(id) is None:
                self._extract(entry)
            verdict = self.verify(id)
            if verdict.path is None or verdict.message:
                raise NotApplicable(verdict.message)
            self._verified[id] = verdict.path
        return self._verified[id]

    def verify(self, id: str, relock: bool = False, explicit: bool = False) -> Verdict:
        """Compare a file with the table and the lock; a first digest is recorded where the table states none.

        relock: record the present file's digest even where it differs from the recorded one (never the table's).
        explicit: the user asked for this very file, so that a first digest of a format that runs code is recorded too.
        """
        entry, path = self.entry(id), self.find(id)
        if path is None:
            return Verdict(id, "missing", message=self.how_to_get(entry))
        refused = f"weights {id!r} refused: {path}"
        try:
            sha256, difference = self.compare(entry, path, ignore_lock=relock)
        except OSError as error:
            how = f"Make it readable, or move it away, then: {entry.remedy}"
            return Verdict(id, "refused", path, None, f"{refused} cannot be read: {error.strerror or error}. {how}")
        if difference:
            how = f"Move the file away, then: {entry.remedy}"
            if self.compare(entry, path, ignore_lock=True)[1] is None:
                how += f", or if this file is meant: t2av-bench weights verify --relock {id}"
            return Verdict(id, "refused", path, sha256, f"{refused}: {difference}. {how}")
        if entry.sha256:
            return Verdict(id, "ok", path, sha256)
        recorded = self.lock.get(id)
        if recorded and recorded["sha256"] == sha256:
            return Verdict(id, "locked", path, entry.identity or sha256)
        if entry.runs_code and not (relock or explicit):
            why = f"loading {entry.format} runs code, and no digest is known for it (the file's sha256 is {sha256})"
            how = f"If you trust it: t2av-bench weights verify {id}"
            return Verdict(id, "refused", path, None, f"{refused}: {why}. {how}")
        self.record(id, path, sha256)
        return Verdict(id, "recorded", path, entry.identity or sha256)

    def compare(self, entry: WeightsEntry, path: Path, ignore_lock: bool = False) -> tuple[str, str | None]:
        """(sha256, how the file differs from the table or the lock; None where it does not)."""
        digests = self.cache.get(path, {"sha256", *entry.digests}, entry.patterns)
        sha256, size = digests["sha256"], entry.size if entry.is_folder else path.stat().st_size
        if difference := entry.disagreement(digests, size) or self._difference_inside(entry, path):
            return sha256, difference
        recorded = None if entry.sha256 or ignore_lock else self.lock.get(entry.id)
        if recorded and recorded["sha256"] != sha256:
            return sha256, f"sha256 is {sha256}, {recorded['sha256']} was recorded on {recorded['recorded']}"
        return sha256, None

    def _difference_inside(self, entry: WeightsEntry, folder: Path) -> str | None:
        """How files of a folder, or what its config.json says, differ from the table."""
        if entry.config:
            try:
                said = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            except (FileNotFoundError, ValueError, RecursionError) as error:
                return f"config.json cannot be read: {error}"
            for key, fact in entry.config.items():
                if (value := _inside(said, key.split("."))) != fact:
                    return f"config.json says {key} = {json.dumps(value)}, the table states {json.dumps(fact)}"
        for name, stated in entry.files.items():
            if not (folder / name).is_file():
                return f"there is no {name}"
            if (sha256 := self.cache.get(folder / name)["sha256"]) != stated:
                return f"{name}: sha256 is {sha256}, the table states {stated}"
        return None

    def record(self, id: str, path: Path, sha256: str, revision: str | None = None, name: str | None = None) -> None:
        """Write a digest to the lock. revision: commit of a hub repository; name: the final one, if not yet its own."""
        if revision is None and (recorded := self.lock.get(id)) and recorded["sha256"] == sha256:
            revision = recorded.get("revision")
        size = sum(file.stat().st_size for file in path.rglob("*")) if path.is_dir() else path.stat().st_size
        extra = {"revision": revision} if revision else {}
        self.lock.record(id, file=name or path.name, size=size, sha256=sha256, **extra)

    def _extract(self, entry: WeightsEntry) -> None:
        """Take a member out of its verified archive, into the first folder."""
        assert entry.archive and entry.member
        archive = self.path(entry.archive)
        try:
            with zipfile.ZipFile(archive) as content:
                names = [name for name in content.namelist() if Path(name).name == entry.member]
                if len(names) != 1:
                    raise NotApplicable(f"{archive} has {len(names)} members named {entry.member}, expected 1")
                if entry.size is not None and (size := content.getinfo(names[0]).file_size) != entry.size:
                    raise NotApplicable(f"{archive}, member {names[0]}: size is {size} bytes, expected {entry.size}")
                with replacing(self.folders[0] / entry.file) as temporary:
                    with content.open(names[0]) as source, open(temporary, "wb") as target:
                        shutil.copyfileobj(source, target)
                    if difference := self.compare(entry, temporary)[1]:
                        where = f"{archive}, member {names[0]}"
                        raise NotApplicable(f"weights {entry.id!r} refused: {where}: {difference}")
        except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            raise NotApplicable(
                f"weights {entry.id!r} cannot be taken out of {archive} into {self.folders[0]}: {error}; make room "
                f"there, or move the archive away, then: {self.table[entry.archive].remedy}"
            ) from error

    def how_to_get(self, entry: WeightsEntry) -> str:
        """What to type, or to download by hand, where the file is missing."""
        what = f"weights {entry.id!r} ({entry.purpose}) are missing"
        if entry.manual and not entry.origins:
            place = self.folders[0] / entry.file
            return f"{what} and have no direct address: {entry.manual}; put the result at {place}"
        return f"{what}: {entry.remedy}"


def _inside(value: Any, keys: Sequence[str]) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def configured_folders() -> list[Path]:
    """The folders of ``T2AV_BENCH_WEIGHTS``, else the user's data folder."""
    names = [name for name in os.environ.get(FOLDERS_VARIABLE, "").split(os.pathsep) if name]
    return [Path(name) for name in names] or [user_data() / "weights"]


def opened(folders: tuple[Path, ...], table: Path | None, index: Path | None) -> Weights:
    """``Weights`` of tables as they are now, read once while they stay the same."""
    return _opened(folders, table, index, *(tuple(stamp(path)) for path in (table, index) if path and path.is_file()))


@lru_cache
def _opened(folders: tuple[Path, ...], table: Path | None, index: Path | None, *stamps: tuple[int, ...]) -> Weights:
    return Weights(folders, table, index)


def configured() -> Weights:
    """The table and folders that the environment asks for, and the bundled checkpoints."""
    return opened(tuple(configured_folders()), Path(os.environ.get(TABLE_VARIABLE) or _TABLE), _BUNDLED)


def entry(id: str) -> WeightsEntry:
    """See ``Weights.entry``."""
    return configured().entry(id)


def is_present(id: str) -> bool:
    """See ``Weights.is_present``."""
    return configured().is_present(id)


def digest(id: str) -> str | None:
    """See ``Weights.digest``."""
    return configured().digest(id)


def path(id: str) -> Path:
    """See ``Weights.path``."""
    return configured().path(id)
