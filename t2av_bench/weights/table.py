"""Weight files by id: where each is, what its digest must be, under which licence.

A file is used only after its digest was compared, once per process, with the table's (``weights.toml``) or, where
nobody states one, with the digest recorded on first use. Files are looked up by name in the folders of
``T2AV_BENCH_WEIGHTS`` (several are separated as in ``PATH``; the first receives downloads), else in the user's data
folder. Nothing is downloaded here: see ``fetch``.
"""

import difflib
import importlib.util
import os
import shutil
import tomllib
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from t2av_bench.errors import NotApplicable
from t2av_bench.utils.files import replacing
from t2av_bench.utils.machine import user_cache, user_data
from t2av_bench.weights.digests import DigestCache, Lock

FOLDERS_VARIABLE = "T2AV_BENCH_WEIGHTS"
TABLE_VARIABLE = "T2AV_BENCH_WEIGHTS_TABLE"
_TABLE = Path(__file__).with_name("weights.toml")

Group = Literal["free", "research", "non-commercial", "gated"]


class UnknownWeights(ValueError):
    """No such id in the table; the message names near ones."""


class WeightsMissing(NotApplicable):
    """The file is nowhere; the message is the command that fetches it."""


class WeightsRefused(NotApplicable):
    """The file is there, but is not the file that it should be; the message names both digests."""


class Row(BaseModel):
    """One weight file (or one folder, for hub repositories). Fields: see the head of ``weights.toml``."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    id: str
    purpose: str
    file: str
    licence: str
    group: Group
    format: Literal["state_dict", "safetensors", "onnx", "torchscript", "pickle", "archive", "dat"]
    loader: str
    urls: list[str] = []
    manual: str | None = None
    hub: str | None = None
    hub_folder: str | None = None
    revision: str | None = None
    patterns: list[str] = []
    folder: bool = False
    package: str | None = None
    extra: str | None = None
    archive: str | None = None
    member: str | None = None
    size: int | None = None
    sha256: str | None = None
    sha256_prefix: str | None = None
    md5_prefix: str | None = None
    git_blob: str | None = None
    digest_source: str | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> "Row":
        if not (self.urls or self.manual or self.hub or self.package or self.archive):
            raise ValueError("needs one of urls, hub, package, archive, manual")
        if bad := [url for url in self.urls if not url.startswith(("https://", "http://", "file://"))]:
            raise ValueError(f"urls must be http(s) or file, got {bad[0]}")
        if Path(self.file).is_absolute() or ".." in Path(self.file).parts:
            raise ValueError(f"file must be a relative path that stays in its folder, got {self.file!r}")
        return self

    @property
    def is_folder(self) -> bool:
        return self.folder or self.hub is not None

    @property
    def runs_code(self) -> bool:
        """Whether loading the file can execute what is in it."""
        return self.format in ("torchscript", "pickle")

    @property
    def digest_kinds(self) -> tuple[str, ...]:
        partial = {"md5": self.md5_prefix, "git_blob": self.git_blob}
        return ("sha256", *(kind for kind, value in partial.items() if value))

    @property
    def fetch_command(self) -> str:
        accept = "" if self.group == "free" else f" --accept {self.group}"
        return f"t2av-bench weights fetch {self.id}{accept}"

    def disagreement(self, digests: dict[str, str], size: int | None) -> str | None:
        """How a file's size and digests (by kind) differ from what this row states; None where they agree."""
        stated = [("sha256", self.sha256), ("sha256", self.sha256_prefix), ("md5", self.md5_prefix),
                  ("git_blob", self.git_blob)]  # fmt: skip
        for kind, value in stated:
            if value and not digests[kind].startswith(value):
                sizes = f" ({size} bytes, expected {self.size})" if self.size and size != self.size else ""
                return f"{kind} is {digests[kind]}, the table states {value}{sizes}"
        if self.size is not None and size != self.size:
            return f"size is {size} bytes, the table states {self.size}; sha256 is {digests['sha256']}"
        return None


