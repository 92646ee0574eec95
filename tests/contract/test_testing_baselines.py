from __future__ import annotations

from collections.abc import Callable

import pytest

from vla.interfaces import Observation, Policy
from vla.testing import SMALL_EMBODIMENT, check_policy, make_episode, make_observation
from vla_policies.baselines import BlindPolicy, RandomPolicy, ReplayPolicy, ZeroPolicy


@pytest.mark.parametrize(
    "make_policy",
    [
        lambda: RandomPolicy(SMALL_EMBODIMENT),
        lambda: ZeroPolicy(SMALL_EMBODIMENT),
        lambda: BlindPolicy(RandomPolicy(SMALL_EMBODIMENT)),
    ],
    ids=["random", "zero", "blind"],
)
def test_a_baseline_keeps_the_contract(make_policy: Callable[[], Policy]) -> None:
    check_policy(make_policy)


def test_the_replay_policy_keeps_the_contract() -> None:
    episodes = [make_episode(SMALL_EMBODIMENT, 9, seed, instruction=f"episode {seed}") for seed in range(11, 16)]

    def observe(seed: int, step: int) -> Observation:
        time_s = step * SMALL_EMBODIMENT.control_dt_s
        return make_observation(SMALL_EMBODIMENT, step, time_s=time_s, instruction=f"episode {seed}")

    check_policy(lambda: ReplayPolicy.of_episodes(episodes), observe=observe)
