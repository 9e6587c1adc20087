"""The causal language model (section 3.2): transformers' Qwen3, and a light decoding path over its weights.

Training runs transformers' own forward. Generation runs :func:`decode`, which reads the same weights, writes
keys and values into a :class:`KeyValueCache` of fixed size and returns the hidden state after the final norm.
A test holds the two to each other.
"""

import dataclasses
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import BackboneConfig
from ..utils.transformers import make_transformers_importable


def build_backbone(config: BackboneConfig) -> nn.Module:
    """A ``Qwen3ForCausalLM`` with random weights (on the current default device; ``meta`` works).

    Its state dict always lists ``lm_head.weight``, tied or not. The language-model head is never run here.
    """
    make_transformers_importable()
    from transformers import Qwen3Config, Qwen3ForCausalLM

    options = dataclasses.asdict(config)
    rotary = {"rope_type": "default", "rope_theta": options.pop("rope_theta")}
    settings = Qwen3Config(**options, use_cache=False, rope_parameters=rotary)
    settings._attn_implementation = "sdpa"
    return Qwen3ForCausalLM(settings)


def restore_rotary_frequencies(backbone: nn.Module) -> None:
    """Recompute the rotary frequencies: they are in no checkpoint, so a model built on meta lacks them."""
    rotary = backbone.model.rotary_emb
    device = backbone.model.norm.weight.device
    fresh = type(rotary)(rotary.config).to(device)
    for name, buffer in fresh.named_buffers():
        setattr(rotary, name, buffer)


def hidden_states(backbone: nn.Module, embeddings: Tensor) -> Tensor:
    """Training forward: ``embeddings (B, T, D)``, padded on the right, to ``(B, T, D)`` after the final norm.

    No token sees what comes after it, so padding needs no mask, and attention without one is faster. What comes out
    at padding means nothing.
    """
    return backbone.model(
        inputs_embeds=embeddings, attention_mask={"full_attention": None}, use_cache=False
    ).last_hidden_state