@lru_cache
def load_table(path: Path) -> dict[str, Row]:
    """Rows by id. Raises ValueError naming the row and the field that is wrong."""
    try:
        with open(path, "rb") as file:
            content = tomllib.load(file)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"cannot read the weights table {path}: {error}") from error
    rows = {}
    for id, fields in content.items():
        try:
            rows[id] = Row(id=id, **fields)
        except (ValidationError, TypeError) as error:
            raise ValueError(f"{path.name}: row [{id}]: {error}") from error
    return rows


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

    table: TOML file; the project's own by default. folders: the first one receives downloads; at least one.
    cache: JSON file of remembered digests.
    """

    def __init__(self, folders: Sequence[Path], table: Path = _TABLE, cache: Path | None = None) -> None:
        if not folders:
            raise ValueError("at least one weights folder is needed")
        try:
            self.folders = [Path(folder).expanduser() for folder in folders]
        except RuntimeError as error:
            raise ValueError(f"{error}: {', '.join(map(str, folders))}; name weights folders in full") from error
        self.table = load_table(Path(table))
        self.cache = DigestCache(cache or user_cache() / "weight-digests.json")
        self.lock = Lock([*self.folders, user_data() / "weights"])
        self._verified: dict[str, Path] = {}

    def row(self, id: str) -> Row:
        """The table's row. Raises UnknownWeights."""
        if id in self.table:
            return self.table[id]
        near = difflib.get_close_matches(id, self.table, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise UnknownWeights(f"unknown weights id {id!r}; {hint}'t2av-bench weights list' shows all")

    def find(self, id: str) -> Path | None:
        """The file (or folder) as it lies on disk, unverified; None where there is none."""
        row = self.row(id)
        if row.package:
            spec = importlib.util.find_spec(row.package)
            roots = [Path(root) for root in (spec.submodule_search_locations or [])] if spec else []
            return next((root / row.file for root in roots if (root / row.file).is_file()), None)
        name = Path(row.file).name
        unique = sum(Path(other.file).name == name for other in self.table.values()) == 1
        candidates = [row.file, f"{id}/{name}", *([name] if unique else []), *([id] if row.is_folder else [])]
        for folder in self.folders:
            for candidate in candidates:
                path = folder / candidate
                with suppress(OSError):  # a folder that may not be looked into holds nothing for us
                    if path.is_dir() if row.is_folder else path.is_file():
                        return path
        return None

    def is_present(self, id: str) -> bool:
        """Whether the file is there, without reading it. ``path`` may still refuse it."""
        archive = self.row(id).archive
        return self.find(id) is not None or (archive is not None and self.is_present(archive))

    def digest(self, id: str) -> str | None:
        """SHA-256 that the table states or that was recorded on first use; None while the file is missing.

        Hub repositories: the digest of the sorted list of their files' digests.
        """
        row = self.row(id)
        if not self.is_present(id):
            return None
        if row.sha256:
            return row.sha256
        if entry := self.lock.get(id):
            return entry["sha256"]
        return self.verify(id).sha256

    def path(self, id: str) -> Path:
        """The verified file: the one function that loaders use. Its digest is compared once per process.

        Raises WeightsMissing (the message is the command that fetches it) and WeightsRefused (both digests named).
        """
        if id not in self._verified:
            row = self.row(id)
            if row.archive and self.find(id) is None:
                self._extract(row)
            verdict = self.verify(id)
            if verdict.path is None:
                raise WeightsMissing(verdict.message)
            if verdict.state == "refused":
                raise WeightsRefused(verdict.message)
            self._verified[id] = verdict.path
        return self._verified[id]

    def verify(self, id: str, relock: bool = False, explicit: bool = False) -> Verdict:
        """Compare a file with the table and the lock; a first digest is recorded where the table states none.

        relock: record the present file's digest even where it differs from the recorded one (never the table's).
        explicit: the user asked for this very file, so that a first digest of a format that runs code is recorded too.
        """
        row, path = self.row(id), self.find(id)
        if path is None:
            return Verdict(id, "missing", message=self.how_to_get(row))
        try:
            sha256, difference = self.compare(row, path, ignore_lock=relock)
        except OSError as error:
            return Verdict(id, "refused", path, None, (
                f"weights {id!r} refused: {path} cannot be read: {error.strerror or error}. Make it readable, or move "
                f"it away, then: {row.fetch_command}"
            ))  # fmt: skip
        if difference:
            recorded = "" if row.sha256 else f", or if this file is meant: t2av-bench weights verify --relock {id}"
            return Verdict(id, "refused", path, sha256, (
                f"weights {id!r} refused: {path}: {difference}. Move the file away, then: {row.fetch_command}{recorded}"
            ))  # fmt: skip
        if row.sha256:
            return Verdict(id, "ok", path, sha256)
        entry = self.lock.get(id)
        if entry and entry["sha256"] == sha256:
            return Verdict(id, "locked", path, sha256)
        if row.runs_code and not (relock or explicit):
            return Verdict(id, "refused", path, None, (
                f"weights {id!r} refused: {path}: loading {row.format} runs code, and no digest is known for it "
                f"(the file's sha256 is {sha256}). If you trust it: t2av-bench weights verify {id}"
            ))  # fmt: skip
        self.record(id, path, sha256)
        return Verdict(id, "recorded", path, sha256)

    def compare(self, row: Row, path: Path, ignore_lock: bool = False) -> tuple[str, str | None]:
        """(sha256, how the file differs from the table or the lock; None where it does not)."""
        digests = self.cache.get(path, row.digest_kinds, row.patterns)
        sha256, size = digests["sha256"], None if row.is_folder else path.stat().st_size
        if difference := row.disagreement(digests, size):
            return sha256, difference
        entry = None if row.sha256 or ignore_lock else self.lock.get(row.id)
        if entry and entry["sha256"] != sha256:
            return sha256, f"sha256 is {sha256}, {entry['sha256']} was recorded on {entry['recorded']}"
        return sha256, None

    def record(self, id: str, path: Path, sha256: str, revision: str | None = None, name: str | None = None) -> None:
        """Write a digest to the lock. revision: commit of a hub repository; name: the final one, if not yet its own."""
        if revision is None and (entry := self.lock.get(id)) and entry["sha256"] == sha256:
            revision = entry.get("revision")
        size = sum(file.stat().st_size for file in path.rglob("*")) if path.is_dir() else path.stat().st_size
        extra = {"revision": revision} if revision else {}
        self.lock.record(id, file=name or path.name, size=size, sha256=sha256, **extra)

    def _extract(self, row: Row) -> None:
        """Take a member out of its verified archive, into the first folder."""
        assert row.archive and row.member
        archive = self.path(row.archive)
        try:
            with zipfile.ZipFile(archive) as content:
                names = [name for name in content.namelist() if Path(name).name == row.member]
                if len(names) != 1:
                    raise WeightsRefused(f"{archive} has {len(names)} members named {row.member}, expected 1")
                if row.size is not None and (size := content.getinfo(names[0]).file_size) != row.size:
                    raise WeightsRefused(f"{archive}, member {names[0]}: size is {size} bytes, expected {row.size}")
                self._take(row, archive, content, names[0])
        except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            raise WeightsRefused(
                f"weights {row.id!r} cannot be taken out of {archive} into {self.folders[0]}: {error}; make room "
                f"there, or move the archive away, then: {self.table[row.archive].fetch_command}"
            ) from error

    def _take(self, row: Row, archive: Path, content: zipfile.ZipFile, name: str) -> None:
        with replacing(self.folders[0] / row.file) as temporary:
            with content.open(name) as source, open(temporary, "wb") as target:
                shutil.copyfileobj(source, target)
            digests = self.cache.get(temporary, row.digest_kinds)
            if difference := row.disagreement(digests, temporary.stat().st_size):
                raise WeightsRefused(f"weights {row.id!r} refused: {archive}, member {name}: {difference}")

    def how_to_get(self, row: Row) -> str:
        """What to type, or to download by hand, where the file is missing."""
        what = f"weights {row.id!r} ({row.purpose}) are missing"
        if row.package:
            return f"{what}: pip install 't2av-bench[{row.extra}]'"
        place = self.folders[0] / row.file
        if row.manual and not row.urls:
            return f"{what} and have no direct address: {row.manual}; put the result at {place}"
        command = self.row(row.archive).fetch_command if row.archive else row.fetch_command
        return f"{what}: {command}"


def configured_folders() -> list[Path]:
    """The folders of ``T2AV_BENCH_WEIGHTS``, else the user's data folder."""
    names = [name for name in os.environ.get(FOLDERS_VARIABLE, "").split(os.pathsep) if name]
    return [Path(name) for name in names] or [user_data() / "weights"]


@lru_cache
def _store(folders: tuple[Path, ...], table: Path) -> Weights:
    return Weights(folders, table)


def configured() -> Weights:
    """The table and folders that the environment asks for."""
    return _store(tuple(configured_folders()), Path(os.environ.get(TABLE_VARIABLE) or _TABLE))


def row(id: str) -> Row:
    """See ``Weights.row``."""
    return configured().row(id)


def is_present(id: str) -> bool:
    """See ``Weights.is_present``."""
    return configured().is_present(id)


def digest(id: str) -> str | None:
    """See ``Weights.digest``."""
    return configured().digest(id)


def path(id: str) -> Path:
    """See ``Weights.path``."""
    return configured().path(id)
