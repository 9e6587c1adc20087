"""Speaker similarity: cosine between the voice embeddings of the generated clip and of the voice it should have.

That voice is the item's ``reference_voice``, else the audio of the reference clip. Compare at similar durations of
three seconds or more, and never let the generated audio contain the prompt that it is compared with: a kept prefix
raises the similarity. Silence lowers it.
"""

from abc import abstractmethod

import numpy as np

from t2av_bench import weights
from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.media.clip import Clip
from t2av_bench.metrics.base import Measurement, Metric, Pair, Settings
from t2av_bench.metrics.speech_input import PARAMETERS, SAMPLE_RATE, check_speech
from t2av_bench.scores import Protocol, Quantity

_LEAST_SECONDS = 0.5


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    """Cosine of the angle between two vectors, in float64."""
    one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
    return float(np.clip(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)), -1.0, 1.0))


class _SpeakerSimilarity(Metric):
    extra = "speech"

    def __init__(self, settings: Settings | None = None) -> None:
        super().__init__(settings)
        self._voices: dict[str, np.ndarray] = {}  # one voice often serves a whole benchmark

    @abstractmethod
    def _embed(self, audio: np.ndarray) -> np.ndarray:
        """Audio (n,) at 16 kHz -> (d,) float32. Raises Unscorable where there is too little speech."""

    def measure(self, pair: Pair) -> Measurement:
        reference = self._reference(pair)
        generated = self._embedding(pair.generated)
        name = self.quantities[0].name
        return Measurement(values={name: cosine(reference, generated)}, features={"voice": generated})

    def _embedding(self, clip: Clip) -> np.ndarray:
        def compute() -> dict[str, np.ndarray]:
            return {"voice": self._embed(check_speech(clip.audio(SAMPLE_RATE), _LEAST_SECONDS))}

        return clip.stored(self.protocol.fingerprint, "voice", compute)["voice"]

    def _reference(self, pair: Pair) -> np.ndarray:
        clip = Clip(pair.item.reference_voice) if pair.item.reference_voice else pair.require_reference()
        try:
            if clip.digest not in self._voices:
                self._voices[clip.digest] = self._embedding(clip)
        except Unscorable as error:
            raise NotApplicable(f"the reference voice ({clip.path.name}) cannot be used: {error}") from error
        return self._voices[clip.digest]


class SIMResemblyzer(_SpeakerSimilarity):
    """The bundled stand-in for ``sim``: another scale (unrelated voices 0.5 to 0.7), hence a column of its own."""

    id = "sim/resemblyzer"
    title = "Speaker similarity (Resemblyzer, bundled model)"
    paper = "Wan et al. 2018, Generalized end-to-end loss for speaker verification (ICASSP; arXiv 1710.10467)"
    weights = ("resemblyzer",)
    packages = ("resemblyzer",)
    stand_in = True
    quantities = (Quantity("sim_resemblyzer", "SIM (Resemblyzer)", "higher", "", (0.0, 1.0), penalty=0.0),)
    validity = {"sim_resemblyzer": {"sound_noise": "down", "low_pass": "down", "container": "same"}}
    aliases = {"SECS": "sim_resemblyzer"}

    @property
    def protocol(self) -> Protocol:
        from t2av_bench.extractors.resemblyzer_encoder import PARAMETERS as encoder

        return self.stated({**PARAMETERS, **encoder}, "Resemblyzer", "webrtcvad", "librosa", "torch")

    def _embed(self, audio: np.ndarray) -> np.ndarray:
        from t2av_bench.extractors.resemblyzer_encoder import voice_embedding

        return voice_embedding(audio, str(weights.path(self.weights[0])), self.settings.device)


class SIMWavLM(_SpeakerSimilarity):
    """``SIM`` of Seed-TTS and its successors: same speaker 0.7 to 0.75 on human recordings, others below 0.25."""

    id = "sim/wavlm-ecapa"
    title = "Speaker similarity (WavLM Large, ECAPA-TDNN)"
    paper = (
        "Anastassiou et al. 2024, Seed-TTS (arXiv 2406.02430); Chen et al. 2022, WavLM (IEEE JSTSP; arXiv 2110.13900)"
    )
    weights = ("wavlm_large_finetune",)
    packages = ("torch", "transformers")
    quantities = (Quantity("sim", "SIM", "higher", "", (-1.0, 1.0), penalty=0.0),)
    validity = {"sim": {"sound_noise": "down", "low_pass": "down", "container": "same"}}
    aliases = {"SIM-o": "sim", "SPK-SIM": "sim", "speaker similarity": "sim"}

    @property
    def protocol(self) -> Protocol:
        from t2av_bench.extractors.wavlm_ecapa import PARAMETERS as encoder

        return self.stated({**PARAMETERS, **encoder}, "torch", "transformers")

    def _embed(self, audio: np.ndarray) -> np.ndarray:
        from t2av_bench.extractors.wavlm_ecapa import voice_embedding

        id = self.weights[0]
        return voice_embedding(audio, str(weights.path(id)), weights.digest(id), self.settings.device)
