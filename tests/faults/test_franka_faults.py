"""Franka's rows of the fault catalogue: at the seam of franky, in the proxy's rules, and through the real ones."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import math
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from vla.clock import RealClock, VirtualClock
from vla.errors import ActionError, ArmError, ConfigError
from vla.interfaces import ArmCommand, ArmMode, ArmState
from vla_robot_io.franka.fake_franky import FakeFranky
from vla_robot_io.franka.fci_proxy import ERRORS, LOST_TO_ABORT, Rules, start_proxy
from vla_robot_io.franka.franka_link import FrankaLink, FrankaLinkConfig
from vla_robot_io.franka.limits import FER, FR3
from vla_robot_io.franka.robot import make_arm, make_robot
from vla_robot_io.links.controller_process import ControllerProcess
from vla_robot_io.links.gripper import NoGripper
from vla_robot_io.links.linked_arm import LinkedArm

MOVING, REFLEX = 2, 4
COMMAND = struct.Struct("<Q7d7d16d6d2d??7d?")


class Lab:
    """An arm behind a franky that is made up, led to RUNNING unless it was told not to."""

    def __init__(self, franky: FakeFranky | None = None, *, run: bool = True) -> None:
        self.clock = VirtualClock()
        self.franky = franky or FakeFranky(self.clock)
        self.franky.clock = self.clock
        link = FrankaLink(FrankaLinkConfig("nowhere"), NoGripper(0.08), self.franky)
        self.arm = make_arm(self.clock, link, FR3, "fake FR3")
        self._sequence = 0
        if run:
            for verb in (self.arm.connect, self.arm.configure, self.arm.read, self.arm.arm, self.arm.run):
                verb()

    def go(self, positions: np.ndarray) -> ArmState:
        self._sequence += 1
        self.arm.write(ArmCommand(positions, 0.04, self._sequence, self.clock.now() + 0.1))
        self.clock.advance(0.02)
        return self.arm.read()


def test_joints_go_where_they_are_told() -> None:
    lab = Lab()
    goal = lab.arm.read().commanded + 0.008
    lab.go(goal)
    assert lab.go(goal).positions == pytest.approx(goal)


@pytest.mark.parametrize("error", ["joint_reflex", "communication_constraints_violation"])
def test_f25_what_aborts_a_motion_is_a_fault_that_names_it_and_is_not_recovered_by_itself(error: str) -> None:
    lab = Lab()
    lab.go(lab.arm.read().commanded)
    lab.franky.abort(error)
    lab.clock.advance(0.02)
    state = lab.arm.read()
    assert state.mode is ArmMode.FAULT
    assert error in str(state.fault)
    lab.clock.advance(1.0)
    assert lab.franky.errors == (error,)
    lab.arm.acknowledge(str(state.fault))
    assert lab.franky.errors == ()
    lab.arm.arm()
    lab.arm.run()
    assert lab.go(lab.arm.read().commanded + 0.01).mode is ArmMode.RUNNING


def test_f23_a_network_that_is_silent_is_stale_at_once_and_the_object_is_rebuilt_after_an_acknowledgement() -> None:
    lab = Lab()
    lab.franky.is_silent = True
    lab.clock.advance(0.02)
    assert not lab.arm.read().fresh
    lab.arm.fault("silent")
    lab.franky.is_silent = False
    lab.clock.advance(0.02)
    assert not lab.arm.read().fresh, "franky's object is dead for good"
    lab.arm.acknowledge("silent")
    assert lab.franky.num_robots == 2
    lab.clock.advance(0.02)
    assert lab.arm.read().fresh


def test_f26_a_target_beyond_a_limit_is_stopped_there_before_franky_sees_it() -> None:
    lab = Lab()
    goal = lab.arm.read().commanded
    goal[3] = 0.5
    state = lab.go(goal)
    for _ in range(200):
        state = lab.go(goal)
    assert state.mode is ArmMode.RUNNING
    assert state.commanded[3] <= FR3.high[3]
    assert lab.franky.errors == ()


def test_near_the_end_of_its_range_a_joint_is_slowed_and_that_is_told() -> None:
    lab = Lab()
    goal = lab.arm.read().commanded
    goal[0] = 2.9007
    before = lab.arm.read().commanded
    reasons: list[str] = []
    for sequence in range(1, 400):
        applied = lab.arm.write(ArmCommand(goal, 0.04, sequence, lab.clock.now() + 0.1))
        high = FR3.speeds_at(before)[1]
        assert applied.positions[0] - before[0] <= high[0] / 50.0 + 1e-9
        before, reasons = applied.positions, list(applied.reasons) or reasons
        lab.clock.advance(0.02)
    assert "near the end of its range" in reasons[0]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_f27_a_target_that_is_not_finite_is_refused_before_franky_sees_it(value: float) -> None:
    lab = Lab()
    with pytest.raises(ActionError, match="not finite"):
        lab.go(np.full(7, value))
    assert lab.franky.errors == ()


def test_f32_the_limits_of_another_model_are_refused() -> None:
    lab = Lab(FakeFranky(VirtualClock(), FER), run=False)
    with pytest.raises(ArmError, match="'fer', expected fr3"):
        lab.arm.connect()


def test_without_franky_the_line_that_installs_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "franky", None)
    with pytest.raises(ConfigError, match=r"uv pip install 'vla-stack\[franka\]'"):
        make_robot(RealClock(), instruction="", seed=0)


# --------------------------------------------------------------------------- the proxy's rules


def state_packet(mode: int = MOVING) -> bytes:
    return bytes(100) + bytes(82) + bytes([mode]) + bytes(4)


def command_packet(q4: float = -1.5, over: bool = False) -> bytes:
    joints = [0.0, 0.0, 0.0, q4, 0.0, 1.5, 0.0]
    return COMMAND.pack(7, *joints, *[0.0] * 31, False, over, *[0.0] * 7, False)


def test_f22_twenty_commands_in_a_row_that_are_missing_abort_a_motion() -> None:
    rules = Rules()
    for _ in range(LOST_TO_ABORT):
        assert rules.heed_state(state_packet())[-5] == MOVING
    told = rules.heed_state(state_packet())
    assert told[-5] == REFLEX
    assert rules.aborted == "communication_constraints_violation"
    assert told[100 + ERRORS["communication_constraints_violation"]] == 1
    assert not rules.heed_command(command_packet())
    rules.recover()
    assert rules.heed_command(command_packet())


def test_f22_nineteen_that_are_missing_do_not() -> None:
    rules = Rules()
    for _ in range(5):
        for _ in range(LOST_TO_ABORT - 1):
            rules.heed_state(state_packet())
        rules.heed_command(command_packet())
    assert rules.aborted is None


def test_f26_a_command_beyond_a_limit_aborts_a_motion() -> None:
    rules = Rules()
    assert rules.heed_command(command_packet(q4=-1.5))
    assert rules.heed_command(command_packet(q4=0.5, over=True)), "the last command of a motion carries no position"
    assert not rules.heed_command(command_packet(q4=0.5))
    assert rules.aborted == "joint_position_limits_violation"


def test_f21_packets_are_lost_doubled_and_overtaken_as_often_as_was_said() -> None:
    rules = Rules(drop=0.1, double=0.2, reorder=0.3)
    packets = [number.to_bytes(4, "big") for number in range(4000)]
    came = [int.from_bytes(each, "big") for packet in packets for each in rules.passes(packet, "states")]
    lost = len(packets) - len(set(came))
    assert lost / len(packets) == pytest.approx(0.1, abs=0.02)
    assert any(after < before for before, after in itertools.pairwise(came))
    assert (len(came) - len(set(came))) / len(packets) > 0.1


# --------------------------------------------------------------------------- through the real ones

real = pytest.mark.skipif(
    importlib.util.find_spec("franky") is None or importlib.util.find_spec("franky_sim") is None,
    reason="franky-control and franky-sim are not installed",
)
SOON_S = 60.0
"""Longer than a busy machine takes for anything here."""
SIMULATED, PROXY = "127.0.2.77", "127.0.2.78"


@pytest.fixture
def proxy() -> Iterator[ControllerProcess]:
    controller = ControllerProcess("vla_robot_io.franka.simulated_controller", SIMULATED)
    with contextlib.closing(controller), contextlib.closing(start_proxy(PROXY, SIMULATED)) as proxy:
        yield proxy


class RealLab:
    """An arm behind franky, the proxy and franky-sim."""

    def __init__(self, proxy: ControllerProcess) -> None:
        self.proxy, self.clock, self._sequence = proxy, RealClock(), 0
        link = FrankaLink(FrankaLinkConfig(proxy.host, real_time=False), NoGripper(0.08))
        self.arm: LinkedArm = make_arm(self.clock, link, FR3, "simulated FR3")
        for verb in (self.arm.connect, self.arm.configure, self._first_reading, self.arm.arm, self.arm.run):
            verb()

    def _first_reading(self) -> None:
        """Franky is asked in a thread, which a busy machine may let wait."""
        end_s = time.monotonic() + SOON_S
        while True:
            try:
                self.arm.read()
                return
            except ArmError:
                assert time.monotonic() < end_s, "it never answers"

    def until(self, holds: Callable[[ArmState], bool], step_rad: float | None = None) -> ArmState:
        """The first reading of which this holds; joint 1 is sent on by a step before each."""
        end_s, pause = time.monotonic() + SOON_S, threading.Event()
        while not holds(state := self.arm.read()):
            assert time.monotonic() < end_s, f"{SOON_S} s went by: {state}"
            if step_rad is not None and self.arm.mode is ArmMode.RUNNING:
                self._sequence += 1
                goal = state.commanded + np.array([step_rad, 0, 0, 0, 0, 0, 0])
                self.arm.write(ArmCommand(goal, 0.08, self._sequence, self.clock.now() + 1.0))
            pause.wait(0.02)
        return state


@real
@pytest.mark.slow
def test_f21_through_franky_a_noisy_network_does_not_stop_a_motion(proxy: ControllerProcess) -> None:
    lab = RealLab(proxy)
    for noise in ("drop 0.01", "double 0.05", "reorder 0.05"):
        proxy.tell(noise)
    began = lab.arm.read().positions[0]
    assert lab.until(lambda state: state.positions[0] > began + 0.02, 0.002).mode is ArmMode.RUNNING
    lab.arm.close()


@real
@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "error"), [("lose 25", "communication_constraints_violation"), ("reflex", "joint_reflex")]
)
def test_f22_f25_through_franky_an_aborted_motion_is_a_fault_until_acknowledged(
    proxy: ControllerProcess, how: str, error: str
) -> None:
    lab = RealLab(proxy)
    began = lab.arm.read().positions[0]
    lab.until(lambda state: state.positions[0] > began + 0.005, 0.002)
    proxy.tell(how)
    fault = str(lab.until(lambda state: state.mode is ArmMode.FAULT).fault)
    assert error in fault
    lab.arm.acknowledge(fault)
    lab.until(lambda state: state.fresh)
    lab.arm.arm()
    lab.arm.run()
    began = lab.arm.read().positions[0]
    assert lab.until(lambda state: state.positions[0] > began + 0.005, 0.002).mode is ArmMode.RUNNING
    lab.arm.close()


@real
@pytest.mark.slow
def test_f23_through_franky_silence_is_stale_long_before_its_exception(proxy: ControllerProcess) -> None:
    lab = RealLab(proxy)
    lab.until(lambda state: state.fresh)
    proxy.tell("silence")
    began_s = time.monotonic()
    lab.until(lambda state: not state.fresh)
    assert time.monotonic() - began_s < 0.9
    lab.arm.fault("silent")
    lab.arm.close()


@real
@pytest.mark.slow
def test_f24_through_franky_a_connection_that_is_closed_mid_motion_hangs_nothing(proxy: ControllerProcess) -> None:
    lab = RealLab(proxy)
    began = lab.arm.read().positions[0]
    lab.until(lambda state: state.positions[0] > began + 0.005, 0.002)
    proxy.tell("close")
    lab.until(lambda state: not state.fresh)
    lab.arm.fault("closed")
    began_s = time.monotonic()
    lab.arm.close()
    assert time.monotonic() - began_s < 2.0
