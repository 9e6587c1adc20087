"""MCD: the cepstra against their definition, exact paths against all paths, the package pymcd where it is installed."""

import numpy as np
import pytest
from scipy.signal import butter, sosfilt
from speech_factory import RATE, pair, say, sound_file, with_noise

from t2av_bench.benchmarks.manifest import Item
from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.extractors.mel_cepstrum import SAMPLE_RATE, Analysis, mel_cepstra, vocoder, warping_matrix
from t2av_bench.media.clip import Clip
from t2av_bench.media.resample import resample
from t2av_bench.metrics import create, mcd
from t2av_bench.metrics.base import Pair

for package in ("pyworld", "fastdtw", "librosa"):
    pytest.importorskip(package)

IDS = ("mcd/pymcd", "mcd/exact")


def values(folder, generated, reference, id="mcd/pymcd", **options):
    return create(id, options=options).measure(pair(folder, generated, reference)).values


def sentence(voice: str = "en-us+m3") -> np.ndarray:
    return say("Then the sun shone out warmly.", voice)


# --- cepstra ----------------------------------------------------------------------------------------------------------


def test_without_warping_and_cut_the_cepstrum_is_the_log_envelope():
    audio = np.random.default_rng(0).standard_normal(SAMPLE_RATE // 4) * 0.1
    whole = Analysis(fft_size=512, order=256, warping=0.0, exponent=1.0, floor=0.0)
    world = vocoder()
    pitch, times = world.dio(audio, SAMPLE_RATE)
    envelope = world.cheaptrick(audio, world.stonemask(audio, pitch, times, SAMPLE_RATE), times, SAMPLE_RATE,
                                fft_size=512)  # fmt: skip
    angles = np.outer(np.arange(257), np.arange(257)) * np.pi / 256
    amplitude = np.exp(mel_cepstra(audio, whole) @ np.cos(angles))
    np.testing.assert_allclose(amplitude, np.sqrt(envelope), rtol=1e-9)


@pytest.mark.parametrize("warping", [0.455, 0.65, -0.3])
def test_warping_keeps_the_function_on_the_warped_frequencies(warping):
    """sum c_n z^-n = sum m_k w^-k where w^-1 = (z^-1 - a) / (1 - a z^-1), on the unit circle, at a high order."""
    cepstrum = np.random.default_rng(1).standard_normal(12)
    warped = cepstrum @ warping_matrix(12, 600, warping)
    delay = np.exp(-1j * np.linspace(0, np.pi, 7))
    warped_delay = (delay - warping) / (1 - warping * delay)
    expected = (cepstrum * delay[:, None] ** np.arange(12)).sum(1)
    np.testing.assert_allclose((warped * warped_delay[:, None] ** np.arange(601)).sum(1), expected, atol=1e-9)


# --- paths ------------------------------------------------------------------------------------------------------------


def all_paths(rows, columns, at=(0, 0)):
    if at == (rows - 1, columns - 1):
        yield [at]
    for step in ((1, 0), (0, 1), (1, 1)):
        then = (at[0] + step[0], at[1] + step[1])
        if then[0] < rows and then[1] < columns:
            yield from ([at, *rest] for rest in all_paths(rows, columns, then))


@pytest.mark.parametrize("seed", range(5))
def test_the_exact_path_is_the_best_of_all(seed):
    random = np.random.default_rng(seed)
    reference, generated = random.standard_normal((4, 3)), random.standard_normal((6, 3))

    def cost(path):
        return sum(np.linalg.norm(reference[i] - generated[j]) for i, j in path)

    best = min(all_paths(4, 6), key=cost)
    assert cost(best) < cost([(min(i, 3), i) for i in range(6)])
    assert mcd.exact_path(reference, generated).tolist() == [list(step) for step in best]


def test_the_approximate_path_is_a_path_and_at_best_the_exact_one():
    excess = []
    for seed in range(4):
        random = np.random.default_rng(seed)
        sides = random.standard_normal((60, 2)), random.standard_normal((80, 2))
        sums = []
        for path in (mcd.approximate_path(*sides), mcd.exact_path(*sides)):
            assert path[0].tolist() == [0, 0] and path[-1].tolist() == [59, 79]
            assert {tuple(step) for step in np.diff(path, axis=0)} <= {(0, 1), (1, 0), (1, 1)}
            sums.append(np.linalg.norm(sides[0][path[:, 0]] - sides[1][path[:, 1]], axis=1).sum())
        excess.append(sums[0] - sums[1])
    assert min(excess) > -1e-9 and max(excess) > 1, "noise leads the approximation astray"


def test_more_pairs_of_frames_than_memory_allows_are_refused():
    frames = np.zeros((6001, 2))
    with pytest.raises(NotApplicable, match="30 s beside 30 s, more than .* cut the clips"):
        mcd.exact_path(frames, frames)


def test_the_constant_is_the_published_one():
    assert mcd.distortion(np.zeros((1, 2)), np.array([[0.6, 0.8]]), np.array([[0, 0]])) == 6.141851463713754


# --- the metrics ------------------------------------------------------------------------------------------------------


def test_pymcd_agrees_with_the_package(tmp_path):
    """At the rate of the analysis: the package's resampler rounds lengths otherwise."""
    package = pytest.importorskip("pymcd.mcd")
    voices = {name: resample(sentence(voice), RATE, SAMPLE_RATE) for name, voice in (("one", "en-us+m3"),
                                                                                    ("other", "en-us+f2"))}  # fmt: skip
    assert len(voices["one"]) != len(voices["other"])
    one, other = (sound_file(tmp_path, name, audio, SAMPLE_RATE) for name, audio in voices.items())
    found = create("mcd/pymcd", options={"least_overlap": 0.5}).measure(Pair(Item(id="clip"), Clip(other), Clip(one)))
    for mode, name in (("plain", "mcd"), ("dtw", "mcd_dtw"), ("dtw_sl", "mcd_dtw_sl")):
        expected = package.Calculate_MCD(mode).calculate_mcd(str(one), str(other))
        assert found.values[name] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("id", IDS)
def test_a_copy_has_no_distortion(id, tmp_path):
    found = values(tmp_path, sentence(), sentence(), id)
    assert set(found) == {quantity.name for quantity in create(id).quantities}
    assert all(value == 0 for value in found.values())


def test_gain_adds_its_share_to_pymcd_alone(tmp_path):
    """A gain of g dB adds g ln(10) / 10 to the log power, which is taken as a log amplitude: sqrt(2) g dB."""
    noise = (0.2 * np.random.default_rng(0).standard_normal(SAMPLE_RATE)).astype(np.float32)
    sides = {"loud": noise, "quiet": (noise * 10 ** (-3 / 20)).astype(np.float32)}
    loud, quiet = (Clip(sound_file(tmp_path, name, audio, SAMPLE_RATE)) for name, audio in sides.items())
    found = create("mcd/pymcd").measure(Pair(Item(id="clip"), quiet, loud)).values
    assert found == pytest.approx(dict.fromkeys(("mcd", "mcd_dtw", "mcd_dtw_sl"), 3 * np.sqrt(2)), rel=1e-3)
    assert create("mcd/exact").measure(Pair(Item(id="clip"), quiet, loud)).values["mcd_dtw"] < 1e-3


@pytest.mark.parametrize("id", IDS)
def test_damage_moves_it_as_stated(id, tmp_path):
    clean = sentence()
    filters = [butter(6, cutoff, fs=RATE, output="sos") for cutoff in (6000, 3000, 1500)]
    low_passed = [sosfilt(each, clean).astype(np.float32) for each in filters]
    noisy = [with_noise(clean, snr) for snr in (40, 20, 0)]
    muted = [np.where(np.abs(np.linspace(-1, 1, len(clean))) < share, 0, clean) for share in (0.25, 0.5, 0.75)]
    for damaged in (low_passed, noisy, muted):
        series = [values(tmp_path, each, clean, id) for each in damaged]
        for name in series[0]:
            assert 0 < series[0][name] < series[1][name] < series[2][name]


def test_time_moves_what_looks_at_it(tmp_path):
    clean = sentence()
    late = np.concatenate([np.zeros(800, np.float32), clean])[: len(clean)]
    found = values(tmp_path, late, clean)
    assert found["mcd"] > found["mcd_dtw"]
    lengths = [len(mel_cepstra(np.zeros(round(count * SAMPLE_RATE / RATE)) + 1e-3, create("mcd/pymcd").analysis))
               for count in (len(clean), len(clean) // 2)]  # fmt: skip
    short = create("mcd/pymcd").measure(pair(tmp_path, clean[: len(clean) // 2], clean))
    assert short.values["mcd_dtw_sl"] == pytest.approx(short.values["mcd_dtw"] * lengths[0] / lengths[1])
    assert set(short.values) == {"mcd_dtw", "mcd_dtw_sl"}
    assert "of the reference" in short.reasons["mcd"] and "(option least_overlap)" in short.reasons["mcd"]
    assert short.values["mcd_dtw"] > found["mcd_dtw"]


@pytest.mark.parametrize("id", IDS)
def test_reasons(id, tmp_path):
    silent = np.zeros(RATE, np.float32)
    with pytest.raises(Unscorable, match="silent"):
        create(id).measure(pair(tmp_path, silent, sentence()))
    with pytest.raises(NotApplicable, match=r"reference\.wav\) cannot be used: the audio is silent"):
        create(id).measure(pair(tmp_path, sentence(), silent))
    with pytest.raises(NotApplicable, match="--reference DIR"):
        create(id).measure(pair(tmp_path, sentence()))
    with pytest.raises(Unscorable, match="long, at least"):
        create(id).measure(pair(tmp_path, sentence()[:800], sentence()))
