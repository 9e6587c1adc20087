"""Arrays kept between runs, by content: (media digest, protocol fingerprint, what).

An entry can only be found by everything that could change it, so there is nothing to invalidate. A damaged entry is
treated as absent and written again.
"""

import os
from pathlib import Path

import numpy as np

from t2av_bench.utils.files import replacing


class FeaturesError(OSError):
    """Features cannot be kept: no clip is to blame, and no later one fares better. The message says what to do."""


class FeatureStore:
    """Features on disk, one small safetensors file an entry.

    ``device`` separates entries computed on different kinds of device, which differ in their last digits.
    """

    def __init__(self, folder: str | os.PathLike[str], device: str = "cpu") -> None:
        self.folder = Path(folder) / device.split(":")[0]

    def _path(self, digest: str, fingerprint: str, suffix: str) -> Path:
        return self.folder / fingerprint / digest[:2] / f"{digest}-{suffix}.safetensors"

    def fingerprints(self, suffix: str) -> list[str]:
        """Protocols with entries of a kind, ascending. A protocol keeps one kind of them, so its first says which."""
        first = {folder.name: next(folder.glob("*/*.safetensors"), None) for folder in sorted(self.folder.glob("*"))}
        return [name for name, entry in first.items() if entry and entry.stem.partition("-")[2] == suffix]

    def get(self, digest: str, fingerprint: str, suffix: str) -> dict[str, np.ndarray] | None:
        """The arrays of an entry, or None where there is none (or only a damaged one)."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            return load_file(self._path(digest, fingerprint, suffix))
        except (OSError, SafetensorError):
            return None

    def put(self, digest: str, fingerprint: str, suffix: str, arrays: dict[str, np.ndarray]) -> None:
        """Write an entry atomically; writing the same entry twice is harmless. Raises FeaturesError."""
        from safetensors import SafetensorError
        from safetensors.numpy import save_file

        try:
            with replacing(self._path(digest, fingerprint, suffix)) as temporary:
                save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, temporary)
        except (OSError, SafetensorError) as error:
            raise FeaturesError(
                f"features cannot be kept in {self.folder} ({getattr(error, 'strerror', None) or error}): what is "
                "finished is kept; make room, or choose another --cache, and repeat the command"
            ) from error
