"""The clips that the network is trained and tested on: MoCha's own (congwei1230/MoChaBench, Apache-2.0), by digest.

``clips.json`` names each clip with its sha256, its split and the person in it, as far as its name tells. Panel clips,
which people have voted on, are neither trained nor tested on, nor are other encodings of them.
"""

import csv
import io
import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from t2av_bench.errors import Unscorable
from t2av_bench.media.clip import Clip, Features, MediaError
from t2av_bench.mesh_sync.features import MeshSyncFeatures, mesh_sync_features
from t2av_bench.utils.files import file_sha256
from t2av_bench.utils.progress import OnStep, Step

LIST = Path(__file__).with_name("clips.json")
_SCORES = "eval-lipsync/mocha-eval-results/sync_scores.csv"
LEAST_SHARE = 0.7
"""Of a clip's pictures with the face: below it a clip is left out."""


@dataclass(frozen=True, slots=True)
class ListedClip:
    """path: below the repository's folder. split: train, test or panel. person: who is seen, as the name tells."""

    path: str
    sha256: str
    split: str
    person: str


@dataclass(frozen=True, slots=True)
class Published:
    """What the repository states of one clip with one face: SyncNet's offset in frames, confidence and distance."""

    offset: int
    confidence: float
    distance: float


@dataclass(frozen=True, slots=True)
class Sample:
    """A clip that can be used."""

    clip: ListedClip
    features: MeshSyncFeatures


@lru_cache(maxsize=1)
def _facts(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))


@lru_cache(maxsize=1)
def listed() -> tuple[ListedClip, ...]:
    """All clips of the list, in its order."""
    return tuple(ListedClip(*entry) for entry in _facts(LIST)["clips"])


def data_version() -> str:
    """The repository's commit and the digest of the list, which says which clips are for what."""
    facts = _facts(LIST)
    return f"{facts['source']}@{facts['commit'][:7]} clips.json {file_sha256(LIST)[:12]}"


class Repository:
    """A folder with the repository: its files, or a git directory of it.

    Raises ValueError where it is neither.
    """

    def __init__(self, folder: Path) -> None:
        facts = _facts(LIST)
        self.folder, self._source, self._commit = folder, facts["source"], facts["commit"]
        self._files = (folder / "mocha-generation").is_dir()
        if not self._files and self._git("cat-file", "-e", f"{self._commit}^{{commit}}") is None:
            raise ValueError(
                f"{folder} holds neither the files nor the git directory of {self._source} at {self._commit[:7]}; "
                f"git clone https://github.com/{self._source} makes it"
            )

    def read(self, path: str) -> bytes:
        """A file of the repository. Raises ValueError where it is not there."""
        found: bytes | None
        if self._files:
            file = self.folder / path
            found = file.read_bytes() if file.is_file() else None
        else:
            found = self._git("show", f"{self._commit}:{path}")
        if found is None:
            raise ValueError(
                f"{path} is not in {self.folder}: expected all of {self._source} at {self._commit[:7]}; fetch it again"
            )
        return found

    @contextmanager
    def file(self, clip: ListedClip) -> Iterator[Path]:
        """A clip as a file with its own digest. Raises ValueError where it has another one."""
        data = self.read(clip.path)
        found = sha256(data).hexdigest()
        if found != clip.sha256:
            raise ValueError(
                f"{clip.path} in {self.folder} has the sha256 {found[:12]}…, expected {clip.sha256[:12]}…: it is not "
                f"the clip of {self._source} at {self._commit[:7]} (a Git LFS pointer, or another version?)"
            )
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / Path(clip.path).name
            target.write_bytes(data)
            yield target

    def published(self) -> dict[str, Published]:
        """Of each clip (by path) in which SyncNet followed one face: what the repository states."""
        found = {}
        for row in csv.DictReader(io.StringIO(self.read(_SCORES).decode("utf-8-sig"))):
            offsets = json.loads(row["offsets"]) if row["has_face"] == "True" else []
            if len(offsets) == 1:
                path = f"mocha-generation/{row['video'].replace(chr(92), '/')}"
                found[path] = Published(int(offsets[0]), float(row["best_conf"]), float(row["min_dist"]))
        return found

    def _git(self, *arguments: str) -> bytes | None:
        if not self.folder.is_dir():
            return None
        done = subprocess.run(["git", "-C", str(self.folder), *arguments], capture_output=True, check=False)
        return done.stdout if done.returncode == 0 else None


def samples(
    repository: Repository, split: str, cache: Features, on_step: OnStep = lambda step: None,
    left_out: Callable[[str, str], None] = lambda path, reason: None,
) -> list[Sample]:  # fmt: skip
    """All usable clips of a split, in the list's order; ``left_out`` is told of the others, with the reason.

    cache: where landmarks and features are kept, so that the same command continues. Raises ValueError for a clip that
    is missing or is another file.
    """
    clips = [clip for clip in listed() if clip.split == split]
    found = []
    for number, clip in enumerate(clips):
        on_step(Step(f"features of {split} clips", number, len(clips), "clips", Path(clip.path).stem))
        with repository.file(clip) as path:
            try:
                features = mesh_sync_features(Clip(path, features=cache))
            except (Unscorable, MediaError) as reason:
                left_out(clip.path, str(reason))
                continue
        if features.share < LEAST_SHARE:
            left_out(clip.path, f"the face is in {features.share:.0%} of the pictures, {LEAST_SHARE:.0%} are needed")
            continue
        found.append(Sample(clip, features))
    on_step(Step(f"features of {split} clips", len(clips), len(clips), "clips"))
    return found
