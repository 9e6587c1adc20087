"""GridFace's sentences, voices and persons, and the latents that models are trained on."""

from itertools import combinations

import numpy as np
import pytest
import torch

from t2av_bench.gridface.data import corpus, tokens
from t2av_bench.gridface.models import motion_statistics, world
from t2av_bench.gridface.models.voice_encoder import VoiceEncoder
from t2av_bench.gridface.models.world_codec import LATENT_DIM, WorldCodec
from t2av_bench.gridface.speech.synthesizer import Synthesizer
from t2av_bench.gridface.training import latents


@pytest.fixture(scope="module")
def synthesizer():
    with Synthesizer() as running:
        yield running


@pytest.fixture(scope="module")
def recording(synthesizer):
    return corpus.record(corpus.utterances("test-en")[0], synthesizer)


@pytest.fixture(scope="module")
def codec():
    return WorldCodec.load()


def test_splits_share_no_sentence_and_no_person():
    sentences = {split: {(one.language, one.words) for one in corpus.utterances(split)} for split in corpus.SPLITS}
    for first, second in combinations(corpus.SPLITS, 2):
        assert not sentences[first] & sentences[second]
        assert not set(corpus.identities(first)) & set(corpus.identities(second))
    assert all(len(found) == corpus.SPLITS[split] for split, found in sentences.items())
    assert len(corpus.identities("train")) >= 200


def test_what_is_tested_was_said_at_no_training_pitch_or_rate():
    trained = corpus.utterances("train")
    for split in corpus.TEST_SPLITS:
        for one in corpus.utterances(split):
            assert one.pitch not in {other.pitch for other in trained}
            assert one.rate not in {other.rate for other in trained}


def test_voice_samples_say_sentences_of_no_split():
    said = {(one.language, one.words) for split in corpus.SPLITS for one in corpus.utterances(split)}
    for one in corpus.utterances("train", 300):
        sample = corpus.voice_sample(one)
        assert sample.speaker == one.speaker
        assert (sample.language, sample.words) not in said


def test_fewer_clips_are_the_first_ones():
    assert corpus.utterances("val", 7) == corpus.utterances("val")[:7]


@pytest.mark.parametrize(("split", "count", "message"), [
    ("tset-en", None, "did you mean test-en"), ("dub", 0, "1 to 100"), ("dub", 101, "1 to 100"),
])  # fmt: skip
def test_wrong_splits_and_counts_are_refused(split, count, message):
    with pytest.raises(ValueError, match=message):
        corpus.utterances(split, count)


def test_a_recording_is_the_same_whatever_was_said_before(synthesizer, recording):
    for other in corpus.utterances("train", 3):
        corpus.record(other, synthesizer)
    again = corpus.record(corpus.utterances("test-en")[0], synthesizer)
    assert np.array_equal(again.audio, recording.audio)
    assert np.array_equal(again.motion, recording.motion)


def test_sound_and_motion_are_equally_long_and_whole_patches(recording):
    assert len(recording.audio) == len(recording.motion) * corpus.HOP
    assert len(recording.motion) % corpus.PATCH == 0
    assert np.abs(recording.audio).max() == pytest.approx(corpus.LEVEL)


def test_motion_latents_are_inverted_and_standard(synthesizer):
    motion = np.concatenate([corpus.record(one, synthesizer).motion for one in corpus.utterances("train", 60)])
    normalised = motion_statistics.normalize(motion)
    np.testing.assert_allclose(motion_statistics.denormalize(normalised), motion, atol=1e-5)
    assert np.abs(normalised.mean(0)).max() < 0.3
    assert normalised.std(0) == pytest.approx(np.ones(16), abs=0.3)


