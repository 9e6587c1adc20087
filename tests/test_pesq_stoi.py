"""PESQ and STOI: identity, order, gain, delay and noise, and agreement with the packages called directly."""

import numpy as np
import pytest
from speech_factory import RATE, pair, say, with_noise

from t2av_bench.metrics import create
from t2av_bench.metrics.base import NotApplicable, Unscorable
from t2av_bench.metrics.pesq import LONGEST_PART_SECONDS, pesq_score
from t2av_bench.metrics.stoi import stoi_score

pesq_package = pytest.importorskip("pesq")
pystoi = pytest.importorskip("pystoi")

WB_MAXIMUM, NB_MAXIMUM = 4.643888, 4.548638


@pytest.fixture(scope="module")
def recording(clips_folder):
    from t2av_bench.media.clip import Clip

    path = clips_folder / "talker_reference.wav"
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    return Clip(path).audio(RATE)


def both(folder, generated, reference):
    return {
        name: value
        for id in ("pesq/itu", "stoi/pystoi")
        for name, value in create(id).measure(pair(folder, generated, reference)).values.items()
    }


def test_identical_audio_gives_the_maxima(tmp_path):
    values = both(tmp_path, say(), say())
    expected = {"pesq_wb": WB_MAXIMUM, "pesq_nb": NB_MAXIMUM, "stoi": 1.0, "estoi": 1.0}
    assert values == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("mode", ["wb", "nb"])
def test_pesq_equals_the_package_and_keeps_the_order_of_arguments(mode):
    noisy = with_noise(say(), 15)
    assert pesq_score(say(), noisy, mode) == pytest.approx(pesq_package.pesq(RATE, say(), noisy, mode), abs=1e-6)
    assert pesq_package.pesq(RATE, say(), noisy, mode) != pytest.approx(
        pesq_package.pesq(RATE, noisy, say(), mode), abs=0.02
    )


@pytest.mark.parametrize("extended", [False, True])
def test_stoi_equals_the_package_and_keeps_the_order_of_arguments(extended):
    noisy = with_noise(say(), 0)
    official = pystoi.stoi(say(), noisy, RATE, extended=extended)
    assert stoi_score(say(), noisy, extended=extended) == pytest.approx(official, abs=1e-9)
    assert official != pytest.approx(pystoi.stoi(noisy, say(), RATE, extended=extended), abs=1e-3)


def test_noise_lowers_everything_in_order(tmp_path):
    rows = [list(both(tmp_path, with_noise(say(), snr), say()).values()) for snr in (40, 30, 20, 10, 0)]
    assert np.all(np.diff(np.array(rows), axis=0) < 0)


def test_noise_on_a_recording_falls_in_the_published_order(recording):
    rows = [
        (pesq_score(recording, noisy, "wb"), stoi_score(recording, noisy, extended=False))
        for noisy in (with_noise(recording, snr) for snr in (40, 20, 0))
    ]
    assert np.all(np.diff(np.array(rows), axis=0) < 0)
    assert rows[0][1] > 0.99 and rows[2][0] < 1.2


def test_gain_changes_nothing(tmp_path):
    noisy = with_noise(say(), 20)
    quiet = both(tmp_path, noisy * np.float32(0.25), say())
    assert quiet == pytest.approx(both(tmp_path, noisy, say()), abs=5e-3)


def test_pesq_tolerates_delay_and_stoi_does_not(tmp_path):
    long = np.concatenate([say(), say("Then the sun shone out warmly.")])
    tenth = both(tmp_path, np.pad(long, (1600, 0))[: len(long)], long)
    hundredth = both(tmp_path, np.pad(long, (160, 0))[: len(long)], long)
    assert tenth["pesq_wb"] > 3.5 and hundredth["pesq_wb"] > 3.5
    assert tenth["stoi"] < 0.5 and tenth["stoi"] < hundredth["stoi"] < 0.97
    # The same without the metric's cut to the common length: nothing of the reference is lost.
    assert pesq_score(np.pad(long, (0, 1600)), np.pad(long, (1600, 0)), "wb") > 4.3


