"""Recognisers: what can be shown without their weights. Tiny random networks take the real loading path."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from speech_factory import RATE, say, with_noise

from t2av_bench.errors import NotApplicable
from t2av_bench.extractors.pocketsphinx_recogniser import PocketsphinxRecogniser, dithered
from t2av_bench.extractors.recognisers import (
    Transcript,
    compression_ratio,
    longest_repetition,
    loop_flags,
)

BYTES = 256  # a byte-level vocabulary: every text can be written, so random networks write something
COMMANDS = """#JSGF V1.0;
grammar commands;
public <command> = <verb> <colour> <preposition> <number> <adverb>;
<verb> = place | set | bin | lay;
<colour> = red | green | white | blue;
<preposition> = at | by | in | with;
<number> = one | two | four | seven;
<adverb> = now | please | soon | again;
"""
SPOKEN = ("set white by four please", "place blue at seven now", "lay green with two again")

ENCODABLE = st.text(st.characters(exclude_categories=["Cs"]))  # text()'s own, which it finds by trying them all


@pytest.fixture(scope="module")
def noise():
    return (0.1 * np.random.default_rng(0).standard_normal(70 * RATE)).astype(np.float32)


# --- transcripts ------------------------------------------------------------------------------------------------------


@given(ENCODABLE, st.sampled_from([None, "en", "zh"]), st.lists(ENCODABLE, max_size=3))
def test_transcript_survives_the_feature_store(text, language, flags):
    transcript = Transcript(text, language, tuple(flags))
    arrays = transcript.as_arrays()
    assert all(array.dtype == np.uint8 for array in arrays.values())
    assert Transcript.from_arrays(arrays) == transcript


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=4), st.integers(4, 30), st.text("xyz", max_size=5))
def test_a_loop_of_any_phrase_is_found(phrase, times, around):
    found, words = longest_repetition([*around, *phrase * times, *reversed(around)])
    assert found >= times
    assert len(words) <= len(phrase)


def test_repetition_counts_and_phrases():
    assert longest_repetition("thank you thank you thank you".split()) == (3, ("thank", "you"))
    assert longest_repetition("a b c d".split()) == (1, ())
    assert longest_repetition([]) == (1, ())


def test_loops_are_flagged_unless_the_text_asks_for_them():
    loop = ["so"] * 12
    assert loop_flags(loop, "so it goes".split())[0] == "'so' is repeated 12 times"
    assert loop_flags(loop, loop) == []
    assert loop_flags("row row row your boat".split(), "row your boat".split()) == []
    assert loop_flags(list("谢谢" * 40), list("谢谢"))[0].startswith("'谢' is repeated 80 times")


def test_compression_ratio_limit_of_whisper():
    text = "and then we went to the shop " * 6
    assert compression_ratio(text) > 2.4 > compression_ratio("The quick brown fox jumps over the lazy dog.")
    assert any("compression ratio" in flag for flag in loop_flags(text.split(), "we went".split()))


# --- pocketsphinx -----------------------------------------------------------------------------------------------------


def test_dither_has_the_stated_level_and_is_seeded_by_content():
    audio = say()
    noisy = dithered(audio).astype(np.float64) / 32768
    padding = round(0.2 * RATE)
    added = noisy - np.pad(audio, padding)
    snr = 10 * np.log10(np.mean(np.square(audio, dtype=np.float64)) / np.mean(added**2))
    assert snr == pytest.approx(30, abs=0.1)
    assert np.std(noisy[:padding]) == pytest.approx(np.std(added), rel=0.05)
    assert np.array_equal(dithered(audio), dithered(audio.copy()))
    assert not np.array_equal(dithered(audio)[:padding], dithered(audio[:-1])[:padding])


def test_closed_grammar_understands_clean_speech_in_any_order():
    pytest.importorskip("pocketsphinx")
    recogniser = PocketsphinxRecogniser(COMMANDS)
    heard = [recogniser.transcribe(say(text)).text for text in SPOKEN]
    assert heard == list(SPOKEN)
    assert [recogniser.transcribe(say(text)).text for text in reversed(SPOKEN)] == heard[::-1]
    assert recogniser.transcribe(with_noise(say(SPOKEN[0]), -10)).text != SPOKEN[0]


def test_open_vocabulary_is_deterministic():
    pytest.importorskip("pocketsphinx")
    recogniser = PocketsphinxRecogniser()
    speech = say("good morning everyone")
    first = recogniser.transcribe(speech)
    assert first == PocketsphinxRecogniser().transcribe(speech) and "morning" in first.text


def test_words_outside_the_dictionary_need_phones():
    pytest.importorskip("pocketsphinx")
    grammar = "#JSGF V1.0; grammar g; public <s> = hello talkerbench | goodbye world;"
    with pytest.raises(ValueError, match="pronunciations="):
        PocketsphinxRecogniser(grammar).transcribe(say("hello talker bench"))
    recogniser = PocketsphinxRecogniser(grammar, {"talkerbench": "T AO K ER B EH N CH"})
    assert recogniser.transcribe(say("hello talker bench")).text == "hello talkerbench"


# --- Whisper ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whisper_folder(tmp_path_factory):
    pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    from t2av_bench.utils.optional import make_torchvision_importable

    make_torchvision_importable()
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import (
        GenerationConfig,
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
        WhisperProcessor,
        WhisperTokenizer,
    )

    vocabulary = {letter: index for index, letter in enumerate(sorted(ByteLevel.alphabet()))}
    tokenizer = WhisperTokenizer(vocab={**vocabulary, "<|endoftext|>": BYTES}, merges=[])
    names = ["startoftranscript", "en", "zh", "de", "translate", "transcribe", "startofprev", "notimestamps"]
    times = [f"<|{index * 0.02:.2f}|>" for index in range(1501)]
    tokenizer.add_tokens([*(f"<|{name}|>" for name in names), *times], special_tokens=True)
    ids = {name: tokenizer.convert_tokens_to_ids(f"<|{name}|>") for name in [*names, "endoftext"]}
    ends = {name: ids["endoftext"] for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    start = {"decoder_start_token_id": ids["startoftranscript"]}
    config = WhisperConfig(
        vocab_size=len(tokenizer), num_mel_bins=80, d_model=32, encoder_layers=1, decoder_layers=1,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=64, decoder_ffn_dim=64,
        max_target_positions=64, init_std=0.3, **ends, **start,
    )  # fmt: skip
    # Random networks would stop at once or write control tokens: both are suppressed, so each window has text.
    torch.manual_seed(0)
    model = WhisperForConditionalGeneration(config)
    model.generation_config = GenerationConfig(
        is_multilingual=True, max_length=64, max_initial_timestamp_index=50, begin_suppress_tokens=[],
        suppress_tokens=list(ids.values()), no_timestamps_token_id=ids["notimestamps"],
        prev_sot_token_id=ids["startofprev"],
        lang_to_id={f"<|{name}|>": ids[name] for name in ("en", "zh", "de")},
        task_to_id={name: ids[name] for name in ("transcribe", "translate")}, **ends, **start,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("whisper")
    model.save_pretrained(folder)
    WhisperProcessor(WhisperFeatureExtractor(feature_size=80), tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture
def whisper(whisper_folder):
    from t2av_bench.extractors.whisper_recogniser import WhisperRecogniser

    return WhisperRecogniser(whisper_folder)


@pytest.fixture
def seed_tts(whisper_folder):
    from t2av_bench.extractors.whisper_recogniser import SeedTTSWhisperRecogniser

    return SeedTTSWhisperRecogniser(whisper_folder)


def by_pipeline(folder, audio, **options):
    """What transformers' own pipeline hears, which has loops, time stamps and thresholds of its own."""
    from transformers import pipeline

    recognise = pipeline("automatic-speech-recognition", model=str(folder), dtype="float32")
    options = {"language": "en", "task": "transcribe", "temperature": 0.0, "num_beams": 1, **options}
    # The pipeline writes into its input, hence the copy.
    found = recognise(
        {"raw": audio.copy(), "sampling_rate": RATE}, generate_kwargs=options,
        return_timestamps=options.pop("return_timestamps"),
    )  # fmt: skip
    return found["text"].strip()


