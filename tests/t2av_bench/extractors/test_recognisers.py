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
    load_recogniser,
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


@pytest.fixture(scope="module")
def noise():
    return (0.1 * np.random.default_rng(0).standard_normal(70 * RATE)).astype(np.float32)


# --- transcripts ------------------------------------------------------------------------------------------------------


@given(st.text(), st.sampled_from([None, "en", "zh"]), st.lists(st.text(), max_size=3))
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
        is_multilingual=True, max_length=48, max_initial_timestamp_index=50, begin_suppress_tokens=[],
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

    return load_recogniser(WhisperRecogniser, whisper_folder, None, "cpu")


def test_whisper_equals_the_pipeline_of_transformers(whisper, whisper_folder, noise):
    from transformers import pipeline

    recognise = pipeline("automatic-speech-recognition", model=str(whisper_folder), dtype="float32")
    options = {"language": "en", "task": "transcribe", "do_sample": False, "num_beams": 1}
    for audio in (noise[: 5 * RATE], noise[RATE : 25 * RATE]):
        # The pipeline writes into its input, hence the copy.
        expected = recognise({"raw": audio.copy(), "sampling_rate": RATE}, generate_kwargs=options)["text"]
        assert expected.strip() and whisper.transcribe(audio, "en").text == expected.strip()


def test_whisper_takes_the_language_and_reports_the_detected_one(whisper, noise):
    english, chinese = (whisper.transcribe(noise[: 5 * RATE], language) for language in ("en", "zh"))
    assert english.text != chinese.text
    assert english.language == chinese.language and english.language in ("en", "zh", "de")
    free = whisper.transcribe(noise[: 5 * RATE])
    assert free == whisper.transcribe(noise[: 5 * RATE], free.language)


def test_whisper_decodes_long_audio_to_its_end_and_repeatably(whisper, noise):
    shorter, longer = (whisper.transcribe(noise[: seconds * RATE], "en").text for seconds in (35, 65))
    assert len(longer) > len(shorter) > 10
    assert whisper.transcribe(noise[: 65 * RATE], "en").text == longer


def test_whisper_is_kept_between_clips(whisper, whisper_folder):
    from t2av_bench.extractors.whisper_recogniser import WhisperRecogniser

    assert load_recogniser(WhisperRecogniser, whisper_folder, None, "cpu") is whisper


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

    return load_recogniser(Qwen3Recogniser, folder, None, "cpu")


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
