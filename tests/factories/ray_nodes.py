"""Machines of a Ray cluster on this one, with the fake metrics and systems installed on them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from experiment_factory import SYSTEMS
from plugin_factory import install

from t2av_bench import metrics, systems

METRICS = {"fake/level": "Level", "fake/length": "Length", "fake/spread": "Spread"}
_STORE = 100 * 2**20


def plug(site: Path, patch: pytest.MonkeyPatch) -> None:
    """Install both plug-ins, here and in what is started from here."""
    install(site / "fakes", patch, {id: f"fake_metrics:{name}" for id, name in METRICS.items()})
    generating = {id: f"fake_systems:{name}" for id, name in SYSTEMS.items()}
    install(site / "fake_systems", patch, generating, group="t2av_bench.systems")
    patch.setenv("FAKE_SYSTEMS_LOG", str(site / "log"))
    _forget()


def _forget() -> None:
    metrics.registry.forget()
    systems.registry.forget()


def _patiently(start: Callable[[], Any]) -> Any:
    """Ray gives the helpers of a machine 15 seconds to start, which on a busy one are too few."""
    for _ in range(5):
        try:
            return start()
        except Exception as error:
            late = error
    raise late


class Nodes:
    """A cluster whose head does nothing, and machines of one processor each."""

    def __init__(self, count: int) -> None:
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 0, "object_store_memory": _STORE, "include_dashboard": False}
        self._cluster = _patiently(partial(Cluster, initialize_head=True, head_node_args=head))
        self.running = [self._add() for _ in range(count)]
        self.address = self._cluster.address

    def _add(self):
        return _patiently(partial(self._cluster.add_node, num_cpus=1, object_store_memory=_STORE))

    def kill(self) -> None:
        """One machine, with all that runs on it, at once; another takes its place."""
        self._cluster.remove_node(self.running.pop(), allow_graceful=False)
        self.running.append(self._add())

    def close(self) -> None:
        self._cluster.shutdown()


@contextmanager
def nodes(site: Path, count: int) -> Iterator[Nodes]:
    with pytest.MonkeyPatch.context() as patch:
        plug(site, patch)
        patch.setenv("RAY_worker_niceness", "0")  # else they wait for all other tests of this machine
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        found = Nodes(count)
        try:
            yield found
        finally:
            found.close()
    _forget()