def padded_as_there(whisper, monkeypatch):
    """transformers fills the last window with zeros behind the features, not with silence in the sound."""
    import torch

    options = {"sampling_rate": RATE, "return_tensors": "pt", "padding": "longest", "truncation": False}

    def features(audio):
        found = whisper.processor.feature_extractor(audio, **options).input_features
        return torch.nn.functional.pad(found, (0, 3000))

    monkeypatch.setattr(whisper, "_features", features)


@pytest.mark.parametrize("seconds", [30, 52])
def test_whisper_hears_windows_and_time_stamps_as_the_pipeline_of_transformers(
    whisper, whisper_folder, noise, monkeypatch, seconds
):
    padded_as_there(whisper, monkeypatch)
    windows = []
    decode = whisper._decode
    monkeypatch.setattr(whisper, "_decode", lambda *given: windows.append(1) or decode(*given))
    expected = by_pipeline(whisper_folder, noise[: seconds * RATE], return_timestamps=True)
    assert expected and whisper.transcribe(noise[: seconds * RATE], "en").text == expected
    assert len(windows) > seconds / 30, "time stamps end windows before their 30 s"


def test_windows_without_speech_are_those_of_transformers(whisper, whisper_folder, noise, monkeypatch):
    from t2av_bench.extractors import whisper_recogniser

    padded_as_there(whisper, monkeypatch)
    audio, probabilities = noise[: 52 * RATE], []
    look = whisper._look
    monkeypatch.setattr(whisper, "_look", lambda encoded: probabilities.append(look(encoded)[0][1]) or look(encoded))
    whole = whisper.transcribe(audio, "en")
    threshold = float(np.median(probabilities))
    assert whole.flags == () and min(probabilities) < threshold
    monkeypatch.setattr(whisper_recogniser, "_NO_SPEECH", threshold)
    monkeypatch.setattr(whisper_recogniser, "_LOG_PROBABILITY", 0.0)
    found = whisper.transcribe(audio, "en")
    options = {"no_speech_threshold": threshold, "logprob_threshold": 0.0, "return_timestamps": True}
    assert found.text == by_pipeline(whisper_folder, audio, **options) != whole.text
    assert found.flags and all(flag.startswith("no speech from ") for flag in found.flags)


