"""Every order of decoding against the plain one, under grammars made at random.

The plain one: the whole sequence through the model anew for each token, no cache, the grammar read with NumPy.
"""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vla.decoding.choosing import Chooser
from vla.decoding.execution import Execution
from vla.decoding.grammar_table import GrammarTable
from vla.decoding.loops import StepwiseLoop
from vla.decoding.opening import Request
from vla.decoding.token_decoder import Choice, Method, TokenDecoder
from vla.decoding.token_model import VlaTokens
from vla.embodiment import CameraSpec
from vla.interfaces import Grammar
from vla.model.compact import CompactBackbone, CompactConfig, Prefix
from vla.model.vla_model import TOKEN_HEADS, Head, VlaModel, Vocabulary

VOCABULARY, MAX_TOKENS, NUM_PREFIX, WIDTH = 7, 8, 10, 32
SEEDS = st.integers(0, 2**32 - 1)


@functools.cache
def make_model(head: Head) -> VlaModel:
    torch.manual_seed(0)
    config = CompactConfig(width=WIDTH, layers=2, heads=2, mlp_ratio=2, channels=8, text_tokens=4)
    backbone = CompactBackbone(config, [CameraSpec("scene", 8, 8)], 3, 20)
    model = VlaModel(backbone, head, Vocabulary(20, VOCABULARY), MAX_TOKENS).eval()
    model.logits.weight.data *= 4  # certain enough that rounding decides nothing
    return model


def make_prefix(seed: int, batch: int) -> Prefix:
    random = np.random.default_rng(seed)
    tokens = torch.from_numpy(random.normal(size=(batch, NUM_PREFIX, WIDTH)).astype(np.float32))
    is_padding = torch.from_numpy(np.arange(NUM_PREFIX) >= random.integers(1, NUM_PREFIX, (batch, 1)))
    is_padding[:, -1] = False
    return Prefix(tokens, is_padding, torch.zeros(batch, 2, 4))


def remaining_grammar(seed: int) -> Grammar:
    """As FAST has: each id fills some of the places that remain."""
    sizes = np.random.default_rng(seed).integers(1, MAX_TOKENS + 1, VOCABULARY)
    sizes[0] = 1
    after = np.arange(MAX_TOKENS + 1)[:, None] + sizes
    accepting = np.arange(MAX_TOKENS + 1) == MAX_TOKENS
    return Grammar(np.where(after <= MAX_TOKENS, after, -1).astype(np.int32), accepting, MAX_TOKENS)


def branching_grammar(seed: int) -> Grammar:
    """Any state may lead to any later one, or not."""
    random, states = np.random.default_rng(seed), MAX_TOKENS + 1
    next_state = random.integers(np.arange(states)[:, None] + 1, states + 1, (states, VOCABULARY))
    next_state = np.where((random.random(next_state.shape) < 0.4) & (next_state < states), next_state, -1)
    next_state[np.arange(states - 1), random.integers(VOCABULARY, size=states - 1)] = np.arange(1, states)
    next_state[-1] = -1
    accepting = random.random(states) < 0.2
    accepting[0], accepting[-1] = False, True
    return Grammar(next_state.astype(np.int32), accepting, MAX_TOKENS)


GRAMMARS = st.one_of(SEEDS.map(remaining_grammar), SEEDS.map(branching_grammar))


def plain_decode(model: VlaModel, prefix: Prefix, grammar: Grammar, forced: np.ndarray) -> np.ndarray:
    """The most likely allowed ids, found without anything that the decoder is made of."""
    ids = np.full((len(forced), MAX_TOKENS), -1)
    for row in range(len(forced)):
        one = Prefix(prefix.tokens[row : row + 1], prefix.is_padding[row : row + 1], prefix.grounding[:1])
        state = 0
        for index in range(MAX_TOKENS):
            allowed = grammar.next_state[state] >= 0
            if not allowed.any():
                break
            known = torch.from_numpy(np.where(forced[row : row + 1] >= 0, forced[row : row + 1], -1))
            with torch.no_grad():
                logits = model(one, torch.from_numpy(ids[row : row + 1]).clamp(min=0), known)
            values = np.where(allowed, logits[0, index, model.vocabulary.num_text :].numpy(), -np.inf)
            ids[row, index] = forced[row, index] if forced[row, index] >= 0 else values.argmax()
            state = grammar.next_state[state, ids[row, index]]
    return ids


