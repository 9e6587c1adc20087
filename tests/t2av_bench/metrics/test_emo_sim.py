"""EMO-SIM on random weights: the cosine of the extractor's vectors, identity, the two checkpoints, and the reasons."""

import numpy as np
import pytest
from speech_factory import RATE, pair, say
from weights_table import use_weights

from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.metrics import create

torch = pytest.importorskip("torch")

from t2av_bench.extractors import emotion2vec  # noqa: E402

IDS = ("emo_sim/emotion2vec_plus_large", "emo_sim/emotion2vec_base")


def random_state(seed: int) -> dict[str, torch.Tensor]:
    """A tiny encoder: the shapes that tell its sizes, and what ``layout`` makes of them."""
    audio = "modality_encoders.AUDIO."
    telling = {
        f"{audio}project_features.1.weight": (4,), f"{audio}extra_tokens": (1, 2, 8),
        f"{audio}alibi_scale": (1, 1, 2, 1, 1),
        f"{audio}relative_positional_encoder.1.0.weight": (8, 4, 3),
        **{f"{name}.{part}": shape for name in (f"{audio}context_encoder.blocks.0", "blocks.0")
           for part, shape in (("norm1.weight", (8,)), ("mlp.fc1.weight", (6, 8)))},
    }  # fmt: skip
    generator = torch.Generator().manual_seed(seed)
    shapes = emotion2vec.layout({name: torch.empty(shape) for name, shape in telling.items()})
    state = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    # Without shifts, and little of what every clip has in common: utterances differ.
    return {name: 0.1 * tensor if name.endswith("bias") else tensor for name, tensor in state.items()}


@pytest.fixture
def random_weights(tmp_path, monkeypatch):
    """A random checkpoint behind each weights id, as a folder of the hub."""
    folder, rows, states = tmp_path / "weights", "", {}
    for seed, id in enumerate(IDS):
        name = id.split("/")[1]
        (folder / name).mkdir(parents=True)
        states[id] = random_state(seed)
        torch.save({"model": states[id]}, folder / name / "model.pt")
        rows += (f'[{name}]\npurpose = "a test"\nfile = "{name}"\norigins = [{{hub = "emotion2vec/{name}"}}]\n'
                 'licence = "none"\ngroup = "research"\nformat = "state_dict"\nloader = "torch"\n')  # fmt: skip
    use_weights(monkeypatch, folder, rows)
    emotion2vec.load.cache_clear()
    yield states
    emotion2vec.load.cache_clear()


@pytest.mark.parametrize("id", IDS)
def test_it_is_the_cosine_of_the_vectors(id, random_weights, tmp_path):
    noise = (0.1 * np.random.default_rng(0).standard_normal(RATE)).astype(np.float32)
    both = pair(tmp_path, noise, say())
    found = create(id).measure(both)
    one, other = (
        emotion2vec.emotion_vector(random_weights[id], clip.audio()) for clip in (both.generated, both.reference)
    )
    expected = one @ other / np.sqrt((one @ one) * (other @ other))
    assert found.values == {"emo_sim": pytest.approx(expected, abs=1e-6)} and -1 < expected < 0.999
    np.testing.assert_array_equal(found.features["emotion"], one)
    assert create(id).measure(pair(tmp_path, say(), say())).values["emo_sim"] == pytest.approx(1)


def test_the_checkpoints_are_two_protocols(random_weights):
    one, other = (create(id).protocol for id in IDS)
    assert one.parameters == other.parameters and one.weights != other.weights
    assert one.parameters["granularity"].startswith("utterance") and one.parameters["sample_rate"] == 16000


@pytest.mark.parametrize("id", IDS)
def test_reasons(id, random_weights, tmp_path):
    silent = np.zeros(RATE, np.float32)
    with pytest.raises(Unscorable, match="silent"):
        create(id).measure(pair(tmp_path, silent, say()))
    with pytest.raises(NotApplicable, match=r"reference\.wav\) cannot be used: the audio is silent"):
        create(id).measure(pair(tmp_path, say(), silent))
    with pytest.raises(NotApplicable, match="--reference DIR"):
        create(id).measure(pair(tmp_path, say()))
    with pytest.raises(Unscorable, match="long, at least 0.1 s"):
        create(id).measure(pair(tmp_path, say()[:800], say()))


@pytest.mark.parametrize("id", IDS)
def test_missing_weights_say_the_command(id, tmp_path, monkeypatch):
    monkeypatch.setenv("T2AV_BENCH_WEIGHTS", str(tmp_path / "none"))
    with pytest.raises(NotApplicable, match=f"t2av-bench weights fetch {id.split('/')[1]} --accept research"):
        create(id).measure(pair(tmp_path, say(), say()))
