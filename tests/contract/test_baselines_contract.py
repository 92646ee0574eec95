"""The policies that learn nothing keep the contract of every policy."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from vla.embodiment import ActionKind, Embodiment
from vla.interfaces import Policy
from vla.testing import SMALL_EMBODIMENT, FakePolicy, check_policy, make_episode
from vla_policies.baselines import BlindPolicy, RandomPolicy, ReplayPolicy, ZeroPolicy
from vla_sim.embodiments import TABLETOP_PANDA

ABSOLUTE = dataclasses.replace(
    SMALL_EMBODIMENT, action=SMALL_EMBODIMENT.proprioception, action_kind=ActionKind.ABSOLUTE_JOINT
)


def replay() -> Policy:
    # The seeds of the contract's episodes; shorter than a contract's episode, so that the end is crossed.
    return ReplayPolicy.of_episodes([make_episode(SMALL_EMBODIMENT, 4, seed) for seed in range(11, 16)])


@pytest.mark.parametrize("embodiment", [SMALL_EMBODIMENT, TABLETOP_PANDA, ABSOLUTE], ids=["small", "panda", "absolute"])
@pytest.mark.parametrize("kind", [RandomPolicy, ZeroPolicy])
def test_random_and_zero_keep_the_contract(kind: Callable[[Embodiment], Policy], embodiment: Embodiment) -> None:
    check_policy(lambda: kind(embodiment))


def test_replay_keeps_the_contract() -> None:
    check_policy(replay)


def test_blind_keeps_the_contract() -> None:
    check_policy(lambda: BlindPolicy(FakePolicy()))
