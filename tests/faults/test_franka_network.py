"""Rows F21 and F22 of the fault catalogue: a Franka arm in its loop, every packet through the proxy's rules.

A kilohertz of states and commands goes by the virtual clock, lost, doubled and overtaken as the proxy does it; the
controller is made up, and keeps the rule of twenty. The same through franky and franky-sim: `test_franka_faults`.
"""

from __future__ import annotations

import struct

import numpy as np
import pytest

from vla.clock import VirtualClock
from vla.errors import ArmFault
from vla.interfaces import ArmMode, EpisodeSpec, Robot
from vla.kinematics import ArmKinematics
from vla.testing import LoggedArm, check_applied, time_to_hold
from vla_robot_io.control_loop import ArmEnvironment
from vla_robot_io.fake_camera import FakeCamera
from vla_robot_io.franka import franka_link
from vla_robot_io.franka.fake_franky import FakeFranky
from vla_robot_io.franka.fci_proxy import LOST_TO_ABORT, Rules
from vla_robot_io.franka.franka_link import FrankaLink, FrankaLinkConfig
from vla_robot_io.franka.limits import FR3
from vla_robot_io.franka.robot import make_arm
from vla_robot_io.limits import EnvelopeConfig
from vla_robot_io.links.gripper import NoGripper
from vla_sim.embodiments import TABLETOP_PANDA

SPEC = EpisodeSpec(task="", seed=0, instruction="push the red block")
BOX = EnvelopeConfig([0.2, -0.4, 0.01], [0.8, 0.4, 0.6], floor_m=0.01)
ACROSS = np.array([0.0, 0.01, 0.0, 0.0, 1.0], np.float32)
COMMAND = struct.Struct("<Q7d7d16d6d2d??7d?")
MOVING, TICK_S = 2, 0.02


class NoisyFranky(FakeFranky):
    """A controller whose packets go through the proxy's rules, one state and one command a millisecond."""

    def __init__(self, clock: VirtualClock, rules: Rules) -> None:
        super().__init__(clock)
        self.rules = rules
        self.sent = self.held_up = 0

    def advance(self) -> None:
        if self.rules.aborted is not None and not self.errors:
            self.rules.recover()
        for _ in range(round(1000 * (self.clock.now() - self.moved_s))):
            if self.mode is not self.RobotMode.Move:
                break
            self._exchange()
        super().advance()

    def _exchange(self) -> None:
        self.rules.heed_state(bytes(182) + bytes([MOVING]) + bytes(4))
        if self.rules.aborted is not None:
            self.abort(self.rules.aborted)
            return
        self.sent += 1
        packet = COMMAND.pack(self.sent, *self.goal, *[0.0] * 31, False, False, *[0.0] * 7, False)
        came = self.rules.passes(packet, "commands")
        self.held_up += not came
        for each in came:
            self.rules.heed_command(each)


class Lab:
    """An arm behind it, in the loop."""

    def __init__(self, rules: Rules) -> None:
        self.clock = VirtualClock(100.0)
        self.franky = NoisyFranky(self.clock, rules)
        link = FrankaLink(FrankaLinkConfig("nowhere"), NoGripper(0.08), self.franky)
        self.arm = LoggedArm(make_arm(self.clock, link, FR3, "noisy FR3"), self.clock)
        cameras = tuple(FakeCamera(camera, self.clock) for camera in TABLETOP_PANDA.cameras)
        self.kinematics = ArmKinematics("panda")
        robot = Robot(self.arm, cameras, TABLETOP_PANDA, self.kinematics, is_simulated=True)
        self.environment = ArmEnvironment(robot, self.clock, BOX)
        self.environment.reset(SPEC)

    def hand(self) -> np.ndarray:
        return self.kinematics.forward(self.franky.q)


@pytest.fixture(autouse=True)
def a_busy_machine_is_no_silent_controller(monkeypatch: pytest.MonkeyPatch) -> None:
    """Franky is asked in a thread, which a busy machine may let wait."""
    for name in ("_READ_S", "_SEND_S"):
        monkeypatch.setattr(franka_link, name, 60.0)


def test_f21_packets_that_are_lost_doubled_and_overtaken_do_not_stop_a_motion() -> None:
    lab = Lab(Rules(drop=0.01, double=0.05, reorder=0.05))
    before = lab.hand()
    for _ in range(20):
        lab.environment.step(ACROSS)
    assert lab.arm.mode is ArmMode.RUNNING
    assert lab.hand()[1] - before[1] == pytest.approx(20 * 0.01, abs=0.02)
    assert lab.franky.sent > 1500
    assert lab.franky.held_up > 0.03 * lab.franky.sent, "one in a hundred is lost, five come after the next"
    check_applied(lab.arm, speed_factor=0.2)


def test_f22_nineteen_commands_in_a_row_that_are_lost_do_not_stop_a_motion() -> None:
    lab = Lab(Rules())
    for _ in range(6):
        lab.franky.rules.lost_commands = LOST_TO_ABORT - 1
        lab.environment.step(ACROSS)
    assert lab.arm.mode is ArmMode.RUNNING
    check_applied(lab.arm, speed_factor=0.2)


def test_f22_twenty_commands_in_a_row_that_are_lost_are_a_fault_that_an_acknowledgement_recovers() -> None:
    lab = Lab(Rules())
    for _ in range(3):
        lab.environment.step(ACROSS)
    lost_s, lab.franky.rules.lost_commands = lab.clock.now(), LOST_TO_ABORT + 1
    with pytest.raises(ArmFault, match="communication_constraints_violation"):
        lab.environment.step(ACROSS)
    assert lab.arm.mode is ArmMode.FAULT
    assert time_to_hold(lab.arm, lost_s) <= LOST_TO_ABORT * 1e-3 + 2 * TICK_S
    stood = lab.franky.q.copy()
    lab.clock.advance(1.0)
    with pytest.raises(ArmFault):
        lab.environment.reset(SPEC)
    assert np.array_equal(lab.franky.q, stood), "nothing is recovered by itself"
    lab.environment.acknowledge(lab.environment.latched or "")
    lab.environment.reset(SPEC)
    for _ in range(3):
        lab.environment.step(ACROSS)
    assert lab.arm.mode is ArmMode.RUNNING
    assert np.abs(lab.franky.q - stood).max() > 0.01
    check_applied(lab.arm, speed_factor=0.2)
