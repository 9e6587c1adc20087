"""pocketsphinx with its bundled US English model: the recogniser that needs no download.

With its open vocabulary the bundled model is weak (on synthetic English voices more than half of the words are
wrong), so its word error rates rank only large differences. A closed grammar (JSGF) of the sentences that can occur
makes it accurate, but a closed grammar always answers with one of its sentences: noise scores about 0.8, not 1.0.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from t2av_bench.extractors.recognisers import SAMPLE_RATE, Recogniser, Transcript
from t2av_bench.media.resample import to_int16

_DITHER_SNR_DB = 30.0
_PADDING_SECONDS = 0.2


def dithered(audio: np.ndarray) -> np.ndarray:
    """Audio (n,) in [-1, 1] with 0.2 s of silence at both ends and white noise at 30 dB SNR; int16.

    The recogniser's cepstral normalisation breaks on digital silence, which synthesisers emit between words. The
    noise is seeded by the content of the audio, so that the same audio always gives the same transcript.
    """
    audio = np.asarray(audio, np.float32) + np.float32(0)  # -0.0 and 0.0 sound alike, and have other bytes
    seed = int.from_bytes(hashlib.sha256(np.ascontiguousarray(audio).tobytes()).digest()[:8], "little")
    padded = np.pad(audio.astype(np.float64), round(_PADDING_SECONDS * SAMPLE_RATE))
    level = np.sqrt(np.mean(np.square(audio, dtype=np.float64)) * 10 ** (-_DITHER_SNR_DB / 10))
    noisy = padded + level * np.random.default_rng(seed).standard_normal(padded.size)
    return to_int16(noisy)


class PocketsphinxRecogniser(Recogniser):
    """English speech to text on the CPU.

    grammar: a JSGF grammar as text; the bundled trigram language model where None. Loops over a vocabulary
        ("(a | b | ...)+") take minutes to decode: write sentences.
    pronunciations: word -> ARPABET phones ("HH AH L OW") for words that the bundled dictionary lacks.
    """

    parameters = {
        "recogniser": "pocketsphinx en-us",
        "dither_snr_db": _DITHER_SNR_DB,
        "padding_seconds": _PADDING_SECONDS,
        "beams": "default",
    }
    libraries = ("pocketsphinx",)

    def __init__(self, grammar: str | None = None, pronunciations: Mapping[str, str] | None = None) -> None:
        self.grammar = grammar
        self.pronunciations = dict(pronunciations or {})

    def _decoder(self) -> Any:
        from pocketsphinx import Decoder

        if self.grammar is None and not self.pronunciations:
            return Decoder(samprate=SAMPLE_RATE, loglevel="FATAL")
        decoder = Decoder(samprate=SAMPLE_RATE, loglevel="FATAL", **({"lm": None} if self.grammar else {}))
        for word, phones in self.pronunciations.items():
            decoder.add_word(word, phones, True)
        if self.grammar is not None:
            try:
                decoder.add_jsgf_string("benchmark", self.grammar)
                decoder.activate_search("benchmark")
            except (RuntimeError, ValueError) as error:
                raise ValueError(
                    "pocketsphinx does not accept the JSGF grammar: check its syntax, and give the phones of "
                    "words that the CMU dictionary lacks as pronunciations={'word': 'W ER D'}"
                ) from error
        return decoder

    def transcribe(self, audio: np.ndarray, language: str | None = None) -> Transcript:
        """See ``Recogniser.transcribe``. A fresh decoder each time: its channel estimate survives utterances."""
        decoder = self._decoder()
        decoder.start_utt()
        decoder.process_raw(dithered(audio).tobytes(), no_search=False, full_utt=True)
        decoder.end_utt()
        best = decoder.hyp()
        return Transcript(best.hypstr if best is not None else "")
