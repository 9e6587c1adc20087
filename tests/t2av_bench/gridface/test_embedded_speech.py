"""Speech: the same bytes whatever happened before, phoneme times that the samples confirm, clear refusals."""

import hashlib
import multiprocessing
import os
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

espeakng_loader = pytest.importorskip("espeakng_loader", reason="the synthesizer's package is not installed")

from t2av_bench.gridface.speech import synthesizer as speech  # noqa: E402
from t2av_bench.utils import espeak  # noqa: E402

TEXTS = ("Bob put five blue pebbles in a box.", "She sees the old ship.", "Please place white with bye eight.")


def _digest(utterance: speech.Utterance) -> str:
    content = utterance.samples.tobytes() + repr(utterance.phonemes).encode()
    return hashlib.sha256(content).hexdigest()


def _say_all(order: list[int]) -> dict[int, str]:
    with speech.Synthesizer() as synthesizer:
        return {index: _digest(synthesizer.say(TEXTS[index], "en-us+f2")) for index in order}


@pytest.fixture(scope="module")
def synthesizer():
    with speech.Synthesizer() as shared:
        yield shared


def test_same_bytes_in_any_order_and_from_any_number_of_processes():
    first = _say_all([0, 1, 2])
    time.sleep(1.1)  # the library would seed its noise from the clock's seconds
    assert _say_all([2, 2, 1, 0, 1]) == first
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        for found in pool.map(_say_all, [[0], [1, 0], [2]]):
            assert found == {index: first[index] for index in found}


def test_threads_share_one_synthesizer(synthesizer):
    expected = [_digest(synthesizer.say(text)) for text in TEXTS]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda text: _digest(synthesizer.say(text)), TEXTS * 4)) == expected * 4


@pytest.mark.skipif(sys.platform != "linux", reason="counts on fork")
def test_a_forked_child_has_a_process_of_its_own():
    parent = speech.Synthesizer()
    expected = _digest(parent.say(TEXTS[0]))
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(write_end, _digest(parent.say(TEXTS[0])).encode())
            parent.close()
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as stream:
        assert stream.read() == expected
    os.waitpid(child, 0)
    assert _digest(parent.say(TEXTS[0])) == expected
    parent.close()


def test_phonemes_follow_each_other_and_end_with_the_samples(synthesizer):
    for voice, text in (("en-us+m3", TEXTS[0]), ("cmn+f2", "请把红色的方块放到第八行。")):
        utterance = synthesizer.say(text, voice)
        assert utterance.samples.dtype == np.int16 and np.abs(utterance.samples).max() > 5000
        ends = [phoneme.end for phoneme in utterance.phonemes]
        assert [phoneme.start for phoneme in utterance.phonemes[1:]] == ends[:-1]
        assert ends[-1] == pytest.approx(utterance.duration, abs=1e-4)


def test_phoneme_times_agree_with_the_spectrum(synthesizer):
    """Between 's' and a vowel the energy moves from above 3 kHz to below 1 kHz: the symbols say when."""
    utterance = synthesizer.say("sassa sossa seesa", "en-us")
    hissing, voiced = [], []
    for phoneme in utterance.phonemes:
        part = utterance.samples[int(phoneme.start * 22050) : int(phoneme.end * 22050)].astype(float)
        if len(part) < 600:
            continue
        power = np.abs(np.fft.rfft(part * np.hanning(len(part)))) ** 2
        frequency = np.fft.rfftfreq(len(part), 1 / 22050)
        balance = np.log10(power[frequency > 3000].sum() / power[frequency < 1000].sum())
        (hissing if phoneme.symbol.strip("ˈˌ") == "s" else voiced).append(balance)
    assert len(hissing) == 6 and len(voiced) >= 5
    assert min(hissing) > 0.5 and max(voiced) < -0.5


def test_rate_and_pitch_do_what_they_say(synthesizer):
    slow, fast = (synthesizer.say(TEXTS[0], rate=rate) for rate in (100, 220))
    assert slow.duration > 1.5 * fast.duration
    periods = []
    for pitch in (10, 90):
        utterance = synthesizer.say("aah", pitch=pitch)
        vowel = next(phoneme for phoneme in utterance.phonemes if "ˈ" in phoneme.symbol)
        middle = int((vowel.start + vowel.end) / 2 * 22050)
        part = utterance.samples[middle - 1000 : middle + 1000].astype(float)
        power = np.abs(np.fft.rfft(part * np.hanning(len(part)))) ** 2
        periods.append(int(np.argmax(np.fft.irfft(np.log(power))[70:500])) + 70)
    assert periods[0] > 1.3 * periods[1]


def test_voices_are_listed_and_differ(synthesizer):
    names = speech.voices("en-us")
    assert {"en-us", "en-us+f2", "en-us+m3", "en-us+klatt2"} <= set(names)
    assert len({_digest(synthesizer.say(TEXTS[0], name)) for name in ("en-us", "en-us+f2", "en-us+m3")}) == 3
    assert "cmn+f2" in speech.voices("cmn")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("",), "nothing to say"),
        ((" ?! ",), "nothing to say"),
        (("hello 你好",), r"cannot say '你' \(character 7"),
        (("smile 😀",), "cannot say '😀'"),
        (("naïve",), "it takes Latin letters"),
        (("bell\x07",), "cannot say '\\\\x07'"),
        (("你好 world", "cmn"), "cannot say 'w'.*Chinese characters"),
        (("hi", "en-us+f99"), "unknown voice variant.*en-us\\+f"),
        (("hi", "en-us+../f2"), "unknown voice variant"),
        (("hi", "klingon"), "unknown voice language 'klingon': expected one of en-us, cmn"),
        (("hi " * 400,), "at most 1000"),
        (("匈", "cmn"), "no pronunciation"),
    ],
)
def test_what_cannot_be_said_is_refused_with_the_reason(synthesizer, arguments, message):
    with pytest.raises(speech.SpeechError, match=message):
        synthesizer.say(*arguments)


@pytest.mark.parametrize("wrong", [{"rate": 10}, {"rate": 150.0}, {"pitch": 100}, {"pitch": True}, {"pitch_range": -1}])
def test_numbers_out_of_range_are_refused(synthesizer, wrong):
    with pytest.raises(speech.SpeechError, match=f"{next(iter(wrong))} must be a whole number"):
        synthesizer.say("hi", **wrong)


def test_a_deep_installation_folder_works(tmp_path, monkeypatch):
    """The library cuts data paths at 160 characters; virtual environments can lie deeper than that."""
    library, data = espeak.installation()
    deep = tmp_path.joinpath(*["folder" * 6] * 4)
    shutil.copytree(data, deep / "espeak-ng-data", ignore=lambda _, names: {n for n in names if n[:2] in ("ru", "fa")})
    assert len(str(deep)) > 160
    expected = _say_all([0])
    monkeypatch.setattr(espeak, "installation", lambda: (library, deep / "espeak-ng-data"))
    assert _say_all([0]) == expected


def test_an_empty_data_folder_is_reported(tmp_path, monkeypatch):
    library, _ = espeak.installation()
    monkeypatch.setattr(espeak, "installation", lambda: (library, tmp_path))
    with pytest.raises(speech.SpeechError, match="espeak"), speech.Synthesizer() as broken:
        broken.say("hi")


def test_it_recovers_after_its_process_was_killed():
    with speech.Synthesizer() as synthesizer:
        expected = _digest(synthesizer.say(TEXTS[1]))
        synthesizer._process.kill()
        synthesizer._process.wait()
        assert _digest(synthesizer.say(TEXTS[1])) == expected
