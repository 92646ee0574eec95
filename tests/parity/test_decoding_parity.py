"""The cached, constrained decoder against the plain uncached forward."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vla.decoding.token_decoder import Choice, TokenDecoder
from vla.embodiment import CameraSpec
from vla.interfaces import Grammar
from vla.model.compact import CompactBackbone, CompactConfig, Prefix
from vla.model.vla_model import TOKEN_HEADS, Head, VlaModel, Vocabulary
from vla.tokens.bins import BinTokenizer
from vla.tokens.ranges import ActionRanges

RANGES = ActionRanges.of(-np.ones(2), np.ones(2))
TOKENIZER = BinTokenizer(RANGES, num_bins=7, horizon=3)
CAMERA = CameraSpec("scene", 8, 8)
TOLERANCE = 1e-5
BFLOAT16_TOLERANCE = 0.05
"""Of a log-probability, cached against uncached: each logit is rounded to three digits."""


def _model(head: Head) -> VlaModel:
    torch.manual_seed(0)
    config = CompactConfig(width=32, layers=2, heads=2, mlp_ratio=2, channels=8, text_tokens=4)
    return VlaModel(CompactBackbone(config, [CAMERA], 3, 20), head, Vocabulary(20, 7), 6).eval()


def _prefix(model: VlaModel, batch: int) -> Prefix:
    random = torch.Generator().manual_seed(2)
    image = torch.randint(0, 256, (batch, 8, 8, 3), generator=random).to(torch.uint8)
    is_padding = torch.zeros(batch, 4, dtype=torch.bool)
    is_padding[:, 3:] = True
    with torch.no_grad():
        return model.backbone.embed(
            {"scene": image}, torch.ones(batch, 4, dtype=torch.int64), is_padding, torch.randn(batch, 3)
        )


@pytest.mark.parametrize("head", TOKEN_HEADS)
@pytest.mark.parametrize("batch", [1, 5])
def test_decoded_tokens_have_the_uncached_log_probabilities(head: Head, batch: int) -> None:
    model = _model(head)
    prefix = _prefix(model, batch)
    decoded = TokenDecoder(model, TOKENIZER.grammar()).decode(prefix)
    with torch.no_grad():
        logits = model(prefix, decoded.ids)[..., model.vocabulary.num_text :]
    plain = logits.log_softmax(-1).gather(2, decoded.ids[..., None])[..., 0]
    torch.testing.assert_close(decoded.log_probability, plain, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("head", TOKEN_HEADS)
def test_in_bfloat16_the_log_probabilities_are_the_uncached_ones_within_rounding(head: Head) -> None:
    model, prefix = _model(head).to(torch.bfloat16), _prefix(_model(head), 5)
    prefix = Prefix(prefix.tokens.to(torch.bfloat16), prefix.is_padding, prefix.grounding)
    decoded = TokenDecoder(model, TOKENIZER.grammar()).decode(prefix)
    with torch.no_grad():
        logits = model(prefix, decoded.ids)[..., model.vocabulary.num_text :].float()
    plain = logits.log_softmax(-1).gather(2, decoded.ids[..., None])[..., 0]
    torch.testing.assert_close(decoded.log_probability, plain, atol=BFLOAT16_TOLERANCE, rtol=0)


@pytest.mark.parametrize("head", TOKEN_HEADS)
def test_decoded_tokens_are_the_most_likely_ones(head: Head) -> None:
    model = _model(head)
    prefix = _prefix(model, 5)
    decoded = TokenDecoder(model, TOKENIZER.grammar()).decode(prefix)
    with torch.no_grad():
        logits = model(prefix, decoded.ids)[..., model.vocabulary.num_text :]
    assert torch.equal(logits.argmax(-1), decoded.ids)


@pytest.mark.parametrize("head", TOKEN_HEADS)
def test_a_forced_beginning_stays_and_the_rest_is_what_follows_from_it(head: Head) -> None:
    model = _model(head)
    prefix = _prefix(model, 2)
    forced = torch.tensor([[6, 0], [1, 1]])
    decoded = TokenDecoder(model, TOKENIZER.grammar()).decode(prefix, forced)
    shown = torch.cat([forced, forced.new_full((2, 4), -1)], dim=1)
    with torch.no_grad():
        logits = model(prefix, decoded.ids, shown)[..., model.vocabulary.num_text :]
    assert torch.equal(decoded.ids[:, :2], forced)
    assert torch.equal(logits.argmax(-1)[:, 2:], decoded.ids[:, 2:])


@pytest.mark.parametrize("head", TOKEN_HEADS)
def test_only_ids_that_the_grammar_allows_are_chosen(head: Head) -> None:
    model = _model(head)
    grammar = TOKENIZER.grammar()
    next_state = grammar.next_state.copy()
    next_state[:, 1:] = -1  # only id 0 is allowed, wherever
    only_zero = Grammar(next_state, grammar.accepting, grammar.max_tokens)
    decoded = TokenDecoder(model, only_zero).decode(_prefix(model, 3))
    assert (decoded.ids == 0).all()
    torch.testing.assert_close(decoded.entropy, torch.zeros_like(decoded.entropy))


def test_a_grammar_of_another_vocabulary_is_refused() -> None:
    other = BinTokenizer(RANGES, num_bins=9, horizon=3)
    with pytest.raises(ValueError, match="9 action tokens, the model of 7"):
        TokenDecoder(_model(Head.SLOTS), other.grammar())


@pytest.mark.parametrize("head", TOKEN_HEADS)
def test_the_median_has_the_least_expected_distance(head: Head) -> None:
    model = _model(head)
    prefix = _prefix(model, 5)
    decoded = TokenDecoder(model, TOKENIZER.grammar(), Choice.MEDIAN).decode(prefix)
    with torch.no_grad():
        logits = model(prefix, decoded.ids)[..., model.vocabulary.num_text :]
    distance = (torch.arange(7)[:, None] - torch.arange(7)[None, :]).abs().float()
    expected = logits.softmax(-1) @ distance  # (batch, tokens, candidates)
    assert torch.equal(expected.argmin(-1), decoded.ids)


def test_the_median_is_an_allowed_id_even_at_the_edge() -> None:
    model = _model(Head.SLOTS)
    grammar = TOKENIZER.grammar()
    next_state = grammar.next_state.copy()
    next_state[:, [0, 1, 2, 4, 5, 6]] = -1  # only id 3 is allowed, wherever
    only_three = Grammar(next_state, grammar.accepting, grammar.max_tokens)
    assert (TokenDecoder(model, only_three, Choice.MEDIAN).decode(_prefix(model, 3)).ids == 3).all()
