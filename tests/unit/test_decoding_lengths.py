"""Rows of different lengths, forced beginnings and budgets, on a grammar of remaining coefficients."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vla.decoding.token_decoder import Choice, TokenDecoder
from vla.embodiment import CameraSpec
from vla.errors import ActionError
from vla.interfaces import Grammar
from vla.model.compact import CompactBackbone, CompactConfig, Prefix
from vla.model.vla_model import TOKEN_HEADS, Head, VlaModel, Vocabulary

BUDGET = 6
LENGTHS = np.array([1, 1, 2, 3, 5])
"""How many coefficients each id stands for."""


def remaining_grammar() -> Grammar:
    """State s has s coefficients already; an id may come if it does not exceed the rest."""
    after = np.arange(BUDGET + 1)[:, None] + LENGTHS
    accepting = np.arange(BUDGET + 1) == BUDGET
    return Grammar(np.where(after <= BUDGET, after, -1).astype(np.int32), accepting, BUDGET)


def make_model(head: Head) -> VlaModel:
    torch.manual_seed(0)
    config = CompactConfig(width=32, layers=2, heads=2, mlp_ratio=2, channels=8, text_tokens=4)
    backbone = CompactBackbone(config, [CameraSpec("scene", 8, 8)], 3, 20)
    return VlaModel(backbone, head, Vocabulary(20, len(LENGTHS)), BUDGET).eval()


def make_prefix(batch: int) -> Prefix:
    tokens = torch.randn(batch, 9, 32, generator=torch.Generator().manual_seed(1))
    return Prefix(tokens, torch.zeros(batch, 9, dtype=torch.bool), torch.zeros(batch, 2, 4))


def sizes(ids: torch.Tensor) -> list[int]:
    return [int(LENGTHS[row[row >= 0]].sum()) for row in ids.numpy()]


@pytest.mark.parametrize("head", TOKEN_HEADS)
@pytest.mark.parametrize("choice", Choice)
def test_every_row_ends_where_its_grammar_accepts(head: Head, choice: Choice) -> None:
    decoded = TokenDecoder(make_model(head), remaining_grammar(), choice).decode(make_prefix(16))
    assert sizes(decoded.ids) == [BUDGET] * 16


@pytest.mark.parametrize("head", TOKEN_HEADS)
def test_behind_its_end_a_row_holds_padding_without_probability(head: Head) -> None:
    decoded = TokenDecoder(make_model(head), remaining_grammar(), Choice.SAMPLE).decode(make_prefix(16))
    behind = torch.arange(BUDGET) >= decoded.lengths[:, None]
    assert behind.any()
    assert (decoded.ids[behind] == -1).all()
    assert (decoded.log_probability[behind] == 0).all()
    assert (decoded.entropy[behind] == 0).all()


@pytest.mark.parametrize("head", TOKEN_HEADS)
def test_rows_may_force_beginnings_of_different_lengths(head: Head) -> None:
    forced = torch.tensor([[4, 0], [3, -1], [-1, -1]])
    ids = TokenDecoder(make_model(head), remaining_grammar()).decode(make_prefix(3), forced).ids
    assert ids[0].tolist() == [4, 0, -1, -1, -1, -1]
    assert ids[1, 0] == 3
    assert sizes(ids) == [BUDGET] * 3


def test_forced_ids_that_the_grammar_does_not_allow_are_refused() -> None:
    with pytest.raises(ActionError, match="does not allow the forced id 4 at place 1 of row 1"):
        TokenDecoder(make_model(Head.SLOTS), remaining_grammar()).decode(make_prefix(2), torch.tensor([[0, 0], [3, 4]]))


@pytest.mark.parametrize("head", TOKEN_HEADS)
@pytest.mark.parametrize("max_tokens", [2, 3])
def test_a_budget_is_kept_and_still_ends_where_the_grammar_accepts(head: Head, max_tokens: int) -> None:
    decoder = TokenDecoder(make_model(head), remaining_grammar(), Choice.SAMPLE, max_tokens=max_tokens)
    ids = decoder.decode(make_prefix(16)).ids
    assert ids.shape == (16, max_tokens)
    assert sizes(ids) == [BUDGET] * 16


def test_a_budget_that_no_sequence_fits_into_is_refused() -> None:
    with pytest.raises(ValueError, match="ends within 1 tokens: it takes at least 2"):
        TokenDecoder(make_model(Head.SLOTS), remaining_grammar(), max_tokens=1)


def test_the_same_generator_draws_the_same_tokens() -> None:
    decoder = TokenDecoder(make_model(Head.AUTOREGRESSIVE), remaining_grammar(), Choice.SAMPLE)
    one, other = (decoder.decode(make_prefix(8), None, torch.Generator().manual_seed(5)).ids for _ in range(2))
    assert torch.equal(one, other)
