"""UTMOS22 strong learner: wav2vec 2.0 base, listener and domain embeddings, a bidirectional LSTM, a projection.

The encoder is transformers' ``Wav2Vec2Model``; the published state dict (``utmos22_strong``, tarepan/SpeechMOS v1.0.0)
keeps fairseq's names, which are mapped one to one. Its phoneme branch does not exist in that release.

Proved without the weights (tests/t2av_bench/metrics/test_utmos.py): the names and shapes of the published layout are
taken completely and strictly; on random weights in that layout, tiny in float64 and at full size in float32, the score
agrees with an independent computation with plain tensor operations, fairseq's padding to even lengths included; every
tensor but the unused ``mask_emb`` moves the score. Not proved without them: that the file holds this layout (its size
fits it to 0.03 %), and any published score; a test compares the range that SpeechMOS prints for noise where the file is
present.
"""

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from t2av_bench.utils.inference import full_precision
from t2av_bench.utils.optional import make_torchvision_importable, require

if TYPE_CHECKING:
    import torch

SAMPLE_RATE = 16000


@dataclass(frozen=True, slots=True)
class Sizes:
    """Widths of the layers; the defaults are the published ones."""

    convolution: int = 512
    hidden: int = 768
    layers: int = 12
    heads: int = 12
    feed_forward: int = 3072
    embedding: int = 128
    recurrent: int = 512
    projection: int = 2048


PUBLISHED = Sizes()

# Own parameter name -> published name, applied in this order.
_RENAMING = (
    (r"^encoder\.masked_spec_embed$", "wav2vec2.mask_emb"),
    (r"^encoder\.feature_projection\.layer_norm\.", "wav2vec2.layer_norm."),
    (r"^encoder\.feature_projection\.projection\.", "wav2vec2.post_extract_proj."),
    (r"^encoder\.encoder\.pos_conv_embed\.conv\.", "wav2vec2.encoder.pos_conv.0."),
    (r"^encoder\.", "wav2vec2."),
    (r"\.parametrizations\.weight\.original0$", ".weight_g"),
    (r"\.parametrizations\.weight\.original1$", ".weight_v"),
    (r"(\.conv_layers\.\d+)\.conv\.", r"\1.0."),
    (r"(\.conv_layers\.0)\.layer_norm\.", r"\1.2."),
    (r"(\.layers\.\d+)\.attention\.", r"\1.self_attn."),
    (r"(\.layers\.\d+)\.layer_norm\.", r"\1.self_attn_layer_norm."),
    (r"\.feed_forward\.intermediate_dense\.", ".fc1."),
    (r"\.feed_forward\.output_dense\.", ".fc2."),
    (r"^embeddings\.(domain|judge)$", r"\1_emb"),
)


def published_name(own: str) -> str:
    """Name of a parameter in the published state dict."""
    for pattern, replacement in _RENAMING:
        own = re.sub(pattern, replacement, own)
    return own


def build(sizes: Sizes) -> "torch.nn.ModuleDict":
    """The network without weights (on torch's meta device), in evaluation mode."""
    import torch

    make_torchvision_importable()  # transformers imports torchvision where there is one
    transformers = require("transformers", "speech")
    config = transformers.Wav2Vec2Config(
        hidden_size=sizes.hidden,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        intermediate_size=sizes.feed_forward,
        conv_dim=[sizes.convolution] * 7,
        conv_kernel=[10, 3, 3, 3, 3, 2, 2],
        conv_stride=[5, 2, 2, 2, 2, 2, 2],
        conv_bias=False,
        feat_extract_norm="group",
        feat_extract_activation="gelu",
        hidden_act="gelu",
        num_conv_pos_embeddings=128,
        num_conv_pos_embedding_groups=16,
        do_stable_layer_norm=False,
        layer_norm_eps=1e-5,
    )
    with torch.device("meta"):
        features = sizes.hidden + 2 * sizes.embedding
        return torch.nn.ModuleDict({
            "encoder": transformers.Wav2Vec2Model(config),
            "embeddings": torch.nn.ParameterDict(
                {name: torch.nn.Parameter(torch.empty(1, sizes.embedding)) for name in ("domain", "judge")}
            ),
            "blstm": torch.nn.LSTM(features, sizes.recurrent, batch_first=True, bidirectional=True),
            "projection": torch.nn.Sequential(
                torch.nn.Linear(2 * sizes.recurrent, sizes.projection),
                torch.nn.ReLU(),
                torch.nn.Linear(sizes.projection, 1),
            ),
        }).eval()  # fmt: skip


def fill(network: "torch.nn.ModuleDict", state: "Mapping[str, torch.Tensor]") -> "torch.nn.ModuleDict":
    """Give the network the tensors of a state dict with published names (kept, not copied).

    Raises CheckpointError, a ValueError, naming every missing, unknown and misshapen key.
    """
    from reference_model.utils.strict_loading import NameMap, load_strictly

    names = NameMap((published_name(name), name) for name in network.state_dict())
    load_strictly(network, state, names=names, source="the UTMOS22 strong checkpoint")
    return network.requires_grad_(False)


@functools.lru_cache(maxsize=1)
def load(path: Path, digest: str | None, device: str) -> "torch.nn.ModuleDict":
    """The network with the published weights. ``digest`` only keys the cache."""
    import torch

    state = torch.load(path, map_location="cpu", weights_only=True)
    return fill(build(PUBLISHED), state).to(device)


def frame_scores(network: "torch.nn.ModuleDict", audio: "torch.Tensor") -> "torch.Tensor":
    """Audio (n,), n >= 400, 16 kHz in [-1, 1] -> raw score of each 20 ms frame, (frames,)."""
    import torch

    units = network["encoder"](audio[None]).last_hidden_state  # (1, frames, hidden)
    embeddings: Any = network["embeddings"]
    fixed = [embeddings[name][:, None].expand(-1, units.shape[1], -1) for name in ("domain", "judge")]
    recurrent, _ = network["blstm"](torch.cat([units, *fixed], dim=2))
    return network["projection"](recurrent)[0, :, 0]


def utmos(network: "torch.nn.ModuleDict", audio: np.ndarray, device: str = "cpu") -> float:
    """Predicted mean opinion score, about 1 to 5, of one utterance: audio (n,) float32, 16 kHz, in [-1, 1].

    Twice the mean over frames plus 3. One utterance a call: the published network has no length mask, so padding in a
    batch would move the score. The level is left as it is, as in the reference; the encoder's first normalisation
    takes the gain out of all but very quiet audio.
    """
    import torch

    with full_precision():
        waveform = torch.tensor(audio, device=device)
        return float(frame_scores(network, waveform).double().mean()) * 2 + 3