def test_seed_tts_hears_one_window_without_time_stamps_as_the_pipeline_of_transformers(seed_tts, whisper_folder, noise):
    for audio in (noise[: 5 * RATE], noise[RATE : 25 * RATE]):
        expected = by_pipeline(whisper_folder, audio, return_timestamps=False)
        assert expected and seed_tts.transcribe(audio, "en").text == expected
    with pytest.raises(NotApplicable, match=r"no more than 30 s, the audio is 31\.0 s long: use wer/whisper-large-v3"):
        seed_tts.transcribe(noise[: 31 * RATE], "en")


def test_whisper_decodes_as_its_protocol_says(whisper, seed_tts, noise, monkeypatch):
    asked = []
    generate = whisper.model.generate
    monkeypatch.setattr(
        whisper.model, "generate", lambda *x, **options: asked.append(options) or generate(*x, **options)
    )
    for recogniser in (whisper, seed_tts):
        recogniser.transcribe(noise[: 2 * RATE], "zh")
        assert recogniser.parameters["decoding"] == "greedy, no temperature fallback, previous text not used"
        assert [asked[-1][name] for name in ("temperature", "num_beams", "condition_on_prev_tokens")] == [0, 1, False]
        assert asked[-1]["return_timestamps"] is recogniser.parameters["time_stamps"]
        assert asked[-1]["language"] in ("zh", ["zh"]) and recogniser.parameters["language_hint"] == "item"
    assert whisper.parameters["time_stamps"] and not seed_tts.parameters["time_stamps"]
    assert whisper.model is seed_tts.model, "one network in memory"


