"""A decoder of Llama's shape, with a key-value cache that its caller owns.

    x + attention(norm(x)):  RMSNorm, rotary positions, keys and values shared by groups of query heads
    x + perceptron(norm(x)): RMSNorm, down(act(gate x) * up x)

Gemma has the same shape, with other sizes, GELU in place of SiLU, embeddings times sqrt(width), and norms that count
from one. Query, key and value are one matrix here, gate and up another: fewer, larger products.

Sources: Llama 2 (arXiv:2307.09288), Gemma (arXiv:2403.08295), RoPE (arXiv:2104.09864), names of weights as in
Hugging Face's `LlamaForCausalLM` and `GemmaForCausalLM`.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from vla.errors import CheckpointError
from vla.model.cache import KeyValueCache, LayerCache
from vla.model.transformer import Mask, attend, linear


class Gate(enum.Enum):
    """What the gate of the perceptron passes through."""

    SILU = "silu"
    """Llama."""
    GELU = "gelu"
    """Gemma, by its tanh approximation."""


@dataclasses.dataclass(frozen=True)
class LlamaConfig:
    """The size of a decoder; Llama 2 7B if nothing is given."""

    vocabulary_size: int = 32000
    width: int = 4096
    layers: int = 32
    heads: int = 32
    key_value_heads: int = 32
    head_dim: int = 128
    mlp_width: int = 11008
    rope_theta: float = 10000.0
    norm_eps: float = 1e-5
    gate: Gate = Gate.SILU
    embedding_scale: float = 1.0
    """What embedded tokens are multiplied with."""
    ties_head: bool = False
    """Whether the head's weights are the embedding's."""


GEMMA_2B = LlamaConfig(  # Gemma's report, table 1, and PaliGemma's vocabulary (arXiv:2407.07726)
    vocabulary_size=257216,
    width=2048,
    layers=18,
    heads=8,
    key_value_heads=1,
    head_dim=256,
    mlp_width=16384,
    norm_eps=1e-6,
    gate=Gate.GELU,
    embedding_scale=2048**0.5,
    ties_head=True,
)

Rotation = tuple[Float[Tensor, "batch 1 tokens head_dim"], Float[Tensor, "batch 1 tokens head_dim"]]
"""Cosines and sines of each token's angles."""


class LlamaDecoder(nn.Module):
    """Embedding, blocks, norm and head."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        if config.heads % config.key_value_heads:
            raise ValueError(f"{config.heads} query heads cannot share {config.key_value_heads} key-value heads evenly")
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary_size, config.width)
        self.blocks = nn.ModuleList(LlamaBlock(config) for _ in range(config.layers))
        self.norm = nn.RMSNorm(config.width, config.norm_eps)
        self.head = nn.Linear(config.width, config.vocabulary_size, bias=False)
        self.tie()

    def tie(self) -> None:
        """Let head and embedding share their weights, if the configuration says so; moving them may part them."""
        if self.config.ties_head:
            self.head.weight = self.embedding.weight

    def embed(self, ids: Int64[Tensor, "batch tokens"]) -> Float[Tensor, "batch tokens width"]:
        """What stands for words."""
        return self.embedding(ids) * self.config.embedding_scale

    def forward(
        self,
        x: Float[Tensor, "batch tokens width"],
        blocked: Mask | None,
        position: Int64[Tensor, "batch tokens"],
        cache: KeyValueCache | None = None,
        place: Int64[Tensor, " tokens"] | None = None,
        num_wanted: int | None = None,
    ) -> Float[Tensor, "batch wanted width"]:
        """Hidden states of `x`.

        Args:
            position: of each token, for the rotation; padding does not count.
            cache: the keys and values of `x` are written to it.
            place: where in the cache; `x` then attends to all places, else to itself alone, as the first in the cache.
            num_wanted: of the last tokens, whose hidden states are returned; all of them if not given.
        """
        rotation = rotation_of(position, self.config.head_dim, self.config.rope_theta, x.dtype)
        last = len(self.blocks) - 1
        for index, block in enumerate(self.blocks):
            past = None if cache is None else cache.layers[index]
            x = block(x, blocked, rotation, past, place, num_wanted if index == last else None)
        return self.norm(x)

    def new_cache(self, prefix: Float[Tensor, "batch prefix width"], num_tokens: int) -> KeyValueCache:
        """An empty cache for a prefix and `num_tokens` tokens behind it."""
        config = self.config
        return KeyValueCache.allocate(
            prefix, num_tokens, layers=config.layers, heads=config.key_value_heads, head_dim=config.head_dim
        )


class LlamaBlock(nn.Module):
    """Attention, then a gated perceptron, each around a residual."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.heads, self.key_value_heads, self.gate = config.heads, config.key_value_heads, config.gate
        width, head_dim = config.width, config.head_dim
        self.norm_attention = nn.RMSNorm(width, config.norm_eps)
        self.query_key_value = nn.Linear(width, (config.heads + 2 * config.key_value_heads) * head_dim, bias=False)
        self.out = nn.Linear(config.heads * head_dim, width, bias=False)
        self.norm_mlp = nn.RMSNorm(width, config.norm_eps)
        self.gate_up = nn.Linear(width, 2 * config.mlp_width, bias=False)
        self.down = nn.Linear(config.mlp_width, width, bias=False)

    def forward(
        self,
        x: Float[Tensor, "batch tokens width"],
        blocked: Mask | None,
        rotation: Rotation,
        past: LayerCache | None = None,
        place: Int64[Tensor, " tokens"] | None = None,
        num_wanted: int | None = None,
    ) -> Float[Tensor, "batch wanted width"]:
        mixed = self._attention(self.norm_attention(x), blocked, rotation, past, place, num_wanted)
        x = (x if num_wanted is None else x[:, -num_wanted:]) + mixed
        gate, up = linear(self.gate_up, self.norm_mlp(x)).chunk(2, dim=-1)
        gate = functional.silu(gate) if self.gate is Gate.SILU else functional.gelu(gate, approximate="tanh")
        return x + linear(self.down, gate * up)

    def _attention(
        self,
        x: Float[Tensor, "batch tokens width"],
        blocked: Mask | None,
        rotation: Rotation,
        past: LayerCache | None,
        place: Int64[Tensor, " tokens"] | None,
        num_wanted: int | None,
    ) -> Float[Tensor, "batch wanted width"]:
        heads, shared = self.heads, self.key_value_heads
        qkv = linear(self.query_key_value, x).unflatten(-1, (heads + 2 * shared, -1)).transpose(1, 2)
        turning, value = qkv.split([heads + shared, shared], dim=1)
        query, key = rotate(turning, rotation).split([heads, shared], dim=1)  # each (batch, heads, tokens, head_dim)
        if past is not None:
            key, value = past.write(key, value, place)
        if num_wanted is not None:
            query, blocked = query[:, :, -num_wanted:], None if blocked is None else blocked[:, :, -num_wanted:]
        mixed = _attend_in_groups(query, key, value, blocked)
        return linear(self.out, mixed.transpose(1, 2).flatten(2))


