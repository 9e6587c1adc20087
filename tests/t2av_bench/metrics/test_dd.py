"""Duration divergence: published vectors, its laws, and the metric on random weights against its parts."""

import hashlib

import numpy as np
import pytest
from speech_factory import RATE, pair, say
from weights_table import use_weights

from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.metrics import create
from t2av_bench.metrics.dd import duration_divergence

IDS = ("dd/eval", "dd/instructdubber")
TEXT = {"text": "Then the sun shone out warmly.", "language": "en"}


@pytest.mark.parametrize(
    ("reference", "generated", "expected"),
    [
        ([3, 5, 2, 7], [6, 10, 4, 14], 0.0116254),
        ([3, 5, 2, 7], [2, 5, 3, 7], 0.1361583),
        ([3, 5, 2, 7], [7, 2, 5, 3], 0.6101953),
        ([0, 4, 4, 8, 0], [1, 3, 6, 6, 0], 0.0443172),
    ],
)
def test_values_of_the_published_script(reference, generated, expected):
    assert duration_divergence(np.array(reference), np.array(generated)) == pytest.approx(expected, abs=5e-8)


def test_equal_shares_have_no_divergence_and_a_stretched_middle_has_more_and_more():
    durations = np.array([4, 40, 28, 20, 36, 12, 24])
    assert duration_divergence(durations, durations) == 0
    uniform = duration_divergence(durations, durations * 1.25)
    stretched = [duration_divergence(durations, durations * np.array([1, 1, factor, factor, factor, 1, 1]))
                 for factor in (1.25, 1.5, 2)]  # fmt: skip
    assert all(np.diff([0, *stretched]) > 0) and 0 < uniform < stretched[0] / 20


# --- the metric on random weights -------------------------------------------------------------------------------------


@pytest.fixture
def random_weights(tmp_path, monkeypatch):
    """The state dict behind the metric's weights id: of the published names, small and random."""
    torch = pytest.importorskip("torch")
    for package in ("librosa", "espeakng_loader"):
        pytest.importorskip(package)
    from t2av_bench.extractors import styletts2_aligner as aligner

    sizes = aligner.Sizes(hidden=8, layers=1, embedding=6, filters=3, kernel=5)
    generator = torch.Generator().manual_seed(0)
    state = {name: torch.randn(shape, generator=generator) for name, shape in aligner.layout(sizes).items()}
    folder = tmp_path / "weights"
    folder.mkdir()
    torch.save({"model": state}, folder / "aligner.pth")
    digest = hashlib.sha256((folder / "aligner.pth").read_bytes()).hexdigest()
    use_weights(monkeypatch, folder, '[styletts2_aligner]\npurpose = "a test"\nfile = "aligner.pth"\n'
                f'origins = ["https://example.org/aligner.pth"]\nsha256 = "{digest}"\nlicence = "MIT"\n'
                'group = "free"\nformat = "state_dict"\nloader = "torch"\n')  # fmt: skip
    monkeypatch.setattr(aligner, "PUBLISHED", sizes)
    aligner.load.cache_clear()
    yield state
    aligner.load.cache_clear()


def sentence(voice: str = "en-us+m3") -> np.ndarray:
    return say(TEXT["text"], voice)


@pytest.mark.parametrize(("id", "seed"), [("dd/eval", None), ("dd/instructdubber", 1234)])
def test_it_compares_the_aligned_durations(id, seed, random_weights, tmp_path):
    from t2av_bench.extractors import styletts2_aligner as aligner
    from t2av_bench.extractors.phonemes import symbol_numbers

    both = pair(tmp_path, sentence("en-us+f2"), sentence(), **TEXT)
    found = create(id).measure(both)
    assert found.detail["phonemes"].startswith("ðˈɛn ðə sˈʌn ") and found.detail["phonemes"].endswith("li. ")
    numbers = [0, *symbol_numbers(found.detail["phonemes"]), 0]
    sides = [aligner.durations(random_weights, clip.audio(24000), numbers, "cpu", seed)
             for clip in (both.reference, both.generated)]  # fmt: skip
    for name, side in zip(("reference", "generated"), sides, strict=True):
        assert found.detail[f"{name}_frames"].tolist() == side.tolist()
    assert found.values["dd"] == pytest.approx(duration_divergence(*sides)) and found.values["dd"] > 0.01
    lengths = [len(clip.audio()) for clip in (both.reference, both.generated)]
    assert found.values["length_error"] == pytest.approx(abs(lengths[1] / lengths[0] - 1))
    assert create(id).measure(both).values == found.values


@pytest.mark.parametrize("id", IDS)
def test_the_same_audio_has_none_of_either(id, random_weights, tmp_path):
    assert create(id).measure(pair(tmp_path, sentence(), sentence(), **TEXT)).values == {"dd": 0, "length_error": 0}


def test_the_modes_are_two_protocols():
    one, other = (create(id).protocol.parameters for id in IDS)
    assert {key for key in one.keys() | other.keys() if one.get(key) != other.get(key)} == {"mode", "seed", "device"}


@pytest.mark.parametrize("id", IDS)
def test_reasons(id, random_weights, tmp_path):
    silent, spoken = np.zeros(RATE, np.float32), sentence()

    def measure(generated, reference, **item):
        return create(id).measure(pair(tmp_path, generated, reference, **item))

    with pytest.raises(NotApplicable, match="--reference DIR"):
        measure(spoken, None, **TEXT)
    with pytest.raises(NotApplicable, match="no text for this item"):
        measure(spoken, spoken, language="en")
    with pytest.raises(NotApplicable, match="no language for this item"):
        measure(spoken, spoken, text="hello")
    with pytest.raises(NotApplicable, match="reads English texts, this one is 'zh'"):
        measure(spoken, spoken, text="你好", language="zh")
    with pytest.raises(NotApplicable, match="no word that could be spoken"):
        measure(spoken, spoken, text="?!", language="en")
    with pytest.raises(Unscorable, match="silent"):
        measure(silent, spoken, **TEXT)
    with pytest.raises(NotApplicable, match=r"reference\.wav\) cannot be used: the audio is silent"):
        measure(spoken, silent, **TEXT)
    long_text = {"text": "Please call Stella. " * 5, "language": "en"}
    with pytest.raises(Unscorable, match="too short for its text: .* frames for .* symbols"):
        measure(spoken[: RATE // 4], np.tile(spoken, 2), **long_text)
    with pytest.raises(NotApplicable, match=r"reference\.wav\) cannot be used: the audio is too short for its text"):
        measure(np.tile(spoken, 2), spoken[: RATE // 4], **long_text)
    with pytest.raises(Unscorable, match="at most 60 s"):
        measure(np.tile(spoken, 60), spoken, **TEXT)


def test_missing_weights_say_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv("T2AV_BENCH_WEIGHTS", str(tmp_path / "none"))
    with pytest.raises(NotApplicable, match="t2av-bench weights fetch styletts2_aligner"):
        create("dd/eval").measure(pair(tmp_path, sentence(), sentence(), **TEXT))
