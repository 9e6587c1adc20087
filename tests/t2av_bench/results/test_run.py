"""The one reader of a run folder."""

import numpy as np
import pytest
from run_factory import FID, SYNC_C, frames, make_run

import t2av_bench as tb
from t2av_bench.errors import Unscorable
from t2av_bench.metrics import create, registry
from t2av_bench.metrics.base import Measurement, SetMetric
from t2av_bench.results import run as reader
from t2av_bench.results.columns import describe
from t2av_bench.results.features import FeatureStore
from t2av_bench.results.run import open_run
from t2av_bench.results.store import Store, StoreError
from t2av_bench.scores import Protocol, Quantity, Score, Status


def test_a_database_is_opened_once_for_all_that_tables_and_comparisons_ask(tmp_path, monkeypatch):
    folder = make_run(tmp_path / "run", {SYNC_C: [1.0, Score.failed("no face"), 3.0]})
    opened = []

    class Counted(Store):
        def __init__(self, path, **options):
            opened.append(path)
            super().__init__(path, **options)

    monkeypatch.setattr(reader, "Store", Counted)
    run = open_run(folder)
    assert run.recorded.quantities["sync/joonson", "sync_c"].missing == {"clip_001": ("failed", "no face")}
    assert run.failures == [
        {"clip": "clip_001", "metric": "sync/joonson", "quantity": "sync_c", "reason": "no face", "outdated": False}
    ]
    with Store(folder / "results.db") as store:
        assert list(run.score_rows()) == store.scores()
    assert run.columns[0].summary.score.value == 2.0 and run.items["clip_000"] == open_run(folder).items["clip_000"]
    assert len(opened) == 2


def test_a_part_of_a_run_does_not_say_what_the_whole_run_asks_alike(tmp_path):
    texts = ["one", "two", "three"]
    runs = [
        open_run(make_run(tmp_path / name, {SYNC_C: [1.0, 2.0, 3.0]}, name=name, texts=[*texts[:2], last]))
        for name, last in (("a", "three"), ("b", "four"))
    ]  # fmt: skip
    part = runs[0].restricted(["clip_001"])
    assert part.asked_alike(runs[1]) == {"clip_001"}
    assert runs[0].asked_alike(runs[1]) == {"clip_000", "clip_001"} == runs[1].asked_alike(runs[0])
    assert runs[0].asked_alike(runs[1]) is runs[0].asked_alike(runs[1]), "looked up once"
    assert runs[0].asked_alike(runs[0]) == set(runs[0].clips)


def test_the_folder_of_an_experiment_names_its_runs(tmp_path):
    folder = make_run(tmp_path / "out" / "runs" / "noise", {SYNC_C: [1.0]})
    for read in (open_run, tb.open_run):
        with pytest.raises(ValueError, match=f"name one of its runs, {folder}"):
            read(tmp_path / "out")
    assert tb.open_run(folder).name == "system"
    with pytest.raises(StoreError, match="is not a run"):
        open_run(tmp_path)


def test_pseudo_values_are_kept_and_their_mean_is_the_distance(tmp_path):
    folder = make_run(tmp_path / "run", {FID: [1.0] * 12}, features=frames(3, 12, 0.4))
    told = []
    first = open_run(folder, told.append).pseudo_values("fid/clean", "fid", [f"clip_{i:03d}" for i in range(12)])
    again = open_run(folder, told.append).pseudo_values("fid/clean", "fid", [f"clip_{i:03d}" for i in range(12)])
    assert first == again and len(told) == 1
    assert np.mean(list(first.values())) == pytest.approx(open_run(folder).columns[0].summary.score.value)


