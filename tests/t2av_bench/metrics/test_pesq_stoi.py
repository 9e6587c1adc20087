"""PESQ and STOI: identity, order, gain, delay and noise, and agreement with the packages called directly."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from speech_factory import RATE, pair, say, with_noise

from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.metrics import create, pesq_parts
from t2av_bench.metrics.pesq import pesq_score
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


def child_environment() -> dict[str, str]:
    here = Path(__file__).resolve()
    paths = [here.parent, here.parents[2] / "factories", here.parents[3]]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}


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
    longer = np.concatenate([say(), 0.1 * np.random.default_rng(0).standard_normal(RATE // 4).astype(np.float32)])
    assert both(tmp_path, longer, say()) == both(tmp_path, say(), say())
    detail = create("stoi/pystoi").measure(pair(tmp_path, longer, say())).detail
    assert detail["generated_seconds"] - detail["reference_seconds"] == pytest.approx(0.25)


@pytest.mark.parametrize("id", ["pesq/itu", "stoi/pystoi"])
def test_below_nine_tenths_of_the_longer_one_the_clip_fails(id, tmp_path):
    long = np.concatenate([say(), say("Then the sun shone out warmly."), say()])
    edge = -(-9 * len(long) // 10)
    create(id).measure(pair(tmp_path, long[:edge], long))
    create(id).measure(pair(tmp_path, long, long[:edge]))
    with pytest.raises(Unscorable, match=r"the clip's sound covers 89 % of the reference \(.* s\); at least 90 %"):
        create(id).measure(pair(tmp_path, long[: edge - 160], long))
    with pytest.raises(Unscorable, match=r"the clip's sound covers 25 % of the reference"):
        create(id).measure(pair(tmp_path, long[: len(long) // 4 + 100], long))
    with pytest.raises(Unscorable, match=r"the reference's sound covers 50 % of the clip .* \(option least_overlap\)"):
        create(id).measure(pair(tmp_path, long, long[: len(long) // 2 + 100]))
    lenient = create(id, options={"least_overlap": 0.2})
    assert list(lenient.measure(pair(tmp_path, long[: len(long) // 4], long)).values.values())[0] > 0.99
    assert lenient.protocol.fingerprint != create(id).protocol.fingerprint
    for wrong in (1.5, -0.1):
        with pytest.raises(ValueError, match="least_overlap is a share of the longer clip, from 0 to 1"):
            create(id, options={"least_overlap": wrong})
    for wrong in ("much", True):
        with pytest.raises(ValueError, match="least_overlap: Input should be a valid number"):
            create(id, options={"least_overlap": wrong})


def bursts(seconds: float, on: float = 0.225, off: float = 0.225) -> np.ndarray:
    """(n,) float32: syllables of noise of ``on`` seconds, apart by ``off``."""
    moments = np.arange(round(seconds * RATE)) / RATE
    noise = np.random.default_rng(0).standard_normal(len(moments))
    return (0.1 * noise * (moments % (on + off) < on)).astype(np.float32)


def sentences(seconds: float, pause: float = 0.5) -> np.ndarray:
    """(n,) float32: read sentences."""
    texts = ("Then the sun shone out warmly.", "Please call Stella, and ask her to bring these things.", "Well, no.")
    once = np.concatenate([np.pad(say(text), (0, round(pause * RATE))) for text in texts])
    return np.tile(once, int(np.ceil(seconds * RATE / len(once))))[: round(seconds * RATE)]


def utterances_by_the_package(signal: np.ndarray) -> int:
    """How many utterances the ITU's code counts in a signal: its own functions, called with room behind the arrays."""
    import ctypes
    import importlib

    code = ctypes.CDLL(importlib.import_module("pesq.cypesq").__file__)
    float_pointer, most = ctypes.POINTER(ctypes.c_float), 50

    class Signal(ctypes.Structure):
        _fields_ = [
            ("names", ctypes.c_char * 640), ("samples", ctypes.c_long), ("swap", ctypes.c_long),
            ("filter", ctypes.c_long), ("data", float_pointer), ("speech", float_pointer), ("log", float_pointer),
        ]  # fmt: skip

    class Found(ctypes.Structure):
        _fields_ = [("count", ctypes.c_long), ("rest", ctypes.c_char * (64 + 60 * most)), ("mode", ctypes.c_short * 8),
                    ("room", ctypes.c_char * 100_000)]  # fmt: skip

    data = np.ascontiguousarray(signal / np.abs(signal).max(), np.float32)
    sides = [Signal(samples=len(data), filter=1, data=data.ctypes.data_as(float_pointer)) for _ in range(2)]
    found, flag, kind = Found(), ctypes.c_long(0), ctypes.c_char_p(b"")
    code.select_rate(ctypes.c_long(RATE), ctypes.byref(flag), ctypes.byref(kind))
    code.pesq_measure(*map(ctypes.byref, (*sides, found, flag, kind)))
    assert flag.value == 0
    return found.count


