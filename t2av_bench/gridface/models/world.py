"""Sound to vocoder features at 25 Hz and back: WORLD (Morise et al. 2016), eight analysis frames to one.

A feature row holds, for each of eight frames of 5 ms: log F0 (interpolated through unvoiced sound), voicing, one band
of aperiodicity, 24 coded spectral values; each group weighted so that principal components keep what is heard.
"""

import numpy as np

from t2av_bench.extractors.mel_cepstrum import vocoder
from t2av_bench.gridface.data.corpus import AUDIO_RATE, HOP

SPECTRUM = 24
STACK = 8
FEATURES = STACK * (3 + SPECTRUM)
_PERIOD_MILLISECONDS = 5.0
_HOP = HOP // STACK
_F0_FLOOR, _F0_CEILING = 60.0, 450.0
_F0_CENTRE = np.log(120.0)
_F0_WEIGHT, _VOICING_WEIGHT, _APERIODICITY_WEIGHT = 3.0, 2.0, 0.1
# Digital silence has no spectrum; this much noise gives it one, far below hearing.
_DITHER = 1e-4


def analyse(audio: np.ndarray) -> np.ndarray:
    """(n,) float mono at 16 kHz in [-1, 1] -> (n // 640, 216) float32. Raises ValueError below one frame of 640."""
    world = vocoder()
    count = len(audio) // HOP
    if count < 1:
        raise ValueError(f"the sound has {len(audio)} samples; one frame of {HOP} is the least that can be coded")
    # DIO looks at whole pitch periods: shorter sounds are padded, and cut again below.
    padded = np.zeros(max(count, 8) * HOP)
    padded[: count * HOP] = audio[: count * HOP]
    padded += np.random.default_rng(0).standard_normal(len(padded)) * _DITHER
    f0, times = world.dio(padded, AUDIO_RATE, f0_floor=_F0_FLOOR, f0_ceil=_F0_CEILING)
    f0 = world.stonemask(padded, f0, times, AUDIO_RATE)
    envelope = world.cheaptrick(padded, f0, times, AUDIO_RATE)
    aperiodicity = world.d4c(padded, f0, times, AUDIO_RATE)
    steps = count * STACK
    spectrum = world.code_spectral_envelope(envelope, AUDIO_RATE, SPECTRUM)[:steps]
    bands = world.code_aperiodicity(aperiodicity, AUDIO_RATE)[:steps]
    voiced = f0[:steps] > 0
    log_f0 = np.full(steps, _F0_CENTRE)
    if voiced.any():
        places = np.flatnonzero(voiced)
        log_f0 = np.interp(np.arange(steps), places, np.log(f0[places]))
    rows = np.column_stack([
        (log_f0 - _F0_CENTRE) * _F0_WEIGHT, np.where(voiced, _VOICING_WEIGHT, -_VOICING_WEIGHT),
        bands * _APERIODICITY_WEIGHT, spectrum,
    ])  # fmt: skip
    return rows.reshape(count, FEATURES).astype(np.float32)


def synthesise(features: np.ndarray) -> np.ndarray:
    """(T, 216) -> (T * 640,) float32 at 16 kHz, limited to [-1, 1]."""
    world = vocoder()
    rows = np.asarray(features, np.float64).reshape(-1, 3 + SPECTRUM)
    f0 = np.exp(np.clip(rows[:, 0] / _F0_WEIGHT + _F0_CENTRE, np.log(_F0_FLOOR), np.log(_F0_CEILING)))
    f0 = np.where(rows[:, 1] > 0, f0, 0.0)
    bands = np.ascontiguousarray(np.minimum(rows[:, 2:3] / _APERIODICITY_WEIGHT, 0.0))
    size = world.get_cheaptrick_fft_size(AUDIO_RATE)
    envelope = world.decode_spectral_envelope(np.ascontiguousarray(rows[:, 3:]), AUDIO_RATE, size)
    aperiodicity = world.decode_aperiodicity(bands, AUDIO_RATE, size)
    audio = world.synthesize(f0, envelope, aperiodicity, AUDIO_RATE, _PERIOD_MILLISECONDS)
    wanted = len(rows) * _HOP
    audio = np.pad(audio, (0, max(0, wanted - len(audio))))[:wanted]
    return np.clip(audio, -1.0, 1.0).astype(np.float32)
