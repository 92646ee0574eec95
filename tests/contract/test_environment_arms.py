"""Every arm at its bench keeps the promises of an environment, and its experts do every task."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from vla.interfaces import EpisodeSpec, TemplateSet
from vla.kinematics import ARMS, ArmKinematics
from vla.testing import check_environment
from vla_sim.environment import TabletopEnvironment
from vla_sim.tasks import SUITES
from vla_sim.worlds.benches import BENCHES

OTHERS = ("ur5e", "so101")


@functools.cache
def environment(arm: str) -> TabletopEnvironment:
    return TabletopEnvironment(arm=arm)


@pytest.mark.parametrize("arm", ARMS)
def test_the_tabletop_keeps_the_contract_with_every_arm(arm: str) -> None:
    specs = [EpisodeSpec("reach", 0), EpisodeSpec("open_drawer", 1, TemplateSet.HELD_OUT)]
    check_environment(environment(arm), specs)


@pytest.mark.parametrize("task", SUITES["tabletop"])
@pytest.mark.parametrize("arm", OTHERS)
def test_the_expert_does_every_task_with_every_arm(arm: str, task: str) -> None:
    world = environment(arm)
    world.reset(EpisodeSpec(task, 1))
    transition = world.step(world.expert_action())
    while not (transition.terminated or transition.truncated):
        transition = world.step(world.expert_action())
    assert transition.success


@pytest.mark.parametrize("arm", OTHERS)
def test_every_arm_begins_above_the_same_things_as_the_panda(arm: str) -> None:
    spec = EpisodeSpec("put_in_bowl", 3)
    seen = environment(arm).reset(spec)
    assert seen.instruction == environment("panda").reset(spec).instruction
    names = [thing.name for thing in environment(arm).attempt.scene.things]
    for name in names:
        ours, theirs = environment(arm).table.position(name), environment("panda").world.position(name)
        assert ours == pytest.approx(theirs, abs=2e-3)


@pytest.mark.parametrize("arm", OTHERS)
@pytest.mark.parametrize("seed", range(3))
def test_no_joint_exceeds_its_limits_or_its_speed_whatever_is_asked(arm: str, seed: int) -> None:
    world = environment(arm)
    body, generator = BENCHES[arm].embodiment, np.random.default_rng(seed)
    number = body.state_dim - 5
    low, high = (np.array([getattr(f, end) for f in body.proprioception[:number]]) for end in ("low", "high"))
    world.reset(EpisodeSpec("reach", seed))
    goal = (generator.choice([-1.0, 1.0], body.action_dim) * body.action_high).astype(np.float32)
    max_step = 1.2 * ArmKinematics(arm).max_speed * body.control_dt_s
    before = world.observe().proprioception[:number]
    for _ in range(12):
        joints = world.step(goal).observation.proprioception[:number]
        assert (joints >= low - 0.01).all()
        assert (joints <= high + 0.01).all()
        assert (np.abs(joints - before) <= max_step).all()
        before = joints
