"""The decoder of Llama's shape against transformers, with the same small random weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from vla.decoding.llama_tokens import LlamaTokens
from vla.decoding.token_decoder import Method, TokenDecoder
from vla.errors import CheckpointError
from vla.model.compact import Prefix
from vla.model.llama import Gate, LlamaConfig, LlamaDecoder, weights_from_hugging_face
from vla.model.masks import as_bias, following
from vla.model.vla_model import Head
from vla.tokens.bins import line_grammar

transformers = pytest.importorskip("transformers")

LLAMA = LlamaConfig(
    vocabulary_size=50, width=32, layers=2, heads=4, key_value_heads=2, head_dim=8, mlp_width=64, norm_eps=1e-6
)
GEMMA = LlamaConfig(
    vocabulary_size=50,
    width=32,
    layers=2,
    heads=4,
    key_value_heads=1,
    head_dim=16,
    mlp_width=64,
    norm_eps=1e-6,
    gate=Gate.GELU,
    embedding_scale=32**0.5,
    ties_head=True,
)
NUM_TOKENS = 9


def make_peer(config: LlamaConfig) -> Any:
    sizes = {
        "vocab_size": config.vocabulary_size,
        "hidden_size": config.width,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.key_value_heads,
        "head_dim": config.head_dim,
        "intermediate_size": config.mlp_width,
        "rms_norm_eps": config.norm_eps,
        "initializer_range": 0.3,
        "eos_token_id": None,
        "pad_token_id": 0,
    }
    torch.manual_seed(0)
    if config.gate is Gate.SILU:
        return transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes)).eval()
    return transformers.GemmaForCausalLM(transformers.GemmaConfig(**sizes)).eval()


def make_ours(config: LlamaConfig, peer: Any) -> LlamaDecoder:
    decoder = LlamaDecoder(config).eval()
    is_gemma = config.gate is Gate.GELU
    decoder.load_state_dict(weights_from_hugging_face(peer.state_dict(), config, norms_count_from_one=is_gemma))
    return decoder


def make_prompt(config: LlamaConfig) -> tuple[torch.Tensor, torch.Tensor]:
    """Three prompts of different lengths, padded on the left, all with the same last token."""
    ids = torch.randint(1, config.vocabulary_size, (3, 7), generator=torch.Generator().manual_seed(1))
    ids[:, -1] = 5
    return ids, torch.arange(7) < torch.tensor([[0], [2], [4]])


@pytest.mark.parametrize("config", [LLAMA, GEMMA], ids=["llama", "gemma"])
def test_logits_are_those_of_transformers(config: LlamaConfig) -> None:
    peer = make_peer(config)
    ours = make_ours(config, peer)
    ids, is_padding = make_prompt(config)
    position = ((~is_padding).cumsum(1) - 1).clamp(min=0)
    with torch.no_grad():
        blocked = following(is_padding, 0, is_prefix_causal=True)
        hidden = ours(ours.embed(ids), as_bias(blocked, torch.float32), position)
        theirs = peer(input_ids=ids, attention_mask=(~is_padding).long(), position_ids=position).logits
    torch.testing.assert_close(ours.head(hidden)[~is_padding], theirs[~is_padding], atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("config", [LLAMA, GEMMA], ids=["llama", "gemma"])
@pytest.mark.parametrize("method", [Method.STEPWISE, Method.JACOBI])
def test_greedy_tokens_are_those_of_generate(config: LlamaConfig, method: Method) -> None:
    peer = make_peer(config)
    ours = make_ours(config, peer)
    ids, is_padding = make_prompt(config)
    theirs = peer.generate(
        input_ids=ids, attention_mask=(~is_padding).long(), do_sample=False, max_new_tokens=NUM_TOKENS
    )
    tokens = LlamaTokens(ours, Head.AUTOREGRESSIVE, config.vocabulary_size, NUM_TOKENS, first_action_id=0, begin_id=5)
    with torch.no_grad():
        prefix = Prefix(ours.embed(ids[:, :-1]), is_padding[:, :-1], torch.zeros(3, 2, 0))
    decoder = TokenDecoder(tokens, line_grammar(NUM_TOKENS, config.vocabulary_size), method=method)
    assert torch.equal(decoder.decode(prefix).ids, theirs[:, 7:])


def test_slots_see_each_other_and_a_forced_token() -> None:
    torch.manual_seed(0)
    decoder = LlamaDecoder(LLAMA).eval()
    tokens = LlamaTokens(decoder, Head.SLOTS, 10, NUM_TOKENS, first_action_id=40, begin_id=5)
    prefix, is_padding = torch.randn(2, 6, 32), torch.zeros(2, 6, dtype=torch.bool)
    forced = torch.full((2, NUM_TOKENS), -1)
    forced[:, -1] = 3
    with torch.no_grad():
        free, known = tokens.slots(prefix, is_padding, forced[:, :0]), tokens.slots(prefix, is_padding, forced)
    assert (free[:, 0] - known[:, 0]).abs().max() > 1e-3


def test_absent_weights_are_named() -> None:
    state = make_peer(LLAMA).state_dict()
    del state["model.layers.1.mlp.up_proj.weight"]
    with pytest.raises(CheckpointError, match=r"a decoder of 2 layers needs 'model.layers.1.mlp.up_proj.weight'"):
        weights_from_hugging_face(state, LLAMA)


def test_weights_without_a_place_are_named() -> None:
    state = dict(make_peer(LLAMA).state_dict(), **{"model.layers.2.mlp.up_proj.weight": torch.zeros(1)})
    with pytest.raises(CheckpointError, match=r"has no place for 'model.layers.2.mlp.up_proj.weight'"):
        weights_from_hugging_face(state, LLAMA)
