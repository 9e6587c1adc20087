"""Log-mel energies of speech at 100 rows a second, on the grid of pictures at 25 a second."""

import numpy as np

from t2av_bench.utils.optional import require

SAMPLE_RATE = 16000
BANDS = 40
ROWS_PER_FRAME = 4
_SAMPLES_PER_ROW = 160
PARAMETERS = {"mel": f"{BANDS} bands, 60 to 7600 Hz, 25 ms every 10 ms"}


def log_mel(audio: np.ndarray, frames: int) -> np.ndarray:
    """(n,) mono at 16 kHz -> (4 frames, 40) float64 natural logarithms; row r is centred on the middle of its 10 ms.

    What lies beyond the end of the sound is digital silence, whose energy is the smallest number above 0.
    """
    bank = require("python_speech_features", "sync").fbank
    rows = ROWS_PER_FRAME * frames
    # The first window of 400 samples is centred on sample 80; zeros at the end give the last row its window.
    heard = audio[: rows * _SAMPLES_PER_ROW + 400].astype(np.float64)
    padded = np.pad(heard, (120, 400 + max(0, rows * _SAMPLES_PER_ROW - len(heard))))
    energies, _ = bank(
        padded, SAMPLE_RATE, winlen=0.025, winstep=0.01, nfilt=BANDS, nfft=512, lowfreq=60, highfreq=7600,
        winfunc=np.hanning,
    )  # fmt: skip
    return np.log(energies[:rows])
