"""The rollout loop with the fakes that keep every contract."""

from __future__ import annotations

from vla.interfaces import EpisodeSpec
from vla.testing import FakeEnvironment, FakePolicy
from vla_policies.rollout import rollout


def test_fakes_roll_out_the_same_in_any_number_of_slots() -> None:
    specs = [EpisodeSpec(task, seed) for task in FakeEnvironment.TASKS for seed in range(5)]
    alone, crowded = (
        {
            result.spec: (result.success, result.steps, result.actions.tobytes())
            for result in rollout(FakePolicy(), [FakeEnvironment() for _ in range(slots)], specs)
        }
        for slots in (1, 4)
    )
    assert alone == crowded
    assert len(alone) == 10


def test_an_unknown_task_is_its_own_episodes_error() -> None:
    (result,) = rollout(FakePolicy(), [FakeEnvironment()], [EpisodeSpec("nearer", 0)])
    assert result.error == "ConfigError: unknown task 'nearer'; did you mean 'near'? (choices: far, near)"
