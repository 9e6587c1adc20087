"""The backbone's weights for :func:`.backbone.decode` alone, without transformers.

Its models come with all that they may be trained and served by (quantisers, sharding, torchvision, a compiler):
importing one takes longer than a short clip. Decoding needs the weights under their names and four small functions. A
test holds the two to each other, name by name and bit by bit.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import BackboneConfig


class Decoder(nn.Module):
    """A Qwen3 to decode with: the state dict of transformers' ``Qwen3ForCausalLM``, and no forward of its own."""

    def __init__(self, config: BackboneConfig):
        super().__init__()
        self.config = config
        self.model = _Model(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)

    @property
    def dtype(self) -> torch.dtype:
        """The weights', as transformers' models give it."""
        return self.model.norm.weight.dtype

    def get_input_embeddings(self) -> nn.Embedding:
        """The text embedding, as transformers' models give it."""
        return self.model.embed_tokens


class _Model(nn.Module):
    def __init__(self, config: BackboneConfig):
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.num_hidden_layers))
        self.norm = _RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.rotary_emb = _Rotary(config)


class _Layer(nn.Module):
    def __init__(self, config: BackboneConfig):
        super().__init__()
        self.self_attn = _Attention(config)
        self.mlp = _MLP(config)
        self.input_layernorm = _RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = _RMSNorm(config.hidden_size, config.rms_norm_eps)


class _Attention(nn.Module):
    """Projections and norms; :func:`.backbone.decode` attends."""

    def __init__(self, config: BackboneConfig):
        super().__init__()
        self.head_dim = config.head_dim
        queries, keys = (config.head_dim * n for n in (config.num_attention_heads, config.num_key_value_heads))
        self.q_proj = nn.Linear(config.hidden_size, queries, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, keys, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, keys, bias=False)
        self.o_proj = nn.Linear(queries, config.hidden_size, bias=False)
        self.q_norm = _RMSNorm(config.head_dim, config.rms_norm_eps)
        self.k_norm = _RMSNorm(config.head_dim, config.rms_norm_eps)


class _MLP(nn.Module):
    def __init__(self, config: BackboneConfig):
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class _RMSNorm(nn.Module):
    """Normalised in float32, weighted in the input's dtype."""

    def __init__(self, width: int, eps: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        exact = x.to(torch.float32)
        exact = exact * torch.rsqrt(exact.pow(2).mean(-1, keepdim=True) + self.eps)
        return self.weight * exact.to(x.dtype)


class _Rotary(nn.Module):
    """``inv_freq (head_dim / 2,)``, float32; in no checkpoint."""

    inv_freq: Tensor

    def __init__(self, config: BackboneConfig):
        super().__init__()
        self.config = config
        exponents = torch.arange(0, config.head_dim, 2, dtype=torch.float) / config.head_dim
        self.register_buffer("inv_freq", 1.0 / config.rope_theta**exponents, persistent=False)
