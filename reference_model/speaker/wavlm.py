"""WavLM (Chen et al. 2022, arXiv 2110.13900) through transformers, loadable from fairseq / s3prl names.

The speaker checkpoint stores WavLM in the layout of its authors' code, which s3prl carries. Only the layout of
the Large models is handled: layer norm after every convolution, layer norm before every attention.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from reference_model.utils.strict_loading import Pairs, Shapes, under
from reference_model.utils.transformers import make_transformers_importable

STRIDES = (5, 2, 2, 2, 2, 2, 2)
MAX_DISTANCE = 800


@dataclass(frozen=True)
class WavLMSize:
    """Dimensions of WavLM; the defaults are WavLM-Large."""

    width: int = 1024
    layers: int = 24
    heads: int = 16
    feed_forward: int = 4096
    convolutions: tuple[tuple[int, int], ...] = ((512, 10), *((512, 3),) * 4, *((512, 2),) * 2)
    """(channels, kernel) of each convolution; the strides are always 5, 2, 2, 2, 2, 2, 2."""
    position_kernel: int = 128
    position_groups: int = 16
    buckets: int = 320

    @classmethod
    def from_release_state(cls, state: Mapping[str, Tensor]) -> "WavLMSize":
        """Read every size off the shapes of a state dict in the authors' names (no prefix)."""
        shape = Shapes(state, "WavLM (of the Large layout)")
        width = shape("post_extract_proj.weight")[0]
        shape("feature_extractor.conv_layers.0.2.1.weight")
        convolutions = tuple(
            shape(f"feature_extractor.conv_layers.{i}.0.weight")[::2]
            for i in range(shape.count("feature_extractor.conv_layers.{}.0.weight"))
        )
        _, per_group, kernel = shape("encoder.pos_conv.0.weight_v")
        buckets, heads = shape("encoder.layers.0.self_attn.relative_attention_bias.weight")
        return cls(
            width=width,
            layers=shape.count("encoder.layers.{}.fc1.weight"),
            heads=heads,
            feed_forward=shape("encoder.layers.0.fc1.weight")[0],
            convolutions=convolutions,
            position_kernel=kernel,
            position_groups=width // per_group,
            buckets=buckets,
        )

    def frames(self, samples: int) -> int:
        """Feature frames of this many 16 kHz samples; about 50 a second."""
        for (_, kernel), stride in zip(self.convolutions, STRIDES, strict=True):
            samples = (samples - kernel) // stride + 1
        return samples


def build_wavlm(size: WavLMSize) -> nn.Module:
    """transformers' ``WavLMModel`` of these dimensions with random weights."""
    make_transformers_importable()
    from transformers import WavLMConfig, WavLMModel

    return WavLMModel(
        WavLMConfig(
            hidden_size=size.width,
            num_hidden_layers=size.layers,
            num_attention_heads=size.heads,
            intermediate_size=size.feed_forward,
            conv_dim=[channels for channels, _ in size.convolutions],
            conv_kernel=[kernel for _, kernel in size.convolutions],
            conv_stride=list(STRIDES),
            num_conv_pos_embeddings=size.position_kernel,
            num_conv_pos_embedding_groups=size.position_groups,
            num_buckets=size.buckets,
            max_bucket_distance=MAX_DISTANCE,
            feat_extract_norm="layer",
            conv_bias=False,
            do_stable_layer_norm=True,
            layer_norm_eps=1e-5,
            hidden_act="gelu",
            feat_extract_activation="gelu",
        )
    )


LAYER: Pairs = [
    ("self_attn.q_proj", "attention.q_proj"),
    ("self_attn.k_proj", "attention.k_proj"),
    ("self_attn.v_proj", "attention.v_proj"),
    ("self_attn.out_proj", "attention.out_proj"),
    ("self_attn.grep_linear", "attention.gru_rel_pos_linear"),
    ("self_attn.grep_a", "attention.gru_rel_pos_const"),
    ("self_attn.relative_attention_bias", "attention.rel_attn_embed"),
    ("self_attn_layer_norm", "layer_norm"),
    ("fc1", "feed_forward.intermediate_dense"),
    ("fc2", "feed_forward.output_dense"),
    ("final_layer_norm", "final_layer_norm"),
]


def wavlm_pairs(size: WavLMSize, release: str = "", ours: str = "") -> Pairs:
    """The authors' prefix beside that of transformers, each behind a prefix of its own.

    Checked: on random weights, every hidden state of a small model agrees to 1e-5 with the authors' code as s3prl
    0.4.18 carries it (numbers stored with the tests). Not checked: the list of names in the published fine-tuned file
    itself, which the strict loader will hold to this one.
    """
    pairs = [
        ("mask_emb", "masked_spec_embed"),
        ("layer_norm", "feature_projection.layer_norm"),
        ("post_extract_proj", "feature_projection.projection"),
        ("encoder.layer_norm", "encoder.layer_norm"),
        ("encoder.pos_conv.0.bias", "encoder.pos_conv_embed.conv.bias"),
        ("encoder.pos_conv.0.weight_g", "encoder.pos_conv_embed.conv.parametrizations.weight.original0"),
        ("encoder.pos_conv.0.weight_v", "encoder.pos_conv_embed.conv.parametrizations.weight.original1"),
    ]
    for i in range(len(size.convolutions)):
        name = f"feature_extractor.conv_layers.{i}"
        pairs += under(name, name, [("0", "conv"), ("2.1", "layer_norm")])
    for i in range(size.layers):
        pairs += under(f"encoder.layers.{i}", f"encoder.layers.{i}", LAYER)
    return [(release + theirs, ours + mine) for theirs, mine in pairs]
