"""What an arm does through emulated servos is what it does without them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from vla import cli
from vla.clock import RealClock, VirtualClock
from vla.embodiment import CameraSpec
from vla.errors import ConfigError, ObservationError
from vla.interfaces import ArmMode, EpisodeSpec
from vla_policies.baselines import ReplayPolicy
from vla_policies.rollout import rollout
from vla_robot_io.control_loop import ArmEnvironment
from vla_robot_io.deploy import DeployConfig
from vla_robot_io.fake_arm import Window
from vla_robot_io.opencv_camera import OpenCvCamera
from vla_robot_io.servos.emulator import ServoFaults
from vla_robot_io.servos.registers import MODELS
from vla_robot_io.servos.robot import emulated_robot, make_robot
from vla_sim.embodiments import TABLETOP_PANDA
from vla_sim.environment import TabletopEnvironment
from vla_sim.tasks import TASKS

SEED = 5


def demonstration(task: str) -> tuple[str, np.ndarray]:
    environment = TabletopEnvironment()
    instruction, actions = environment.reset(EpisodeSpec(task, SEED)).instruction, []
    over = False
    while not over:
        actions.append(environment.expert_action())
        transition = environment.step(actions[-1])
        over = transition.terminated or transition.truncated
    return instruction, np.stack(actions)


def environment_with(task: str, instruction: str, model: str, faults: ServoFaults | None = None) -> ArmEnvironment:
    config = cli.compose("deploy", DeployConfig, ["robot=virtual", "policy=zero", "instruction=unused", "out=unused"])
    clock = VirtualClock()
    scene = {"instruction": instruction, "seed": SEED, "task": task, "arm": "panda"}
    robot = emulated_robot(clock, MODELS[model], "virtual", rate_hz=100.0, scene=scene, faults=faults)
    seconds = TASKS[task].max_steps * TABLETOP_PANDA.control_dt_s
    return ArmEnvironment(robot, clock, config.envelope, config.control, duration_s=seconds)


@pytest.mark.parametrize(("task", "model"), [("pick_up", "sts3215"), ("press_button", "xm430_w350")])
def test_a_demonstration_replayed_through_emulated_servos_does_the_task(task: str, model: str) -> None:
    instruction, actions = demonstration(task)
    environment = environment_with(task, instruction, model)
    policy = ReplayPolicy(TABLETOP_PANDA, {(SEED, instruction): lambda: actions})
    (result,) = rollout(policy, [environment], [EpisodeSpec(task, SEED, instruction=instruction)])
    assert result.error is None
    assert result.success


def test_a_bus_that_falls_silent_holds_the_arm_and_then_latches_a_fault() -> None:
    instruction, actions = demonstration("reach")
    environment = environment_with("reach", instruction, "sts3215", ServoFaults(silent={2: Window(0.3)}))
    policy = ReplayPolicy(TABLETOP_PANDA, {(SEED, instruction): lambda: actions})
    (result,) = rollout(policy, [environment], [EpisodeSpec("reach", SEED, instruction=instruction)])
    assert result.error is not None
    assert environment.mode is ArmMode.FAULT


def test_a_joint_that_is_jammed_is_a_fault_that_names_it() -> None:
    instruction, actions = demonstration("stack")
    environment = environment_with("stack", instruction, "sts3215", ServoFaults(stuck={2: Window(0.2)}))
    policy = ReplayPolicy(TABLETOP_PANDA, {(SEED, instruction): lambda: actions})
    (result,) = rollout(policy, [environment], [EpisodeSpec("stack", SEED, instruction=instruction)])
    assert environment.mode is ArmMode.FAULT
    assert result.error is not None
    assert "joint_2 has been more than 0.15 rad from its command" in result.error


def test_an_arm_on_a_port_needs_what_only_its_owner_knows() -> None:
    with pytest.raises(ConfigError, match="needs options calibration, embodiment, cameras"):
        make_robot(VirtualClock(), instruction="", seed=0, port="/dev/nothing")


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("film") / "film.avi")
    writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for shade in (60, 120, 180):
        picture = np.zeros((48, 64, 3), np.uint8)
        picture[..., 2] = shade
        writer.write(picture)
    writer.release()
    return path


def test_a_film_is_a_camera_that_shows_it_again_and_again(film: str) -> None:
    camera = OpenCvCamera(CameraSpec("scene", height=32, width=32), film, RealClock())
    first = camera.read()
    while camera.read().sequence < first.sequence + 5:
        pass
    later = camera.read()
    camera.close()
    assert first.image.shape == (32, 32, 3)
    assert later.time_s > first.time_s
    assert later.image[..., 0].mean() > 40
    assert later.image[..., 1:].mean() < 20


def test_a_camera_that_is_not_there_is_named() -> None:
    with pytest.raises((ConfigError, ObservationError), match="camera 'scene'"):
        OpenCvCamera(CameraSpec("scene", height=32, width=32), "/nothing/here.avi", RealClock())