@dataclass
class RotaryTable:
    """Cosines and sines of the backbone's rotary embedding by position, ``(length, head_dim)``, float32."""

    cos: Tensor
    sin: Tensor

    @classmethod
    def of(cls, backbone: nn.Module, length: int) -> "RotaryTable":
        """For positions 0 to ``length - 1``, with the backbone's own frequencies."""
        frequency = backbone.model.rotary_emb.inv_freq.float()
        angle = torch.arange(length, device=frequency.device).float()[:, None] * frequency
        angle = torch.cat((angle, angle), dim=-1)
        return cls(angle.cos(), angle.sin())

    def at(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """``positions (B, S)`` to cosines and sines ``(B, S, 1, head_dim)``."""
        return self.cos[positions][:, :, None], self.sin[positions][:, :, None]


class KeyValueCache:
    """Keys and values of every layer, ``(B, kv heads, columns, head_dim)`` each, allocated once.

    Nothing grows while generating. :meth:`keep` drops batch rows in place.
    """

    def __init__(self, backbone: nn.Module, batch: int, columns: int, dtype: torch.dtype | None = None):
        config, weight = backbone.config, backbone.model.norm.weight
        shape = (batch, config.num_key_value_heads, columns, config.head_dim)
        options = {"dtype": dtype or weight.dtype, "device": weight.device}
        self.batch, self.columns, self.dtype = batch, columns, options["dtype"]
        # A tensor of its own for each: writes through views of one allocation would be copies when compiled.
        self._layers = [
            (torch.zeros(shape, **options), torch.zeros(shape, **options)) for _ in range(config.num_hidden_layers)
        ]

    def layer(self, index: int) -> tuple[Tensor, Tensor]:
        """One layer's keys and values ``(B, kv heads, columns, head_dim)``, to read and to write."""
        keys, values = self._layers[index]
        if self.batch == len(keys):
            return keys, values
        return keys[: self.batch], values[: self.batch]

    def keep(self, rows: list[int]) -> None:
        """Keep the batch rows ``rows`` (ascending), moved to the front."""
        for tensor in (tensor for layer in self._layers for tensor in layer):
            for target, source in enumerate(rows):
                if target != source:
                    tensor[target].copy_(tensor[source])
        self.batch = len(rows)

    def clear(self) -> None:
        """Forget everything, for another batch of the same size."""
        for tensor in (tensor for layer in self._layers for tensor in layer):
            tensor.zero_()


def decode(
    backbone: nn.Module,
    embeddings: Tensor,
    cos: Tensor,
    sin: Tensor,
    cache: KeyValueCache,
    column: int | Tensor,
    visible: int,
    mask: Tensor | None,
) -> Tensor:
    """Run ``embeddings (B, S, D)`` through the backbone; returns the last token's hidden state ``(B, D)``.

    ``cos`` and ``sin`` come from :meth:`RotaryTable.at`. Keys and values of the S tokens go to the cache columns from
    ``column`` on. Attention sees the first ``visible`` columns, or those of them that ``mask (B, S, visible)``
    marks. With ``column`` as a tensor ``(1,)`` (S is 1 then) and all columns visible, every step has the same
    shapes and no number of its own, so one compiled graph serves all.
    """
    model = backbone.model
    groups = backbone.config.num_attention_heads // backbone.config.num_key_value_heads
    batch, tokens = embeddings.shape[:2]
    if mask is not None:  # one row for each query head that shares a key head
        mask = mask[:, None].expand(batch, groups, tokens, mask.shape[-1]).flatten(1, 2)[:, None]
    x = embeddings
    for index, layer in enumerate(model.layers):
        keys, values = cache.layer(index)
        x = x + _attend(layer.self_attn, layer.input_layernorm(x), (cos, sin), keys, values, column, visible, mask)
        if index == len(model.layers) - 1:
            x = x[:, -1:]
        x = x + layer.mlp(layer.post_attention_layernorm(x))
    return model.norm(x)[:, -1]


def _attend(
    attention: nn.Module,
    x: Tensor,
    positions: tuple[Tensor, Tensor],
    keys: Tensor,
    values: Tensor,
    column: int | Tensor,
    visible: int,
    mask: Tensor | None,
) -> Tensor:
    """Grouped-query attention over the cache. Query heads that share a key head become extra query rows, so that
    keys and values are never repeated."""
    tokens, head_dim = x.shape[1], attention.head_dim
    query = _rotate(attention.q_norm(attention.q_proj(x).unflatten(-1, (-1, head_dim))), *positions)
    key = _rotate(attention.k_norm(attention.k_proj(x).unflatten(-1, (-1, head_dim))), *positions)
    value = attention.v_proj(x).unflatten(-1, (-1, head_dim))
    if isinstance(column, Tensor):
        keys.index_copy_(2, column, key.transpose(1, 2).to(keys.dtype))
        values.index_copy_(2, column, value.transpose(1, 2).to(values.dtype))
    else:
        keys[:, :, column : column + tokens] = key.transpose(1, 2)
        values[:, :, column : column + tokens] = value.transpose(1, 2)
    # (B, S, kv heads * groups, d) -> (B, kv heads, groups * S, d)
    query = query.unflatten(2, (keys.shape[1], -1)).permute(0, 2, 3, 1, 4).flatten(2, 3).to(keys.dtype)
    attended = F.scaled_dot_product_attention(query, keys[:, :, :visible], values[:, :, :visible], attn_mask=mask)
    attended = attended.unflatten(2, (-1, tokens)).permute(0, 3, 1, 2, 4).flatten(2)
    return attention.o_proj(attended.to(x.dtype))


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding with half-split pairs: channel i with i + head_dim / 2. ``x (B, S, heads, d)``."""
    first, second = x.chunk(2, dim=-1)
    return (x * cos + torch.cat((-second, first), dim=-1) * sin).to(x.dtype)
