"""Published weights for slow tests, from the folders that the user has, fetched where that was asked for.

``make test-slow`` sets ``T2AV_BENCH_FETCH_WEIGHTS``, so that what is free and missing is fetched first.
"""

import os
from functools import cache
from pathlib import Path

import pytest

from t2av_bench.errors import NotApplicable
from t2av_bench.weights.fetch import FetchError, fetch
from t2av_bench.weights.table import _TABLE as TABLE
from t2av_bench.weights.table import Weights, configured_folders

FOLDERS = configured_folders()
"""As they were when the suite began; tests hide them from each other."""


def need(id: str) -> Path:
    """The verified file or folder of weights; skips, with the command that brings them, where they are not here.

    The fixture ``real_weights`` is this function, and lets what the test calls find the same weights.
    """
    found = _found(id)
    if isinstance(found, str):
        pytest.skip(found)
    return found


@cache
def _found(id: str) -> Path | str:
    store = Weights(FOLDERS, TABLE)
    try:
        if os.environ.get("T2AV_BENCH_FETCH_WEIGHTS"):
            return fetch(store, id).path
        return store.path(id)
    except (FetchError, NotApplicable) as error:
        return str(error)
