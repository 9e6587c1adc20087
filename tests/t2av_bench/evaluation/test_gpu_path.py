"""What a GPU is given, on the processor: numbers follow neither from who shares a pass, nor from order, threads or
memory. torch knows the processor as ``cpu:0`` too, which takes every path of a GPU but that of pinned memory."""

import media_factory as factory
import numpy as np
import pytest
from media_factory import write_lossless
from tiny_networks import save_i3d
from weights_table import install

from t2av_bench import metrics
from t2av_bench.benchmarks.manifest import Item
from t2av_bench.evaluation import evaluate as evaluating
from t2av_bench.evaluation import worker
from t2av_bench.evaluation.config import EvaluateConfig
from t2av_bench.evaluation.evaluate import evaluate
from t2av_bench.evaluation.worker import Job, MetricResult, Together, WorkerContext, together
from t2av_bench.media import decode
from t2av_bench.metrics.base import Settings
from t2av_bench.results.features import FeatureStore
from t2av_bench.results.store import Store
from t2av_bench.utils.worker_pool import Done, Working

METRICS = ("fvd/styleganv", "psnr", "kvd/styleganv")
"""Windows that clips share, whole frames of both sides, features of the first."""
GPU = "cpu:0"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Seven clips of three shapes, their references, one clip that is broken, and a random network."""
    folder = tmp_path_factory.mktemp("gpu")
    random = np.random.default_rng(0)
    for index in range(7):
        side = 48 + 16 * (index % 3)
        for name in ("made", "real"):
            frames = [
                np.kron(f, np.ones((2, 2, 1), np.uint8))[:side, :side] for f in factory.moving_pattern(18 + index)
            ]
            noisy = np.clip(np.stack(frames) + random.integers(-9, 9, (side, side, 3)), 0, 255).astype(np.uint8)
            (folder / name).mkdir(exist_ok=True)
            write_lossless(folder / name / f"c{index}.mkv", noisy)
    (folder / "made" / "c2.mkv").write_bytes((folder / "made" / "c2.mkv").read_bytes()[:20_000])
    save_i3d(folder / "i3d.pt")
    return folder


@pytest.fixture
def network(files, tmp_path, monkeypatch):
    install(monkeypatch, tmp_path / "weights", {"i3d_torchscript": files / "i3d.pt"})


def jobs(files):
    return [
        Job(f"c{index}", Item(id=f"c{index}"), files / "made" / f"c{index}.mkv", files / "real" / f"c{index}.mkv",
            f"inputs-{index}", METRICS)
        for index in range(7)
    ]  # fmt: skip


def measured(work, folder, device=GPU):
    """Values or reason of each clip and metric, the arrays behind set metrics too; and what was told, in order."""
    told, holder = [], worker._LoadedMetrics(WorkerContext(Settings(device), folder))
    for job in work:
        holder(job, told.append)
    found = {}
    for message in told:
        if isinstance(message, Done) and isinstance(message.result, MetricResult):
            each = message.result
            found[each.clip, each.metric] = each.reason or dict(each.measurement.values)
    store = FeatureStore(folder, device)
    for index in range(7):
        for id in ("fvd/styleganv", "kvd/styleganv"):
            kept = store.get(f"inputs-{index}", metrics.create(id).protocol.fingerprint, "measurement")
            if kept:
                found[f"c{index}", id] = {side: array.tobytes() for side, array in kept.items()}
    return found, told


def test_no_number_depends_on_groups_order_threads_or_memory(files, network, tmp_path, monkeypatch):
    alone, _ = measured(jobs(files), tmp_path / "alone")
    reasons = {key for key, found in alone.items() if isinstance(found, str)}
    assert len(alone) == 21 and reasons == {("c2", id) for id in METRICS}
    ways = {
        "eight": {}, "three": {"CLIPS_TOGETHER": 3}, "backwards": {"order": -1}, "no thread": {"BATCH_BYTES": 0},
        "no memory": {"FRAME_BYTES": 0}, "memory for one": {"FRAME_BYTES": 2 * 24 * 80 * 80 * 3},
    }  # fmt: skip
    for name, settings in ways.items():
        with monkeypatch.context() as patch:
            order = settings.pop("order", 1)
            for constant, value in settings.items():
                patch.setattr(worker, constant, value)
            made = {id: metrics.create(id) for id in METRICS}
            work = list(together(jobs(files)[::order], made, GPU))
            assert [len(group.jobs) if isinstance(group, Together) else 1 for group in work] == (
                [3, 3, 1] if name == "three" else [7]
            )
            found, told = measured(work, tmp_path / name)
        assert found == alone, name
        parts = [each.part for each in told if isinstance(each, Working) and each.share == 1]
        done = [each.part for each in told if isinstance(each, Done) and each.part is not None]
        assert parts == done == [part for group in work for part in group.parts]
    # On the processor's own path the last digits are others, and only they.
    exact, _ = measured(jobs(files), tmp_path / "exact", "cpu")
    for key in alone.keys() - reasons:
        for name, value in alone[key].items():
            both = [np.frombuffer(x, np.float32) if isinstance(x, bytes) else x for x in (value, exact[key][name])]
            np.testing.assert_allclose(both[0], both[1], rtol=1e-4, atol=1e-5)


def test_metrics_of_a_group_share_one_decode(files, network, tmp_path, monkeypatch):
    passes = []
    original = decode.DecodePass.__iter__
    monkeypatch.setattr(decode.DecodePass, "__iter__", lambda self: (passes.append(str(self.path)), original(self))[1])
    group = Together(tuple(job for job in jobs(files) if job.clip != "c2"))
    measured([group], tmp_path / "features")
    assert len(passes) == len(set(passes)) == 12


def test_a_run_by_several_workers_is_the_same_database(files, network, tmp_path, monkeypatch):
    kept = []
    for workers, most, order in ((1, 1, 1), (2, 8, -1)):
        monkeypatch.setattr(
            evaluating, "together",
            lambda jobs, metrics, device, workers, most=most, order=order: together(
                jobs[::order], metrics, device, workers if most > 1 else len(jobs)
            ),
        )  # fmt: skip
        asked = EvaluateConfig(
            generated=files / "made", reference=files / "real", metrics=METRICS, workers=workers,
            out=tmp_path / f"{workers}",
        ).model_copy(update={"device": GPU})  # fmt: skip
        evaluate(asked, lambda step: None, lambda text: None)
        with Store(asked.out / "results.db") as store:
            scores = {(row.clip, row.quantity): (row.score.value, row.score.reason) for row in store.scores()}
            sets = {row.quantity: row.score.value for row in store.set_scores()}
        kept.append((scores, sets))
    assert kept[0] == kept[1] and None not in kept[0][1].values() and len(kept[0][1]) == 2
