from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vla.tokens.state import StateTokenizer

tokenizers = st.builds(StateTokenizer, st.integers(2, 512), st.floats(0.1, 10.0))


@given(tokenizers, st.lists(st.floats(-1.0, 1.0), min_size=1, max_size=12))
def test_a_number_inside_the_span_comes_back_to_within_half_a_bin(
    tokenizer: StateTokenizer, ratio: list[float]
) -> None:
    state = torch.tensor(ratio) * tokenizer.span
    half_bin = tokenizer.span / tokenizer.num_bins
    assert ((tokenizer.decode(tokenizer.encode(state)) - state).abs() <= half_bin * 1.0001).all()


@given(tokenizers, st.lists(st.floats(-(2.0**60), 2.0**60, width=32), min_size=1, max_size=12))
def test_every_finite_number_has_a_bin(tokenizer: StateTokenizer, state: list[float]) -> None:
    ids = tokenizer.encode(torch.tensor(state))
    assert (ids >= 0).all()
    assert (ids < tokenizer.num_bins).all()


def test_a_span_of_one_gives_the_published_ids() -> None:
    state = np.linspace(-1.0, 1.0, 1001)[:-1]
    published = np.digitize(state, np.linspace(-1, 1, 257)[:-1]) - 1
    assert StateTokenizer(span=1.0).encode(torch.from_numpy(state)).tolist() == published.tolist()


def test_ids_stand_in_a_prompt_as_numbers() -> None:
    assert StateTokenizer.as_words(torch.tensor([12, 240, 7])) == "12 240 7"


@pytest.mark.parametrize(("bins", "span"), [(1, 1.0), (8, 0.0), (8, float("nan"))])
def test_bins_without_a_width_are_refused(bins: int, span: float) -> None:
    with pytest.raises(ValueError, match="num_bins >= 2 and span > 0"):
        StateTokenizer(bins, span)
