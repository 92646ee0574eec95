"""The whole lab loop, from a policy's chunks to joint commands and back, on a virtual clock."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

import numpy as np
import pytest

from vla.clock import VirtualClock
from vla.embodiment import Embodiment, Rotation
from vla.errors import ConfigError
from vla.interfaces import ActionChunk, ArmMode, EpisodeSpec, Observation
from vla_policies.chunking import ExecutionConfig, ExecutionMode
from vla_policies.rollout import rollout
from vla_robot_io.control_loop import ArmEnvironment, StepReport
from vla_robot_io.limits import EnvelopeConfig
from vla_robot_io.loopback import loopback_robot
from vla_robot_io.reasons import Code
from vla_sim.embodiments import TABLETOP_PANDA

SPEC = EpisodeSpec(task="", seed=0, instruction="go in a square")
BOX = EnvelopeConfig([0.2, -0.4, 0.01], [0.8, 0.4, 0.6], floor_m=0.01, speed_factor=1.0)


class Square:
    """A policy that goes round a square of 6 cm, and opens and closes its gripper."""

    embodiment = TABLETOP_PANDA
    horizon = 12

    def reset(self, seeds: Sequence[int], slots: Sequence[int] | None = None) -> None:
        return None

    def predict(
        self,
        observations: Sequence[Observation],
        slots: Sequence[int] | None = None,
        committed: Sequence[np.ndarray | None] | None = None,
    ) -> list[ActionChunk]:
        sides = [(0.02, 0), (0, 0.02), (-0.02, 0), (0, -0.02)]
        rows = [[dx, dy, 0, 0, float(side % 2)] for side, (dx, dy) in enumerate(sides) for _ in range(3)]
        return [ActionChunk(np.array(rows, np.float32), o.time_s, 2.0) for o in observations]


def loop(
    duration_s: float = 2.4, embodiment: Embodiment = TABLETOP_PANDA, box: EnvelopeConfig = BOX, **robot: object
) -> tuple[ArmEnvironment, VirtualClock, list[StepReport]]:
    clock = VirtualClock()
    reports: list[StepReport] = []
    made = loopback_robot(clock, embodiment, **robot)  # type: ignore[arg-type]
    environment = ArmEnvironment(made, clock, box, duration_s=duration_s)
    environment.on_step = reports.append
    return environment, clock, reports


def test_the_rollout_loop_of_simulation_drives_an_arm() -> None:
    environment, clock, reports = loop()
    (result,) = rollout(Square(), [environment], [SPEC], clock=clock)
    assert result.error is None
    assert result.steps == len(reports) == 24
    assert clock.now() == pytest.approx(2.4)


def test_the_arm_goes_where_it_is_told_and_comes_back() -> None:
    environment, clock, reports = loop()
    list(rollout(Square(), [environment], [SPEC], ExecutionConfig(ExecutionMode.SYNCHRONOUS), clock=clock))
    asked = np.stack([report.asked for report in reports])
    applied = np.stack([report.applied for report in reports])
    assert applied == pytest.approx(asked, abs=5e-4)
    assert applied[:, :3].sum(axis=0) == pytest.approx([0, 0, 0], abs=1e-3)


def test_an_observation_shows_what_the_embodiment_promises() -> None:
    environment, _, _ = loop()
    observation = environment.reset(SPEC)
    x, y, z, yaw = observation.proprioception[-4:]
    assert observation.images["scene"].shape == (64, 80, 3)
    assert observation.images["wrist"].shape == (32, 40, 3)
    assert (x, y, yaw) == pytest.approx((0.51, 0.0, 0.0), abs=0.03)
    assert z == pytest.approx(0.15, abs=0.03)
    assert observation.instruction == "go in a square"


def test_the_same_rollout_twice_is_the_same_to_the_bit() -> None:
    applied = []
    for _ in range(2):
        environment, clock, reports = loop()
        list(rollout(Square(), [environment], [SPEC], clock=clock))
        applied.append(np.stack([report.applied for report in reports]))
    assert np.array_equal(*applied)


def test_a_preview_puts_no_torque_on_the_arm() -> None:
    clock = VirtualClock()
    robot = loopback_robot(clock, TABLETOP_PANDA)
    environment = ArmEnvironment(robot, clock, BOX)
    environment.preview(SPEC)
    assert robot.arm.mode is ArmMode.CONFIGURED


@pytest.mark.parametrize("rate_hz", [10.0, 50.0, 100.0, 500.0])
def test_an_action_is_spread_over_every_command_of_its_step(rate_hz: float) -> None:
    environment, clock, reports = loop(rate_hz=rate_hz)
    environment.reset(SPEC)
    before = clock.now()
    applied = environment.step(np.array([0.01, 0.0, 0.01, 0.05, 0.5], np.float32)).applied
    assert clock.now() - before == pytest.approx(0.1)
    assert applied == pytest.approx([0.01, 0.0, 0.01, 0.05, 0.5], abs=5e-4)
    assert reports[0].reasons == ()


@pytest.mark.parametrize(("thinking_s", "step_s"), [(0.0, 0.1), (0.004, 0.1), (0.02, 0.12)])
def test_a_moment_between_two_steps_does_not_slow_the_loop_down(thinking_s: float, step_s: float) -> None:
    environment, clock, reports = loop()
    environment.reset(SPEC)
    for _ in range(5):
        environment.step(np.array([0.01, 0.0, 0.0, 0.0, 0.5], np.float32))
        clock.advance(thinking_s)
    began = np.array([report.began_s for report in reports])
    assert np.diff(began)[1:] == pytest.approx(step_s)
    assert sum(report.overruns for report in reports) == 0


def test_what_the_envelope_holds_back_is_not_in_what_was_applied() -> None:
    environment, _, reports = loop(box=dataclasses.replace(BOX, speed_factor=0.05))
    environment.reset(SPEC)
    asked = np.array([0.01, 0.0, 0.0, 0.0, 1.0], np.float32)
    applied = environment.step(asked).applied
    assert 0 < applied[0] < 0.9 * asked[0]
    assert {reason.code for reason in reports[0].reasons} == {Code.STEP_SIZE}
    assert environment.trips.counts()["step_size"] > 0


def test_an_arm_at_the_floor_slides_along_it() -> None:
    environment, _, reports = loop(box=dataclasses.replace(BOX, floor_m=0.1))
    environment.reset(SPEC)
    down_and_along = np.array([0.0, 0.02, -0.03, 0.0, 1.0], np.float32)
    transitions = [environment.step(down_and_along) for _ in range(5)]
    assert transitions[-1].observation.proprioception[10] >= 0.1 - 1e-6
    assert transitions[-1].observation.proprioception[10] == pytest.approx(0.102, abs=1e-3)
    assert transitions[-1].applied[1] == pytest.approx(0.02, abs=5e-4)
    told = [reason.text for reason in reports[-1].reasons if reason.code is Code.WORKSPACE]
    assert len(told) == 1
    assert re.fullmatch(r"end_effector_z asked for 0\.07\d\d m, beyond the box at 0\.1020 m: kept inside", told[0])


def test_an_action_beyond_the_embodiment_is_clamped_and_told() -> None:
    environment, _, reports = loop()
    environment.reset(SPEC)
    environment.step(np.array([0.0, 0.0, 0.05, 0.0, 1.5], np.float32))
    assert [reason.code for reason in reports[0].reasons] == [Code.ACTION_LIMIT, Code.ACTION_LIMIT]
    assert "action dz asked for 0.05 m, beyond the embodiment's 0.04" in reports[0].reasons[0].text


def test_an_episode_ends_when_someone_says_that_it_is_done() -> None:
    clock = VirtualClock()
    robot = dataclasses.replace(loopback_robot(clock, TABLETOP_PANDA), is_done=lambda: clock.now() > 0.45)
    (result,) = rollout(Square(), [ArmEnvironment(robot, clock, BOX)], [SPEC], clock=clock)
    assert (result.success, result.steps) == (True, 5)


def test_an_episode_without_words_does_not_begin() -> None:
    environment, _, _ = loop()
    with pytest.raises(ConfigError, match="give the episode an instruction"):
        environment.reset(EpisodeSpec(task="reach", seed=0))


def test_an_arm_whose_rate_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"control at 10 Hz needs an arm whose rate is a multiple of it; .* \(12\.50"):
        loop(rate_hz=125.0)


def test_a_robot_without_a_camera_is_refused() -> None:
    clock = VirtualClock()
    robot = loopback_robot(clock, TABLETOP_PANDA)
    with pytest.raises(ConfigError, match="lacks camera 'wrist' of tabletop_panda; it has: scene"):
        ArmEnvironment(dataclasses.replace(robot, cameras=robot.cameras[:1]), clock, BOX)


def test_actions_of_another_kind_are_refused() -> None:
    turned = dataclasses.replace(TABLETOP_PANDA, rotation=Rotation.ROTATION_VECTOR)
    with pytest.raises(ConfigError, match="the control loop carries out dx, dy, dz, dyaw, gripper"):
        loop(embodiment=turned)


def test_a_control_time_that_is_not_positive_is_refused() -> None:
    with pytest.raises(ConfigError, match="seconds must be finite and above 0, got nan"):
        loop(duration_s=float("nan"))
