"""DNSMOS: published values of public files, agreement with speechmos itself, and damage that must show."""

import subprocess
import sys

import numpy as np
import pytest
from speech_factory import RATE, pair, say, with_noise

from t2av_bench.benchmarks.manifest import Item
from t2av_bench.errors import MediaError, Unscorable
from t2av_bench.media.clip import Clip
from t2av_bench.metrics import create
from t2av_bench.metrics.base import Pair

speechmos_dnsmos = pytest.importorskip("speechmos.dnsmos")
# Five seconds are doubled once and hold a single window; most other lengths cost several.
SPEECH_SECONDS = 5
NAMES = {"dnsmos_ovrl": "ovrl_mos", "dnsmos_sig": "sig_mos", "dnsmos_bak": "bak_mos", "dnsmos_p808": "p808_mos"}


def speech():
    return np.resize(say(), SPEECH_SECONDS * RATE)


@pytest.fixture(scope="module")
def metric():
    return create("dnsmos/p835")


def test_golden_recording(metric, clips_folder):
    """Values measured once with speechmos, onnxruntime 1.31 and librosa 0.11 on the same 16-bit file."""
    path = clips_folder / "talker_reference.wav"
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    values = metric.measure(Pair(Item(id="a"), Clip(path))).values
    expected = {"dnsmos_ovrl": 3.3872, "dnsmos_sig": 3.6775, "dnsmos_bak": 4.0938, "dnsmos_p808": 3.6668}
    assert values == pytest.approx(expected, abs=1e-3)


def test_golden_generated_clip(metric, clips_folder):
    """The goldens were measured on the 16-bit file; the mp4 holds the same speech after AAC, hence the tolerance."""
    path = clips_folder / "talker_output.mp4"
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    values = metric.measure(Pair(Item(id="a"), Clip(path))).values
    expected = {"dnsmos_ovrl": 2.9621, "dnsmos_sig": 3.4761, "dnsmos_bak": 3.6186, "dnsmos_p808": 3.7595}
    assert values == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize("seconds", [1.2, 9.01, 11.5])
def test_equals_speechmos(metric, tmp_path, seconds):
    audio = np.resize(with_noise(say(), 25), round(seconds * RATE))
    values = metric.measure(pair(tmp_path, audio)).values
    official = speechmos_dnsmos.run(audio, RATE)
    assert values == pytest.approx({name: official[key] for name, key in NAMES.items()}, abs=1e-5)


@pytest.mark.parametrize("seconds", [0.3, 9.01, 11.5])
def test_equals_speechmos_with_one_thread_bit_by_bit(seconds):
    from t2av_bench import weights
    from t2av_bench.extractors.dnsmos_networks import dnsmos, load_dnsmos, log_mel

    class SingleThreaded(speechmos_dnsmos.DNSMOS):
        def __init__(self, *sessions):
            self.onnx_sess, self.p808_onnx_sess = sessions

    audio = np.resize(with_noise(say(), 25), round(seconds * RATE)).astype(np.float32)
    paths = [str(weights.path(id)) for id in ("dnsmos_p835", "dnsmos_p808")]
    theirs = SingleThreaded(*load_dnsmos(*paths))
    assert np.array_equal(log_mel(audio), theirs.audio_melspec(audio))
    official = theirs(audio, RATE, False)
    assert dnsmos(audio, *paths) == {name: float(official[key]) for name, key in NAMES.items()}


def test_librosa_is_not_imported():
    code = (
        "import sys, numpy; from t2av_bench import weights; from t2av_bench.extractors.dnsmos_networks import dnsmos;"
        "paths = [str(weights.path(id)) for id in ('dnsmos_p835', 'dnsmos_p808')];"
        "dnsmos(numpy.ones(160), *paths); print({'librosa', 'numba', 'scipy.signal'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_noise_lowers_every_score_in_order(metric, tmp_path):
    levels = []
    for snr in (60, 25, 5):
        values = metric.measure(pair(tmp_path, with_noise(speech(), snr))).values
        levels.append([values["dnsmos_ovrl"], values["dnsmos_bak"], values["dnsmos_p808"]])
    assert np.all(np.diff(np.array(levels), axis=0) < 0)


def test_low_pass_and_coarse_quantisation_lower_the_signal_score(metric, tmp_path):
    from scipy.signal import butter, sosfiltfilt

    def signal(audio):
        return metric.measure(pair(tmp_path, audio)).values["dnsmos_sig"]

    clean = signal(speech())
    assert signal(sosfiltfilt(butter(8, 1500, fs=RATE, output="sos"), speech()).astype(np.float32)) < clean
    assert signal(np.round(speech() * 8) / 8) < clean


def test_samples_outside_full_scale_are_clipped_not_refused(metric, tmp_path):
    loud = speech() * np.float32(1.5 / np.abs(speech()).max())
    measured = metric.measure(pair(tmp_path, loud))
    official = speechmos_dnsmos.run(np.clip(loud, -1, 1), RATE)
    assert measured.values["dnsmos_ovrl"] == pytest.approx(official["ovrl_mos"], abs=1e-5)
    assert measured.detail["clipped_samples"] == np.count_nonzero(np.abs(loud) > 1)


@pytest.mark.parametrize(
    ("audio", "reason"),
    [
        (np.zeros(RATE, np.float32), r"silent \(digital silence\)"),
        (np.full(RATE, 3e-5, np.float32), r"silent \(peak -90 dBFS\)"),
        (np.full(200, 0.5, np.float32), r"0\.01 s long, at least 0\.1 s"),
    ],
)
def test_silence_and_shortness_are_reasons(metric, tmp_path, audio, reason):
    with pytest.raises(Unscorable, match=reason):
        metric.measure(pair(tmp_path, audio))


def test_no_audio_stream_is_a_reason(metric, tmp_path):
    from media_factory import moving_pattern, write_clip

    clip = write_clip(tmp_path / "silent.mp4", moving_pattern(5))
    with pytest.raises(MediaError, match="no audio stream"):
        metric.measure(Pair(Item(id="a"), Clip(clip)))


def test_networks_are_loaded_once():
    from t2av_bench import weights
    from t2av_bench.extractors.dnsmos_networks import load_dnsmos

    paths = [str(weights.path(id)) for id in ("dnsmos_p835", "dnsmos_p808")]
    assert load_dnsmos(*paths) is load_dnsmos(*paths)
    assert load_dnsmos(*paths)[0].get_session_options().intra_op_num_threads == 1
