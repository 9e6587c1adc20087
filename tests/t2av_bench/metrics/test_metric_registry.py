"""Every registered metric tells the truth about itself."""

import inspect
import subprocess
import sys

import pytest

from t2av_bench.metrics import create, metric_class, metric_ids, resolve
from t2av_bench.metrics.base import SetMetric
from t2av_bench.weights import entry


@pytest.mark.parametrize("id", metric_ids())
def test_a_metric_describes_itself(id):
    metric = metric_class(id)
    assert metric.id == id
    assert metric.title and len(metric.paper) > 3 and metric.quantities
    assert inspect.getmodule(metric).__doc__, "a metric says what it measures and by which protocol"
    for quantity in metric.quantities:
        low, high = quantity.interval
        assert low is None or high is None or low < high
        assert (quantity.aggregate == "set") == issubclass(metric, SetMetric)
    order = ["free", "research", "non-commercial", "gated"]
    groups = [order.index(entry(weight).group) for weight in metric.weights]
    assert order.index(metric.licence) >= max(groups, default=0), "licence is the most restrictive of its weights'"


@pytest.mark.parametrize("id", metric_ids())
def test_a_protocol_is_stable_complete_and_cheap(id):
    first, second = create(id).protocol, create(id).protocol
    assert first.id == id and first.fingerprint == second.fingerprint
    assert set(first.weights) == set(metric_class(id).weights)


def test_embedded_columns_never_share_a_name_with_published_ones():
    names = {embedded: set() for embedded in (True, False)}
    for id in metric_ids():
        names[metric_class(id).stand_in] |= {quantity.name for quantity in metric_class(id).quantities}
    assert not names[True] & names[False]


def test_protocols_of_different_metrics_differ():
    fingerprints = [create(id).protocol.fingerprint for id in metric_ids()]
    assert len(set(fingerprints)) == len(fingerprints)


def test_resolving_names():
    assert resolve(["dnsmos", "dnsmos/p835"]) == ["dnsmos/p835"]
    assert resolve(["wer"]) == ["wer/pocketsphinx"], "no weights here: the bundled recogniser can run"
    general = {id.split("/")[0] for id in metric_ids() if not id.endswith("/gridface") and metric_class(id).by_default}
    assert {id.split("/")[0] for id in resolve(["all"])} == general, "one benchmark's variants are chosen by name"
    assert not any(id.endswith("/gridface") for id in resolve(["all", "sync", "wer", "cer"]))
    assert resolve(["fd_frame", "sync/gridface"]) == ["fd_frame/gridface", "sync/gridface"]
    with pytest.raises(ValueError, match=r"unknown metric 'synk'; did you mean sync"):
        resolve(["synk"])


def test_importing_every_metric_loads_no_network_library():
    code = (
        "import sys; from t2av_bench.metrics import metric_class, metric_ids; import t2av_bench.cli.main; "
        "import reports.render.formats; "
        "[metric_class(id) for id in metric_ids()]; "
        "heavy = {'torch', 'torchvision', 'cv2', 'librosa', 'transformers', 'onnxruntime', 'scipy.signal', "
        "'scipy.stats', 'sklearn', 'pocketsphinx', 'resemblyzer', 'matplotlib'} & sys.modules.keys(); "
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
