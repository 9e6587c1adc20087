"""The one translation between the release's state-dict names and ours, both ways.

Each table pairs (release prefix, our prefix). The tables follow the modules: a block, a patch encoder, a head,
the whole model.
"""

from .config import ModelConfig
from .utils.strict_loading import NameMap, Pairs, under

BLOCK: Pairs = [
    ("norm1.scale", "attention_norm.weight"),
    ("attn.qkv", "attention.qkv"),
    ("attn.proj", "attention.output"),
    ("norm2.scale", "mlp_norm.weight"),
    ("mlp.fc1", "mlp.gate"),
    ("mlp.fc2", "mlp.up"),
    ("mlp.proj", "mlp.down"),
]

NORM: Pairs = [("scale", "weight")]
ROPE: Pairs = [("w", "table")]

STOP_PREDICTOR: Pairs = [("proj", "hidden"), ("head", "output")]

TIMESTEP_NETWORK: Pairs = [("linear_1", "input"), ("linear_2", "output")]


def blocks(layers: int) -> Pairs:
    """What patch encoders and trunks share: input projection, ``layers`` blocks, final norm, rotary table."""
    pairs = [("input_proj", "input_projection"), *under("norm", "norm", NORM), *under("rope", "rope", ROPE)]
    for layer in range(layers):
        pairs += under(f"blocks.{layer}", f"blocks.{layer}", BLOCK)
    return pairs


def patch_encoder(layers: int) -> Pairs:
    """A :class:`.modules.patch_encoder.PatchEncoder` of so many layers."""
    return [("cls_token", "cls_token"), *blocks(layers)]


def diffusion_head(layers: int) -> Pairs:
    """A :class:`.modules.diffusion_head.DiffusionHead` of so many layers."""
    return [
        ("in_proj", "noisy_projection"),
        ("cond_proj", "context_projection"),
        ("global_cond_proj", "condition_projection"),
        ("out_proj", "output_projection"),
        *under("time_mlp", "time_network", TIMESTEP_NETWORK),
        *under("delta_time_mlp", "step_network", TIMESTEP_NETWORK),
        *under("decoder", "trunk", blocks(layers)),
    ]


def model(config: ModelConfig) -> NameMap:
    """Every name of the whole model. The backbone keeps transformers' own names below its prefix."""
    encoder, head = config.patch_encoder.layers, config.head.layers
    return NameMap(
        [
            ("llm", "backbone"),
            ("task_embedding", "task_embedding"),
            ("motion_pad_emb", "motion_padding"),
            ("projector_speech.linear1", "speech_projection"),
            ("projector_motion.linear1", "motion_projection"),
            *under("speech_patch_encoder", "speech_patch_encoder", patch_encoder(encoder)),
            *under("motion_patch_encoder", "motion_patch_encoder", patch_encoder(encoder)),
            *under("speech_cfm.estimator", "speech_head", diffusion_head(head)),
            *under("motion_cfm.estimator", "motion_head", diffusion_head(head)),
            *under("head_stop", "stop_predictor", STOP_PREDICTOR),
        ]
    )
