from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from vla.errors import ConfigError, DataError
from vla.model.transformer import Transformer
from vla_policies.packing import (
    EMBEDDED,
    IGNORED,
    Overlong,
    PackedRows,
    PackingConfig,
    TokenSequence,
    blocked,
    loss_by_source,
    pack_rows,
    token_sequence,
)
from vla_policies.row_filling import Entry, FillCounts, RowFilling

ROW = 24
LENGTHS = st.lists(st.tuples(st.integers(0, 10), st.integers(0, 9)), min_size=1, max_size=30)
"""Of prefix and of what is behind it; a sequence has one token more, in its prefix."""


def sequences(lengths: list[tuple[int, int]]) -> list[TokenSequence]:
    """Sequences whose ids are all different, some with places for embeddings."""
    ids = itertools.count(1)
    made = []
    for number, (prefix, suffix) in enumerate(lengths):
        parts = [number % 3, np.array([next(ids) for _ in range(prefix + 1)])]
        made.append(token_sequence(parts, np.array([next(ids) for _ in range(suffix)], np.int64), number % 3))
    return made


def packed(made: list[TokenSequence], open_rows: int = 3) -> PackedRows:
    filling = RowFilling(PackingConfig(ROW, open_rows))
    rows = [row for position, one in enumerate(made) for row in filling.add(Entry(position, one))] + filling.finish()
    return pack_rows([[entry.sequence for entry in row] for row in rows], ROW)


@given(LENGTHS, st.integers(1, 5))
def test_every_token_of_every_sequence_is_there_once(lengths: list[tuple[int, int]], open_rows: int) -> None:
    made = sequences(lengths)
    rows = packed(made, open_rows)
    there = sorted(rows.tokens[rows.segment > 0].tolist())
    assert there == sorted(np.concatenate([one.tokens for one in made]).tolist())
    for row, own in enumerate(rows.sequences):
        for segment, sequence in enumerate(own, start=1):
            here = rows.segment[row] == segment
            assert rows.tokens[row][here].tolist() == sequence.tokens.tolist()
            assert rows.position[row][here].tolist() == list(range(len(sequence)))
            assert set(rows.source[row][here].tolist()) == {sequence.source}


@given(LENGTHS)
def test_every_counted_token_is_predicted_once_by_the_one_before_it(lengths: list[tuple[int, int]]) -> None:
    made = sequences(lengths)
    rows = packed(made)
    assert sorted(rows.target[rows.target != IGNORED].tolist()) == sorted(
        token for one in made for token in one.tokens[one.counts].tolist()
    )
    row, place = (rows.target != IGNORED).nonzero(as_tuple=True)
    assert torch.equal(rows.target[row, place], rows.tokens[row, place + 1])
    assert torch.equal(rows.segment[row, place], rows.segment[row, place + 1])


@given(LENGTHS, st.booleans())
def test_who_attends_to_whom_is_as_drawn(lengths: list[tuple[int, int]], is_prefix_causal: bool) -> None:
    rows = packed(sequences(lengths))
    attends = ~blocked(rows, is_prefix_causal=is_prefix_causal)[:, 0]
    for row in range(len(rows.tokens)):
        for query, key in itertools.product(range(ROW), repeat=2):
            is_same = rows.segment[row, query] == rows.segment[row, key] != 0
            both = bool(rows.is_prefix[row, query] & rows.is_prefix[row, key]) and not is_prefix_causal
            assert bool(attends[row, query, key]) == (query == key or bool(is_same and (key < query or both)))
        if row == 1:
            break


