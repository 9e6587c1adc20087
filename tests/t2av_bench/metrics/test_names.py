"""Metrics and quantities are understood as people type them, and everything else is refused with what was meant."""

import pytest
from plugin_factory import install
from typer.testing import CliRunner

from t2av_bench import metrics
from t2av_bench.cli.main import app
from t2av_bench.comparison.comparable import choose
from t2av_bench.comparison.margins import margins_of
from t2av_bench.evaluation.planning import requested
from t2av_bench.metrics import metric_class, metric_ids, registry, resolve
from t2av_bench.utils.config import ConfigError

# What papers write -> the quantity: Wav2Lip (LSE), DNSMOS P.835, Seed-TTS (SIM-o), YourTTS (SECS).
FIELD = {
    "LSE-C": "sync_c", "LSE-D": "sync_d", "Sync-C": "sync_c", "Sync-D": "sync_d", "SyncNet confidence": "sync_c",
    "AV-Offset": "sync_offset", "AV-Align": "av_align", "CSIM": "csim", "ID-SIM": "csim", "SPK-SIM": "sim",
    "SIM-o": "sim", "SECS": "sim_resemblyzer", "FID": "fid", "KID": "kid", "FVD": "fvd", "PSNR": "psnr", "SSIM": "ssim",
    "LPIPS": "lpips", "DNSMOS OVRL": "dnsmos_ovrl", "BAK": "dnsmos_bak", "UTMOS": "utmos", "PESQ-WB": "pesq_wb",
    "WB-PESQ": "pesq_wb", "STOI": "stoi", "ESTOI": "estoi",
}  # fmt: skip
KEYS = [
    ("sync/exact", "sync_c_exact"), ("sync/exact", "sync_d_exact"), ("wer/whisper-large-v3", "wer"),
    ("wer/whisper-large-v3", "wer_utterance"), ("psnr/rgb", "psnr"), ("sync/joonson", "sync_c"),
    ("sync/syncnet-python", "sync_c"), ("gone/plug-in", "gone"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "quantity"), FIELD.items())
def test_what_the_field_writes_is_the_quantity(name, quantity):
    for typed in (name, name.upper(), name.replace("-", "_").lower(), f" {name.replace('-', ' ')} "):
        (id,) = resolve([typed])
        assert quantity in [each.name for each in metric_class(id).quantities], typed
        assert registry.quantity(typed, [quantity, "other"]) == quantity


def test_every_column_label_id_and_family_is_a_name_of_its_metric():
    for id in metric_ids():
        metric, family = metric_class(id), id.split("/")[0]
        assert resolve([id.upper()]) == resolve([id.replace("/", " ")]) == [id]
        for quantity in metric.quantities:
            for name in (quantity.name, quantity.label, quantity.name.replace("_", "-").title()):
                (found,) = resolve([name])
                names = [each.name for each in metric_class(found).quantities]
                assert found.startswith(f"{family}/") and (quantity.name in names or name.casefold() == family), name
        assert not set(metric.aliases.values()) - {quantity.name for quantity in metric.quantities}


def test_a_quantity_is_measured_by_the_familys_first_variant_that_gives_it_and_can_run(monkeypatch):
    assert resolve(["sync"]) == ["sync/exact"] and resolve(["sync_c"]) == ["sync/joonson"]
    assert resolve(["fid", "FID", "fid/legacy_pytorch"]) == ["fid/clean", "fid/legacy_pytorch"]
    assert resolve(["sync_c_gridface", "sync"]) == ["sync/gridface", "sync/exact"]
    monkeypatch.setattr("t2av_bench.weights.is_present", lambda id: id == "resemblyzer")
    assert resolve(["sim"]) == ["sim/resemblyzer"]
    assert resolve(["sim-o", "speaker similarity"]) == ["sim/wavlm-ecapa"], "the stand-in has another quantity"
    assert registry.find("lse-d") == "sync/joonson" and registry.class_of("PSNR").id == "psnr/rgb"
    assert all(name in registry for name in ("sync c", "Sync/Exact", "LSE-C", "fid")) and "nisqa" not in registry
    with pytest.raises(ValueError, match="'All' means many metrics"):
        registry.find("All")


