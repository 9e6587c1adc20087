"""What must be the same on all machines of a cluster, of what the metrics and systems of a command use."""

from types import SimpleNamespace

from t2av_bench.evaluation import placing


def test_weights_that_are_here_and_installed_packages_are_told(monkeypatch):
    digests = {"net": "ab", "voice": "cd", "absent": None}
    users = {
        "metric": SimpleNamespace(weights=("net", "absent"), packages=("numpy", "no_such_package")),
        "system": SimpleNamespace(weights=("voice",), packages=()),
    }
    monkeypatch.setattr(placing, "metric_class", users.get)
    monkeypatch.setattr(placing.systems, "system_class", users.get)
    monkeypatch.setattr(placing.weights, "configured", lambda: SimpleNamespace(digest=digests.get))
    assert placing._used(["metric"], ["system"]) == {
        "weights net": "ab", "weights voice": "cd", "package numpy": "installed",
    }  # fmt: skip