class Tiny(nn.Module):
    """Ids and positions embedded, a transformer, hidden states."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(1200, 16), nn.Embedding(ROW, 16)
        self.transformer = Transformer(16, layers=2, heads=2, mlp_ratio=2)

    def forward(self, rows: PackedRows, is_prefix_causal: bool) -> torch.Tensor:
        x = self.tokens(rows.tokens - EMBEDDED) + self.positions(rows.position)
        return self.transformer(x, blocked(rows, is_prefix_causal=is_prefix_causal))


@pytest.mark.parametrize("is_prefix_causal", [False, True])
@pytest.mark.parametrize("with_gradient", [False, True])
def test_a_packed_forward_is_that_of_each_sequence_alone(is_prefix_causal: bool, with_gradient: bool) -> None:
    torch.manual_seed(0)
    generator, model = np.random.default_rng(0), Tiny()
    made = sequences([tuple(pair) for pair in generator.integers(0, 10, (40, 2)).tolist()])
    rows = packed(made)
    with torch.set_grad_enabled(with_gradient):
        together = model(rows, is_prefix_causal)
        assert torch.isfinite(together).all()
        for row, own in enumerate(rows.sequences):
            for segment, sequence in enumerate(own, start=1):
                alone = model(pack_rows([[sequence]], len(sequence)), is_prefix_causal)[0]
                torch.testing.assert_close(together[row][rows.segment[row] == segment], alone, rtol=1e-5, atol=1e-5)


def test_a_source_without_a_prefix_packs_too() -> None:
    rows = pack_rows([[token_sequence([], np.array([5, 6, 7]), 0)]], 4)
    assert rows.target.tolist() == [[6, 7, IGNORED, IGNORED]]


def test_losses_are_told_apart_by_source() -> None:
    made = [token_sequence([1], np.array([4, 4]), 0), token_sequence([1], np.array([4]), 2)]
    rows = pack_rows([made], 8)
    mean, counts = loss_by_source(torch.arange(8.0)[None], rows, 3)
    assert counts.tolist() == [2, 0, 1]
    assert mean.tolist() == [0.5, 0.0, 3.0]


def test_tokens_that_do_not_count_are_no_targets() -> None:
    one = token_sequence([np.array([1])], np.array([4, 5]), 0, counts=np.array([True, False]))
    assert pack_rows([[one]], 4).target.tolist() == [[4, IGNORED, IGNORED, IGNORED]]


@given(LENGTHS, st.integers(1, 5), st.integers(0, 30))
def test_a_filling_goes_on_from_its_open_rows(lengths: list[tuple[int, int]], open_rows: int, stop: int) -> None:
    entries = [Entry(i, sequence) for i, sequence in enumerate(sequences(lengths))]
    whole, config = RowFilling(PackingConfig(ROW, open_rows)), PackingConfig(ROW, open_rows)
    done = [row for entry in entries for row in whole.add(entry)] + whole.finish()
    first, second = RowFilling(config), RowFilling(config)
    before = [row for entry in entries[:stop] for row in first.add(entry)]
    second.reopen(first.open_rows)
    second.counts = FillCounts.from_json(first.counts.to_json())
    after = [row for entry in entries[stop:] for row in second.add(entry)] + second.finish()
    assert before + after == done
    assert second.counts == whole.counts


def test_more_open_rows_waste_fewer_places() -> None:
    generator = np.random.default_rng(0)
    made = sequences([tuple(pair) for pair in generator.integers(0, 10, (300, 2)).tolist()])
    fills = [packed(made, open_rows).fill for open_rows in (1, 4, 16)]
    assert fills == sorted(fills)
    assert fills[-1] > 0.85


def test_a_sequence_longer_than_a_row_is_refused_by_name() -> None:
    one = token_sequence([30], np.array([1]), 0, name="item 7 of source 'web'")
    with pytest.raises(DataError, match="item 7 of source 'web' has 31 tokens, a row 24: give rows more tokens"):
        RowFilling(PackingConfig(ROW)).add(Entry(0, one))


def test_a_sequence_longer_than_a_row_is_left_out_and_counted_if_that_is_chosen() -> None:
    filling = RowFilling(PackingConfig(ROW, overlong=Overlong.DROP))
    assert filling.add(Entry(0, token_sequence([30], np.array([1]), 2))) == []
    assert (filling.counts.dropped, filling.finish()) == ({2: 1}, [])


def test_a_row_that_is_too_short_for_its_sequences_is_refused() -> None:
    with pytest.raises(ConfigError, match="a row has 2 places, its sequences need 3"):
        pack_rows([[token_sequence([2], np.array([1]), 0)]], 2)


@pytest.mark.parametrize(
    ("tokens", "num_prefix", "counts", "message"),
    [
        ([1, 2], 3, [False, False], "3 of 2 tokens cannot be its prefix"),
        ([1, 2], 1, [True, True], "only tokens behind the prefix can count"),
        ([1, EMBEDDED], 1, [False, True], "behind the prefix there are ids ≥ 0 alone"),
    ],
)
def test_a_sequence_that_makes_no_sense_is_refused(
    tokens: list[int], num_prefix: int, counts: list[bool], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        TokenSequence(np.array(tokens), num_prefix, np.array(counts), 0)