def test_components_are_those_of_a_singular_value_decomposition():
    random = np.random.default_rng(0)
    features = random.standard_normal((400, world.FEATURES)) @ random.standard_normal((world.FEATURES, world.FEATURES))
    fitted = WorldCodec.fit(features, 8)
    _, singular, right = np.linalg.svd(features - features.mean(0), full_matrices=False)
    np.testing.assert_allclose(np.abs(fitted.components @ right[:8].T), np.eye(8), atol=1e-3)
    spread = fitted.latents_of(features.astype(np.float32)).std(0) ** 2
    assert spread.mean() == pytest.approx(1, rel=0.02)
    # What varies more stays larger: the variance of a latent goes with the deviation of its component.
    np.testing.assert_allclose(spread / spread[0], singular[:8] / singular[0], rtol=0.02)


def test_the_codec_keeps_what_is_said(codec, recording):
    from pystoi import stoi

    audio = torch.from_numpy(recording.audio)[None]
    decoded = codec.decode(codec.encode(audio))[0].numpy()
    whole = WorldCodec.whole()
    vocoded = whole.decode(whole.encode(audio))[0].numpy()
    quality = [stoi(recording.audio, sound, corpus.AUDIO_RATE) for sound in (decoded, vocoded)]
    assert 0.80 < quality[0] < quality[1] < 1
    assert decoded.shape == recording.audio.shape


def test_silence_and_scraps_are_coded_or_refused(codec):
    assert torch.isfinite(codec.encode(torch.zeros(1, corpus.HOP))).all()
    with pytest.raises(ValueError, match="640 is the least"):
        codec.encode(torch.zeros(1, corpus.HOP - 1))


def test_the_voice_embedding_knows_unheard_speakers(codec, synthesizer):
    """Another sentence of the same speaker is nearer than any other speaker's."""
    encoder = VoiceEncoder(codec)
    chosen = list({one.voice: one for one in corpus.utterances("test-en", 40)}.values())
    clips = torch.stack([encoder.embed(corpus.record(one, synthesizer).audio) for one in chosen])
    voices = torch.stack([encoder.embed(corpus.record(corpus.voice_sample(one), synthesizer).audio) for one in chosen])
    assert len(chosen) == 3
    assert torch.cdist(clips, voices).argmin(1).tolist() == [0, 1, 2]


def test_a_silent_voice_is_refused(codec):
    with pytest.raises(ValueError, match="silent"):
        VoiceEncoder(codec).embed(np.zeros(16_000, np.float32))


def test_every_word_has_a_token_of_its_own():
    words = [word for slots in corpus.VOCABULARY.values() for slot in slots for word in slot]
    ids = [tokens.token_id(word) for word in words]
    assert len(set(ids)) == len(words)
    assert 0 < min(ids) and max(ids) < tokens.SIZE


@pytest.mark.parametrize("split", ["test-en", "test-zh"])
def test_texts_are_split_into_their_words(split):
    for one in corpus.utterances(split, 30):
        assert tuple(tokens.split_words(one.text)) == one.words
    assert tokens.split_words("Bin blue, at ALPHA one now!") == ["bin", "blue", "at", "alpha", "one", "now"]


@pytest.mark.parametrize(("text", "message"), [
    ("bin blew at alpha one now", "'blew'; nearest: .*blue"), ("老师吃苹果", "does not know|do not know"),
    (" ,. ", "empty"), ("bin " * 25, "25 words, at most 24"),
])  # fmt: skip
def test_texts_that_cannot_be_said_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        tokens.WordTokenizer().encode(text)


def test_latents_do_not_depend_on_workers_and_are_built_once(tmp_path):
    from reference_model.training.shards import ShardSource

    (tmp_path / "two" / "val").mkdir(parents=True)
    (tmp_path / "two" / "val" / "00000.safetensors").write_bytes(b"left by a killed run")
    sources = [ShardSource(latents.build_latents(tmp_path / name, "val", 3, workers=workers), with_motion=True)
               for name, workers in (("one", 1), ("two", 2))]  # fmt: skip
    assert sources[0].fingerprint == sources[1].fingerprint
    sample = sources[0][2]
    assert sample.speech.shape == (len(sample.motion), LATENT_DIM)
    before = (tmp_path / "one" / "val" / "index.json").stat().st_mtime_ns
    latents.build_latents(tmp_path / "one", "val", 3, workers=1)
    assert (tmp_path / "one" / "val" / "index.json").stat().st_mtime_ns == before