@pytest.mark.parametrize(
    ("present", "heard_by", "cer"),
    [
        ({"qwen3_asr_1_7b", "whisper_large_v3", "whisper_base"}, "Qwen3-ASR 1.7B", "qwen3-asr-1.7b"),
        ({"whisper_large_v3", "whisper_base"}, "Whisper large-v3", "whisper-large-v3"),
        ({"whisper_base"}, "Whisper base", "whisper-base"),
        (set(), "pocketsphinx", "qwen3-asr-1.7b"),
    ],
)
def test_words_are_heard_by_the_best_recogniser_that_is_there_and_its_label_says_so(
    monkeypatch, present, heard_by, cer
):
    monkeypatch.setattr("t2av_bench.weights.is_present", lambda id: id in present)
    for typed in ("wer", "WER"):
        (id,) = resolve([typed])
        assert [quantity.label for quantity in metric_class(id).quantities] == [
            f"WER ({heard_by})", f"WER (utterance) ({heard_by})",
        ]  # fmt: skip
    assert resolve(["CER"]) == [f"cer/{cer}"]


def test_no_two_recognisers_share_a_label():
    labels = [
        quantity.label for id in metric_ids() if id.split("/")[0] in ("wer", "cer")
        for quantity in metric_class(id).quantities
    ]  # fmt: skip
    assert len(set(labels)) == len(labels) > 12
    (found,) = resolve(["wer (whisper base)"])
    assert found == "wer/whisper-base"


def test_a_suites_name_means_all_its_metrics():
    ids = [id for id in metric_ids() if id.startswith("theval/")]
    assert resolve(["theval"]) == registry.preferred("THEval") == ids and len(ids) == 6
    assert set(ids) <= set(resolve(["all"])) and set(ids) <= set(registry.preferred("all"))
    assert resolve(["theval/head-mesh468"]) == resolve(["head_rotation"]) == ["theval/head-mesh468"]
    with pytest.raises(ValueError, match="'theval' means many metrics"):
        registry.find("theval")


def test_all_is_nothing_that_was_asked_for_by_name():
    assert resolve(["ALL"]) == resolve(["all"]) and requested(["All", "LSE-D"]) == ["sync/joonson"]


@pytest.mark.parametrize(
    ("name", "near"),
    [("sync_k", "sync"), ("lse-x", "LSE-"), ("psrn", "psnr"), ("dnsmos_over", "dnsmos_ovrl"),
     ("syncnet conf", "SyncNet"), ("wer/whisper-large-v2", "wer/whisper-large-v3"), ("aall", "all")],
)  # fmt: skip
def test_an_unknown_metric_is_answered_with_the_nearest_of_all_kinds(name, near):
    with pytest.raises(ValueError, match=f"unknown metric '{name}'; did you mean .*{near}.*list metrics"):
        resolve([name])


@pytest.mark.parametrize("name", ["", "-", "NISQA", "全部"])
def test_what_is_like_nothing_is_answered_with_where_to_look(name):
    with pytest.raises(ValueError, match=f"unknown metric '{name}'; 't2av-bench list metrics' shows all"):
        resolve([name])


def test_selecting_quantities_that_there_are():
    of = registry.select
    assert of(["SYNC-C-EXACT"], KEYS) == [KEYS[0]] and of(["Sync/Exact"], KEYS) == KEYS[:2]
    assert of(["wer"], KEYS) == of(["WER"], KEYS) == KEYS[2:4]
    assert of(["wer"], KEYS, quantity_first=True) == of(["Wer"], KEYS, quantity_first=True) == [KEYS[2]]
    assert of(["psnr", "WER (utterance)"], KEYS) == [KEYS[4], KEYS[3]], "in the names' order"
    assert of(["LSE-C"], KEYS) == of(["sync_c"], KEYS) == KEYS[5:7], "one quantity of two protocols"
    assert of(["gone"], KEYS) == of(["Gone/Plug In"], KEYS) == [KEYS[7]], "of a plug-in that is not here any more"
    assert choose(KEYS, ["psnr", "LSE-C"]) == KEYS[4:7] and choose(KEYS, None) == KEYS
    with pytest.raises(ValueError, match="unknown quantity or metric 'LSE-D'; did you mean sync_d_exact"):
        of(["LSE-D"], KEYS)
    with pytest.raises(ValueError, match="unknown quantity or metric 'xyz'; there are psnr, psnr/rgb"):
        of(["xyz"], [("psnr/rgb", "psnr")])