class Script:
    """Answers of a decoder, window by window, in place of the network; keeps the frames at which windows began."""

    def __init__(self, whisper, monkeypatch, *answers, no_speech=0.0):
        import torch

        first = whisper.model.generation_config.no_timestamps_token_id + 1
        pending, self.starts = iter(answers), []

        def decode(encoded, languages):
            self.starts.append(int(encoded[0, 0, 0]))
            *tokens, log_probability = next(pending)
            letters = whisper.processor.tokenizer.convert_tokens_to_ids
            heard = [letters(t) if isinstance(t, str) else first + round(t / 0.02) for t in tokens]
            return [(heard, log_probability)]

        frames = torch.arange(10_000.0).reshape(1, 1, -1)
        monkeypatch.setattr(whisper, "_features", lambda audio: frames)
        monkeypatch.setattr(whisper.model, "get_encoder", lambda: lambda window: window)
        monkeypatch.setattr(whisper, "_look", lambda encoded: [("en", no_speech)])
        monkeypatch.setattr(whisper, "_decode", decode)


@pytest.mark.parametrize(
    ("seconds", "answers", "text", "starts"),
    [
        (5.0, [(0.0, "a", 5.0, -0.2)], "a", [0]),
        (5.0, [(0.0, "a", 2.0, 2.0, "b", 5.0, -0.2)], "ab", [0]),
        (5.0, [(0.0, "a", 4.0, 4.0, "b", -0.2), (0.0, "c", 1.0, -0.2)], "ac", [0, 400]),
        (5.0, [(0.0, "a", 5.0, 5.0, -0.2)], "a", [0]),
        (5.01, [(0.0, "a", 5.0, 5.0, -0.2), ("b", -0.2)], "ab", [0, 500]),
        (70.0, [("a", -0.2), (0.0, "b", 29.0, 29.0, -0.2), (0.0, "c", 9.0, -0.2)], "abc", [0, 3000, 5900]),
        (5.0, [(-0.2,)], "", [0]),
    ],
)
def test_windows_begin_at_the_last_time_stamp_and_end_with_the_sound(
    whisper, monkeypatch, seconds, answers, text, starts
):
    script = Script(whisper, monkeypatch, *answers)
    assert whisper.transcribe(np.zeros(round(seconds * RATE)), "en") == Transcript(text, "en")
    assert script.starts == starts


@pytest.mark.parametrize(("log_probability", "text"), [(-1.01, ""), (-0.99, "a")])
def test_a_window_is_empty_only_where_speech_is_improbable_and_the_decoder_unsure(
    whisper, monkeypatch, log_probability, text
):
    Script(whisper, monkeypatch, (0.0, "a", 4.0, 4.0, log_probability), ("b", log_probability), no_speech=0.61)
    assert whisper.transcribe(np.zeros(5 * RATE)).text == text + ("b" if text else "")
    Script(whisper, monkeypatch, ("a", -3.0), no_speech=0.6)
    assert whisper.transcribe(np.zeros(5 * RATE)) == Transcript("a", "en")


def test_utterances_that_pass_together_have_the_transcripts_that_they_have_alone(whisper, noise, monkeypatch):
    """Of different lengths, so that windows of some are over before those of others; one in no language it knows."""
    from t2av_bench.extractors import whisper_recogniser

    audios = [noise[: seconds * RATE] * level for seconds, level in ((5, 1), (52, 0.3), (31, 2), (2, 0.1), (9, 1))]
    languages = ["en", "zh", None, "yue", "de"]
    exact = whisper.transcribe_all(audios, languages)
    assert isinstance(exact[3], NotApplicable) and len({each.text for each in exact if each is not exact[3]}) == 4
    for index in (0, 1, 2, 4):
        assert exact[index] == whisper.transcribe(audios[index], languages[index])
    passes = []
    monkeypatch.setattr(whisper_recogniser, "WINDOWS_TOGETHER", 3)
    monkeypatch.setattr(whisper_recogniser, "pass_size", lambda device, size: size)
    decode = whisper._decode
    monkeypatch.setattr(whisper, "_decode", lambda encoded, said: passes.append(len(said)) or decode(encoded, said))
    alone = [whisper.transcribe_all([audio], [language])[0] for audio, language in zip(audios, languages, strict=True)]
    windows = len(passes)
    for order in ([0, 1, 2, 3, 4], [4, 2, 0, 3, 1]):
        passes.clear()
        found = whisper.transcribe_all([audios[i] for i in order], [languages[i] for i in order])
        assert [str(each) for each in found] == [str(alone[i]) for i in order] == [str(exact[i]) for i in order]
        assert set(passes) == {3} and len(passes) < windows