@pytest.mark.parametrize(
    ("name", "signal"),
    [("sentences", lambda: sentences(60)), ("close sentences", lambda: sentences(45, 0.25)),
     ("noisy", lambda: with_noise(sentences(45), 10)), ("bursts", lambda: bursts(18)),
     ("longer bursts", lambda: bursts(30, 0.35, 0.35)), ("bursts at the edge", lambda: bursts(19, 0.19, 0.21))],
)  # fmt: skip
def test_utterances_are_counted_generously(name, signal):
    counted = len(pesq_parts.utterances(signal()))
    by_package = utterances_by_the_package(signal())
    assert by_package <= counted <= 2 * by_package + 3


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["wb", "nb"])
def test_a_minute_of_sentences_is_scored_whole(mode):
    """Cut in three equal parts it differs: P.862 weighs the end of a long signal more than its beginning."""
    reference = sentences(60)
    noisy = with_noise(reference, 20)
    noisy[40 * RATE :] = with_noise(reference, 5)[40 * RATE :]
    whole = pesq_package.pesq(RATE, reference, noisy, mode)
    assert pesq_score(reference, noisy, mode) == pytest.approx(whole, abs=1e-6)
    thirds = zip(np.array_split(reference, 3), np.array_split(noisy, 3), strict=True)
    assert abs(np.mean([pesq_package.pesq(RATE, *third, mode) for third in thirds]) - whole) > 0.02