# --- what a metric says of each clip ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("id", "quantity"), [("fid/clean", "fid"), ("fvd/styleganv", "fvd"), ("kvd/styleganv", "kvd")])
def test_closed_forms_agree_with_leaving_each_clip_out(id, quantity):
    """The kernel distance is left out exactly; the Fréchet distance to first order, closer with more clips."""
    metric = create(id)
    features = frames(5, 40, 0.5, d=4)
    closed = metric.pseudo_values(features, quantity)
    left_out = SetMetric.pseudo_values(metric, features, quantity)
    if id.startswith("kvd"):
        assert np.allclose(closed, left_out)
    else:
        assert np.corrcoef(closed, left_out)[0, 1] > 0.99
        assert closed.std() == pytest.approx(left_out.std(), rel=0.1)
    assert closed.mean() == pytest.approx(metric.aggregate(features).values[quantity])


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda features, quantity: 1 / 0, "unexpected ZeroDivisionError"),
        (lambda features, quantity: np.ones(2), "expected a finite number for each"),
        (lambda features, quantity: np.full(len(features), np.nan), "expected a finite number for each"),
    ],
)
def test_odd_pseudo_values_are_a_reason(tmp_path, monkeypatch, answer, reason):
    folder = make_run(tmp_path / "run", {FID: [1.0] * 4}, features=frames(3, 4, 0.4))
    monkeypatch.setattr(type(create("fid/clean")), "pseudo_values", lambda self, *asked: answer(*asked))
    with pytest.raises(Unscorable, match=reason):
        open_run(folder).recorded.quantities["fid/clean", "fid"].sample(["clip_000", "clip_001", "clip_002"])
    with pytest.raises(Unscorable, match="the features of nobody are not in"):
        open_run(folder).pseudo_values("fid/clean", "fid", ["nobody"])


class Trimmed(SetMetric):
    """The mean of the clips' features above a limit that is an option."""

    id = "trimmed/mean"
    title, paper, quantities = "Trimmed", "none", (Quantity("trimmed", "Trimmed", "lower", aggregate="set"),)

    def __init__(self, settings=None, *, above: float = 0.0):
        super().__init__(settings)
        self.above = above

    @property
    def protocol(self):
        return Protocol(self.id, {"above": self.above})

    def measure(self, pair):
        raise NotImplementedError

    def aggregate(self, features):
        values = np.concatenate([clip["generated"] for clip in features])
        return Measurement({"trimmed": float(values[values > self.above].mean())})


def test_clips_are_left_out_with_the_options_that_the_run_was_measured_with(tmp_path, monkeypatch):
    monkeypatch.setitem(registry.__dict__, "_entries", ({**registry.targets, Trimmed.id: "plugin:Trimmed"}, {}))
    monkeypatch.setitem(registry._loaded, Trimmed.id, Trimmed)
    features = [{"generated": np.array([x, x + 1], dtype=np.float32)} for x in (0.1, 1.2, 2.3, 3.4)]
    names = [f"clip_{i}" for i in range(4)]
    protocol = create(Trimmed.id, options={"above": 2.0}).protocol
    for folder, kept in (("new", {"above": 2.0}), ("old", {})):  # earlier runs say nothing of options
        described = describe(create(Trimmed.id, options={"above": 2.0}), kept)
        (tmp_path / folder).mkdir()
        store = FeatureStore(tmp_path / folder / "features")
        with Store(tmp_path / folder / "results.db", create=True) as results:
            results.add_protocols([(protocol, described)])
            results.put_clips((name, {"id": name}, f"{name}.mp4", None, None) for name in names)
            for name, arrays in zip(names, features, strict=True):
                results.put_digests(name, name, None, name)
                results.put_measurement(name, protocol, name, {"trimmed": Score.ok(0.0)}, Status.OK, None, {})
                store.put(name, protocol.fingerprint, "measurement", arrays)
    found = open_run(tmp_path / "new").pseudo_values(Trimmed.id, "trimmed", names)
    expected = SetMetric.pseudo_values(Trimmed(above=2.0), features, "trimmed")
    assert list(found.values()) == pytest.approx(expected)
    assert list(found.values()) != pytest.approx(SetMetric.pseudo_values(Trimmed(), features, "trimmed"))
    with pytest.raises(Unscorable, match=r"other parameters than .* \(above 2.0 against 0.0\)"):
        open_run(tmp_path / "old").pseudo_values(Trimmed.id, "trimmed", names)


def test_what_does_not_apply_is_no_failure(tmp_path):
    lacking = Score(Status.NOT_APPLICABLE, reason="no reference clip for this item: pass --reference DIR")
    folder = make_run(tmp_path / "run", {SYNC_C: [1.0, lacking, lacking, Score.failed("no face")]})
    run = tb.open_run(folder)
    assert [failure["clip"] for failure in run.result.failures] == ["clip_003"]
    (note,) = (note for note in tb.table(run).notes if note.startswith("(n/N)"))
    assert "the others failed: no face; not applicable to 2 clips: no reference clip" in note
