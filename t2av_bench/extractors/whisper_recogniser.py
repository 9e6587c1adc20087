"""Whisper through transformers, from a local folder."""

from pathlib import Path
from typing import Any

import numpy as np

from t2av_bench.extractors.recognisers import SAMPLE_RATE, Recogniser, Transcript, from_transformers
from t2av_bench.utils.inference import full_precision

_WINDOW_SECONDS = 30


class WhisperRecogniser(Recogniser):
    """Greedy decoding in float32, without the temperature fallback (which samples).

    Audio longer than 30 s is decoded sequentially: each window starts at the last time stamp of the one before it
    (Radford et al. 2022, section 3.8). The language is given, as in seed-tts-eval; the language that Whisper
    detects in the first window is reported beside the text.
    """

    parameters = {
        "recogniser": "whisper",
        "dtype": "float32",
        "decoding": "greedy",
        "long_form": "sequential, 30 s windows, previous text not used",
        "language_hint": "item",
    }
    libraries = ("transformers",)

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        self.processor, self.model = from_transformers(folder, "Whisper", "float32", device)
        self.device = device

    def transcribe(self, audio: np.ndarray, language: str | None = None) -> Transcript:
        """See ``Recogniser.transcribe``; ``language`` None lets Whisper decide."""
        long_form = len(audio) > _WINDOW_SECONDS * SAMPLE_RATE
        # Short audio is padded to one window, which the encoder requires; longer audio is passed whole.
        padding = {"padding": "longest", "truncation": False} if long_form else {}
        inputs = self.processor(
            np.asarray(audio, np.float32),
            sampling_rate=SAMPLE_RATE,
            return_tensors="pt",
            return_attention_mask=True,
            **padding,
        ).to(self.device)
        detected, options = "en", {}
        with full_precision():
            if self.model.generation_config.is_multilingual:
                detected = self._detect(inputs.input_features)
                options = {"language": language or detected, "task": "transcribe"}
            tokens = self.model.generate(
                inputs.input_features,
                attention_mask=inputs.attention_mask,
                return_timestamps=long_form,
                condition_on_prev_tokens=False,
                do_sample=False,
                num_beams=1,
                **options,
            )
        text = self.processor.batch_decode(tokens, skip_special_tokens=True)[0].strip()
        return Transcript(text, detected)

    def _detect(self, features: Any) -> str:
        token = self.model.detect_language(input_features=features)[0]
        return self.processor.tokenizer.convert_ids_to_tokens(int(token)).strip("<|>")
