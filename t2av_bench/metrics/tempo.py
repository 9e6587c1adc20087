"""Tempo of speech: how fast a clip speaks, in how much of its time, and whether its end is cut off.

Generators that make a fixed length hurry a long text, leave a short one standing in silence, or stop within a word.
Where there is speech, silero-vad decides (see ``t2av_bench.extractors.silero_vad``).

``speech_rate`` is characters per second of speech, pauses left out: the articulation rate of phonetics (de Jong and
Wempe 2009), in characters, since syllables and words need a dictionary or spaces. Letters and digits of the text count,
so numbers should be written as they are spoken. It compares clips in one language: a Chinese character is a syllable.
``speech_share`` is the part of the sound that is speech; ``leading_silence`` and ``trailing_silence`` are the time
before the first and after the last of it.

``truncated_end`` is 1 where the sound stops before speech has, else 0. Speech has stopped when about 0.15 s of quiet
follow, as they do in most recordings of whole sentences; one that is trimmed more closely counts as cut, so print the
row of the real clips.

``duration_error`` is |T - T_ref| / T_ref, T from the first to the last speech of the clip and of its reference.
"""

import unicodedata

import numpy as np

from t2av_bench import weights
from t2av_bench.errors import NotApplicable
from t2av_bench.metrics.base import Measurement, Metric, Pair
from t2av_bench.metrics.speech_input import PARAMETERS, SAMPLE_RATE, generated_speech, reference_speech
from t2av_bench.metrics.text_normalisation import REVISION, visible
from t2av_bench.scores import Protocol, Quantity

_LEAST_SECONDS = 0.3  # the shortest speech that is found lasts 0.25 s


def characters(text: str) -> int:
    """Letters and digits of a text, compatibility forms folded (NFKC). Raises NotApplicable where there are none."""
    count = sum(map(str.isalnum, unicodedata.normalize("NFKC", visible(text))))
    if not count:
        raise NotApplicable(f"the text {text!r} has no letter and no digit: give a text with words")
    return count


def tempo(segments: np.ndarray, samples: int) -> dict[str, float]:
    """What stretches of speech (k, 2), k >= 1, in samples of a sound of so many ``samples`` at 16 kHz, say without a
    text: ``speech_share``, ``leading_silence``, ``trailing_silence``, ``truncated_end``."""
    first, last = int(segments[0, 0]), int(segments[-1, 1])
    return {
        "speech_share": float(np.diff(segments).sum() / samples),
        "leading_silence": first / SAMPLE_RATE,
        "trailing_silence": (samples - last) / SAMPLE_RATE,
        "truncated_end": float(last == samples),
    }


class Tempo(Metric):
    """Rate and share of speech, silence around it, a cut end, and the error of its duration."""

    id = "tempo/silero"
    title = "Tempo of speech (silero-vad)"
    paper = "this project; Silero Team 2021, Silero VAD 6.2 (github.com/snakers4/silero-vad)"
    weights = ("silero_vad",)
    packages = ("onnxruntime",)
    extra = "speech"
    quantities = (
        Quantity("speech_rate", "Speech rate", "none", "characters/s", (0.0, None), 2),
        Quantity("speech_share", "Speech share", "none", interval=(0.0, 1.0)),
        Quantity("leading_silence", "Leading silence", "none", "s", (0.0, None), 2),
        Quantity("trailing_silence", "Trailing silence", "none", "s", (0.0, None), 2),
        Quantity("truncated_end", "Truncated end", "lower", interval=(0.0, 1.0), penalty=1.0),
        Quantity("duration_error", "Duration error", "lower", interval=(0.0, None), penalty=1.0),
    )
    aliases = {"characters per second": "speech_rate", "CPS": "speech_rate", "articulation rate": "speech_rate"}

    # A cut may end a clip in a pause, so that truncation moves truncated_end either way.
    validity = {
        "speech_rate": {"truncation": "up", "container": "same"},
        "speech_share": {"mute": "down", "container": "same"},
        "leading_silence": {"desync": "up", "container": "same"},
        "trailing_silence": {"container": "same"},
        "truncated_end": {"container": "same"},
        "duration_error": {"truncation": "up", "container": "same"},
    }

    @property
    def protocol(self) -> Protocol:
        from t2av_bench.extractors.silero_vad import PARAMETERS as voice_activity

        parameters = {
            "least_seconds": _LEAST_SECONDS, "characters": "NFKC, letters and digits", "text_revision": REVISION,
            "duration": "first to last speech",
        }  # fmt: skip
        return self.stated({**PARAMETERS, **voice_activity, **parameters}, "onnxruntime")

    def measure(self, pair: Pair) -> Measurement:
        from t2av_bench.extractors.silero_vad import speech_in

        weights.path(self.weights[0])  # where they are missing, no clip is to blame
        audio = generated_speech(pair, _LEAST_SECONDS)
        segments = speech_in(pair.generated)
        if not len(segments):
            none = f"no speech is found in {len(audio) / SAMPLE_RATE:.2f} s of sound"
            others = {each.name: none for each in self.quantities if each.name != "speech_share"}
            return Measurement({"speech_share": 0.0}, others)
        found = Measurement(tempo(segments, len(audio)), detail={"speech": (segments / SAMPLE_RATE).tolist()})
        try:
            seconds = np.diff(segments).sum() / SAMPLE_RATE
            found.values["speech_rate"] = characters(pair.require_text()) / float(seconds)
        except NotApplicable as reason:
            found.inapplicable["speech_rate"] = str(reason)
        try:
            lasting, expected = _duration(segments), _reference_duration(pair)
            found.values["duration_error"] = abs(lasting - expected) / expected
        except NotApplicable as reason:
            found.inapplicable["duration_error"] = str(reason)
        return found


def _duration(segments: np.ndarray) -> float:
    """Samples from the first to the last speech."""
    return float(segments[-1, 1] - segments[0, 0])


def _reference_duration(pair: Pair) -> float:
    """Likewise of the reference. Raises NotApplicable where there is none, or none with speech."""
    from t2av_bench.extractors.silero_vad import speech_in

    reference = pair.require_reference()
    reference_speech(reference, _LEAST_SECONDS)
    segments = speech_in(reference)
    if not len(segments):
        raise NotApplicable(f"no speech is found in the reference ({reference.path.name})")
    return _duration(segments)
