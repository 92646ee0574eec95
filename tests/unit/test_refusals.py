"""Refusing: what cannot be done is left undone, and nothing that was moved counts as refused."""

from __future__ import annotations

import numpy as np
import pytest

from vla.interfaces import EpisodeSpec, Transition
from vla_sim.environment import TabletopEnvironment
from vla_sim.tasks.grammar import GRAMMAR_TASKS, language
from vla_sim.tasks.grammar.goals import REFUSAL, Act, Aim, Goal, ground
from vla_sim.tasks.grammar.procedural import Bound
from vla_sim.tasks.grammar.referee import is_reached, is_untouched
from vla_sim.worlds.scene import Kind

REFUSED = [refused.name for refused, _ in language.TWINS]


@pytest.fixture(scope="module")
def environment() -> TabletopEnvironment:
    return TabletopEnvironment()


def still(environment: TabletopEnvironment) -> np.ndarray:
    return np.array([0, 0, 0, 0, environment.attempt.scene.gripper], np.float32)


def twin_acts_then_holds_still(environment: TabletopEnvironment, task: str, seed: int, acting_steps: int) -> Transition:
    """The refused instruction's episode, in which the possible one is carried out for a while."""
    environment.reset(EpisodeSpec(task, seed))
    possible = GRAMMAR_TASKS[f"obey_{task}"].begin(EpisodeSpec(f"obey_{task}", seed)).task
    transitions = []
    for step in range(environment.attempt.task.max_steps):
        acts = step < acting_steps
        transitions.append(environment.step(possible.expert(environment.table, ()) if acts else still(environment)))
    return transitions[-1]


@pytest.mark.parametrize("task", REFUSED)
def test_what_is_to_be_refused_grounds_as_a_refusal_and_its_twin_does_not(task: str) -> None:
    for seed in range(20):
        scene, goal = GRAMMAR_TASKS[task].situation(seed)
        assert ground(goal, scene) == REFUSAL
        assert ground(GRAMMAR_TASKS[f"obey_{task}"].situation(seed)[1], scene).act is not Act.REFUSE


@pytest.mark.parametrize("task", REFUSED)
def test_holding_still_refuses_and_only_at_the_end(environment: TabletopEnvironment, task: str) -> None:
    environment.reset(EpisodeSpec(task, 3))
    transitions = [environment.step(still(environment)) for _ in range(environment.attempt.task.max_steps)]
    assert [t.success for t in transitions] == [False] * (len(transitions) - 1) + [True]
    assert transitions[-1].terminated
    assert not transitions[-1].truncated


@pytest.mark.parametrize("task", REFUSED)
def test_doing_it_all_the_same_does_not_refuse(environment: TabletopEnvironment, task: str) -> None:
    transition = twin_acts_then_holds_still(environment, task, 5, acting_steps=30)
    assert transition.truncated
    assert not transition.success


def test_moving_the_arm_over_the_table_and_touching_nothing_refuses(environment: TabletopEnvironment) -> None:
    assert twin_acts_then_holds_still(environment, "absent_pick", 5, acting_steps=2).success


def test_a_block_that_is_held_where_it_stands_is_not_left_alone(environment: TabletopEnvironment) -> None:
    environment.reset(EpisodeSpec("obey_absent_pick", 5))
    attempt = environment.attempt
    assert is_untouched(environment.table, attempt.scene)
    while environment.table.opening_m() > 0.05:
        environment.step(environment.expert_action())
    assert abs(environment.table.position(attempt.names[0])[2] - 0.022) < 0.01
    assert not is_untouched(environment.table, attempt.scene)


def test_every_aim_but_a_refusal_is_unreached_when_nothing_was_done(environment: TabletopEnvironment) -> None:
    for task in GRAMMAR_TASKS.values():
        attempt = task.begin(EpisodeSpec(task.name, 8))
        kinds = {thing.kind for thing in attempt.scene.things}
        if isinstance(attempt.task, Bound) and kinds <= {Kind.BLOCK, Kind.PAD, Kind.BOWL, Kind.BUTTON, Kind.DRAWER}:
            environment.table.reset(attempt.scene)
            is_refusal = attempt.task.aim == REFUSAL
            assert is_reached(environment.table, attempt.task.aim, attempt.scene) is is_refusal, task.name


@pytest.mark.parametrize("seed", range(10))
def test_swapped_roles_are_the_same_scene_and_the_other_order(seed: int) -> None:
    one, other = (GRAMMAR_TASKS[name].begin(EpisodeSpec(name, seed)) for name in ("roles", "roles_swapped"))
    assert one.scene.things == other.scene.things
    assert one.names == other.names[::-1]


def test_a_thing_is_not_put_on_itself() -> None:
    scene, goal = GRAMMAR_TASKS["roles"].situation(0)
    assert ground(Goal(Act.PUT_ON, goal.subject, (goal.subject,)), scene) == REFUSAL
    assert Aim(Act.REFUSE) == REFUSAL
