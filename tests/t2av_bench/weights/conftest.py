"""A server and a table of their own for each test."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from weights_server import Bench, Server

from t2av_bench.weights import registry, table


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    running = Server()
    yield running
    running.http.shutdown()
    running.http.server_close()


@pytest.fixture
def index(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The server as the one package registry that pip and uv are told of."""
    for name in [*os.environ]:
        if name.startswith(("PIP_", "UV_")):
            monkeypatch.delenv(name)
    monkeypatch.setattr(registry, "_pip_configuration", dict)  # a process a time, and none of the machine's settings
    monkeypatch.setenv("PIP_INDEX_URL", server.address + "/simple")
    return server


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    made = Bench(tmp_path)
    monkeypatch.setattr(table, "_BUNDLED", None)  # what comes with the package is not of the table in the making
    for name in ("T2AV_BENCH_WEIGHTS", "T2AV_BENCH_WEIGHTS_TABLE", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, made.environment()[name])
    return made
