"""The tabletop keeps the promises of every environment, and the scripted policy those of every policy."""

from __future__ import annotations

import numpy as np
import pytest

from vla.errors import ConfigError
from vla.interfaces import Environment, EpisodeSpec, InstructionKind, Policy, TemplateSet
from vla.testing import check_environment
from vla_sim.environment import TabletopEnvironment
from vla_sim.oracle import ScriptedPolicy, lookahead
from vla_sim.tasks import SUITES, TASKS


@pytest.fixture(scope="module")
def environment() -> TabletopEnvironment:
    return TabletopEnvironment()


def test_the_tabletop_keeps_the_contract() -> None:
    specs = [
        EpisodeSpec("reach", 0),
        EpisodeSpec("stack", 1, TemplateSet.HELD_OUT),
        EpisodeSpec("open_drawer", 2, instruction_kind=InstructionKind.WRONG),
        EpisodeSpec("press_button", 3, instruction="do as you please"),
    ]
    check_environment(TabletopEnvironment(), specs)


@pytest.mark.parametrize("task", SUITES["tabletop"])
def test_every_task_is_an_environment(environment: TabletopEnvironment, task: str) -> None:
    assert isinstance(environment, Environment)
    observation = environment.reset(EpisodeSpec(task, 4))
    assert {name: image.shape for name, image in observation.images.items()} == {
        "scene": (64, 80, 3),
        "wrist": (32, 40, 3),
    }
    assert observation.instruction == environment.attempt.instruction


def test_an_episode_ends_with_success(environment: TabletopEnvironment) -> None:
    environment.reset(EpisodeSpec("press_button", 0))
    transition = environment.step(environment.expert_action())
    while not (transition.terminated or transition.truncated):
        transition = environment.step(environment.expert_action())
    assert (transition.terminated, transition.truncated, transition.success) == (True, False, True)


def test_an_episode_ends_when_its_time_is_over(environment: TabletopEnvironment) -> None:
    environment.reset(EpisodeSpec("reach", 0))
    stay = np.array([0, 0, 0, 0, 1], np.float32)
    ends = [environment.step(stay) for _ in range(TASKS["reach"].max_steps)]
    assert [t.truncated for t in ends] == [False] * (len(ends) - 1) + [True]
    assert not any(t.terminated or t.success for t in ends)


def test_a_saved_environment_counts_on_from_where_it_was(environment: TabletopEnvironment) -> None:
    environment.reset(EpisodeSpec("reach", 0))
    stay = np.array([0, 0, 0, 0, 1], np.float32)
    begin = environment.save()
    for _ in range(TASKS["reach"].max_steps - 1):
        environment.step(stay)
    environment.restore(begin)
    assert not environment.step(stay).truncated


def test_time_advances_with_the_control_rate(environment: TabletopEnvironment) -> None:
    first = environment.reset(EpisodeSpec("reach", 0))
    second = environment.step(np.zeros(5, np.float32)).observation
    assert first.time_s == 0.0
    assert second.time_s == pytest.approx(0.1)


def test_an_environment_that_was_not_reset_says_so() -> None:
    with pytest.raises(RuntimeError, match=r"has not been reset: call reset\(spec\) first"):
        TabletopEnvironment().step(np.zeros(5, np.float32))


def test_an_unknown_task_is_refused(environment: TabletopEnvironment) -> None:
    with pytest.raises(ConfigError, match="unknown task 'fly'"):
        environment.reset(EpisodeSpec("fly", 0))


def test_the_scripted_policy_foresees_what_it_will_do() -> None:
    environments = [TabletopEnvironment(), TabletopEnvironment()]
    policy, one_step = ScriptedPolicy(environments, horizon=5), ScriptedPolicy(environments)
    assert isinstance(policy, Policy)
    observation = environments[1].reset(EpisodeSpec("put_on_pad", 6))
    policy.reset([6], [1])
    chunk = policy.predict([observation], [1])[0].actions
    done = []
    for _ in range(5):
        done.append(one_step.predict([observation], [1])[0].actions[0])
        observation = environments[1].step(done[-1]).observation
    assert np.array_equal(chunk, np.stack(done))


def test_looking_ahead_leaves_the_world_as_it_was(environment: TabletopEnvironment) -> None:
    environment.reset(EpisodeSpec("stack", 2))
    before = environment.save()
    lookahead(environment, 6)
    assert np.array_equal(environment.save(), before)
