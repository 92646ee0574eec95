"""Tasks of the grammar, in the world, done by the experts."""

from __future__ import annotations

import numpy as np
import pytest

from vla.interfaces import EpisodeSpec
from vla.testing import check_environment
from vla_sim.environment import TabletopEnvironment
from vla_sim.scores import pair_scores
from vla_sim.suites import suite
from vla_sim.tasks.grammar import GRAMMAR_TASKS, SUITES

TASKS = [(name, task.name) for name, chosen in SUITES.items() for task in chosen.tasks]


def environment_of(suite_name: str) -> TabletopEnvironment:
    environment = suite(suite_name).make_environment()
    assert isinstance(environment, TabletopEnvironment)
    return environment


def runs(environment: TabletopEnvironment, spec: EpisodeSpec, *, knocked: bool) -> bool:
    """Whether the expert succeeds; knocked: after eight random actions."""
    environment.reset(spec)
    generator = np.random.default_rng(spec.seed)
    low, high = environment.embodiment.action_low, environment.embodiment.action_high
    for step in range(environment.attempt.task.max_steps):
        is_knock = knocked and step < 8
        action = generator.uniform(low, high).astype(np.float32) if is_knock else environment.expert_action()
        transition = environment.step(action)
        if transition.terminated or transition.truncated:
            return transition.success
    raise AssertionError("an episode that neither ends nor is cut off")


@pytest.mark.parametrize(("suite_name", "task"), TASKS)
def test_the_expert_succeeds_from_the_start_and_after_a_knock(suite_name: str, task: str) -> None:
    environment = environment_of(suite_name)
    assert all(runs(environment, EpisodeSpec(task, seed), knocked=False) for seed in range(3))
    assert any(runs(environment, EpisodeSpec(task, seed), knocked=True) for seed in range(3))


def test_no_two_suites_have_a_task_of_the_same_name() -> None:
    assert len(GRAMMAR_TASKS) == len(TASKS)


@pytest.mark.parametrize("name", list(SUITES))
def test_groups_hold_every_task_of_the_suite_once(name: str) -> None:
    chosen = SUITES[name]
    assert sorted(task for tasks in chosen.groups.values() for task in tasks) == sorted(t.name for t in chosen.tasks)
    assert pair_scores([], chosen.sets) == {}
    for tasks in chosen.sets:
        assert len({GRAMMAR_TASKS[task].scene_of or task for task in tasks}) == 1


@pytest.mark.parametrize("name", list(SUITES))
def test_an_environment_of_the_suite_keeps_the_contract(name: str) -> None:
    first = SUITES[name].tasks[0].name
    check_environment(environment_of(name), [EpisodeSpec(first, seed) for seed in (0, 1)])


@pytest.mark.parametrize("name", list(SUITES))
def test_instructions_of_a_suite_can_be_shuffled(name: str) -> None:
    chosen = suite(name)
    sentences = chosen.sentences()
    assert len(sentences) > 20
    assert len({chosen.meaning(sentence) for sentence in sentences}) > 10
