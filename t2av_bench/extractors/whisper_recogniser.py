"""Whisper through transformers, from a local folder."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from t2av_bench.errors import NotApplicable
from t2av_bench.extractors.recognisers import SAMPLE_RATE, Recogniser, Transcript, from_transformers, or_reason
from t2av_bench.utils.inference import full_precision, pass_size

WINDOWS_TOGETHER = 8
"""Windows of a pass that utterances share on a GPU."""
_SECONDS = 30  # that the network hears at a time
_FRAMES = 3000  # of its input, in which they are
_HOP = _SECONDS * SAMPLE_RATE // _FRAMES
_NO_SPEECH = 0.6
_LOG_PROBABILITY = -1.0


@dataclass
class _Spoken:
    """How far one utterance is heard. start: frame where its next window begins."""

    features: Any
    frames: int
    language: str | None
    start: int = 0
    detected: str | None = None
    tokens: list[int] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)


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
        (found,) = self.transcribe_all([audio], [language])
        if isinstance(found, NotApplicable):
            raise found
        return found

    def transcribe_all(
        self, audios: Sequence[np.ndarray], languages: Sequence[str | None]
    ) -> list[Transcript | NotApplicable]:
        """Windows of several on a GPU pass together, always as many (see ``inference.pass_size``)."""
        spoken = or_reason(self._spoken, audios, languages)
        size = pass_size(self.device, WINDOWS_TOGETHER) or 1
        with full_precision():
            while waiting := [each for each in spoken if isinstance(each, _Spoken) and each.start < each.frames]:
                self._hear(waiting[:size], size)
        return [
            Transcript(self._text(each.tokens), each.detected, tuple(each.flags)) if isinstance(each, _Spoken) else each
            for each in spoken
        ]

    def _spoken(self, audio: np.ndarray, language: str | None) -> _Spoken:
        return _Spoken(self._features(audio), -(-len(audio) // _HOP), self._known(language))

    def _hear(self, spoken: Sequence[_Spoken], size: int) -> None:
        """The next window of each, in a pass of ``size`` windows, which the last one fills up."""
        import torch

        rows = [*spoken, *[spoken[-1]] * (size - len(spoken))]
        windows = torch.cat([each.features[..., each.start : each.start + _FRAMES] for each in rows])
        encoded = self.model.get_encoder()(windows)
        looked = self._look(encoded)
        languages = [each.language or each.detected or heard for each, (heard, _) in zip(rows, looked, strict=True)]
        decoded = self._decode(encoded, languages)
        for each, (heard, no_speech), (found, log_probability) in zip(spoken, looked, decoded, strict=False):
            each.detected = each.detected or heard
            if no_speech > _NO_SPEECH and log_probability < _LOG_PROBABILITY:
                seconds = each.start * _HOP / SAMPLE_RATE
                each.flags.append(f"no speech from {seconds:g} s on (probability {no_speech:.2f})")
                each.start += _FRAMES
            else:
                finished, length = self._finished(found)
                each.tokens += finished
                each.start += length or _FRAMES

    def _features(self, audio: np.ndarray) -> Any:
        """(1, mel bands, frames) of the audio and the silence of a window behind it."""
        padded = np.pad(np.asarray(audio, np.float32), (0, _SECONDS * SAMPLE_RATE))
        options = {"sampling_rate": SAMPLE_RATE, "return_tensors": "pt", "padding": "longest", "truncation": False}
        return self.processor.feature_extractor(padded, **options).input_features.to(self.device)

    def _look(self, encoded: Any) -> list[tuple[str, float]]:
        """Of each window its language, and the probability that nobody speaks in it: both are in the first token's
        logits."""
        import torch

        config = self.model.generation_config
        begin = torch.full((len(encoded[0]), 1), config.decoder_start_token_id, device=self.device)
        logits = self.model(encoder_outputs=encoded, decoder_input_ids=begin).logits[:, -1]
        names, ids = zip(*config.lang_to_id.items(), strict=True)
        languages = logits[:, list(ids)].argmax(-1).tolist()
        # The token for no speech is the one before the one for no time stamps, in every multilingual vocabulary.
        silent = logits.softmax(-1)[:, config.no_timestamps_token_id - 1].tolist()
        return [(names[index].strip("<|>"), share) for index, share in zip(languages, silent, strict=True)]

    def _decode(self, encoded: Any, languages: Sequence[str]) -> list[tuple[list[int], float]]:
        """Of each window the tokens, its prompt and end left out, and the mean log probability of them and the end."""
        import torch

        found = self.model.generate(
            encoder_outputs=encoded, return_timestamps=True, force_unique_generate_call=True,
            # Scores are kept where there is a least one; none is below this.
            return_dict_in_generate=True, logprob_threshold=-math.inf, **self._options(list(languages)),
        )  # fmt: skip
        tokens = found.sequences[:, -len(found.scores) :]
        steps = zip(found.scores, tokens.unbind(1), strict=True)
        scores = torch.stack([step.log_softmax(-1).gather(-1, token[:, None])[:, 0] for step, token in steps], 1)
        end = self.model.generation_config.eos_token_id
        heard = []
        for row, mine in zip(tokens.tolist(), scores, strict=True):
            length = row.index(end) if end in row else len(row)  # behind the end others are still decoded
            heard.append((row[:length], float(mine[: length + 1].mean())))
        return heard

    def _known(self, language: str | None) -> str | None:
        if language is not None and f"<|{language}|>" not in self.model.generation_config.lang_to_id:
            raise NotApplicable(f"this Whisper checkpoint does not know the language {language!r}")
        return language

    def _options(self, language: Any) -> dict[str, Any]:
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

    transcribe_all = Recogniser.transcribe_all

    def transcribe(self, audio: np.ndarray, language: str | None = None) -> Transcript:
        """See ``WhisperRecogniser``. NotApplicable for more than 30 s, of which seed-tts-eval drops the rest unsaid."""
        if len(audio) > _SECONDS * SAMPLE_RATE:
            raise NotApplicable(
                f"seed-tts-eval hears no more than {_SECONDS} s, the audio is "
                f"{len(audio) / SAMPLE_RATE:.1f} s long: use wer/whisper-large-v3"
            )
        features = self._features(audio)[..., :_FRAMES]
        with full_precision():
            ((detected, _),) = self._look(self.model.get_encoder()(features))
            options = self._options(self._known(language) or detected)
            tokens = self.model.generate(features, return_timestamps=False, **options)[0]
        return Transcript(self._text(tokens), detected)
