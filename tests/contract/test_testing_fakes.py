from __future__ import annotations

from vla.interfaces import EpisodeSpec
from vla.testing import FakeEnvironment, FakePolicy, check_environment, check_policy


def test_the_fake_policy_keeps_the_contract() -> None:
    check_policy(FakePolicy)


def test_the_fake_environment_keeps_the_contract() -> None:
    check_environment(FakeEnvironment(), [EpisodeSpec(task, seed) for task in FakeEnvironment.TASKS for seed in (0, 1)])
