"""silero-vad: what the network is given, the rule of its segments, and the package as a second implementation."""

from pathlib import Path

import numpy as np
import pytest
from speech_factory import RATE, say, with_noise

from t2av_bench import weights
from t2av_bench.extractors import silero_vad
from t2av_bench.extractors.silero_vad import speech_probability, speech_segments

WINDOW = 512


class Remembering:
    """A network that keeps what it is given; its state counts windows, and so does its probability."""

    def __init__(self) -> None:
        self.given: list[dict[str, np.ndarray]] = []

    def run(self, outputs, inputs):
        self.given.append(inputs)
        state = inputs["state"] + 1
        return np.full((1, 1), state[0, 0, 0] / 100, np.float32), state


@pytest.mark.parametrize("samples", [1, 511, 512, 513, 1600])
def test_each_window_follows_the_end_of_the_one_before(samples):
    audio = np.random.default_rng(0).standard_normal(samples).astype(np.float32)
    network = Remembering()
    found = speech_probability(network, audio)
    count = int(np.ceil(samples / WINDOW))
    assert found == pytest.approx(np.arange(1, count + 1) / 100), "the state is handed on, from zeros"
    assert all(each["sr"] == RATE and each["input"].shape == (1, 64 + WINDOW) for each in network.given)
    windows = np.concatenate([each["input"][0, 64:] for each in network.given])
    assert np.array_equal(windows[:samples], audio) and not windows[samples:].any()
    assert not network.given[0]["input"][0, :64].any()
    for index, each in enumerate(network.given[1:], 1):
        assert np.array_equal(each["input"][0, :64], windows[index * WINDOW - 64 : index * WINDOW])


def test_no_sound_has_no_windows():
    assert speech_probability(Remembering(), np.zeros(0, np.float32)).shape == (0,)
    assert speech_segments(np.zeros(0), 0).shape == (0, 2)


@pytest.mark.parametrize(
    ("heard", "samples", "expected"),
    [
        # (probability, windows) in a row
        ([(0.1, 10), (0.9, 20), (0.1, 20)], 50 * WINDOW, [(10 * WINDOW - 480, 30 * WINDOW + 480)]),
        ([(0.9, 20), (0.1, 20)], 40 * WINDOW, [(0, 20 * WINDOW + 480)]),
        ([(0.1, 10), (0.9, 20)], 30 * WINDOW - 99, [(10 * WINDOW - 480, 30 * WINDOW - 99)]),
        # 0.4 begins no speech and ends none.
        ([(0.4, 30)], 30 * WINDOW, []),
        ([(0.4, 10), (0.5, 1), (0.4, 20), (0.34, 9)], 40 * WINDOW, [(10 * WINDOW - 480, 31 * WINDOW + 480)]),
        # 250 ms are 7.8 windows: seven are too short, eight are not.
        ([(0.1, 10), (0.9, 7), (0.1, 10)], 27 * WINDOW, []),
        ([(0.1, 10), (0.9, 8), (0.1, 10)], 28 * WINDOW, [(10 * WINDOW - 480, 18 * WINDOW + 480)]),
        # 100 ms are 3.1 windows: four quiet windows are bridged, five are not.
        ([(0.9, 10), (0.1, 4), (0.9, 10), (0.1, 9)], 33 * WINDOW, [(0, 24 * WINDOW + 480)]),
        (
            [(0.9, 10), (0.1, 5), (0.9, 10), (0.1, 9)],
            34 * WINDOW,
            [(0, 10 * WINDOW + 480), (15 * WINDOW - 480, 25 * WINDOW + 480)],
        ),
        # Quiet counts from its first window below 0.35 on, through windows that are undecided.
        ([(0.9, 10), (0.1, 1), (0.4, 3), (0.1, 1), (0.9, 1)], 16 * WINDOW, [(0, 10 * WINDOW + 480)]),
    ],
)
def test_segments(heard, samples, expected):
    probabilities = np.concatenate([np.full(count, value, np.float32) for value, count in heard])
    assert speech_segments(probabilities, samples).tolist() == [list(each) for each in expected]


def official():
    """The package's own functions; it is no dependency, for it needs nothing that the network does not."""
    return pytest.importorskip("silero_vad", reason="the second implementation is absent: pip install silero-vad")


def test_segments_are_those_of_the_package():
    package = official()
    generator = np.random.default_rng(0)
    for case in range(2000):
        count = int(generator.integers(1, 120))
        steps = generator.choice([0.0, 0.2, 0.35, 0.4, 0.5, 0.9], count)
        walk = generator.uniform(0, 1) + np.cumsum(generator.normal(0, generator.uniform(0.02, 0.3), count))
        probabilities = (steps if case % 2 else walk.clip(0, 1)).astype(np.float32)
        samples = count * WINDOW - int(generator.integers(0, WINDOW))
        expected = package.get_speech_timestamps_from_probs(probabilities.tolist(), audio_length_samples=samples)
        found = speech_segments(probabilities, samples)
        assert found.tolist() == [[each["start"], each["end"]] for each in expected], (probabilities, samples)


# --- the published network --------------------------------------------------------------------------------------------


def published():
    if not weights.is_present("silero_vad"):
        pytest.skip("needs the weights silero_vad: t2av-bench weights fetch silero_vad")
    return silero_vad.load(Path(weights.path("silero_vad")), weights.digest("silero_vad"))


@pytest.mark.slow
def test_it_hears_what_the_package_hears(clips_folder):
    from t2av_bench.media.clip import Clip

    session, package = published(), official()
    torch = pytest.importorskip("torch")
    model = package.load_silero_vad(onnx=True)
    real = [Clip(clips_folder / name).audio(RATE) for name in ("hdtf_aoc.mp4", "lp_d10.mp4", "talker_output.mp4")]
    for audio in (*real, say(), with_noise(say(), 0)):
        found = speech_probability(session, audio)
        heard = torch.tensor(audio)
        assert np.array_equal(found, model.audio_forward(heard, RATE)[0].numpy())
        expected = package.get_speech_timestamps(heard, model)
        assert speech_segments(found, len(audio)).tolist() == [[each["start"], each["end"]] for each in expected]


@pytest.mark.slow
def test_speech_is_heard_where_it_is():
    """A sentence between silences of known length, and noise and tones without one."""
    session = published()
    sentence, quiet = np.asarray(say()), np.zeros(2 * RATE, np.float32)
    audio = np.concatenate([quiet, sentence, quiet])
    segments = speech_segments(speech_probability(session, audio), len(audio))
    loud = np.flatnonzero(np.abs(audio) > 0.02 * np.abs(audio).max())
    assert abs(segments[0, 0] - loud[0]) < 0.15 * RATE and abs(segments[-1, 1] - loud[-1]) < 0.25 * RATE
    noise = 0.1 * np.random.default_rng(0).standard_normal(3 * RATE)
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(3 * RATE) / RATE)
    for other in (noise, tone):
        assert not len(speech_segments(speech_probability(session, other.astype(np.float32)), 3 * RATE))
