"""Speaker similarity: the same voice stays close through other words, other voices and shifted pitch do not."""

from importlib.util import find_spec

import numpy as np
import pytest
from speech_factory import RATE, pair, say, sound_file
from weights_table import use_weights

from t2av_bench.benchmarks.manifest import Item
from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.media.clip import Clip
from t2av_bench.metrics import create
from t2av_bench.metrics.base import Pair
from t2av_bench.metrics.sim import cosine

pytestmark = pytest.mark.skipif(find_spec("resemblyzer") is None, reason="resemblyzer is not installed")

OTHER_WORDS = "When a traveller came along wrapped in a warm cloak, they agreed on a wager."
VOICES = ("en-us", "en-us+f2", "en-us+klatt2")


@pytest.fixture(scope="module")
def metric():
    return create("sim/resemblyzer")


def similarity(metric, folder, generated, reference):
    return metric.measure(pair(folder, generated, reference)).values["sim_resemblyzer"]


def test_identical_audio_scores_one(metric, tmp_path):
    assert similarity(metric, tmp_path, say(), say()) == pytest.approx(1.0, abs=1e-6)


def test_embedding_equals_the_package():
    from resemblyzer import VoiceEncoder, preprocess_wav

    from t2av_bench import weights
    from t2av_bench.extractors.resemblyzer_encoder import voice_embedding

    official = VoiceEncoder("cpu", verbose=False).embed_utterance(preprocess_wav(say()))
    ours = voice_embedding(say(), str(weights.path("resemblyzer")))
    assert ours.shape == (256,) and np.linalg.norm(ours) == pytest.approx(1, abs=1e-6) and ours.min() >= 0
    assert ours == pytest.approx(official, abs=1e-6)


def test_every_voice_is_closest_to_itself_saying_other_words(metric, tmp_path):
    table = np.array(
        [[similarity(metric, tmp_path, say(OTHER_WORDS, one), say(voice=other)) for one in VOICES] for other in VOICES]
    )
    assert list(table.argmax(axis=1)) == [0, 1, 2]
    others = table[~np.eye(len(VOICES), dtype=bool)]
    assert table.diagonal().min() > others.max() + 0.1
    assert table.diagonal().min() > 0.85


def test_shifting_the_pitch_lowers_it_step_by_step(metric, tmp_path):
    librosa = pytest.importorskip("librosa")
    values = [
        similarity(metric, tmp_path, librosa.effects.pitch_shift(say(), sr=RATE, n_steps=steps), say())
        for steps in (0, 1, 2, 4)
    ]
    assert np.all(np.diff(values) < 0)


