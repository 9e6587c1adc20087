"""Unspoken end: how much of the text's end is not heard any more. Generators of a fixed length stop before a long text.

What was heard is compared with every beginning of the text; the rest after the one that it is nearest to, in edit
distance, was not spoken. Of equally near ones the longest counts, so that words that were misheard count as spoken.
"""

from collections.abc import Sequence
from dataclasses import replace

from t2av_bench.metrics.base import Measurement, Metric, Pair
from t2av_bench.metrics.wer import CERWhisperBase, WERWhisperBase, item_language
from t2av_bench.scores import Protocol, Quantity


def unspoken(text: Sequence[str], heard: Sequence[str]) -> float:
    """Share in [0, 1] of the text's tokens, at least one, after the beginning that is nearest to what was heard."""
    distances = list(range(len(heard) + 1))  # of the text so far to each beginning of what was heard
    nearest, spoken = distances[-1], 0
    for count, wanted in enumerate(text, 1):
        diagonal, distances[0] = distances[0], count
        for index, found in enumerate(heard, 1):
            kept = diagonal + (wanted != found)
            diagonal, distances[index] = distances[index], min(kept, distances[index] + 1, distances[index - 1] + 1)
        if distances[-1] <= nearest:
            nearest, spoken = distances[-1], count
    return 1 - spoken / len(text)


class UnspokenEndWhisperBase(Metric):
    """Words of the text, or characters where it is Chinese, that are missing at the end of Whisper base's transcript.

    Heard and normalised as ``wer/whisper-base`` and ``cer/whisper-base`` do, once for all of them.
    """

    id = "unspoken_end/whisper-base"
    title = "Unspoken end of the text (Whisper base)"
    paper = f"this project; {WERWhisperBase.paper}"
    weights = WERWhisperBase.weights
    packages = tuple(dict.fromkeys((*WERWhisperBase.packages, *CERWhisperBase.packages)))
    extra = "speech"
    quantities = (Quantity("unspoken_end", "Unspoken end (Whisper base)", "lower", interval=(0.0, 1.0), penalty=1.0),)
    validity = {"unspoken_end": {"truncation": "up", "container": "same"}}

    @property
    def protocol(self) -> Protocol:
        words = WERWhisperBase(self.settings).protocol
        by_language = {
            "normalisation": [WERWhisperBase.normalisation, CERWhisperBase.normalisation],
            "unit": "words; characters for zh and yue",
            "of_equals": "longest",
        }
        return replace(words, id=self.id, parameters=words.parameters | by_language)

    def measure(self, pair: Pair) -> Measurement:
        kind = CERWhisperBase if item_language(pair) in ("zh", "yue") else WERWhisperBase
        detail = kind(self.settings).measure(pair).detail
        split = list if kind.characters else str.split
        share = unspoken(split(detail["reference"]), split(detail["hypothesis"]))
        return Measurement({"unspoken_end": share}, detail={name: detail[name] for name in ("transcript", "flags")})
