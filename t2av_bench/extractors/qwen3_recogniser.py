"""Qwen3-ASR through transformers' own classes, from a local folder (the ``-hf`` checkpoints)."""

import json
from pathlib import Path

import numpy as np

from t2av_bench.errors import NotApplicable
from t2av_bench.extractors.recognisers import SAMPLE_RATE, Recogniser, Transcript, from_transformers
from t2av_bench.utils.inference import full_precision

_CHUNK_SECONDS = 1200
_MAX_NEW_TOKENS = 1024
_TAG = "<asr_text>"


def language_code(name: str | None) -> str | None:
    """The ISO 639-1 code of a language as the model names it ("English" -> "en"); unknown names in lower case."""
    from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

    return TO_LANGUAGE_CODE.get(name.lower(), name.lower()) if name else None


class Qwen3Recogniser(Recogniser):
    """The published evaluation setting: bfloat16, greedy, at most 1024 new tokens, no language hint.

    Audio is divided by its peak only where that exceeds 1, padded to half a second by the model's own feature
    extractor, and cut into 1200 s pieces. The text that follows ``<asr_text>`` counts, after upstream's own
    post-processing, which collapses phrases repeated more than twenty times; a transcript that it changed says so.
    """

    parameters = {
        "recogniser": "qwen3-asr",
        "dtype": "bfloat16",
        "decoding": "greedy",
        "max_new_tokens": _MAX_NEW_TOKENS,
        "chunk_seconds": _CHUNK_SECONDS,
        "language_hint": None,
        "repetitions": "collapsed above 20, as upstream",
    }
    libraries = ("transformers",)

    def __init__(self, folder: Path, device: str = "cpu", digest: str | None = None) -> None:
        config = folder / "config.json"
        if config.is_file() and "thinker_config" in json.loads(config.read_text(encoding="utf-8")):
            raise NotApplicable(
                f"{folder} is in the layout of the qwen-asr package; the '-hf' checkpoint of the same model is needed"
            )
        self.processor, self.model = from_transformers(folder, "Qwen3ASR", "bfloat16", device, digest)
        self.device = device

    def transcribe(self, audio: np.ndarray, language: str | None = None) -> Transcript:
        """See ``Recogniser.transcribe``; ``language`` is ignored: a forced one makes the model hallucinate."""
        audio = np.asarray(audio, np.float32)
        peak = float(np.max(np.abs(audio), initial=0.0))
        if peak > 1:
            audio = audio / np.float32(peak)
        chunk = _CHUNK_SECONDS * SAMPLE_RATE
        pieces = [self._piece(audio[start : start + chunk]) for start in range(0, max(len(audio), 1), chunk)]
        languages = [piece.language for piece in pieces if piece.language]
        return Transcript(
            " ".join(piece.text for piece in pieces if piece.text),
            languages[0] if languages else None,
            tuple(flag for piece in pieces for flag in piece.flags),
        )

    def _piece(self, audio: np.ndarray) -> Transcript:
        import torch

        inputs = self.processor.apply_transcription_request(audio=[audio]).to(self.device, torch.bfloat16)
        with full_precision():
            tokens = self.model.generate(
                **inputs, max_new_tokens=_MAX_NEW_TOKENS, do_sample=False, num_beams=1, use_cache=True
            )
        new = tokens[0, inputs["input_ids"].shape[1] :]
        raw = self.processor.decode(new, skip_special_tokens=True)
        parsed = self.processor.parse_output(raw)
        flags = []
        if len(new) >= _MAX_NEW_TOKENS:
            flags.append(f"stopped at {_MAX_NEW_TOKENS} tokens")
        if parsed["transcription"] != raw.rpartition(_TAG)[2].strip():
            flags.append("upstream post-processing collapsed a repeated phrase")
        return Transcript(parsed["transcription"], language_code(parsed["language"]), tuple(flags))
