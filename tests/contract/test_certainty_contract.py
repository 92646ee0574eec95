"""A policy whose certainty is kept acts as it does without."""

from __future__ import annotations

import numpy as np

from vla.testing import SMALL_EMBODIMENT, check_policy, make_observation
from vla_policies.baselines import ZeroPolicy
from vla_policies.certainty import CertainPolicy, Certainties
from vla_policies.checkpoint import Checkpoint
from vla_policies.token_policy import TokenPolicy


def test_it_keeps_the_policy_contract(small_checkpoint: Checkpoint) -> None:
    check_policy(lambda: Certainties(TokenPolicy(small_checkpoint, device="cpu")))


def test_a_token_policy_can_tell_and_a_baseline_cannot(small_checkpoint: Checkpoint) -> None:
    assert isinstance(TokenPolicy(small_checkpoint, device="cpu"), CertainPolicy)
    assert not isinstance(ZeroPolicy(SMALL_EMBODIMENT), CertainPolicy)


def test_the_entropies_of_an_episode_are_gathered_by_slot(small_checkpoint: Checkpoint) -> None:
    policy = TokenPolicy(small_checkpoint, device="cpu")
    kept = Certainties(policy)
    observations = [make_observation(SMALL_EMBODIMENT, seed) for seed in range(3)]
    kept.reset([1, 2], [0, 5])
    kept.predict(observations[:2], [0, 5])
    kept.predict(observations[2:], [5])
    _, entropies = policy.predict_with_entropy(observations)
    assert kept.finish(0) == entropies[0]
    found = kept.finish(5)
    assert found is not None
    assert found.mean == np.mean([entropies[1].mean, entropies[2].mean])
    assert found.highest == max(entropies[1].highest, entropies[2].highest)
    assert all(0 <= entropy.mean <= entropy.highest for entropy in entropies)
    assert kept.finish(5) is None
