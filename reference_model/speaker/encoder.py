"""Speech in, one embedding per utterance out."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from reference_model.utils.strict_loading import NameMap, load_strictly, read_state

from .ecapa import EcapaConfig, EcapaHead, ecapa_names
from .wavlm import WavLMSize, build_wavlm, wavlm_pairs

TRAINING_ONLY = ("loss_calculator",)
"""Release prefixes that no inference needs: the speaker classifier of the fine-tuning."""

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

    def forward(self, audio: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, samples) mono audio at 16 kHz to (B, embedding_dim).

        ``lengths`` (B,) counts the samples of each row; what lies beyond never changes an embedding. Raises
        ``ValueError`` for utterances shorter than :attr:`minimum_samples`, for silence, and for other shapes.
        """
        if audio.ndim != 2:
            raise ValueError(f"audio must be (batch, samples) at 16 kHz, got {tuple(audio.shape)}")
        counts = (
            torch.full((len(audio),), audio.shape[1], device=audio.device)
            if lengths is None
            else lengths.to(audio.device)
        )
        if counts.shape != (len(audio),) or int(counts.max()) > audio.shape[1]:
            raise ValueError(f"lengths must be ({len(audio)},) and at most {audio.shape[1]} samples")
        if int(counts.min()) < self.minimum_samples:
            raise ValueError(
                f"utterance {int(counts.argmin())} has {int(counts.min())} samples; a speaker embedding "
                f"needs at least {self.minimum_samples} (and is only reliable from about 3 s)"
            )
        inside = torch.arange(audio.shape[1], device=audio.device) < counts[:, None]
        audio = _standardised(audio, inside).to(self.head.embedding.weight.dtype)
        if bool(inside.all()):
            return self.head(self.hidden_states(audio))
        states = self.hidden_states(audio, inside)
        valid = torch.arange(states[0].shape[1], device=audio.device) < self.size.frames(counts)[:, None]
        return self.head(states, valid)

    def hidden_states(self, audio: Tensor, inside: Tensor | None = None) -> tuple[Tensor, ...]:
        """What the head averages: every layer's input, then the normed output; (B, frames, width) each.

        ``audio`` is standardised, ``inside`` (B, samples) is true where a sample belongs to the item.
        """
        mask = None if inside is None else inside.long()
        output = self.wavlm(audio, attention_mask=mask, output_hidden_states=True)
        # transformers 5 lists the last layer's output before the final norm, earlier versions after it, and the
        # head was trained on what comes after.
        return (*output.hidden_states[:-1], output.last_hidden_state)


def _standardised(audio: Tensor, inside: Tensor) -> Tensor:
    """Zero mean and unit (biased) variance over each row's own samples, zero elsewhere; epsilon 1e-5."""
    weight = inside.to(audio.dtype)
    count = weight.sum(dim=1, keepdim=True)
    centred = (audio - (audio * weight).sum(dim=1, keepdim=True) / count) * weight
    variance = centred.square().sum(dim=1, keepdim=True) / count
    if silent := (variance[:, 0] <= 1e-10).nonzero().flatten().tolist():
        raise ValueError(f"utterance {silent[0]} is silent: there is no voice to describe")
    return centred * torch.rsqrt(variance + 1e-5)


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
    state, name = read_state(source, "model")
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
    load_strictly(
        encoder,
        state,
        names=speaker_names(size, upstream),
        source=name,
        unused=TRAINING_ONLY,
        device=device,
        dtype=dtype,
    )
    return encoder.eval().requires_grad_(False)
