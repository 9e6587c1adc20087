"""Error rates: jiwer's edge rules, arithmetic that can be done by hand, and what stands beside the number."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from speech_factory import RATE, pair, say, with_noise

from t2av_bench.benchmarks.manifest import Item
from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.extractors.recognisers import Recogniser, Transcript
from t2av_bench.gridface.data import corpus
from t2av_bench.media.clip import Clip
from t2av_bench.metrics import create, metric_ids, resolve, wer
from t2av_bench.metrics.wer import error_rate
from t2av_bench.results.features import FeatureStore

jiwer = pytest.importorskip("jiwer")
WORDS = [f"word{index}" for index in range(100)]


class Parrot(Recogniser):
    """Answers with a fixed text and counts how often it was asked."""

    parameters = {"recogniser": "parrot", "language_hint": "item"}
    libraries = ()

    def __init__(self, text, language=None, flags=()):
        self.answer = Transcript(text, language, tuple(flags))
        self.asked = []

    def transcribe(self, audio, language=None):
        self.asked.append((len(audio), language))
        return self.answer


def hearing(cls, text, language=None, flags=()):
    """The metric class with a recogniser that hears ``text``."""
    metric, parrot = cls(), Parrot(text, language, flags)
    metric._recogniser = lambda: parrot
    return metric, parrot


def measured(cls, folder, text, heard, language="en", **parrot):
    metric, _ = hearing(cls, heard, **parrot)
    return metric.measure(pair(folder, say(), text=text, language=language))


# --- arithmetic -------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 100), st.sampled_from(["replace", "delete"]), st.integers(0, 2**31))
def test_damaging_p_per_cent_of_the_words_gives_p(percent, damage, seed):
    chosen = set(random.Random(seed).sample(range(100), percent))
    heard = ["unheard" if index in chosen else word for index, word in enumerate(WORDS)]
    if damage == "delete":
        heard = [word for word in heard if word != "unheard"]
    found = error_rate(" ".join(WORDS), " ".join(heard))
    assert found["rate"] == pytest.approx(percent / 100, abs=1e-12)
    assert found["length"] == 100
    assert found["substitutions" if damage == "replace" else "deletions"] == percent


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 50), st.integers(0, 100))
def test_insertions_count_and_may_exceed_one(length, inserted):
    found = error_rate(" ".join(WORDS[:length]), " ".join(["uh"] * inserted + WORDS[:length]))
    assert found["rate"] == pytest.approx(inserted / length)
    assert (found["insertions"], found["hits"]) == (inserted, length)


@settings(max_examples=60, deadline=None)
@given(st.text("你好世界天地", min_size=1, max_size=20), st.text("你好世界天地", max_size=20))
def test_characters_agree_with_a_plain_edit_distance(reference, heard):
    row = list(range(len(heard) + 1))
    for index, wanted in enumerate(reference, 1):
        previous, row[0] = row[0], index
        for column, got in enumerate(heard, 1):
            previous, row[column] = row[column], min(row[column] + 1, row[column - 1] + 1, previous + (wanted != got))
    assert error_rate(reference, heard, characters=True)["rate"] == pytest.approx(row[-1] / len(reference))


def test_empty_hypothesis_scores_one():
    found = error_rate("the cat sat", "")
    assert (found["rate"], found["deletions"]) == (1.0, 3)
    assert error_rate("你好世界", "", characters=True)["rate"] == 1.0


@pytest.mark.parametrize("reference", ["", "  ", ".", "...!"])
def test_empty_reference_is_not_applicable(reference):
    with pytest.raises(NotApplicable, match="nothing is left of the text"):
        error_rate(reference, "a")


def test_jiwer_counts_spaces_so_texts_are_stripped_of_them_first(tmp_path):
    """jiwer's own answers, which the normaliser must prevent: 0.1667 and 0.2 for a difference in spaces alone."""
    assert jiwer.cer("a  b c", "a b c") == pytest.approx(1 / 6)
    assert jiwer.cer("你好 世界", "你好世界") == pytest.approx(0.2)
    assert measured(wer.CERQwen3, tmp_path, "你好 世界", "你好世界", "zh").values["cer"] == 0


# --- the metric -------------------------------------------------------------------------------------------------------


