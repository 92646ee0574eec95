"""What the expert does in simulation, done again through the control loop and the envelope, succeeds there too."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from vla import cli
from vla.clock import VirtualClock
from vla.interfaces import ArmMode, EpisodeSpec
from vla_policies.baselines import ReplayPolicy
from vla_policies.loading import load_policy
from vla_policies.rollout import rollout
from vla_robot_io.control_loop import ArmEnvironment, StepReport
from vla_robot_io.deploy import DeployConfig
from vla_sim.embodiments import TABLETOP_PANDA
from vla_sim.environment import TabletopEnvironment, begin
from vla_sim.tasks import SUITES, TASKS
from vla_sim.virtual_arm import make_robot

WORDS = ["robot=virtual", "policy=zero", "instruction=unused", "out=unused"]


def demonstration(spec: EpisodeSpec) -> tuple[str, np.ndarray]:
    """The instruction, and what the expert did."""
    environment = TabletopEnvironment()
    instruction = environment.reset(spec).instruction
    actions: list[np.ndarray] = []
    while True:
        actions.append(environment.expert_action())
        transition = environment.step(actions[-1])
        if transition.terminated or transition.truncated:
            break
    assert transition.success
    return instruction, np.stack(actions)


@pytest.mark.parametrize("task", SUITES["tabletop"])
def test_a_demonstration_replayed_on_the_virtual_arm_does_the_task(task: str) -> None:
    spec = EpisodeSpec(task=task, seed=5)
    instruction, actions = demonstration(spec)
    clock = VirtualClock()
    robot = make_robot(clock, instruction=instruction, seed=5, task=task)
    config = cli.compose("deploy", DeployConfig, WORDS)
    seconds = TASKS[task].max_steps * TABLETOP_PANDA.control_dt_s
    environment = ArmEnvironment(robot, clock, config.envelope, config.control, duration_s=seconds)
    reports: list[StepReport] = []
    environment.on_step = reports.append
    policy = ReplayPolicy(TABLETOP_PANDA, {(5, instruction): lambda: actions})
    (result,) = rollout(policy, [environment], [dataclasses.replace(spec, instruction=instruction)], clock=clock)
    assert result.error is None
    assert result.success
    assert {report.mode for report in reports} == {ArmMode.RUNNING}


def test_a_hand_that_is_led_along_a_wall_does_not_stay_there() -> None:
    task, seed = "push_to_pad", 1_000_001  # the shipped policy leads it along the wall nearest to the arm's base
    spec = EpisodeSpec(task=task, seed=seed)
    instruction = begin(spec).instruction
    clock = VirtualClock()
    robot = make_robot(clock, instruction=instruction, seed=seed, task=task, rate_hz=100.0)
    config = cli.compose("deploy", DeployConfig, WORDS)
    seconds = TASKS[task].max_steps * TABLETOP_PANDA.control_dt_s
    environment = ArmEnvironment(robot, clock, config.envelope, config.control, duration_s=seconds)
    policy = load_policy("pretrained", TABLETOP_PANDA, batch_size=1)
    (result,) = rollout(policy, [environment], [dataclasses.replace(spec, instruction=instruction)])
    assert result.error is None
    assert result.success