def test_shorter_excerpts_are_less_alike_and_half_a_second_is_too_little(metric, tmp_path):
    long, short = (similarity(metric, tmp_path, say(OTHER_WORDS)[: seconds * RATE], say()) for seconds in (3, 1))
    assert short < long
    with pytest.raises(Unscorable, match=r"only 0\.\d+ s of speech found"):
        similarity(metric, tmp_path, say(OTHER_WORDS)[: RATE // 2], say())


def test_level_and_channels_do_not_matter_much(metric, tmp_path):
    plain = similarity(metric, tmp_path, say(OTHER_WORDS), say())
    loud = say(OTHER_WORDS) * np.float32(3 / np.abs(say(OTHER_WORDS)).max())  # far outside [-1, 1]
    assert similarity(metric, tmp_path, 0.5 * say(OTHER_WORDS), say()) == pytest.approx(plain, abs=0.02)
    assert similarity(metric, tmp_path, loud, say()) > plain - 0.15
    stereo = np.stack([say(OTHER_WORDS), say(OTHER_WORDS)], axis=1)
    assert similarity(metric, tmp_path, stereo, say()) == pytest.approx(plain, abs=1e-6)


def test_the_items_voice_goes_before_the_reference_clip(metric, tmp_path):
    voice = sound_file(tmp_path, "voice", say(voice="en-us+f2"))
    asked = pair(tmp_path, say(OTHER_WORDS, "en-us+f2"), say(), reference_voice=str(voice))
    chosen = metric.measure(asked).values["sim_resemblyzer"]
    assert chosen > similarity(metric, tmp_path, say(OTHER_WORDS, "en-us+f2"), say()) + 0.1
    asked.reference = None
    assert metric.measure(asked).values["sim_resemblyzer"] == chosen


def test_order_and_company_do_not_matter(tmp_path):
    clips = [say(OTHER_WORDS, voice) for voice in VOICES]
    alone = [similarity(create("sim/resemblyzer"), tmp_path, clip, say()) for clip in clips]
    together = create("sim/resemblyzer")
    assert [similarity(together, tmp_path, clip, say()) for clip in reversed(clips)] == alone[::-1]


class TestReasons:
    def test_silence(self, metric, tmp_path):
        with pytest.raises(Unscorable, match="silent"):
            similarity(metric, tmp_path, np.zeros(RATE, np.float32), say())

    def test_noise_is_no_speech(self, metric, tmp_path):
        click = np.zeros(2 * RATE, np.float32)
        click[1000:1400] = 0.5
        with pytest.raises(Unscorable, match="s of speech found"):
            similarity(metric, tmp_path, click, say())

    def test_silent_reference_is_nobodys_fault(self, metric, tmp_path):
        with pytest.raises(NotApplicable, match=r"reference voice \(reference\.wav\) cannot be used"):
            similarity(metric, tmp_path, say(), np.zeros(RATE, np.float32))

    def test_missing_voice_file_is_named(self, metric, tmp_path):
        item = Item(id="a", reference_voice=str(tmp_path / "gone.wav"))
        clip = Clip(sound_file(tmp_path, "generated", say()))
        with pytest.raises(NotApplicable, match=r"gone\.wav"):
            metric.measure(Pair(item, clip))

    def test_no_reference_at_all(self, metric, tmp_path):
        with pytest.raises(NotApplicable, match="no reference"):
            metric.measure(pair(tmp_path, say()))


def test_cosine():
    assert cosine(np.array([1.0, 0.0]), np.array([3.0, 4.0])) == pytest.approx(0.6)


# --- WavLM and ECAPA: the real loading path on a small random checkpoint in the published layout ----------------------


ROW = """
[wavlm_large_finetune]
purpose = "speaker embedding"
file = "wavlm_large_finetune.pth"
origins = ["file:///nowhere"]
licence = "none"
group = "free"
format = "state_dict"
loader = "torch"
"""


@pytest.fixture
def small_checkpoint(tmp_path_factory, monkeypatch):
    """A folder that the weights table finds ``wavlm_large_finetune.pth`` in, and the encoder that was saved there."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    speaker = pytest.importorskip("reference_model.speaker")
    from reference_model.speaker.encoder import speaker_names

    sizes = {"width": 32, "layers": 2, "heads": 2, "feed_forward": 48, "position_kernel": 8, "position_groups": 4}
    size = speaker.WavLMSize(**sizes, buckets=16, convolutions=((8, 10), *((8, 3),) * 4, *((8, 2),) * 2))
    head = speaker.EcapaConfig(hidden_states=3, feature_dim=32, channels=16, embedding_dim=12, merged_channels=24)
    torch.manual_seed(0)
    encoder = speaker.SpeakerEncoder(size, head).eval()
    names = speaker_names(size)
    folder = tmp_path_factory.mktemp("weights") / "files"
    folder.mkdir()
    torch.save({"model": names.state_to_release(encoder.state_dict())}, folder / "wavlm_large_finetune.pth")
    use_weights(monkeypatch, folder, ROW)
    return folder, encoder


def test_wavlm_without_weights_says_how_to_get_them(tmp_path):
    with pytest.raises(NotApplicable, match="wavlm_large_finetune.*are missing"):
        create("sim/wavlm-ecapa").measure(pair(tmp_path, say(), say()))


def test_wavlm_similarity_is_the_cosine_of_the_encoders_embeddings(small_checkpoint, tmp_path):
    import torch

    _, encoder = small_checkpoint
    metric = create("sim/wavlm-ecapa")
    with torch.no_grad():
        embeddings = [encoder(torch.from_numpy(audio.copy())[None]) for audio in (say(OTHER_WORDS), say())]
    expected = float(torch.cosine_similarity(*embeddings))
    measured = metric.measure(pair(tmp_path, say(OTHER_WORDS), say()))
    assert measured.values["sim"] == pytest.approx(expected, abs=1e-5)
    assert measured.features["voice"].shape == (12,)
    assert metric.measure(pair(tmp_path, say(), say())).values["sim"] == pytest.approx(1, abs=1e-6)
    assert metric.protocol.weights["wavlm_large_finetune"] is not None


def test_wavlm_ignores_level_and_what_lies_beyond_its_limit(small_checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr("t2av_bench.extractors.wavlm_ecapa.LONGEST_SECONDS", 3)
    metric = create("sim/wavlm-ecapa")
    other_end = np.concatenate([say()[: 3 * RATE], np.ones(RATE, np.float32)])
    assert metric.measure(pair(tmp_path, other_end, say())).values["sim"] == pytest.approx(1, abs=1e-6)
    assert metric.measure(pair(tmp_path, 0.3 * say(), say())).values["sim"] == pytest.approx(1, abs=1e-3)


def test_wavlm_without_its_head_is_refused(small_checkpoint, tmp_path):
    import torch

    folder, _ = small_checkpoint
    state = torch.load(folder / "wavlm_large_finetune.pth", weights_only=True)["model"]
    upstream = {name: tensor for name, tensor in state.items() if name.startswith("feature_extract.")}
    headless = tmp_path / "headless"
    headless.mkdir()
    torch.save({"model": upstream}, headless / "wavlm_large_finetune.pth")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("T2AV_BENCH_WEIGHTS", str(headless))
        with pytest.raises(NotApplicable, match="head is not in this checkpoint"):
            create("sim/wavlm-ecapa").measure(pair(tmp_path, say(), say()))


def test_constant_audio_has_no_voice(small_checkpoint, tmp_path):
    with pytest.raises(Unscorable, match="no voice"):
        create("sim/wavlm-ecapa").measure(pair(tmp_path, np.full(RATE, 0.25, np.float32), say()))
