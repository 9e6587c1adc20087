"""Speech in, one embedding per utterance out."""

from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reference_model.utils.strict_loading import NameMap, load_strictly, read_state

from .ecapa import EcapaConfig, EcapaHead, ecapa_names
from .wavlm import WavLMSize, build_wavlm, wavlm_pairs

TRAINING_ONLY = "loss_calculator."
"""Release prefix of what no inference needs: the speaker classifier of the fine-tuning."""

LAST_UPSTREAM_NAME = "encoder.pos_conv.0.weight_g"
"""A name that only the upstream has; whatever stands before it is the upstream's prefix."""


class SpeakerEncoder(nn.Module):
    """16 kHz speech to speaker embeddings, as UniSpeech's speaker verification computes them.

    Every item is normalised to zero mean and unit variance over its own samples, goes through WavLM, and all of
    WavLM's hidden states go through :class:`EcapaHead`. Embeddings are not normalised to unit length.
    """

    sample_rate = 16_000

    def __init__(self, wavlm: WavLMSize | None = None, head: EcapaConfig | None = None):
        super().__init__()
        self.size = wavlm or WavLMSize()
        self.wavlm = build_wavlm(self.size)
        self.head = EcapaHead(head)
        if self.head.config.hidden_states != self.size.layers + 1 or self.head.config.feature_dim != self.size.width:
            raise ValueError(
                f"a WavLM of {self.size.layers} layers and width {self.size.width} does not go with {self.head.config}"
            )
        self.embedding_dim = self.head.config.embedding_dim

    @property
    def minimum_samples(self) -> int:
        """The shortest accepted utterance: two feature frames, since one frame has no variance over time."""
        return next(n for n in range(1, 100_000) if self.size.frames(n) >= 2)

    def forward(self, audio: Tensor) -> Tensor:
        """(B, samples) mono audio at 16 kHz to (B, embedding_dim).

        Raises ``ValueError`` for utterances shorter than :attr:`minimum_samples`, for silence, and for other shapes.
        """
        if audio.ndim != 2:
            raise ValueError(f"audio must be (batch, samples) at 16 kHz, got {tuple(audio.shape)}")
        if audio.shape[1] < self.minimum_samples:
            raise ValueError(
                f"an utterance has {audio.shape[1]} samples; a speaker embedding needs at least "
                f"{self.minimum_samples} (and is only reliable from about 3 s)"
            )
        if silent := (audio.var(dim=1, correction=0) <= 1e-10).nonzero().flatten().tolist():
            raise ValueError(f"utterance {silent[0]} is silent: there is no voice to describe")
        audio = F.layer_norm(audio, audio.shape[1:]).to(self.head.embedding.weight.dtype)
        return self.head(self.hidden_states(audio))

    def hidden_states(self, audio: Tensor) -> tuple[Tensor, ...]:
        """What the head averages: every layer's input, then the normed output; (B, frames, width) each.

        ``audio`` has zero mean and unit variance.
        """
        output = self.wavlm(audio, output_hidden_states=True)
        # transformers 5 lists the last layer's output before the final norm, earlier versions after it, and the
        # head was trained on what comes after.
        return (*output.hidden_states[:-1], output.last_hidden_state)


def speaker_names(size: WavLMSize, upstream: str = "feature_extract.model.") -> NameMap:
    """Release prefix beside our prefix for the whole encoder; ``upstream`` is the release's prefix of WavLM."""
    return NameMap([*wavlm_pairs(size, upstream, "wavlm."), *ecapa_names("head.").pairs])


def load_speaker_encoder(
    source: str | Path | Mapping[str, Tensor], *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> SpeakerEncoder:
    """Load the fine-tuned checkpoint (``wavlm_large_finetune.pth``: tensors under ``model``), strictly.

    The file holds WavLM under ``feature_extract.`` and the head at the top level; both must be complete. A
    checkpoint without the head is refused, because scores would not fail but collapse. Raises
    :class:`~reference_model.utils.strict_loading.CheckpointError` naming whatever does not fit.
    """
    content, name = read_state(source, "model")
    state = {key: tensor for key, tensor in content.items() if not key.startswith(TRAINING_ONLY)}
    head = EcapaConfig.from_release_state(state)
    upstream = next(
        (key[: -len(LAST_UPSTREAM_NAME)] for key in state if key.endswith(LAST_UPSTREAM_NAME)),
        "feature_extract.model.",
    )
    size = WavLMSize.from_release_state(
        {key[len(upstream) :]: tensor for key, tensor in state.items() if key.startswith(upstream)}
    )
    with torch.device("meta"):
        encoder = SpeakerEncoder(size, head)
    load_strictly(encoder, state, names=speaker_names(size, upstream), source=name, device=device, dtype=dtype)
    return encoder.eval().requires_grad_(False)
