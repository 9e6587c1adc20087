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
    release, ours = "semantic_model.encoder", "whisper_encoder"
    pairs = [
        (f"{release}.positional_embedding", f"{ours}.embed_positions.weight"),
        (f"{release}.conv1", f"{ours}.conv1"),
        (f"{release}.conv2", f"{ours}.conv2"),
        (f"{release}.ln_post", f"{ours}.layer_norm"),
    ]
    for i in range(config.whisper.layers):
        block, layer = f"{release}.blocks.{i}", f"{ours}.layers.{i}"
        for theirs, mine in (("query", "q_proj"), ("key", "k_proj"), ("value", "v_proj"), ("out", "out_proj")):
            pairs.append((f"{block}.attn.{theirs}", f"{layer}.self_attn.{mine}"))
        pairs += [
            (f"{block}.attn_ln", f"{layer}.self_attn_layer_norm"),
            (f"{block}.mlp.0", f"{layer}.fc1"),
            (f"{block}.mlp.2", f"{layer}.fc2"),
            (f"{block}.mlp_ln", f"{layer}.final_layer_norm"),
        ]
    return pairs
