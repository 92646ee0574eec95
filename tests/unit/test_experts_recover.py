"""The experts: success on fresh scenes, and from states that went wrong."""

from __future__ import annotations

import numpy as np
import pytest

from vla.interfaces import EpisodeSpec
from vla_sim.embodiments import TABLETOP_PANDA
from vla_sim.environment import Attempt, begin
from vla_sim.tasks import SUITES, TASKS
from vla_sim.worlds.mujoco_world import MujocoWorld

NAMES = (*SUITES["tabletop"], "stack_swapped")
EXTRA_STEPS = 60


@pytest.fixture(scope="module")
def world() -> MujocoWorld:
    return MujocoWorld()


def _reset(world: MujocoWorld, task: str, seed: int) -> Attempt:
    attempt = begin(EpisodeSpec(task, seed))
    world.reset(attempt.scene)
    return attempt


def _steps_to_success(world: MujocoWorld, attempt: Attempt, max_steps: int) -> int | None:
    for step in range(1, max_steps + 1):
        world.step(attempt.task.expert(world, attempt.names))
        if attempt.task.success(world, attempt.names):
            return step
    return None


def _success_rate(world: MujocoWorld, task: str, num_seeds: int) -> float:
    attempts = [(seed, TASKS[task].max_steps) for seed in range(num_seeds)]
    done = [_steps_to_success(world, _reset(world, task, seed), steps) for seed, steps in attempts]
    return float(np.mean([steps is not None for steps in done]))


@pytest.mark.parametrize("task", NAMES)
def test_an_expert_succeeds_on_fresh_scenes(world: MujocoWorld, task: str) -> None:
    assert _success_rate(world, task, num_seeds=12) == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("task", NAMES)
def test_an_expert_succeeds_on_98_of_100_scenes(world: MujocoWorld, task: str) -> None:
    assert _success_rate(world, task, num_seeds=200) >= 0.98


@pytest.mark.parametrize("task", NAMES)
def test_the_time_limit_leaves_room_for_a_slower_policy(world: MujocoWorld, task: str) -> None:
    steps = [_steps_to_success(world, _reset(world, task, seed), TASKS[task].max_steps) for seed in range(9)]
    median = float(np.median([step for step in steps if step is not None]))
    assert 2.4 * median <= TASKS[task].max_steps


@pytest.mark.parametrize("task", NAMES)
def test_an_expert_depends_on_the_state_alone_and_leaves_it(world: MujocoWorld, task: str) -> None:
    attempt = _reset(world, task, 1)
    for _ in range(4):
        world.step(attempt.task.expert(world, attempt.names))
    state = world.save()
    action = attempt.task.expert(world, attempt.names)
    assert np.array_equal(world.save(), state)
    world.step(np.array([0.03, 0.03, 0.04, 0.1, 0], np.float32))
    attempt.task.expert(world, attempt.names)
    world.restore(state)
    assert np.array_equal(attempt.task.expert(world, attempt.names), action)


@pytest.mark.parametrize("task", NAMES)
def test_an_expert_acts_within_the_limits_in_any_state(world: MujocoWorld, task: str) -> None:
    generator = np.random.default_rng(0)
    low, high = TABLETOP_PANDA.action_low, TABLETOP_PANDA.action_high
    attempt = _reset(world, task, 2)
    for _ in range(60):
        action = attempt.task.expert(world, attempt.names)
        assert action.dtype == np.float32
        assert (action >= low - 1e-6).all()
        assert (action <= high + 1e-6).all()
        world.step(generator.uniform(low, high).astype(np.float32))


@pytest.mark.parametrize("task", NAMES)
def test_an_expert_recovers_from_a_random_beginning(world: MujocoWorld, task: str) -> None:
    low, high = 0.7 * TABLETOP_PANDA.action_low, TABLETOP_PANDA.action_high
    done = []
    for seed in range(8):
        generator = np.random.default_rng(seed)
        attempt = _reset(world, task, seed)
        for _ in range(10):
            world.step(generator.uniform(low, high).astype(np.float32))
        done.append(_steps_to_success(world, attempt, TASKS[task].max_steps + EXTRA_STEPS) is not None)
    assert sum(done) >= 7


@pytest.mark.parametrize("task", ["pick_up", "put_on_pad", "put_in_bowl", "stack"])
def test_an_expert_takes_a_dropped_block_up_again(world: MujocoWorld, task: str) -> None:
    attempt = _reset(world, task, 3)
    block = attempt.names[0]
    while world.position(block)[2] < 0.06:
        world.step(attempt.task.expert(world, attempt.names))
    for _ in range(2):
        world.step(np.array([0, 0, 0, 0, 1], np.float32))
    assert world.position(block)[2] < 0.05
    assert _steps_to_success(world, attempt, EXTRA_STEPS) is not None


def test_a_block_that_was_put_beside_the_pad_is_put_on_it(world: MujocoWorld) -> None:
    attempt = _reset(world, "put_on_pad", 5)
    while not world.is_touched(attempt.names[0]):
        world.step(attempt.task.expert(world, attempt.names))
    for action in ([0, 0, 0.02, 0, 0], [0.03, 0, 0, 0, 0], [0, 0, -0.018, 0, 0], [0, 0, 0, 0, 1], [0, 0, 0.04, 0, 1]):
        world.step(np.array(action, np.float32))
    assert not attempt.task.success(world, attempt.names)
    assert _steps_to_success(world, attempt, EXTRA_STEPS) is not None


@pytest.mark.parametrize("task", SUITES["tabletop"])
def test_success_is_not_given_at_the_beginning(world: MujocoWorld, task: str) -> None:
    for seed in range(20):
        attempt = _reset(world, task, seed)
        assert not attempt.task.success(world, attempt.names)


@pytest.mark.parametrize("task", ["put_on_pad", "put_in_bowl", "stack"])
def test_a_block_still_held_is_no_success(world: MujocoWorld, task: str) -> None:
    attempt = _reset(world, task, 0)
    touched = []
    for _ in range(TASKS[task].max_steps):
        world.step(attempt.task.expert(world, attempt.names))
        touched.append(world.is_touched(attempt.names[0]))
        if attempt.task.success(world, attempt.names):
            break
    assert any(touched)
    assert not touched[-1]
