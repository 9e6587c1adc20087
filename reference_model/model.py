"""Talker-T2AV (section 3): shared backbone, two patch encoders, two diffusion heads, one stop predictor.

The class holds the weights and turns patches into tokens. The three losses are in :mod:`.training.forward`,
the sampling loop in :mod:`.inference.batched.sampling`. Frozen encoders and decoders (audio autoencoder, LIA-X, speaker
encoder) are outside: the model reads and writes their latents.

Units: speech latents ``(B, T, 32)`` and normalised motion latents ``(B, T, 40)`` at 25 frames a second; speaker
embedding ``(B, 256)``; a patch is P = 4 frames.
"""

import torch
from torch import Tensor, nn

from .arrangement import Arrangement
from .config import ModelConfig
from .modules.backbone import build_backbone
from .modules.decoder import Decoder
from .modules.diffusion_head import DiffusionHead
from .modules.patch_encoder import PatchEncoder
from .modules.stop_predictor import StopPredictor

TASK_TTS, TASK_T2AV = 0, 1
"""Rows of the task embedding. A2V and dubbing use the T2AV row: they are the same joint sequence."""


class TalkerT2AV(nn.Module):
    """The model. Random weights; see :mod:`.checkpoints` for loading. ``decode_only``: it cannot be trained, and
    needs no transformers."""

    def __init__(self, config: ModelConfig, *, decode_only: bool = False):
        super().__init__()
        self.config = config
        width = config.backbone.hidden_size
        encoder = {"layers": config.patch_encoder.layers, "heads": config.patch_encoder.heads}
        head = {"layers": config.head.layers, "heads": config.head.heads}
        self.backbone = Decoder(config.backbone) if decode_only else build_backbone(config.backbone)
        self.task_embedding = nn.Embedding(2, width)
        self.motion_padding = nn.Parameter(torch.zeros(1, 1, width))
        self.speech_projection = nn.Linear(config.speech_dim, width)
        self.motion_projection = nn.Linear(config.motion_dim, width)
        self.speech_patch_encoder = PatchEncoder(width, **encoder)
        self.motion_patch_encoder = PatchEncoder(width, **encoder)
        self.speech_head = DiffusionHead(config.speech_dim, config.speaker_dim, width, **head)
        self.motion_head = DiffusionHead(config.motion_dim, config.motion_dim, width, **head)
        self.stop_predictor = StopPredictor(width)

    @property
    def arrangement(self) -> Arrangement:
        """The parsed token arrangement of the configuration (Table 4)."""
        return Arrangement.parse(self.config.arrangement)

    @property
    def dtype(self) -> torch.dtype:
        """The patch encoders' and heads' dtype; the released backbone has its own (bfloat16)."""
        return self.speech_projection.weight.dtype

    @property
    def device(self) -> torch.device:
        """Where the weights are; inputs are moved there."""
        return self.speech_projection.weight.device

    def embed_text(self, text_ids: Tensor) -> Tensor:
        """``text_ids (B, L)`` to ``(B, L, D)``."""
        return self.backbone.get_input_embeddings()(text_ids)

    def encode(self, modality: str, patches: Tensor, valid: Tensor) -> Tensor:
        """Tokens ``(B, N, D)`` of ``patches (B, N, P, C)`` of ``"speech"`` or ``"motion"``.

        Frames that are not ``valid (B, N, P)`` become zero vectors AFTER the projection (its bias included)
        and still pass through the encoder; that is how a missing patch looks in training.
        """
        projection, encoder = self._input_path(modality)
        frames = projection(patches.to(projection.weight.dtype))
        return encoder(frames * valid[..., None].to(frames.dtype))

    def head(self, modality: str) -> DiffusionHead:
        """The diffusion head of ``"speech"`` or ``"motion"``."""
        return {"speech": self.speech_head, "motion": self.motion_head}[modality]

    def channels(self, modality: str) -> int:
        """Latent values a frame of ``"speech"`` or ``"motion"``."""
        return {"speech": self.config.speech_dim, "motion": self.config.motion_dim}[modality]

    def _input_path(self, modality: str) -> tuple[nn.Linear, PatchEncoder]:
        return {
            "speech": (self.speech_projection, self.speech_patch_encoder),
            "motion": (self.motion_projection, self.motion_patch_encoder),
        }[modality]


def combine(arrangement: Arrangement, speech: Tensor, motion: Tensor) -> Tensor:
    """Slots from tokens: ``speech (B, S, D)`` and ``motion (B, S, D)``, both already placed at their slots, to
    ``(B, S * tokens_per_slot, D)``."""
    if not arrangement.order:
        return speech + motion
    tokens = {"speech": speech, "motion": motion}
    return torch.stack([tokens[name] for name in arrangement.order], dim=2).flatten(1, 2)


def to_patches(latents: Tensor, patches: int, patch_size: int) -> Tensor:
    """``latents (B, T, C)`` to ``(B, patches, P, C)``, cut or padded with zeros at the end."""
    missing = patches * patch_size - latents.shape[1]
    latents = torch.nn.functional.pad(latents, (0, 0, 0, max(missing, 0)))[:, : patches * patch_size]
    return latents.unflatten(1, (patches, patch_size))
