"""Whisper through transformers, from a local folder."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from t2av_bench.errors import NotApplicable
from t2av_bench.extractors.recognisers import SAMPLE_RATE, Recogniser, Transcript, from_transformers
from t2av_bench.utils.inference import full_precision

_SECONDS = 30  # that the network hears at a time
_FRAMES = 3000  # of its input, in which they are
_HOP = _SECONDS * SAMPLE_RATE // _FRAMES
_NO_SPEECH = 0.6
_LOG_PROBABILITY = -1.0


class WhisperRecogniser(Recogniser):
    """Greedy decoding in float32 with time stamps, window by window (Radford et al. 2023, sections 3.8 and 4.5).

    Windows of 30 s: each begins at the last time stamp of the one before it, the first frame behind the sound ends
    them, and silence fills the last. Without time stamps the network may stop after the first clause. Of what the paper
    does, the temperature fallback is left out, for it samples, and so are beams and the text of the window before. A
    window where speech is improbable and the decoder unsure has no text, and says so: networks write a sentence about
    white noise.

    The language is given, as in seed-tts-eval; what Whisper detects in the first window is reported beside the text.
    """

    parameters = {
        "recogniser": "whisper",
        "dtype": "float32",
        "decoding": "greedy, no temperature fallback, previous text not used",
        "time_stamps": True,
        "long_form": "sequential, 30 s windows from the last time stamp, silence behind the end",
        "no_speech": f"probability above {_NO_SPEECH:g} and mean log probability below {_LOG_PROBABILITY:g}: no text",
        "suppressed_tokens": "as the checkpoint's generation_config.json",
        "language_hint": "item",
    }
    libraries = ("transformers",)

    def __init__(self, folder: Path, device: str = "cpu", digest: str | None = None) -> None:
        self.processor, self.model = from_transformers(folder, "Whisper", "float32", device, digest)
        self.device = device

    def transcribe(self, audio: np.ndarray, language: str | None = None) -> Transcript:
        """See ``Recogniser.transcribe``; ``language`` None lets Whisper decide. NotApplicable: one it does not know."""
        features = self._features(audio)
        frames = -(-len(audio) // _HOP)
        start, detected, tokens, flags = 0, None, list[int](), list[str]()
        with full_precision():
            while start < frames:
                encoded = self.model.get_encoder()(features[..., start : start + _FRAMES])
                heard, no_speech = self._look(encoded)
                detected = detected or heard
                found, log_probability = self._decode(encoded, language or detected)
                if no_speech > _NO_SPEECH and log_probability < _LOG_PROBABILITY:
                    flags.append(f"no speech from {start * _HOP / SAMPLE_RATE:g} s on (probability {no_speech:.2f})")
                    found, length = [], None
                else:
                    found, length = self._finished(found)
                tokens += found
                start += length or _FRAMES
        return Transcript(self._text(tokens), detected, tuple(flags))

    def _features(self, audio: np.ndarray) -> Any:
        """(1, mel bands, frames) of the audio and the silence of a window behind it."""
        padded = np.pad(np.asarray(audio, np.float32), (0, _SECONDS * SAMPLE_RATE))
        options = {"sampling_rate": SAMPLE_RATE, "return_tensors": "pt", "padding": "longest", "truncation": False}
        return self.processor.feature_extractor(padded, **options).input_features.to(self.device)

    def _look(self, encoded: Any) -> tuple[str, float]:
        """Language of a window, and the probability that nobody speaks in it: both are in the first token's logits."""
        import torch

        config = self.model.generation_config
        begin = torch.tensor([[config.decoder_start_token_id]], device=self.device)
        logits = self.model(encoder_outputs=encoded, decoder_input_ids=begin).logits[0, -1]
        names, ids = zip(*config.lang_to_id.items(), strict=True)
        language = names[int(logits[list(ids)].argmax())]
        # The token for no speech is the one before the one for no time stamps, in every multilingual vocabulary.
        return language.strip("<|>"), float(logits.softmax(-1)[config.no_timestamps_token_id - 1])

    def _decode(self, encoded: Any, language: str) -> tuple[list[int], float]:
        """Tokens of one window, its prompt and end left out, and the mean log probability of them and the end."""
        import torch

        found = self.model.generate(
            encoder_outputs=encoded, return_timestamps=True, force_unique_generate_call=True,
            # Scores are kept where there is a least one; none is below this.
            return_dict_in_generate=True, logprob_threshold=-math.inf, **self._options(language),
        )  # fmt: skip
        tokens = found.sequences[0, -len(found.scores) :]
        scores = torch.cat(found.scores).log_softmax(-1).gather(-1, tokens[:, None])
        end = self.model.generation_config.eos_token_id
        return [token for token in tokens.tolist() if token != end], float(scores.mean())

    def _options(self, language: str) -> dict[str, Any]:
        if f"<|{language}|>" not in self.model.generation_config.lang_to_id:
            raise NotApplicable(f"this Whisper checkpoint does not know the language {language!r}")
        return {
            "language": language, "task": "transcribe", "temperature": 0.0, "num_beams": 1,
            "condition_on_prev_tokens": False,
        }  # fmt: skip

    def _finished(self, tokens: list[int]) -> tuple[list[int], int | None]:
        """What is finished of a window, and the frame in it where the next one begins; None: behind this one.

        Two time stamps in a row end a segment and begin the next, which is heard again in full; a single one at the
        end says that nothing follows.
        """
        first = self.model.generation_config.no_timestamps_token_id + 1
        stamps = [token >= first for token in tokens]
        pairs = [index for index in range(1, len(stamps)) if stamps[index - 1] and stamps[index]]
        if not pairs or stamps[-2:] == [False, True]:
            return tokens, None
        return tokens[: pairs[-1]], 2 * (tokens[pairs[-1] - 1] - first)

    def _text(self, tokens: Any) -> str:
        text: str = self.processor.decode(tokens, skip_special_tokens=True)
        return text.strip()


class SeedTTSWhisperRecogniser(WhisperRecogniser):
    """As seed-tts-eval calls Whisper: one window, greedy, without time stamps, and always with a text."""

    parameters = WhisperRecogniser.parameters | {
        "time_stamps": False, "long_form": "one window of 30 s, longer sound is not heard", "no_speech": "not asked",
    }  # fmt: skip

    def transcribe(self, audio: np.ndarray, language: str | None = None) -> Transcript:
        """See ``WhisperRecogniser``. NotApplicable for more than 30 s, of which seed-tts-eval drops the rest unsaid."""
        if len(audio) > _SECONDS * SAMPLE_RATE:
            raise NotApplicable(
                f"seed-tts-eval hears no more than {_SECONDS} s, the audio is "
                f"{len(audio) / SAMPLE_RATE:.1f} s long: use wer/whisper-large-v3"
            )
        features = self._features(audio)[..., :_FRAMES]
        with full_precision():
            detected, _ = self._look(self.model.get_encoder()(features))
            options = self._options(language or detected)
            tokens = self.model.generate(features, return_timestamps=False, **options)[0]
        return Transcript(self._text(tokens), detected)
