from __future__ import annotations

import numpy as np
import pytest
import torch

from vla.errors import ActionError
from vla.tokens.layouts import TokenLayout, added, llama_tail, paligemma_tail

_LAYOUTS = [llama_tail(32000), paligemma_tail(257152, 1024), added(151665, 256)]


def test_openvla_has_the_last_256_tokens_of_llama() -> None:
    layout = llama_tail(32000)
    assert (layout.lowest, layout.highest) == (31744, 31999)


def test_openvlas_code_is_the_vocabulary_minus_what_digitize_gives() -> None:
    values = np.linspace(-1, 1, 10001)
    code = np.digitize(values, np.linspace(-1, 1, 256))
    np.testing.assert_array_equal(llama_tail(32000).tokens(code - 1), 32000 - code)


def test_rows_of_padding_come_off_the_vocabulary() -> None:
    assert llama_tail(32064, pad_to_multiple_of=64) == llama_tail(32000)


def test_paligemma_leaves_its_last_128_tokens_alone() -> None:
    codes = np.arange(2048)
    np.testing.assert_array_equal(paligemma_tail(257152, 2048).tokens(codes), 257152 - 1 - 128 - codes)


def test_added_tokens_stand_behind_the_vocabulary() -> None:
    layout = added(151665, 256)
    assert (layout.first, layout.highest) == (151665, 151920)


@pytest.mark.parametrize("layout", _LAYOUTS)
def test_tokens_lead_back_to_their_ids(layout: TokenLayout) -> None:
    ids = np.arange(layout.num_ids)
    np.testing.assert_array_equal(layout.ids(layout.tokens(ids)), ids)


@pytest.mark.parametrize("layout", _LAYOUTS)
def test_tensors_do_as_arrays_do(layout: TokenLayout) -> None:
    ids = torch.arange(layout.num_ids).reshape(2, -1)
    tokens = layout.tokens(ids)
    assert tokens.tolist() == layout.tokens(ids.numpy()).tolist()
    assert torch.equal(layout.ids(tokens), ids)


def test_a_token_that_is_no_action_token_is_refused() -> None:
    with pytest.raises(ActionError, match="action tokens are 31744 to 31999, got 29871"):
        llama_tail(32000).ids(np.array([[31999, 29871]]))
    with pytest.raises(ActionError, match="action tokens are 31744 to 31999, got 32000"):
        llama_tail(32000).ids(torch.tensor([32000]))


def test_an_id_that_the_layout_has_no_token_for_is_refused() -> None:
    with pytest.raises(ActionError, match="action ids are 0 to 255, got 256"):
        llama_tail(32000).tokens(np.array([256]))
    with pytest.raises(ActionError, match="action ids are 0 to 255, got -1"):
        added(100, 256).tokens(np.array([3, -1]))


def test_more_ids_than_the_vocabulary_holds_are_refused() -> None:
    with pytest.raises(ValueError, match="fit the vocabulary"):
        llama_tail(200)