def test_the_last_window_is_filled_with_silence(whisper, noise):
    audio = noise[: 7 * RATE]
    ours = whisper._features(audio)
    theirs = whisper.processor(np.pad(audio, (0, 23 * RATE)), sampling_rate=RATE, return_tensors="pt").input_features
    assert ours.shape[-1] == 3700 and float((ours[..., :2999] - theirs[..., :2999]).abs().max()) == 0


def test_whisper_takes_the_language_and_reports_the_detected_one(whisper, noise):
    english, chinese = (whisper.transcribe(noise[: 5 * RATE], language) for language in ("en", "zh"))
    assert english.text != chinese.text
    features = whisper._features(noise[: 5 * RATE])[..., :3000]
    detected = whisper.processor.decode(whisper.model.detect_language(input_features=features))
    assert english.language == chinese.language == detected.strip("<|>")
    free = whisper.transcribe(noise[: 5 * RATE])
    assert free == whisper.transcribe(noise[: 5 * RATE], free.language)
    with pytest.raises(NotApplicable, match="does not know the language 'yue'"):
        whisper.transcribe(noise[: 5 * RATE], "yue")


def test_whisper_names_a_folder_that_is_no_checkpoint(tmp_path):
    pytest.importorskip("transformers")
    from t2av_bench.extractors.whisper_recogniser import WhisperRecogniser

    with pytest.raises(NotApplicable, match=r"config\.json is missing"):
        WhisperRecogniser(tmp_path)


# --- Qwen3-ASR --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def qwen3(tmp_path_factory):
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    if not hasattr(transformers, "Qwen3ASRConfig"):
        pytest.skip("this transformers release does not know Qwen3-ASR")
    from t2av_bench.utils.optional import make_torchvision_importable

    make_torchvision_importable()
    from tokenizers.pre_tokenizers import ByteLevel

    vocabulary = {letter: index for index, letter in enumerate(sorted(ByteLevel.alphabet()))}
    audio_tokens = {"audio_token": "<|audio_pad|>", "audio_bos_token": "<|audio_start|>"}
    tokenizer = transformers.Qwen2Tokenizer(
        vocab={**vocabulary, "<|endoftext|>": BYTES},
        merges=[],
        extra_special_tokens={**audio_tokens, "audio_eos_token": "<|audio_end|>"},
    )
    tokenizer.add_tokens(["<|im_start|>", "<|im_end|>", "<asr_text>"])
    tokenizer.add_special_tokens({"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"})
    template = (
        "{%- for message in messages %}<|im_start|>{{ message.role }}\n{%- for part in message.content %}"
        "{%- if part.type == 'audio' %}<|audio_start|><|audio_pad|><|audio_end|>{%- else %}{{ part.text }}{%- endif %}"
        "{%- endfor %}{%- if not loop.last %}<|im_end|>\n{%- endif %}{%- endfor %}"
    )
    encoder = {
        "model_type": "qwen3_asr_encoder", "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 32,
        "d_model": 16, "output_dim": 32, "downsample_hidden_size": 8,
    }  # fmt: skip
    text = {
        "model_type": "qwen3", "vocab_size": len(tokenizer), "hidden_size": 32, "intermediate_size": 64,
        "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16,
        "max_position_embeddings": 4096, "tie_word_embeddings": True,
    }  # fmt: skip
    ends = [tokenizer.convert_tokens_to_ids(name) for name in ("<|endoftext|>", "<|im_end|>")]
    config = transformers.Qwen3ASRConfig(
        audio_config=encoder, text_config=text, audio_token_id=tokenizer.convert_tokens_to_ids("<|audio_pad|>"),
        pad_token_id=ends[0], eos_token_id=ends,
    )  # fmt: skip
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("qwen3")
    transformers.Qwen3ASRForConditionalGeneration(config).save_pretrained(folder)
    extractor = transformers.Qwen3ASRFeatureExtractor()
    transformers.Qwen3ASRProcessor(extractor, tokenizer, chat_template=template).save_pretrained(folder)

    from t2av_bench.extractors.qwen3_recogniser import Qwen3Recogniser

    return Qwen3Recogniser(folder)