def test_unequal_lengths_are_cut_to_the_common_one(tmp_path):
    longer = np.concatenate([say(), 0.1 * np.random.default_rng(0).standard_normal(RATE).astype(np.float32)])
    assert both(tmp_path, longer, say()) == both(tmp_path, say(), say())
    detail = create("stoi/pystoi").measure(pair(tmp_path, longer, say())).detail
    assert detail["generated_seconds"] - detail["reference_seconds"] == pytest.approx(1.0)


def test_long_speech_with_many_utterances_is_scored_in_parts():
    """One minute of 150 bursts: the package alone writes past its fifty utterances, which can end the process."""
    burst = np.concatenate([say()[:3600], np.zeros(3600, np.float32)])
    reference = np.tile(burst, 150)
    noisy = with_noise(reference, 20)
    parts = zip(np.array_split(reference, 4), np.array_split(noisy, 4), strict=True)
    expected = np.mean([pesq_package.pesq(RATE, clean, degraded, "wb") for clean, degraded in parts])
    assert len(reference) > 3 * LONGEST_PART_SECONDS * RATE
    assert pesq_score(reference, noisy, "wb") == pytest.approx(expected, abs=1e-6)


def test_parts_without_reference_speech_are_left_out():
    reference = np.concatenate([say(), np.zeros(40 * RATE - len(say()), np.float32)])
    reference[len(reference) // 2 :] = 0
    noisy = with_noise(reference, 20)
    half = len(reference) // 2
    assert pesq_score(reference, noisy, "wb") == pytest.approx(
        pesq_score(reference[:half], noisy[:half], "wb"), abs=1e-6
    )


def test_estoi_of_interrupted_speech_does_not_depend_on_the_global_generator():
    interrupted = say().copy()
    interrupted[RATE // 2 : 2 * RATE] = 0
    values = set()
    for seed in (1, 2):
        np.random.seed(seed)
        values.add(stoi_score(say(), interrupted, extended=True))
        drawn = np.random.random()
        np.random.seed(seed)
        assert drawn == np.random.random(), "the caller's generator was moved"
    assert len(values) == 1


@pytest.mark.parametrize("id", ["pesq/itu", "stoi/pystoi"])
class TestReasons:
    def test_silent_generated_clip_fails(self, id, tmp_path):
        with pytest.raises(Unscorable, match="silent"):
            create(id).measure(pair(tmp_path, np.zeros(RATE, np.float32), say()))

    def test_generated_clip_silent_where_the_reference_speaks_fails(self, id, tmp_path):
        late = np.concatenate([np.zeros(len(say()), np.float32), say()])
        with pytest.raises(Unscorable, match="silen"):
            create(id).measure(pair(tmp_path, late, say()))

    def test_short_generated_clip_fails(self, id, tmp_path):
        with pytest.raises(Unscorable, match="long, at least"):
            create(id).measure(pair(tmp_path, say()[:2000], say()))

    def test_silent_reference_is_nobodys_fault(self, id, tmp_path):
        with pytest.raises(NotApplicable, match=r"reference\.wav\) cannot be used: the audio is silent"):
            create(id).measure(pair(tmp_path, say(), np.zeros(RATE, np.float32)))

    def test_missing_reference_says_what_to_do(self, id, tmp_path):
        with pytest.raises(NotApplicable, match="--reference DIR"):
            create(id).measure(pair(tmp_path, say()))

    def test_reference_without_audio_is_nobodys_fault(self, id, tmp_path):
        from media_factory import moving_pattern, write_clip

        from t2av_bench.media.clip import Clip

        mute = pair(tmp_path, say())
        mute.reference = Clip(write_clip(tmp_path / "mute.mp4", moving_pattern(5)))
        with pytest.raises(NotApplicable, match="no audio stream"):
            create(id).measure(mute)


def test_fewer_than_thirty_loud_frames_fail():
    click = np.zeros(RATE, np.float32)
    click[4000:5000] = np.random.default_rng(0).standard_normal(1000)
    with pytest.raises(Unscorable, match="fewer than 30 frames"):
        stoi_score(click, click, extended=False)


@pytest.mark.parametrize("mode", ["wb", "nb"])
def test_reference_without_utterance_is_nobodys_fault(mode):
    with pytest.raises(NotApplicable, match="no utterance"):
        pesq_score(np.zeros(RATE, np.float32), say()[:RATE], mode)
