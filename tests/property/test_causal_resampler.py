"""The resampler over time: tokens of a control step read the frames up to it, and nothing later."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from vla.errors import ConfigError
from vla.model.causal_resampler import CausalResampler

SEEN, WIDTH, QUERIES, TOKENS, HISTORY = 6, 8, 3, 5, 4


def made() -> CausalResampler:
    torch.manual_seed(0)
    return CausalResampler(SEEN, WIDTH, QUERIES, HISTORY).eval()


def frames(count: int) -> tuple[Tensor, Tensor]:
    x = torch.randn(2, count, TOKENS, SEEN, generator=torch.Generator().manual_seed(1))
    return x, torch.zeros(2, count, TOKENS, dtype=torch.bool)


@settings(max_examples=30)
@given(count=st.integers(2, 7), data=st.data())
@torch.no_grad()
def test_a_later_frame_never_changes_the_tokens_of_an_earlier_time(count: int, data: st.DataObject) -> None:
    later = data.draw(st.integers(1, count - 1))
    resampler, (x, is_padding) = made(), frames(count)
    other = x.clone()
    other[:, later:] = other[:, later:] * -3 + 1
    before, after = resampler.at_all_times(x, is_padding), resampler.at_all_times(other, is_padding)
    assert before.shape == (2, count, QUERIES, WIDTH)
    assert torch.equal(before[:, :later], after[:, :later])
    assert (before[:, later:] - after[:, later:]).abs().amax((-1, -2)).min() > 1e-3


@torch.no_grad()
def test_a_control_steps_tokens_are_the_same_in_any_window_that_holds_its_history() -> None:
    resampler, (x, is_padding) = made(), frames(7)
    of_all = resampler.at_all_times(x, is_padding)
    for time in range(HISTORY - 1, 7):
        window = slice(time + 1 - HISTORY, time + 1)
        alone, hidden = resampler.over_time(x[:, window], is_padding[:, window])
        torch.testing.assert_close(alone, of_all[:, time])
        assert not hidden.any()


@torch.no_grad()
def test_every_frame_of_the_window_counts_and_so_does_their_order() -> None:
    resampler, (x, is_padding) = made(), frames(HISTORY)
    found, _ = resampler.over_time(x, is_padding)
    for frame in range(HISTORY):
        other = x.clone()
        other[:, frame] *= -1
        assert (resampler.over_time(other, is_padding)[0] - found).abs().max() > 1e-3
    swapped = x[:, [1, 0, *range(2, HISTORY)]]
    assert (resampler.over_time(swapped, is_padding)[0] - found).abs().max() > 1e-4


@torch.no_grad()
def test_frames_of_before_the_episode_are_not_read() -> None:
    resampler, (x, is_padding) = made(), frames(HISTORY)
    is_padding[:, :2] = True
    other = torch.where(is_padding[..., None], x + 9.0, x)
    found, _ = resampler.over_time(x, is_padding)
    torch.testing.assert_close(resampler.over_time(other, is_padding)[0], found)
    torch.testing.assert_close(resampler.over_time(x[:, 2:], is_padding[:, 2:])[0], found)


def test_a_window_of_no_frames_is_refused() -> None:
    with pytest.raises(ConfigError, match="got history=0"):
        CausalResampler(SEEN, WIDTH, QUERIES, 0)