def test_counts_transcript_and_weight_are_kept(tmp_path):
    found = measured(wer.WERWhisper, tmp_path, "The cat sat on the mat.", "a cat sat the mat now", language="en")
    assert found.values == {"wer": pytest.approx(0.5), "wer_utterance": pytest.approx(0.5)}
    assert found.weight == 6
    expected = {"substitutions": 1, "deletions": 1, "insertions": 1, "hits": 4, "length": 6}
    assert {key: found.detail[key] for key in expected} == expected
    assert found.detail["transcript"] == "a cat sat the mat now"
    assert found.detail["reference"] == "the cat sat on the mat"
    assert found.detail["flags"] == []


def test_corpus_and_utterance_means_differ_as_they_should(tmp_path):
    """One long, perfect and one short, lost utterance: corpus 0.25, mean 0.5."""
    quantities = {quantity.name: quantity.aggregate for quantity in wer.WERWhisper.quantities}
    assert quantities == {"wer": "weighted", "wer_utterance": "mean"}
    rows = [measured(wer.WERWhisper, tmp_path, "one by one we went home", "one by one we went home")]
    rows.append(measured(wer.WERWhisper, tmp_path, "hello there", ""))
    weights = [row.weight for row in rows]
    assert np.average([row.values["wer"] for row in rows], weights=weights) == pytest.approx(2 / 8)
    assert np.mean([row.values["wer_utterance"] for row in rows]) == pytest.approx(0.5)


def test_clips_that_are_heard_together_are_those_that_measuring_would_hear(tmp_path):
    """Silence, another language and items without text or language cost no recogniser; the rest is heard once."""
    metric, parrot = hearing(wer.WERWhisper, "the cat sat")
    asked = [("a", say(), {"text": "the cat sat", "language": "en"}), ("b", np.zeros(RATE, np.float32), {
        "text": "the cat", "language": "en"}), ("c", say(), {"text": "你好", "language": "zh"}),
        ("d", say(), {"language": "en"}), ("e", say(), {"text": "the dog sat"}),
        ("f", say()[:-5], {"text": "die Katze", "language": "de-AT"})]  # fmt: skip
    pairs = []
    for name, audio, item in asked:
        (tmp_path / name).mkdir()
        pairs.append(pair(tmp_path / name, audio, **item))
    metric.prepare(pairs)
    heard = [(len(say()), "en"), (len(say()) - 5, "de")]
    assert parrot.asked == heard
    metric.prepare(pairs[:1])
    values = [metric.measure(pairs[index]).values["wer"] for index in (0, 1, 5)]
    assert parrot.asked == heard and values == [0.0, 1.0, 1.5]
    for index, reason in ((2, "use cer"), (3, "no text"), (4, "no language")):
        with pytest.raises(NotApplicable, match=reason):
            metric.measure(pairs[index])


@pytest.mark.parametrize(
    ("text", "heard"),
    [
        ("Well-known colours, aren't they?", "well known colors are not they"),
        ("It costs twenty-one dollars", "it costs $21"),
        ("HELLO THERE", "hello, there!"),
    ],
)
def test_variants_that_the_normaliser_claims_cost_nothing(tmp_path, text, heard):
    assert measured(wer.WERWhisper, tmp_path, text, heard).values["wer"] == 0


def test_seed_tts_normalisation_does_not_claim_numbers(tmp_path):
    found = measured(wer.WERWhisperSeedTTS, tmp_path, "Well-known: $5.50!", "wellknown 550")
    assert found.values["wer_utterance"] == 0
    assert measured(wer.WERWhisperSeedTTS, tmp_path, "twenty one", "21").values["wer"] == 1


def test_chinese_is_compared_by_character_across_scripts_and_punctuation(tmp_path):
    found = measured(wer.CERWhisper, tmp_path, "漢語\uff0c你好\u3002", "汉语你号", "zh-CN")
    assert found.values == {"cer": 0.25, "cer_utterance": 0.25}
    assert found.weight == 4


def test_remarks_about_the_transcript(tmp_path):
    heard = {"heard": "谢谢观看", "language": "en"}
    metric, _ = hearing(wer.WERQwen3, heard["heard"], "zh", ["stopped at 1024 tokens"])
    found = metric.measure(pair(tmp_path, say(), text="hello there", language="en"))
    assert found.values["wer"] >= 1
    assert found.detail["flags"] == ["stopped at 1024 tokens", "the recogniser heard 'zh', the text is 'en'"]
    looped = measured(wer.WERQwen3, tmp_path, "thank you for coming", "thank you " * 30)
    assert any("is repeated 30 times" in flag for flag in looped.detail["flags"])
    assert any("compression ratio" in flag for flag in looped.detail["flags"])