def _attend_in_groups(query: Tensor, key: Tensor, value: Tensor, blocked: Mask | None) -> Tensor:
    """Attention of query heads that share keys and values: to these, a group of heads is so many more tokens."""
    groups, tokens = query.shape[1] // key.shape[1], query.shape[2]
    if groups == 1:
        return attend(query, key, value, blocked)
    if blocked is not None:
        blocked = blocked.expand(-1, -1, tokens, -1).repeat(1, 1, groups, 1)
    folded = query.unflatten(1, (key.shape[1], groups)).flatten(2, 3)  # (batch, shared, groups * tokens, head_dim)
    return attend(folded, key, value, blocked).unflatten(2, (groups, tokens)).flatten(1, 2)


def rotation_of(position: Int64[Tensor, "batch tokens"], head_dim: int, theta: float, dtype: torch.dtype) -> Rotation:
    """The angles position * theta^(-2 i / head_dim), each for number i and number i + head_dim / 2."""
    exponent = torch.arange(0, head_dim, 2, dtype=torch.float32, device=position.device) / head_dim
    angle = position[..., None].float() * (1.0 / theta**exponent)
    angle = torch.cat([angle, angle], dim=-1)[:, None]
    return angle.cos().to(dtype), angle.sin().to(dtype)


def rotate(x: Float[Tensor, "batch heads tokens head_dim"], rotation: Rotation) -> Tensor:
    """Each pair of numbers (i, i + head_dim / 2), turned by its angle."""
    one, other = x.chunk(2, dim=-1)
    return x * rotation[0] + torch.cat([-other, one], dim=-1) * rotation[1]


# --------------------------------------------------------------------------- Hugging Face's names


def weights_from_hugging_face(
    state: Mapping[str, Tensor], config: LlamaConfig, *, norms_count_from_one: bool = False
) -> dict[str, Tensor]:
    """The `state_dict` of a `LlamaDecoder` from that of a causal language model.

    Args:
        norms_count_from_one: as Gemma's do, whose norms multiply with 1 + weight.

    Raises:
        CheckpointError: naming the weights that are absent, or that have no place here.
    """
    rest = dict(state)
    rest.setdefault("lm_head.weight", rest.get("model.embed_tokens.weight", torch.empty(0)))
    names = _names(config)
    missing = sorted({name for parts in names.values() for name in parts} - rest.keys())
    if missing:
        raise CheckpointError(f"a decoder of {config.layers} layers needs '{missing[0]}', and {len(missing) - 1} more")
    offset = 1.0 if norms_count_from_one else 0.0
    weights = {}
    for ours, theirs in names.items():
        value = torch.cat([rest.pop(name) for name in theirs])
        weights[ours] = value + offset if "norm" in ours else value
    unknown = [name for name in rest if not name.endswith("rotary_emb.inv_freq")]
    if unknown:
        raise CheckpointError(f"a decoder of {config.layers} layers has no place for '{unknown[0]}'")
    return weights


def _names(config: LlamaConfig) -> dict[str, list[str]]:
    """Our names, and Hugging Face's whose rows stand below each other in ours."""
    names = {"embedding.weight": ["model.embed_tokens.weight"], "norm.weight": ["model.norm.weight"]}
    names["head.weight"] = ["lm_head.weight"]
    parts = {
        "norm_attention": ["input_layernorm"],
        "query_key_value": ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
        "out": ["self_attn.o_proj"],
        "norm_mlp": ["post_attention_layernorm"],
        "gate_up": ["mlp.gate_proj", "mlp.up_proj"],
        "down": ["mlp.down_proj"],
    }
    for layer in range(config.layers):
        for ours, theirs in parts.items():
            names[f"blocks.{layer}.{ours}.weight"] = [f"model.layers.{layer}.{name}.weight" for name in theirs]
    return names
