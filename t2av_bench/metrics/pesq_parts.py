"""Which stretches of a signal PESQ can take at once.

The ITU reference code behind the ``pesq`` package keeps at most 50 utterances of the reference signal in arrays without
a bound, and at most 1,000 disturbed intervals; beyond, it writes over its own memory and crashes or answers nonsense.
An utterance lasts at least 0.2 s and is divided from the next one by more than 0.2 s, so a signal up to
``SAFE_SECONDS`` can never hold too many, and 1,000 disturbed intervals need more than ``LONGEST_SECONDS``. Between the
two, utterances are counted the way P.862 finds them: windows of 4 ms, speech where the power in the telephone band
exceeds the mean of the noise by two deviations. The band is only approximately that of P.862, so the count is made a
generous one: bursts and pauses that are a little too short for P.862 count too.
"""

import numpy as np

SAMPLE_RATE = 16000
# 50 utterances of 46 windows (two more are added on either side), 50 pauses of 51 and one more burst of 5.
SAFE_SECONDS = 19.4
# 1,000 intervals of at least 6 frames of 16 ms.
LONGEST_SECONDS = 90.0
MOST_UTTERANCES = 48
_WINDOW = SAMPLE_RATE * 4 // 1000
# P.862: 50 and 46.
_BRIDGED_WINDOWS, _LEAST_WINDOWS, _CLICK_WINDOWS = 44, 40, 4
# Gain in dB at frequencies in Hz: the band in which P.862 looks for speech, measured on the package.
_BAND = (
    (0, -80), (100, -41), (200, -13), (300, 1.5), (400, 8), (700, 11), (1000, 10), (1500, 7), (2000, 1), (2500, -4),
    (3200, -3), (3600, -9), (4000, -18), (5000, -30), (8000, -45),
)  # fmt: skip


def parts(reference: np.ndarray) -> list[tuple[int, int]]:
    """Stretches (start, end) in samples of a reference (n,) at 16 kHz that PESQ can take one by one, in order.

    One stretch wherever that is safe; else cut in the middle of pauses, each time near the middle.
    """
    return _parts(0, len(reference), utterances(reference))


def _parts(start: int, end: int, speech: np.ndarray) -> list[tuple[int, int]]:
    seconds = (end - start) / SAMPLE_RATE
    inside = speech[(speech[:, 1] > start) & (speech[:, 0] < end)]
    if seconds <= SAFE_SECONDS or (seconds <= LONGEST_SECONDS and len(inside) <= MOST_UTTERANCES):
        return [(start, end)]
    cut = _cut(start, end, inside)
    return _parts(start, cut, speech) + _parts(cut, end, speech)


def _cut(start: int, end: int, speech: np.ndarray) -> int:
    """The middle of the longest pause in the middle half; without one, the middle."""
    quarter = (end - start) // 4
    pauses = np.column_stack([speech[:-1, 1], speech[1:, 0]])
    middles = pauses.sum(1) // 2
    near = pauses[(middles > start + quarter) & (middles < end - quarter)]
    if not len(near):
        return (start + end) // 2
    return int(near[np.argmax(near[:, 1] - near[:, 0])].sum() // 2)


def utterances(signal: np.ndarray) -> np.ndarray:
    """(k, 2) int64: first sample and end of each utterance in a signal (n,) at 16 kHz."""
    count = len(signal) // _WINDOW
    if not count or not np.any(signal):
        return np.zeros((0, 2), np.int64)
    power = np.mean(np.square(_band(signal)[: count * _WINDOW]).reshape(count, _WINDOW), axis=1)
    power = np.maximum(power, 1e-4 * power.max())
    threshold = _threshold(power)
    speech = power > threshold
    runs = _runs(speech)
    runs = runs[runs[:, 1] - runs[:, 0] > _CLICK_WINDOWS]
    if speech.any() and not speech.all() and power[speech].mean() >= 1000 * power[~speech].mean():
        # Clear speech: weak bursts are no speech.
        runs = runs[[power[start:end].mean() >= 3 * threshold for start, end in runs]] if len(runs) else runs
    if not len(runs):
        return np.zeros((0, 2), np.int64)
    apart = runs[1:, 0] - runs[:-1, 1] > _BRIDGED_WINDOWS
    joined = np.column_stack([runs[np.r_[True, apart], 0], runs[np.r_[apart, True], 1]])
    return joined[joined[:, 1] - joined[:, 0] >= _LEAST_WINDOWS] * _WINDOW


def _threshold(power: np.ndarray) -> float:
    """Mean and two deviations of the windows that are noise, found by repetition."""
    threshold = float(power.mean())
    for _ in range(12):
        noise = power[power <= threshold]
        threshold = 1.001 * float(noise.mean() + 2 * noise.std()) if len(noise) else 0.0
    return threshold


def _runs(mask: np.ndarray) -> np.ndarray:
    """(k, 2): start and end of each run of True."""
    return np.flatnonzero(np.diff(np.r_[False, mask, False])).reshape(-1, 2)


def _band(signal: np.ndarray) -> np.ndarray:
    spectrum = np.fft.rfft(np.asarray(signal, np.float64))
    frequencies, gains = np.array(_BAND).T
    hertz = np.fft.rfftfreq(len(signal), 1 / SAMPLE_RATE)
    return np.fft.irfft(spectrum * 10 ** (np.interp(hertz, frequencies, gains) / 20), len(signal))
