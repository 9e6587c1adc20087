"""The two DNSMOS networks of the package speechmos, with sessions that use one thread each."""

from functools import lru_cache
from typing import Any

import numpy as np

from t2av_bench.utils.inference import onnx_session

SAMPLE_RATE = 16000
QUANTITIES = {"ovrl_mos": "dnsmos_ovrl", "sig_mos": "dnsmos_sig", "bak_mos": "dnsmos_bak", "p808_mos": "dnsmos_p808"}


@lru_cache(maxsize=1)
def load_dnsmos(primary: str, p808: str) -> Any:
    """A ``speechmos.dnsmos.DNSMOS`` on the two ONNX files.

    Its own constructor would start a pool of as many threads as there are cores in every worker; summation order,
    and with it the last digit, would follow the machine.
    """
    from speechmos.dnsmos import DNSMOS

    class SingleThreaded(DNSMOS):
        def __init__(self) -> None:
            self.primary_model_path = primary
            self.onnx_sess, self.p808_onnx_sess = (onnx_session(path, "speech") for path in (primary, p808))

    return SingleThreaded()


def dnsmos(audio: np.ndarray, primary: str, p808: str) -> dict[str, float]:
    """Audio (n,), n >= 1, 16 kHz, in [-1, 1] -> the four scores by quantity name.

    The clip is doubled until it covers one window of 9.01 s; windows follow every second and are averaged.
    """
    scores = load_dnsmos(primary, p808)(np.asarray(audio, np.float32), SAMPLE_RATE, False)
    return {quantity: float(scores[name]) for name, quantity in QUANTITIES.items()}
