"""A policy whose decisions are kept acts as it does without; what is kept is what was decided."""

from __future__ import annotations

import numpy as np
import pytest

from vla.testing import SMALL_EMBODIMENT, check_policy, make_observation
from vla.testing.fakes import FakePolicy
from vla_policies.checkpoint import Checkpoint
from vla_policies.decisions import DecidingPolicy, Decisions
from vla_policies.token_policy import TokenPolicy


@pytest.fixture(params=["small_checkpoint", "autoregressive_checkpoint"])
def policy(request: pytest.FixtureRequest) -> TokenPolicy:
    checkpoint: Checkpoint = request.getfixturevalue(request.param)
    return TokenPolicy(checkpoint, device="cpu", batch_size=2)


OBSERVATIONS = [make_observation(SMALL_EMBODIMENT, seed) for seed in range(3)]


def test_it_keeps_the_policy_contract(policy: TokenPolicy) -> None:
    check_policy(lambda: Decisions(policy))
    check_policy(lambda: Decisions(FakePolicy()))


def test_what_is_done_is_the_same_to_the_last_bit(policy: TokenPolicy) -> None:
    alone = policy.predict(OBSERVATIONS)
    watched = Decisions(policy).predict(OBSERVATIONS)
    assert [chunk.actions.tobytes() for chunk in alone] == [chunk.actions.tobytes() for chunk in watched]


def test_decisions_are_kept_by_slot_until_its_reset(policy: TokenPolicy) -> None:
    kept = Decisions(policy)
    kept.reset([1, 2], [0, 5])
    chunks = kept.predict(OBSERVATIONS[:2], [0, 5])
    kept.predict(OBSERVATIONS[2:], [5])
    kept.reset([3], [0])
    assert kept.finish(0) == []
    first, second = kept.finish(5)
    assert first.chunk is chunks[1]
    assert (first.time_s, second.time_s) == (OBSERVATIONS[1].time_s, OBSERVATIONS[2].time_s)
    assert first.observation is None
    assert kept.finish(5) == []


def test_the_tokens_are_those_that_the_chunk_was_made_of(policy: TokenPolicy, small_checkpoint: Checkpoint) -> None:
    chunks, tokens = policy.predict_with_tokens(OBSERVATIONS)
    for chunk, own in zip(chunks, tokens, strict=True):
        decoded = small_checkpoint.action_tokenizer.decode([int(index) for index in own.ids])
        np.testing.assert_array_equal(chunk.actions, decoded)
        assert len(own.ids) == len(own.probability) == len(own.entropy)
        assert ((own.probability > 0) & (own.probability <= 1)).all()
    assert policy.token_grid == tuple(field.name for field in SMALL_EMBODIMENT.action)


def test_tokens_of_its_own_are_as_likely_as_when_it_chose_them(policy: TokenPolicy) -> None:
    _, tokens = policy.predict_with_tokens(OBSERVATIONS)
    found = policy.token_log_probability(OBSERVATIONS, [own.ids for own in tokens])
    np.testing.assert_allclose(found, [np.log(own.probability).mean() for own in tokens], rtol=1e-5)


def test_no_token_is_read_before_it_is_scored(policy: TokenPolicy) -> None:
    """Over all ids that the last place may hold, the probabilities come to one: a model that knew it would be surer."""
    _, (own,) = policy.predict_with_tokens(OBSERVATIONS[:1])
    every = [np.append(own.ids[:-1], index) for index in range(9)]
    sums = policy.token_log_probability(OBSERVATIONS[:1] * 9, every) * len(own.ids)
    others = np.log(own.probability[:-1]).sum()
    np.testing.assert_allclose(np.exp(sums - others).sum(), 1, rtol=1e-3)


def test_committed_actions_count_as_known(policy: TokenPolicy) -> None:
    committed = [np.zeros((1, SMALL_EMBODIMENT.action_dim), np.float32)]
    chunks, (own,) = policy.predict_with_tokens(OBSERVATIONS[:1], committed)
    np.testing.assert_array_equal(chunks[0].actions[:1], committed[0])
    found = policy.token_log_probability(OBSERVATIONS[:1], [own.ids], committed)
    np.testing.assert_allclose(found, np.log(own.probability).mean(), rtol=1e-5)


@pytest.mark.parametrize("count", [1, 2, 5, 6, 7, 30])
def test_few_observations_are_kept_and_they_are_spread_evenly(count: int) -> None:
    kept = Decisions(FakePolicy(), num_observations=3)
    kept.reset([0])
    for _ in range(count):
        kept.predict(OBSERVATIONS[:1])
    seen = [index for index, decision in enumerate(kept.finish(0)) if decision.observation is not None]
    assert min(count, 3) <= len(seen) <= 6
    assert len(set(np.diff(seen))) <= 1
    assert seen[0] == 0


def test_a_policy_without_tokens_has_its_chunks_kept() -> None:
    kept = Decisions(FakePolicy())
    assert not isinstance(FakePolicy(), DecidingPolicy)
    kept.reset([0])
    (chunk,) = kept.predict(OBSERVATIONS[:1])
    (decision,) = kept.finish(0)
    assert (decision.tokens, decision.committed, decision.observation) == (None, None, None)
    assert decision.chunk is chunk
    assert kept.token_grid is None
