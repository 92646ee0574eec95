from __future__ import annotations

import numpy as np
import pytest

from vla import cli
from vla.clock import VirtualClock
from vla.errors import ConfigError
from vla.interfaces import Arm, ArmCommand, Robot
from vla_robot_io.deploy import DeployConfig
from vla_robot_io.motion import WALL_MARGIN_M
from vla_sim.tasks import TASKS
from vla_sim.virtual_arm import make_robot, task_of
from vla_sim.worlds.scene import WORKSPACE_HIGH, WORKSPACE_LOW

FIRST_JOINT = np.eye(7)[0]


def robot(clock: VirtualClock, instruction: str = "reach the red block") -> Robot:
    return make_robot(clock, instruction=instruction, seed=0)


def running(clock: VirtualClock) -> Arm:
    arm = robot(clock).arm
    for verb in (arm.connect, arm.configure, arm.arm, arm.run):
        verb()
    return arm


@pytest.mark.parametrize("name", sorted(TASKS))
def test_words_of_a_template_find_a_task_that_reads_them(name: str) -> None:
    task = TASKS[name]
    words = task.training[0].format("red", "blue")
    assert TASKS[task_of(words)].match(words) is not None


def test_words_of_no_template_are_refused_with_an_example() -> None:
    with pytest.raises(ConfigError, match=r"no task's words fit .* say it like 'reach the red block'"):
        task_of("make me a coffee")


def test_a_task_may_be_named_where_the_words_do_not_tell() -> None:
    made = make_robot(VirtualClock(), instruction="do the thing", seed=0, task="reach")
    assert made.is_done is not None
    assert made.is_done() is False


def test_the_arm_moves_while_nobody_looks() -> None:
    clock = VirtualClock()
    arm = running(clock)
    start = arm.read()
    arm.write(ArmCommand(start.commanded + 0.02 * FIRST_JOINT, 0.08, 1, clock.now() + 1.0))
    clock.advance(1.0)
    assert arm.read().positions[0] - start.positions[0] == pytest.approx(0.02, abs=1e-3)


def test_a_command_takes_one_period_to_be_reached() -> None:
    clock = VirtualClock()
    arm = running(clock)
    start = arm.read().positions[0]
    moved = []
    for tick in range(20):
        commanded = arm.read().commanded
        step = (0.01 if tick < 10 else 0.0) * FIRST_JOINT
        arm.write(ArmCommand(commanded + step, 0.08, tick, clock.now() + 1.0))
        clock.advance(0.01)
        moved.append(arm.read().positions[0] - start)
    assert moved[9] == pytest.approx(0.1, abs=0.01)
    assert moved[-1] == pytest.approx(0.1, abs=0.005)


def test_the_gripper_closes_when_told() -> None:
    clock = VirtualClock()
    arm = running(clock)
    arm.write(ArmCommand(arm.read().commanded, 0.0, 1, clock.now() + 1.0))
    clock.advance(1.0)
    assert arm.read().gripper_m < 0.005


def test_a_picture_is_as_old_as_the_physics_it_shows() -> None:
    clock = VirtualClock(50.0)
    camera = robot(clock).cameras[0]
    clock.advance(0.1234)
    assert 0 <= clock.now() - camera.read().time_s < 0.005


def test_the_same_scene_twice_looks_the_same() -> None:
    one, other = (robot(VirtualClock()).cameras[0].read().image for _ in range(2))
    assert np.array_equal(one, other)


def test_a_rate_that_physics_cannot_keep_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a physics step that divides"):
        make_robot(VirtualClock(), instruction="reach the red block", seed=0, rate_hz=130.0)


def test_the_configured_box_is_the_workspace_of_the_simulator() -> None:
    words = ["robot=virtual", "policy=zero", "instruction=reach the red block", "out=unused"]
    envelope = cli.compose("deploy", DeployConfig, words).envelope
    assert envelope.box_low_m == pytest.approx(WORKSPACE_LOW[:3] - WALL_MARGIN_M)
    assert envelope.box_high_m == pytest.approx(WORKSPACE_HIGH[:3] + WALL_MARGIN_M)
    assert envelope.floor_m >= 0.01
