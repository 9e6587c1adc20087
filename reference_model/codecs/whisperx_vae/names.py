"""The release's state-dict names of WhisperX-VAE beside ours."""

from reference_model.utils.strict_loading import NameMap

from .config import WhisperXVAEConfig
from .layers import DILATIONS

TRAINING_ONLY = ("semantic_model.decoder",)
"""Release prefixes that no inference needs: Whisper's text decoder."""

INFERENCE = ("CodecEnc", "CodecDec", "vae", "semantic_model")
"""Top-level release names that make up the codec; whatever else a training checkpoint holds is not ours."""


def whisperx_vae_names(config: WhisperXVAEConfig) -> NameMap:
    """Release prefix beside our prefix, for an encoder and decoder of these strides."""
    pairs: list[tuple[str, str]] = []

    def convolution(release: str, ours: str) -> None:
        pairs.extend(
            [
                (f"{release}.bias", f"{ours}.bias"),
                (f"{release}.weight_g", f"{ours}.parametrizations.weight.original0"),
                (f"{release}.weight_v", f"{ours}.parametrizations.weight.original1"),
            ]
        )

    def residual_unit(release: str, ours: str) -> None:
        pairs.append((f"{release}.block.0", f"{ours}.snake1"))
        convolution(f"{release}.block.1", f"{ours}.dilated")
        pairs.append((f"{release}.block.2", f"{ours}.snake2"))
        convolution(f"{release}.block.3", f"{ours}.pointwise")

    units = len(DILATIONS)
    last = len(config.encoder_strides)
    convolution("CodecEnc.block.0", "encoder.stem")
    for i in range(last):
        release, ours = f"CodecEnc.block.{i + 1}.block", f"encoder.stages.{i}"
        for j in range(units):
            residual_unit(f"{release}.{j}", f"{ours}.residual_units.{j}")
        pairs.append((f"{release}.{units}", f"{ours}.snake"))
        convolution(f"{release}.{units + 1}", f"{ours}.down")
    pairs.append((f"CodecEnc.block.{last + 1}", "encoder.snake"))
    convolution(f"CodecEnc.block.{last + 2}", "encoder.head")

    last = len(config.decoder_strides)
    convolution("CodecDec.model.0", "decoder.stem")
    for i in range(last):
        release, ours = f"CodecDec.model.{i + 1}.block", f"decoder.stages.{i}"
        pairs.append((f"{release}.0", f"{ours}.snake"))
        convolution(f"{release}.1", f"{ours}.up")
        for j in range(units):
            residual_unit(f"{release}.{j + 2}", f"{ours}.residual_units.{j}")
    pairs.append((f"CodecDec.model.{last + 1}", "decoder.snake"))
    convolution(f"CodecDec.model.{last + 2}", "decoder.head")

    convolution("vae.in_proj", "to_posterior")
    convolution("vae.out_proj", "from_latent")
    pairs.extend(_whisper_pairs(config))
    return NameMap(pairs)


def _whisper_pairs(config: WhisperXVAEConfig) -> list[tuple[str, str]]:
    """OpenAI's Whisper names beside those of transformers."""
    encoder, text = ("semantic_model.encoder", "whisper_encoder"), ("semantic_model.decoder", "whisper_text_decoder")
    pairs = [
        (f"{encoder[0]}.positional_embedding", f"{encoder[1]}.embed_positions.weight"),
        (f"{encoder[0]}.conv1", f"{encoder[1]}.conv1"),
        (f"{encoder[0]}.conv2", f"{encoder[1]}.conv2"),
        (f"{encoder[0]}.ln_post", f"{encoder[1]}.layer_norm"),
        (f"{text[0]}.positional_embedding", f"{text[1]}.embed_positions.weight"),
        (f"{text[0]}.token_embedding", f"{text[1]}.embed_tokens"),
        (f"{text[0]}.ln", f"{text[1]}.layer_norm"),
    ]
    attention = (("query", "q_proj"), ("key", "k_proj"), ("value", "v_proj"), ("out", "out_proj"))
    for (release, ours), layers in ((encoder, config.whisper.layers), (text, config.whisper.text_layers)):
        for i in range(layers):
            block, layer = f"{release}.blocks.{i}", f"{ours}.layers.{i}"
            kinds = [("attn", "self_attn")]
            if ours == text[1]:
                kinds.append(("cross_attn", "encoder_attn"))
            for theirs, mine in kinds:
                pairs += [(f"{block}.{theirs}.{a}", f"{layer}.{mine}.{b}") for a, b in attention]
                pairs.append((f"{block}.{theirs}_ln", f"{layer}.{mine}_layer_norm"))
            pairs += [
                (f"{block}.mlp.0", f"{layer}.fc1"),
                (f"{block}.mlp.2", f"{layer}.fc2"),
                (f"{block}.mlp_ln", f"{layer}.final_layer_norm"),
            ]
    return pairs