SILENCES = {
    "digital silence": np.zeros(2 * RATE, np.float32),
    "dither": np.random.default_rng(0).choice([-1, 0, 1], 2 * RATE).astype(np.float32) / 32768,
    "no sample": np.zeros(0, np.float32),
}
METRICS = [metric for id in metric_ids() if id.split("/")[0] in ("wer", "cer") if (metric := type(create(id)))]


@pytest.mark.parametrize("kind", SILENCES)
@pytest.mark.parametrize("cls", METRICS, ids=lambda cls: cls.id)
def test_no_recogniser_is_asked_about_silence(tmp_path, cls, kind):
    """Recognisers that invent text in silence are as good there as those that do not."""
    language = "zh" if cls.id.startswith("cer") else "en"
    text = corpus.utterances(f"test-{language}", 1)[0].text
    metric, parrot = hearing(cls, "thank you for watching")
    quiet = pair(tmp_path, say(), text=text, language=language)
    quiet.generated.audio = lambda rate: SILENCES[kind]
    if kind == "no sample" and cls.id.endswith("/gridface"):
        with pytest.raises(Unscorable, match=r"0\.00 s long"):
            metric.measure(quiet)
        return
    found = metric.measure(quiet)
    assert parrot.asked == [] and found.detail["silent"] is True and found.detail["transcript"] == ""
    assert set(found.values.values()) == {1.0} and found.detail["deletions"] == found.detail["length"] > 0


def test_quiet_speech_is_no_silence(tmp_path):
    metric, parrot = hearing(wer.WERWhisper, "hello there")
    found = metric.measure(pair(tmp_path, 0.001 * say(), text="hello there", language="en"))
    assert parrot.asked and found.detail["silent"] is False and found.values["wer"] == 0


@pytest.mark.parametrize(
    ("id", "item", "message"),
    [
        ("wer/qwen3-asr-1.7b", {}, "give 'text' in the manifest"),
        ("wer/qwen3-asr-1.7b", {"text": "hello"}, "give 'language' in the manifest"),
        ("wer/qwen3-asr-1.7b", {"text": "你好", "language": "zh"}, "use cer"),
        ("cer/qwen3-asr-1.7b", {"text": "hello", "language": "en-GB"}, "use wer"),
        ("wer/pocketsphinx", {"text": "bonjour", "language": "fr"}, "English alone"),
        ("wer/whisper-large-v3", {"text": "?!", "language": "en"}, "nothing is left of the text"),
        ("wer/qwen3-asr-1.7b", {"text": "hello", "language": "en"}, "weights fetch qwen3_asr_1_7b"),
        ("cer/whisper-large-v3", {"text": "你好", "language": "zh"}, "weights fetch whisper_large_v3"),
        ("wer/whisper-base", {"text": "hello", "language": "en"}, "weights fetch whisper_base"),
    ],
)
def test_what_cannot_be_asked_says_what_to_do(tmp_path, monkeypatch, id, item, message):
    monkeypatch.setenv("T2AV_BENCH_WEIGHTS", str(tmp_path / "weights"))
    with pytest.raises(NotApplicable, match=message):
        create(id).measure(pair(tmp_path, say(), **item))


def test_one_transcript_serves_all_metrics_that_hear_alike_and_later_runs(tmp_path):
    shared = pair(tmp_path, say(), text="hello there", language="en")
    shared.generated = Clip(shared.generated.path, features=FeatureStore(tmp_path / "features"))
    first, parrot = hearing(wer.WERWhisper, "hello there")
    second, other = hearing(wer.WERWhisper, "never asked")
    assert first.measure(shared).values["wer"] == second.measure(shared).values["wer"] == 0
    assert parrot.asked == [(len(say()), "en")] and other.asked == []
    again = pair(tmp_path, say(), text="hello there", language="en")
    again.generated = Clip(again.generated.path, features=FeatureStore(tmp_path / "features"))
    assert second.measure(again).values["wer"] == 0 and other.asked == []
    without_time_stamps, third = hearing(wer.WERWhisperSeedTTS, "hello here")
    assert without_time_stamps.measure(again).values["wer"] == 0.5 and len(third.asked) == 1


