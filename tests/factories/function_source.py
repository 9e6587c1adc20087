"""A source of samples from any function, for tests."""

import hashlib
from collections.abc import Callable, Sequence

import numpy as np

from reference_model.training.samples import Sample


class FunctionSource:
    """Samples computed when they are asked for: ``function(index)`` gives sample ``index``.

    ``lengths`` lists (text tokens, suffix tokens, speech frames, motion frames) of every sample; the function must
    keep to them, and must depend on the index alone. It runs in the data workers, so it must be picklable where
    processes are spawned. ``fingerprint`` should name whatever decides the samples; lengths are always part of it.
    """

    def __init__(
        self,
        function: Callable[[int], Sample],
        lengths: Sequence[Sequence[int]] | np.ndarray,
        name: str = "function",
        fingerprint: str = "",
    ):
        self.function, self.name = function, name
        self.lengths = np.asarray(lengths, dtype=np.int64).reshape(-1, 4)
        content = hashlib.sha256(self.lengths.tobytes())
        content.update(fingerprint.encode())
        self.fingerprint = content.hexdigest()

    def __getitem__(self, index: int) -> Sample:
        return self.function(index)

    def describe(self, index: int) -> str:
        return f"{self.name}, sample {index}"
