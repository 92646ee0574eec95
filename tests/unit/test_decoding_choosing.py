"""How ids are taken from logits: draws, temperature, ends for want of certainty, logits that are no numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vla.decoding.choosing import Choice, Chooser
from vla.decoding.grammar_table import GrammarTable, distance_to_end
from vla.decoding.tape import Tape
from vla.decoding.token_decoder import TokenDecoder
from vla.embodiment import CameraSpec
from vla.errors import ActionError
from vla.interfaces import Grammar
from vla.model.compact import CompactBackbone, CompactConfig, Prefix
from vla.model.vla_model import TOKEN_HEADS, Head, VlaModel, Vocabulary
from vla.tokens.bins import line_grammar

CPU = torch.device("cpu")


def make_model(head: Head, num_bins: int = 7, num_tokens: int = 6) -> VlaModel:
    torch.manual_seed(0)
    config = CompactConfig(width=32, layers=1, heads=2, mlp_ratio=2, channels=8, text_tokens=4)
    backbone = CompactBackbone(config, [CameraSpec("scene", 8, 8)], 3, 20)
    return VlaModel(backbone, head, Vocabulary(20, num_bins), num_tokens).eval()


def make_prefix(batch: int) -> Prefix:
    tokens = torch.randn(batch, 9, 32, generator=torch.Generator().manual_seed(1))
    return Prefix(tokens, torch.zeros(batch, 9, dtype=torch.bool), torch.zeros(batch, 2, 4))


def prefixes_grammar(num_tokens: int, num_bins: int) -> Grammar:
    """As ordered tokens have: a sequence may end after any token."""
    line = line_grammar(num_tokens, num_bins)
    return Grammar(line.next_state, np.arange(num_tokens + 1) > 0, num_tokens)


def test_drawn_ids_come_as_often_as_their_probability() -> None:
    logits = torch.log(torch.tensor([0.1, 0.2, 0.0, 0.3, 0.4])).expand(20_000, -1)
    allowed = torch.tensor([True, True, True, False, True]).expand(20_000, -1)
    chooser = Chooser(Choice.SAMPLE)
    draws = chooser.draws(20_000, 1, torch.Generator().manual_seed(0))[:, 0]
    ids = chooser.choose(chooser.mask(logits, allowed), allowed, draws)
    counts = torch.bincount(ids, minlength=5) / 20_000
    torch.testing.assert_close(counts, torch.tensor([1, 2, 0, 0, 4]) / 7, atol=0.01, rtol=0)


@pytest.mark.parametrize("choice", Choice)
@pytest.mark.parametrize("draw", [1e-45, 0.5, 1.0])
def test_only_an_allowed_id_is_taken_wherever_the_draw_lies(choice: Choice, draw: float) -> None:
    allowed = torch.tensor([False, False, True, False, True, False])
    chooser = Chooser(choice)
    masked = chooser.mask(torch.tensor([9.0, 9.0, -50.0, 9.0, -50.0, 9.0]), allowed)
    assert allowed[chooser.choose(masked[None], allowed[None], torch.tensor([draw]))].all()


def test_a_low_temperature_makes_the_most_likely_ids_certain() -> None:
    model, grammar = make_model(Head.AUTOREGRESSIVE), line_grammar(6, 7)
    mode = TokenDecoder(model, grammar).decode(make_prefix(4))
    cold = TokenDecoder(model, grammar, Choice.SAMPLE, temperature=1e-4).decode(make_prefix(4))
    assert torch.equal(cold.ids, mode.ids)
    assert (cold.log_probability > -1e-3).all()
    assert (cold.entropy < mode.entropy).all()


def test_a_temperature_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match=r"temperature must be positive, got 0.0; the most likely id is Choice.MODE"):
        TokenDecoder(make_model(Head.SLOTS), line_grammar(6, 7), temperature=0.0)


def test_a_row_s_draws_come_from_its_own_generator() -> None:
    decoder = TokenDecoder(make_model(Head.AUTOREGRESSIVE), line_grammar(6, 7), Choice.SAMPLE)
    both = decoder.decode(make_prefix(2), None, [torch.Generator().manual_seed(seed) for seed in (3, 4)])
    turned = decoder.decode(make_prefix(2), None, [torch.Generator().manual_seed(seed) for seed in (3, 5)])
    assert torch.equal(both.ids[0], turned.ids[0])
    assert not torch.equal(both.ids[1], turned.ids[1])


def test_too_few_generators_are_refused() -> None:
    decoder = TokenDecoder(make_model(Head.SLOTS), line_grammar(6, 7), Choice.SAMPLE)
    with pytest.raises(ValueError, match="one for each of 3 rows, got 2"):
        decoder.decode(make_prefix(3), None, [torch.Generator(), torch.Generator()])


@pytest.mark.parametrize("head", TOKEN_HEADS)
def test_a_sequence_ends_where_the_next_id_is_uncertain(head: Head) -> None:
    model, grammar = make_model(head), prefixes_grammar(6, 7)
    whole = TokenDecoder(model, grammar).decode(make_prefix(8))
    limit = float(whole.entropy[:, 1:].median())
    ended = TokenDecoder(model, grammar, stop_entropy=limit).decode(make_prefix(8))
    assert (whole.lengths == 6).all()
    for row in range(8):
        length = int(ended.lengths[row])
        assert torch.equal(ended.ids[row, :length], whole.ids[row, :length])
        assert (whole.entropy[row, 1:length] <= limit).all()
        assert length == 6 or whole.entropy[row, length] > limit


def test_a_budget_cuts_ordered_tokens_where_it_is_spent() -> None:
    decoder = TokenDecoder(make_model(Head.AUTOREGRESSIVE), prefixes_grammar(6, 7), max_tokens=2)
    decoded = decoder.decode(make_prefix(2))
    assert decoded.ids.shape == (2, 2)
    assert decoded.num_passes == 2


@pytest.mark.parametrize("head", TOKEN_HEADS)
def test_logits_that_are_no_numbers_are_an_error(head: Head) -> None:
    model = make_model(head)
    model.logits.bias.data[20 + 2] = torch.nan
    with pytest.raises(ActionError, match="the model's logits of token 0 of row 0 are not finite"):
        TokenDecoder(model, line_grammar(6, 7)).decode(make_prefix(2))


def test_forced_ids_behind_a_gap_are_refused() -> None:
    with pytest.raises(ActionError, match="does not allow the forced id 3 at place 2 of row 0"):
        TokenDecoder(make_model(Head.SLOTS), line_grammar(6, 7)).decode(make_prefix(1), torch.tensor([[1, -1, 3]]))


def test_more_forced_ids_than_the_budget_are_refused() -> None:
    decoder = TokenDecoder(make_model(Head.SLOTS), prefixes_grammar(6, 7), max_tokens=2)
    with pytest.raises(ActionError, match="does not allow the forced id 1 at place 2 of row 0"):
        decoder.decode(make_prefix(1), torch.tensor([[1, 1, 1]]))


def test_forced_ids_of_another_number_of_rows_are_refused() -> None:
    with pytest.raises(ActionError, match="expected forced ids for 2 rows, got 1"):
        TokenDecoder(make_model(Head.SLOTS), line_grammar(6, 7)).decode(make_prefix(2), torch.tensor([[1]]))


def test_a_grammar_of_longer_sequences_than_the_model_s_is_refused() -> None:
    with pytest.raises(ValueError, match="sequences of 8 tokens, the model predicts 6"):
        TokenDecoder(make_model(Head.SLOTS), line_grammar(8, 7))


def test_the_distance_to_an_end_is_that_of_the_shortest_way() -> None:
    next_state = np.array([[1, 2], [3, -1], [1, 3], [-1, -1], [0, -1]], np.int32)
    grammar = Grammar(next_state, np.array([False, False, False, True, False]), 4)
    assert distance_to_end(grammar).tolist() == [2, 1, 1, 0, 3]


def test_states_that_no_choice_changes_are_known_beforehand() -> None:
    table = GrammarTable.build(line_grammar(3, 4), None, CPU)
    assert table.line is not None
    assert table.line.tolist() == [0, 1, 2]
    branching = Grammar(np.array([[1, 2], [2, -1], [-1, -1]], np.int32), np.array([False, False, True]), 2)
    assert GrammarTable.build(branching, None, CPU).line is None


def test_steps_too_many_write_padding() -> None:
    table, chooser = GrammarTable.build(line_grammar(2, 3), None, CPU), Chooser()
    tape = Tape.allocate(1, 4, 3, CPU)
    for _ in range(4):
        tape.write(table, chooser, torch.tensor([[0.0, 1.0, 0.0]]))
    assert tape.ids.tolist() == [[1, 1, -1, -1]]
    assert tape.has_ended(table)
