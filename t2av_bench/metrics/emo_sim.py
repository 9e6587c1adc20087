"""EMO-SIM: cosine between the emotion vectors of the generated and of the reference speech.

Papers print it times 100, and few say which of emotion2vec's checkpoints they use; their scales differ. What is and
what is not proved about our network: see ``t2av_bench.extractors.emotion2vec``.
"""

import numpy as np

from t2av_bench import weights
from t2av_bench.errors import Unscorable
from t2av_bench.media.clip import Clip
from t2av_bench.metrics.base import Measurement, Metric, Pair
from t2av_bench.metrics.sim import cosine
from t2av_bench.metrics.speech_input import PARAMETERS, SAMPLE_RATE, generated_speech, reference_speech
from t2av_bench.scores import Protocol, Quantity

_LEAST_SECONDS = 0.1


class _EmotionSimilarity(Metric):
    paper = "Ma et al. 2024, emotion2vec (ACL Findings; arXiv 2312.15185)"
    licence = "research"
    packages = ("torch",)
    extra = "speech"
    quantities = (Quantity("emo_sim", "EMO-SIM", "higher", "", (-1.0, 1.0), penalty=0.0),)
    aliases = {"emotion similarity": "emo_sim"}
    validity = {"emo_sim": {"sound_noise": "down", "low_pass": "down", "container": "same"}}

    @property
    def protocol(self) -> Protocol:
        from t2av_bench.extractors.emotion2vec import PARAMETERS as encoder

        return self.stated({**PARAMETERS, **encoder, "least_seconds": _LEAST_SECONDS}, "torch")

    def measure(self, pair: Pair) -> Measurement:
        reference = pair.require_reference()
        reference_speech(reference, _LEAST_SECONDS)
        generated_speech(pair, _LEAST_SECONDS)
        vectors = [self._vector(clip) for clip in (reference, pair.generated)]
        return Measurement({"emo_sim": cosine(*vectors)}, features={"emotion": vectors[1]})

    def _vector(self, clip: Clip) -> np.ndarray:
        from t2av_bench.extractors import emotion2vec

        def compute() -> dict[str, np.ndarray]:
            id = self.weights[0]
            state = emotion2vec.load(weights.path(id), weights.digest(id), self.settings.device)
            vector = emotion2vec.emotion_vector(state, clip.audio(SAMPLE_RATE), self.settings.device)
            if not np.isfinite(vector).all():
                raise Unscorable("the network gives no finite vector for this audio")
            return {"emotion": vector}

        return clip.stored(self.protocol.fingerprint, "emotion", compute)["emotion"]


class EMOSIMPlusLarge(_EmotionSimilarity):
    """By the largest of the checkpoints that were trained further on labelled emotions (300 M parameters)."""

    id = "emo_sim/emotion2vec_plus_large"
    title = "Emotion similarity (emotion2vec+ large)"
    weights = ("emotion2vec_plus_large",)


class EMOSIMBase(_EmotionSimilarity):
    """By the checkpoint of the paper, which never saw a label (90 M parameters)."""

    id = "emo_sim/emotion2vec_base"
    title = "Emotion similarity (emotion2vec base)"
    weights = ("emotion2vec_base",)