def forced_beginnings(seed: int, grammar: Grammar, batch: int) -> np.ndarray:
    """Rows that force none to all of a random sentence's ids."""
    random, forced = np.random.default_rng(seed), np.full((batch, MAX_TOKENS), -1)
    for row in forced:
        state = 0
        for index in range(random.integers(0, MAX_TOKENS + 1)):
            allowed = np.flatnonzero(grammar.next_state[state] >= 0)
            if not len(allowed):
                break
            row[index] = random.choice(allowed)
            state = grammar.next_state[state, row[index]]
    return forced


@pytest.mark.parametrize("head", TOKEN_HEADS)
@given(GRAMMARS, SEEDS, st.integers(1, 3))
@settings(max_examples=25)
def test_decoding_finds_what_the_plain_forward_finds(head: Head, grammar: Grammar, seed: int, batch: int) -> None:
    model, prefix = make_model(head), make_prefix(seed, batch)
    forced = forced_beginnings(seed, grammar, batch)
    decoded = TokenDecoder(model, grammar).decode(prefix, torch.from_numpy(forced))
    np.testing.assert_array_equal(decoded.ids.numpy(), plain_decode(model, prefix, grammar, forced))


@pytest.mark.parametrize("choice", Choice)
@given(GRAMMARS, SEEDS, st.integers(1, 3), st.integers(MAX_TOKENS - 2, MAX_TOKENS), st.booleans())
@settings(max_examples=20)
def test_jacobi_finds_what_stepwise_finds(
    choice: Choice, grammar: Grammar, seed: int, batch: int, max_tokens: int, may_stop: bool
) -> None:
    try:
        GrammarTable.build(grammar, max_tokens, torch.device("cpu"))
    except ValueError:
        max_tokens = MAX_TOKENS
    model, prefix = make_model(Head.AUTOREGRESSIVE), make_prefix(seed, batch)
    one, other = (
        TokenDecoder(
            model, grammar, choice, method=method, max_tokens=max_tokens, stop_entropy=1.0 if may_stop else None
        ).decode(prefix, None, torch.Generator().manual_seed(seed))
        for method in (Method.STEPWISE, Method.JACOBI)
    )
    assert torch.equal(one.ids, other.ids)
    torch.testing.assert_close(one.log_probability, other.log_probability, atol=1e-5, rtol=0)
    torch.testing.assert_close(one.entropy, other.entropy, atol=1e-5, rtol=0)
    assert other.num_passes <= MAX_TOKENS


@given(GRAMMARS, SEEDS, st.integers(1, 3), st.integers(2, 5))
@settings(max_examples=20)
def test_several_tokens_at_once_are_the_same_tokens(grammar: Grammar, seed: int, batch: int, at_once: int) -> None:
    model, prefix = make_model(Head.AUTOREGRESSIVE), make_prefix(seed, batch)
    table, chooser = GrammarTable.build(grammar, None, torch.device("cpu")), Chooser()
    loop = StepwiseLoop(VlaTokens(model), table, chooser, Execution.EAGER, prefix, tokens_at_once=at_once)
    forced = table.check_forced(None, batch)
    at_once_ids = loop.run(Request(prefix, forced, chooser.draws(batch, table.max_tokens, None))).ids
    assert torch.equal(at_once_ids, TokenDecoder(model, grammar).decode(prefix).ids)


@pytest.mark.parametrize("head", TOKEN_HEADS)
@given(SEEDS)
@settings(max_examples=10)
def test_what_stands_in_padding_changes_nothing(head: Head, seed: int) -> None:
    decoder, prefix = TokenDecoder(make_model(head), remaining_grammar(seed)), make_prefix(seed, 3)
    noise = torch.randn(prefix.tokens.shape, generator=torch.Generator().manual_seed(seed))
    tokens = torch.where(prefix.is_padding[..., None], 100 * noise, prefix.tokens)
    one, other = decoder.decode(prefix), decoder.decode(Prefix(tokens, prefix.is_padding, prefix.grounding))
    assert torch.equal(one.ids, other.ids)
    torch.testing.assert_close(one.log_probability, other.log_probability, atol=1e-5, rtol=0)


@given(GRAMMARS, SEEDS, st.sampled_from(Choice), st.sampled_from((Head.SLOTS, Head.AUTOREGRESSIVE)))
@settings(max_examples=30)
def test_every_row_is_a_sentence_of_the_grammar(grammar: Grammar, seed: int, choice: Choice, head: Head) -> None:
    decoder = TokenDecoder(make_model(head), grammar, choice, stop_entropy=0.5, temperature=2.0)
    for row in decoder.decode(make_prefix(seed, 4), None, torch.Generator().manual_seed(seed)).ids.tolist():
        state = 0
        for token in row[: row.index(-1) if -1 in row else None]:
            state = grammar.next_state[state, token]
            assert state >= 0
        assert grammar.accepting[state]