@pytest.mark.slow
def test_many_utterances_are_cut_at_pauses():
    """A minute of 133 bursts: the package alone writes past its fifty utterances, which can end the process."""
    reference = bursts(60)
    parts = pesq_parts.parts(reference)
    assert [start for start, _ in parts[1:]] == [end for _, end in parts[:-1]]
    assert (parts[0][0], parts[-1][1]) == (0, len(reference))
    for start, end in parts:
        assert utterances_by_the_package(reference[start:end]) <= 49
        assert not np.any(reference[end - 800 : end + 800]) or end == len(reference), "cut in a burst"
    script = (
        "import numpy as np; from t2av_bench.metrics.pesq import pesq_score; "
        "from test_pesq_stoi import bursts; x = bursts(60); "
        "y = x + 0.01 * np.random.default_rng(1).standard_normal(len(x)).astype(np.float32); "
        "print([pesq_score(x, y, mode) for mode in ('wb', 'nb')])"
    )
    ran = subprocess.run([sys.executable, "-c", script], env=child_environment(), capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    noisy = reference + 0.01 * np.random.default_rng(1).standard_normal(len(reference)).astype(np.float32)
    weights = [end - start for start, end in parts]
    for mode, value in zip(("wb", "nb"), json.loads(ran.stdout), strict=True):
        scores = [pesq_package.pesq(RATE, reference[start:end], noisy[start:end], mode) for start, end in parts]
        assert value == pytest.approx(np.average(scores, weights=weights), abs=1e-6)


@pytest.mark.parametrize("seconds", [19.3, 25, 70, 400])
def test_nothing_dangerous_is_left_whole(seconds):
    """Also where no pause offers itself: noise without end, and bursts as dense as utterances can be."""
    for signal in (
        bursts(seconds),
        bursts(seconds, 0.19, 0.21),
        bursts(seconds, 10, 0),
        np.zeros(round(seconds * RATE)),
    ):
        for start, end in pesq_parts.parts(signal):
            length = (end - start) / RATE
            assert length <= pesq_parts.LONGEST_SECONDS
            assert length <= pesq_parts.SAFE_SECONDS or len(pesq_parts.utterances(signal[start:end])) <= 49
            assert length > 4


def test_parts_without_reference_speech_are_left_out():
    reference = np.concatenate([bursts(25), np.zeros(90 * RATE, np.float32)])
    noisy = with_noise(reference, 20)
    spoken = [(start, end) for start, end in pesq_parts.parts(reference) if np.any(reference[start:end])]
    assert len(spoken) < len(pesq_parts.parts(reference))
    scores = [pesq_package.pesq(RATE, reference[start:end], noisy[start:end], "wb") for start, end in spoken]
    expected = np.average(scores, weights=[end - start for start, end in spoken])
    assert pesq_score(reference, noisy, "wb") == pytest.approx(expected, abs=1e-6)


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
        late = np.concatenate([np.zeros(len(say()), np.float32), say()[: len(say()) // 20]])
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


# Container, its word for H.264 or MPEG-4, and the word that no decoder knows.
UNKNOWN = {"mkv": (b"V_MPEG4/ISO/AVC", b"V_NOSUCH/XYZ/AB"), "avi": (b"FMP4", b"ZQX7"), "mp4": (b"avc1", b"zqx7")}


def with_unknown_video(folder: Path, suffix: str, audio: np.ndarray) -> Path:
    """A clip whose pictures are coded by a codec that does not exist."""
    from media_factory import moving_pattern, write_clip

    path = write_clip(
        folder / f"unknown.{suffix}", moving_pattern(round(25 * len(audio) / RATE)), audio,
        video_codec="mpeg4" if suffix == "avi" else "libx264", audio_codec="aac" if suffix == "mp4" else "pcm_s16le",
    )  # fmt: skip
    known, unknown = UNKNOWN[suffix]
    data = path.read_bytes()
    assert known in data
    path.write_bytes(data.replace(known, unknown))
    return path


@pytest.mark.parametrize("suffix", UNKNOWN)
def test_the_sound_beside_pictures_of_an_unknown_codec_is_scored(suffix, tmp_path):
    """Through the workers: one that dies would take the sound's scores with it."""
    from speech_factory import sound_file

    from t2av_bench.benchmarks.manifest import Item
    from t2av_bench.evaluation.worker import Job, Measuring, MetricResult, WorkerContext
    from t2av_bench.metrics.base import Settings
    from t2av_bench.utils.worker_pool import WorkerPool

    pytest.importorskip("cv2")
    path = with_unknown_video(tmp_path, suffix, say())
    reference = sound_file(tmp_path, "reference", say())
    metrics = ("psnr/rgb", "stoi/pystoi", "pesq/itu")
    job = Job("clip", Item(id="clip"), path, reference, "inputs", metrics)
    work = Measuring(WorkerContext(Settings(), tmp_path / "features"))
    with WorkerPool() as pool:
        found = list(pool.run([job], work, workers=1, timeout=120))
    outcomes = {result.metric: result for result in found if isinstance(result, MetricResult)}
    assert "unknown codec" in outcomes["psnr/rgb"].reason
    assert outcomes["stoi/pystoi"].measurement.values["stoi"] > 0.98
    assert outcomes["pesq/itu"].measurement.values["pesq_wb"] > 4
