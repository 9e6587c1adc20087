"""The release's state-dict names of WhisperX-VAE beside ours."""

from reference_model.utils.strict_loading import NameMap, Pairs, under

from .config import WhisperXVAEConfig
from .layers import DILATIONS

TRAINING_ONLY = ("semantic_model.decoder.",)
"""Release prefixes that no inference needs: Whisper's text decoder."""

INFERENCE = ("CodecEnc", "CodecDec", "vae", "semantic_model")
"""Top-level release names that make up the codec; whatever else a training checkpoint holds is not ours."""

CONVOLUTION: Pairs = [
    ("bias", "bias"),
    ("weight_g", "parametrizations.weight.original0"),
    ("weight_v", "parametrizations.weight.original1"),
]
"""A weight-normalised convolution."""

RESIDUAL_UNIT: Pairs = [
    ("block.0", "snake1"),
    *under("block.1", "dilated", CONVOLUTION),
    ("block.2", "snake2"),
    *under("block.3", "pointwise", CONVOLUTION),
]

WHISPER_LAYER: Pairs = [
    ("attn.query", "self_attn.q_proj"),
    ("attn.key", "self_attn.k_proj"),
    ("attn.value", "self_attn.v_proj"),
    ("attn.out", "self_attn.out_proj"),
    ("attn_ln", "self_attn_layer_norm"),
    ("mlp.0", "fc1"),
    ("mlp.2", "fc2"),
    ("mlp_ln", "final_layer_norm"),
]
"""OpenAI's names beside those of transformers."""


def whisperx_vae_names(config: WhisperXVAEConfig) -> NameMap:
    """Release prefix beside our prefix, for an encoder and decoder of these strides."""
    units, last = len(DILATIONS), len(config.encoder_strides)
    encoder = under("block.0", "stem", CONVOLUTION) + [(f"block.{last + 1}", "snake")]
    encoder += under(f"block.{last + 2}", "head", CONVOLUTION)
    down = [(str(units), "snake"), *under(str(units + 1), "down", CONVOLUTION), *_units(0)]
    for i in range(last):
        encoder += under(f"block.{i + 1}.block", f"stages.{i}", down)

    last = len(config.decoder_strides)
    decoder = under("model.0", "stem", CONVOLUTION) + [(f"model.{last + 1}", "snake")]
    decoder += under(f"model.{last + 2}", "head", CONVOLUTION)
    up = [("0", "snake"), *under("1", "up", CONVOLUTION), *_units(2)]
    for i in range(last):
        decoder += under(f"model.{i + 1}.block", f"stages.{i}", up)

    whisper = [("positional_embedding", "embed_positions.weight"), ("ln_post", "layer_norm")]
    whisper += [("conv1", "conv1"), ("conv2", "conv2")]
    for i in range(config.whisper.layers):
        whisper += under(f"blocks.{i}", f"layers.{i}", WHISPER_LAYER)
    return NameMap(
        [
            *under("CodecEnc", "encoder", encoder),
            *under("CodecDec", "decoder", decoder),
            *under("vae.in_proj", "to_posterior", CONVOLUTION),
            *under("vae.out_proj", "from_latent", CONVOLUTION),
            *under("semantic_model.encoder", "whisper_encoder", whisper),
        ]
    )


def _units(first: int) -> Pairs:
    """A stage's residual units, of which the release's first has the number ``first``."""
    return [pair for j in range(len(DILATIONS)) for pair in under(f"{first + j}", f"residual_units.{j}", RESIDUAL_UNIT)]