def test_margins_have_the_same_names():
    margins = margins_of({"LSE-C": 0.5, "psnr": "2%", "Gone": 1}, ["gone"])
    assert (margins["sync_c"].amount, margins["psnr"].amount, margins["gone"].amount) == (0.5, 0.02, 1.0)
    for entries, expected in (
        ({"LSE-C": 0.5, "sync_c": 0.2}, "sync_c: the margin of sync_c is given twice"),
        ({"sync": 0.5}, "'sync' may be sync_c_exact or sync_d_exact .*: name one of them"),
        ({"LSE-X": 0.5}, "unknown quantity or metric 'LSE-X'"),
    ):
        with pytest.raises(ConfigError, match=expected):
            margins_of(entries)


def test_options_have_the_same_names():
    ids = ["sync/exact", "sync/crop", "fid/clean"]
    assert registry.options_of({"FID": {"a": 1}, "sync_c_crop": {"b": 2}, "Sync/Crop": {"c": 3}}, ids) == {
        "fid/clean": {"a": 1}, "sync/crop": {"b": 2, "c": 3},
    }  # fmt: skip
    with pytest.raises(ValueError, match="options for sync, which may be sync/exact or sync/crop"):
        registry.options_of({"sync": {}}, ids)
    with pytest.raises(ValueError, match="options for wer, which is not measured; name one of sync/exact"):
        registry.options_of({"wer": {}}, ids)


LOUD = """
from t2av_bench.metrics.base import Measurement, Metric
from t2av_bench.scores import Protocol, Quantity

class Loud(Metric):
    id, title, paper = "{id}", "Loud", "none"
    quantities = (Quantity("{quantity}", "Loudness", "none"),)
    aliases = {aliases}
    protocol = property(lambda self: Protocol(self.id))
    def measure(self, pair):
        return Measurement({{"{quantity}": 1.0}})
"""


@pytest.fixture
def plug(tmp_path, monkeypatch):
    def plug(**plug_ins):
        sources = {name: LOUD.format(**{"aliases": {}, **given}) for name, given in plug_ins.items()}
        install(tmp_path / "ours", monkeypatch, {plug_ins[name]["id"]: f"{name}:Loud" for name in plug_ins}, sources)

    yield plug
    metrics.registry.forget()


def test_what_several_metrics_are_called_is_refused_naming_them(plug):
    plug(
        names_one={"id": "ours/sync", "quantity": "sync_c"},
        names_two={"id": "odd/one", "quantity": "mine", "aliases": {"LSE-D": "mine", "My Own": "mine"}},
    )  # fmt: skip
    with pytest.raises(ValueError, match="'Sync-C' may be sync/joonson or sync/syncnet-python or ours/sync: name one"):
        resolve(["Sync-C"])
    with pytest.raises(ValueError, match="'lse-d' may be sync_d or mine: name one of them"):
        resolve(["lse-d"])
    assert resolve(["my_own"]) == ["odd/one"] and resolve(["sync"]) == ["sync/exact"]
    with pytest.raises(ValueError, match="'Loudness' may be mine or sync_c"):
        resolve(["Loudness"])


@pytest.mark.parametrize("aliases", [{"LSE-C": "other"}, {"-": "mine"}, {3: "mine"}])
def test_a_plug_in_whose_other_names_are_wrong_is_broken(plug, aliases):
    plug(names_three={"id": "odd/two", "quantity": "mine", "aliases": aliases})
    assert "'aliases' is other names -> names of its quantities" in metrics.broken()["odd/two"]


def test_list_shows_what_else_quantities_are_called():
    done = CliRunner().invoke(app, ["list", "metrics", "--json"])
    assert '"LSE-C"' in done.stdout and '"SIM-o"' in done.stdout
    shown = CliRunner().invoke(app, ["list", "metrics"], terminal_width=200, env={"COLUMNS": "200"}).stdout
    assert "LSE-C" in shown and "SIM-o" in shown
