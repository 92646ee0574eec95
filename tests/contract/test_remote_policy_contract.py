"""A policy behind a wire keeps the contract of every policy, and does what it does here, to the last bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from vla.interfaces import EpisodeSpec, Policy
from vla.testing import FakeEnvironment, FakePolicy, check_policy
from vla_policies.checkpoint import Checkpoint
from vla_policies.chunking import ExecutionConfig, ExecutionMode
from vla_policies.loading import load_policy
from vla_policies.remote import RemotePolicy
from vla_policies.rollout import rollout
from vla_policies.serving.background import served
from vla_policies.token_policy import TokenPolicy

Make = Callable[[str], RemotePolicy]


@pytest.fixture
def remote() -> Iterator[Make]:
    made: list[RemotePolicy] = []

    def make(url: str) -> RemotePolicy:
        made.append(RemotePolicy(url))
        return made[-1]

    yield make
    for policy in made:
        policy.close()


def test_a_remote_fake_keeps_the_contract(remote: Make) -> None:
    with served(FakePolicy()) as url:
        check_policy(lambda: remote(url))


def test_a_remote_checkpoint_keeps_the_contract(remote: Make, small_checkpoint: Checkpoint) -> None:
    with served(TokenPolicy(small_checkpoint, device="cpu", batch_size=1)) as url:
        check_policy(lambda: remote(url))


@pytest.mark.slow
def test_the_shipped_policy_keeps_the_contract_remotely(remote: Make) -> None:
    from vla_sim.embodiments import TABLETOP_PANDA

    with served(load_policy("pretrained", TABLETOP_PANDA, batch_size=1)) as url:
        check_policy(lambda: remote(url))


@pytest.mark.parametrize("mode", ExecutionMode)
def test_episodes_are_the_same_here_and_there(remote: Make, mode: ExecutionMode) -> None:
    with served(FakePolicy()) as url:
        here, there = (_episodes(policy, mode) for policy in (FakePolicy(), remote(url)))
    assert len(here) == len(there) == 6
    for mine, other in zip(here, there, strict=True):
        assert np.array_equal(mine, other)


def test_the_shipped_policy_acts_the_same_here_and_there(remote: Make) -> None:
    from vla_sim.environment import TabletopEnvironment

    environments = [TabletopEnvironment() for _ in range(2)]
    body = environments[0].embodiment
    specs = [EpisodeSpec("reach", seed) for seed in (2_000_000, 2_000_001, 2_000_002)]
    policy = load_policy("pretrained", body, batch_size=1)
    with served(load_policy("pretrained", body, batch_size=1)) as url:
        here, there = (
            sorted(rollout(each, environments, specs), key=lambda result: result.index)
            for each in (policy, remote(url))
        )
    assert [(a.success, a.steps, a.error) for a in here] == [(b.success, b.steps, b.error) for b in there]
    assert all(np.array_equal(a.actions, b.actions) for a, b in zip(here, there, strict=True))


def _episodes(policy: Policy, mode: ExecutionMode) -> list[np.ndarray]:
    environments = [FakeEnvironment() for _ in range(3)]
    specs = [EpisodeSpec(("near", "far")[seed % 2], seed) for seed in range(6)]
    late_s = 0.1 if mode in (ExecutionMode.ASYNCHRONOUS, ExecutionMode.REAL_TIME_CHUNKING) else 0.0
    results = list(rollout(policy, environments, specs, ExecutionConfig(mode, delay_s=late_s)))
    assert [result.error for result in results if result.error] == []
    return [result.actions for result in sorted(results, key=lambda result: result.index)]