def answering(recogniser, monkeypatch, *answers):
    """Let the model write the given raw answers, one a call; returns the list of prompts that it was given."""
    import torch

    prompts, pending = [], iter(answers)

    def generate(input_ids, **kwargs):
        prompts.append({"input_ids": input_ids, **kwargs})
        tokens = recogniser.processor.tokenizer.encode(next(pending), add_special_tokens=False)
        return torch.cat([input_ids, torch.tensor([tokens])], dim=1)

    monkeypatch.setattr(recogniser.model, "generate", generate)
    return prompts


def test_qwen3_runs_and_repeats_itself(qwen3, monkeypatch, noise):
    monkeypatch.setattr("t2av_bench.extractors.qwen3_recogniser._MAX_NEW_TOKENS", 16)
    for audio in (noise[: RATE // 10], noise[: 3 * RATE]):
        transcript = qwen3.transcribe(audio)
        assert transcript == qwen3.transcribe(audio.copy(), "zh"), "the language must not be a hint"
        assert transcript.flags[0] == "stopped at 16 tokens"


@pytest.mark.parametrize(
    ("raw", "language", "text"),
    [
        ("language English<asr_text>Hello there.", "en", "Hello there."),
        ("language Chinese<asr_text>你好", "zh", "你好"),
        ("language Cantonese<asr_text> 好 ", "yue", "好"),
        ("language None<asr_text>", None, ""),
        ("no tag at all", None, "no tag at all"),
    ],
)
def test_qwen3_output_is_parsed(qwen3, monkeypatch, noise, raw, language, text):
    answering(qwen3, monkeypatch, raw)
    assert qwen3.transcribe(noise[:RATE]) == Transcript(text, language)


def test_qwen3_says_when_upstream_rules_changed_a_transcript(qwen3, monkeypatch, noise):
    answering(qwen3, monkeypatch, "language English<asr_text>" + "no " * 40)
    transcript = qwen3.transcribe(noise[:RATE])
    assert 0 < len(transcript.text.split()) < 4 and "collapsed" in transcript.flags[0]


def test_qwen3_cuts_long_audio_and_scales_only_what_is_too_loud(qwen3, monkeypatch, noise):
    monkeypatch.setattr("t2av_bench.extractors.qwen3_recogniser._CHUNK_SECONDS", 2)
    prompts = answering(qwen3, monkeypatch, "language None<asr_text>", "language German<asr_text>zwei", "drei")
    assert qwen3.transcribe(noise[: 5 * RATE]) == Transcript("zwei drei", "de")
    audio_tokens = [int((prompt["input_ids"] == qwen3.processor.audio_token_id).sum()) for prompt in prompts]
    assert audio_tokens[0] == audio_tokens[1] > audio_tokens[2] > 0

    loud, quiet = noise[:RATE] * np.float32(30), noise[:RATE] * np.float32(0.5)
    features = []
    for audio in (loud, loud / np.abs(loud).max(), quiet):
        prompts = answering(qwen3, monkeypatch, "x")
        qwen3.transcribe(audio)
        features.append(prompts[0]["input_features"].float().numpy())
    assert np.allclose(features[0], features[1], atol=1e-2)
    assert not np.allclose(features[1], features[2], atol=1e-2)


def test_qwen3_refuses_the_layout_of_the_original_package(tmp_path):
    pytest.importorskip("transformers")
    from t2av_bench.extractors.qwen3_recogniser import Qwen3Recogniser

    with pytest.raises(NotApplicable, match=r"config\.json is missing"):
        Qwen3Recogniser(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "qwen3_asr", "thinker_config": {}}')
    with pytest.raises(NotApplicable, match="'-hf' checkpoint"):
        Qwen3Recogniser(tmp_path)
