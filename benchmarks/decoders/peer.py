"""Our decoder's weights in `transformers`: an OPT model has the same blocks.

Both have norms before attention and perceptron, ReLU, and learned positions. What OPT has and ours has not is set to
nothing: the biases of the attention, the positions of the prefix. OPT's prefix is causal, so ours is made causal for
the comparison; this changes a mask, not the work.

    ours   prefix  begin + slot 0   id 0 + slot 1   id 1 + slot 2 ...
    OPT    inputs_embeds            embed_tokens + embed_positions, chosen by `generate`
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import OPTConfig, OPTForCausalLM

from vla.model.compact import Prefix
from vla.model.transformer import Block
from vla.model.vla_model import VlaModel

FIRST_POSITION = 2  # transformers' OPT keeps two rows of its positions free


def opt_with_our_weights(model: VlaModel, num_prefix: int) -> OPTForCausalLM:
    """The autoregressive decoder of a model as OPT; its ids are our action tokens."""
    decoder, vocabulary, num_tokens = model.backbone.decoder, model.vocabulary, model.num_action_tokens
    width = model.backbone.width
    peer = OPTForCausalLM(
        OPTConfig(
            vocab_size=vocabulary.num_action,
            hidden_size=width,
            word_embed_proj_dim=width,
            num_hidden_layers=len(decoder.blocks),
            num_attention_heads=decoder.heads,
            ffn_dim=model.backbone.config.mlp_ratio * width,
            max_position_embeddings=num_prefix + num_tokens,
            activation_function="relu",
            dropout=0.0,
            tie_word_embeddings=False,
            bos_token_id=0,
            pad_token_id=0,
            eos_token_id=None,
        )
    )
    weights = {name: torch.zeros_like(value) for name, value in peer.state_dict().items()}
    body = "model.decoder"
    weights[f"{body}.embed_tokens.weight"] = model.action_embedding.weight[1:]
    weights[f"{body}.embed_positions.weight"][FIRST_POSITION + num_prefix :] = model.slots
    weights |= _linear(f"{body}.final_layer_norm", decoder.norm)
    for index, block in enumerate(decoder.blocks):
        weights |= _layer(f"{body}.layers.{index}", block)
    weights["lm_head.weight"] = model.logits.weight[vocabulary.num_text :]
    peer.load_state_dict(weights)
    peer.lm_head.bias = nn.Parameter(model.logits.bias[vocabulary.num_text :].detach().clone())
    return peer.eval()


def generating(peer: OPTForCausalLM, model: VlaModel, prefix: Prefix, **options: object) -> Callable[[], Tensor]:
    """`generate`, of as many tokens as our model predicts."""
    begin = model.action_embedding.weight[:1].expand(len(prefix.tokens), 1, -1)
    embedded = torch.cat([prefix.tokens, begin], dim=1).detach()
    mask = torch.ones(embedded.shape[:2], dtype=torch.int64)
    generator = cast(Any, peer)  # transformers' own types do not let OPT generate

    def generate() -> Tensor:
        with torch.inference_mode():
            return generator.generate(
                inputs_embeds=embedded,
                attention_mask=mask,
                do_sample=False,
                max_new_tokens=model.num_action_tokens,
                **options,
            )

    return generate


def _layer(name: str, block: nn.Module) -> dict[str, Tensor]:
    assert isinstance(block, Block)
    query, key, value = block.attention.query_key_value.weight.chunk(3)
    return {
        f"{name}.self_attn.q_proj.weight": query,
        f"{name}.self_attn.k_proj.weight": key,
        f"{name}.self_attn.v_proj.weight": value,
        f"{name}.self_attn.out_proj.weight": block.attention.out.weight,
        **_linear(f"{name}.self_attn_layer_norm", block.norm_attention),
        **_linear(f"{name}.final_layer_norm", block.norm_mlp),
        **_linear(f"{name}.fc1", block.mlp[0]),
        **_linear(f"{name}.fc2", block.mlp[2]),
    }


def _linear(name: str, layer: nn.Module) -> dict[str, Tensor]:
    return {f"{name}.{key}": value for key, value in layer.state_dict().items()}