def test_fingerprints_tell_protocols_apart():
    ids = [id for id in metric_ids() if id.split("/")[0] in ("wer", "cer")]
    protocols = [create(id).protocol for id in ids]
    protocols.append(wer.WERPocketsphinx(grammar="#JSGF V1.0; grammar g; public <s> = hello;").protocol)
    assert len({protocol.fingerprint for protocol in protocols}) == len(protocols)
    assert create("wer/pocketsphinx").protocol == create("wer/pocketsphinx").protocol


def test_every_whisper_states_how_it_decodes():
    ids = [id for id in metric_ids() if "whisper" in id and id.startswith(("wer/", "cer/"))]
    stated = {id: create(id).protocol.parameters for id in ids}
    untimed = {"wer/whisper-large-v3-seed-tts", "wer/whisper-base-no-timestamps"}
    assert {id for id in ids if not stated[id]["time_stamps"]} == untimed
    named = {"decoding", "dtype", "language_hint", "long_form", "no_speech", "suppressed_tokens", "time_stamps"}
    assert len(ids) == 6 and all(named <= parameters.keys() for parameters in stated.values())


def test_a_decoding_to_compare_with_differs_in_the_decoding_alone():
    usual, other = (create(f"wer/whisper-base{end}").protocol for end in ("", "-no-timestamps"))
    differing = {key for key in usual.parameters if usual.parameters[key] != other.parameters[key]}
    assert differing == {"time_stamps", "long_form", "no_speech"} and usual.weights.keys() == other.weights.keys()
    assert "wer/whisper-base-no-timestamps" in wer.WERWhisperBase.alternatives["decoding"]
    assert "wer/whisper-base-no-timestamps" not in resolve(["all", "wer"])


def test_embedded_recogniser_has_columns_of_its_own():
    published = {quantity.name for quantity in (*wer.WERQwen3.quantities, *wer.WERWhisper.quantities)}
    assert published == {"wer", "wer_utterance"}
    assert wer.WERPocketsphinx.stand_in and not wer.WERWhisper.stand_in
    assert [quantity.name for quantity in wer.WERPocketsphinx.quantities] == [
        "wer_pocketsphinx",
        "wer_utterance_pocketsphinx",
    ]


def test_noise_raises_the_error_rate_of_real_recognition(tmp_path):
    pytest.importorskip("pocketsphinx")
    text = "set white by four please"
    slots = ["set | place", "white | red", "by | with", "four | nine", "please | again"]
    grammar = f"#JSGF V1.0; grammar g; public <s> = {' '.join(f'({slot})' for slot in slots)};"
    metric = wer.WERPocketsphinx(grammar=grammar)
    rates = []
    for snr in (40, -15):
        noisy = pair(tmp_path, with_noise(say(text), snr), text=text, language="en")
        rates.append(metric.measure(noisy).values["wer_pocketsphinx"])
    assert rates[0] == 0 < rates[1]


def test_a_clip_that_cannot_be_heard_weighs_as_many_words_as_it_was_asked_to_say(tmp_path):
    from t2av_bench.evaluation.config import EvaluateConfig
    from t2av_bench.evaluation.evaluate import evaluate
    from t2av_bench.results.run import open_run

    english, chinese = create("wer/pocketsphinx"), create("cer/whisper-large-v3")
    assert english.weight_of(Item(id="a", text="Hello, big world!", language="en")) == 3
    assert chinese.weight_of(Item(id="a", text="今天 真开心。", language="zh")) == 5
    assert english.weight_of(Item(id="a", text="今天", language="zh")) == 0 == english.weight_of(Item(id="a"))
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "other.wav").write_bytes(b"no sound")
    (tmp_path / "items.jsonl").write_text(
        '{"id": "gone", "text": "bin blue at home now please", "language": "en"}\n'
        '{"id": "other", "text": "good morning", "language": "en"}\n'
    )
    plan = EvaluateConfig(
        generated=tmp_path / "clips", manifest=tmp_path / "items.jsonl", metrics=("wer/pocketsphinx",), workers=1,
        out=tmp_path / "run",
    )  # fmt: skip
    evaluate(plan, lambda progress: None, lambda text: None)
    run = open_run(tmp_path / "run")
    assert {row.clip: row.score.weight for row in run.score_rows()} == {"gone": 6.0, "other": 2.0}
    assert all(column.summary.score.value is None for column in run.columns)
