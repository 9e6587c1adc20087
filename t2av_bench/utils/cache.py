"""What the user's cache holds, when it was last used, and its removal."""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from t2av_bench.utils.machine import user_cache


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """A run folder, a built benchmark, or one protocol's features. size: bytes; used: seconds since the epoch."""

    path: Path
    size: int
    used: float

    @property
    def idle_days(self) -> float:
        return max(0.0, time.time() - self.used) / 86400

    def as_dict(self) -> dict[str, Any]:
        return {"path": str(self.path), "bytes": self.size, "idle_days": round(self.idle_days, 2)}


def entries(features: Path | None = None) -> list[CacheEntry]:
    """Of the user's cache, or of a feature cache (``DEVICE/FINGERPRINT``); the longest unused first.

    Raises ValueError where ``features`` is no folder of features.
    """
    if features is None:
        folders = [path for kind in ("runs", "data") for path in (user_cache() / kind).glob("*") if path.is_dir()]
    else:
        folders = [path for path in features.glob("*/*") if path.is_dir()]
        if not features.is_dir() or any(not _holds_features(path) for path in folders):
            raise ValueError(f"{features} is no feature cache: expected a folder that was given as evaluate --cache")
    return sorted(map(_entry, folders), key=lambda entry: entry.used)


def remove(entry: CacheEntry) -> None:
    """Delete an entry. Raises OSError."""
    shutil.rmtree(entry.path)


def _entry(folder: Path) -> CacheEntry:
    """Reading counts as use: most systems note the time of it, once a day at least."""
    found = [path.stat() for path in folder.rglob("*") if path.is_file()]
    used = max((max(each.st_atime, each.st_mtime) for each in found), default=folder.stat().st_mtime)
    return CacheEntry(folder, sum(each.st_size for each in found), used)


def _holds_features(folder: Path) -> bool:
    return all(path.suffix == ".safetensors" for path in folder.rglob("*") if path.is_file())
