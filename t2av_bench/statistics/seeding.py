"""Random generators seeded by content."""

import hashlib
import json
from collections.abc import Iterable

import numpy as np


def generator(purpose: str, clips: Iterable[str], *context: str) -> np.random.RandomState:
    """A generator that equal content always gives alike: the clips' ids in any order, and their context.

    purpose keeps two uses on the same clips independent; context is the quantity's name and protocol fingerprint.
    RandomState: its streams are frozen across NumPy releases.
    """
    document = json.dumps([purpose, sorted(clips), *context], ensure_ascii=False, separators=(",", ":"))
    # A file name that is no valid text reaches us with lone surrogates; it is an id like any other.
    digest = hashlib.sha256(document.encode("utf-8", "surrogatepass")).digest()
    return np.random.RandomState(np.frombuffer(digest, dtype="<u4").astype(np.uint32))
