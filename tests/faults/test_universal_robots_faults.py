"""Universal Robots' rows of the fault catalogue, through the real ur-rtde and a controller in another process."""

from __future__ import annotations

import contextlib
import importlib.util
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from vla.clock import RealClock
from vla.errors import ArmError, ConfigError
from vla.interfaces import ArmCommand, ArmMode, ArmState
from vla_robot_io.guarded_arm import GuardConfig, GuardedArm
from vla_robot_io.links.controller_process import ControllerProcess
from vla_robot_io.links.linked_arm import LinkedArm
from vla_robot_io.reasons import TripLog
from vla_robot_io.universal_robots import emulator
from vla_robot_io.universal_robots.emulator import NO_COMMAND, PROTECTIVE, WATCHDOG, Controller, start_anywhere
from vla_robot_io.universal_robots.robot import UR5E, make_arm, make_robot
from vla_robot_io.universal_robots.robotiq import RobotiqGripper
from vla_robot_io.universal_robots.safety_bits import trouble_in
from vla_robot_io.universal_robots.ur_link import UrLinkConfig

library = pytest.mark.skipif(importlib.util.find_spec("rtde_control") is None, reason="ur-rtde is not installed")
SOON_S = 60.0
"""Longer than a busy machine takes for anything here."""


class LaterClock(RealClock):
    """Real time, some of which has been skipped, or that stands."""

    skipped_s = 0.0
    stands_at_s: float | None = None

    def now(self) -> float:
        return self.stands_at_s if self.stands_at_s is not None else super().now() + self.skipped_s

    def stand(self) -> None:
        """However long a busy machine takes from here on, no time goes by."""
        self.stands_at_s = self.now()


def arm_at(
    host: str,
    clock: RealClock,
    payload_kg: float | None = None,
    patience_s: float = SOON_S,
    call_s: float = SOON_S,
) -> LinkedArm:
    config = UrLinkConfig(host, 100.0, patience_s, payload_kg, call_s, begins_s=SOON_S)
    return make_arm(clock, "emulated", config, UR5E, RobotiqGripper(host, opening_m=0.085))


class Lab:
    """A controller, and an arm led to RUNNING, unless it was told not to.

    Neither gives up on the other where a busy machine lets one of them wait, unless a test is about that.
    """

    def __init__(
        self,
        controller: ControllerProcess,
        payload_kg: float | None = None,
        patience_s: float = SOON_S,
        call_s: float = SOON_S,
    ) -> None:
        self.controller, self.clock, self._sequence = controller, LaterClock(), 0
        self.arm = arm_at(controller.host, self.clock, payload_kg, patience_s, call_s)

    def run(self) -> Lab:
        for verb in (self.arm.connect, self.arm.configure, self.arm.read, self.arm.arm, self.arm.run):
            verb()
        return self

    def go(self, step_rad: float) -> ArmState:
        self._sequence += 1
        state = self.arm.read()
        self.arm.write(ArmCommand(state.commanded + step_rad, 0.04, self._sequence, self.clock.now() + SOON_S))
        return state

    def until(self, holds: Callable[[ArmState], bool], every_s: float = 0.002) -> ArmState:
        """The first reading of which this holds; the arm is left alone for `every_s` between them."""
        end_s, pause = time.monotonic() + SOON_S, threading.Event()
        while not holds(state := self.arm.read()):
            assert time.monotonic() < end_s, f"{SOON_S} s went by: {state}"
            pause.wait(every_s)
        return state

    def next_reading(self) -> ArmState:
        """The first that is newer than the one before."""
        seen_s = self.arm.read().device_time_s
        return self.until(lambda state: state.device_time_s > seen_s)

    def guarded(self) -> GuardedArm:
        return GuardedArm(self.arm, self.clock, GuardConfig(), TripLog())


@pytest.fixture
def controller() -> Iterator[ControllerProcess]:
    controller = start_anywhere()
    controller.tell(f"patient {SOON_S}")
    yield controller
    controller.close()


@pytest.fixture
def lab(controller: ControllerProcess) -> Iterator[Lab]:
    lab = Lab(controller)
    yield lab
    lab.arm.close()


@library
def test_joints_and_gripper_go_where_they_are_told(lab: Lab) -> None:
    lab.run()
    began = lab.arm.read().positions
    for _ in range(10):
        lab.go(0.01)
        lab.next_reading()
    lab.until(lambda state: bool((state.positions > began + 0.09).all()))
    lab.until(lambda state: abs(state.gripper_m - 0.04) < 1e-3)


@library
@pytest.mark.parametrize("how", ["freeze", "stop", "kill"])
def test_f28_a_controller_that_falls_silent_is_held_though_its_library_says_it_is_connected(how: str, lab: Lab) -> None:
    guarded = lab.guarded()
    guarded.open()
    guarded.enable()
    guarded.run()
    lab.until(lambda state: state.fresh)
    if how == "freeze":
        lab.controller.tell("freeze")
    else:
        getattr(lab.controller, how)()
    _read_until_a_fault_is_coming(guarded)
    assert "has not advanced" in str(guarded.coming_fault)
    guarded.fault("at rest")
    assert "has not advanced" in str(guarded.last_fault)
    assert lab.arm.mode is ArmMode.FAULT


def _read_until_a_fault_is_coming(guarded: GuardedArm) -> None:
    end_s, took_s, pause = time.monotonic() + SOON_S, list[float](), threading.Event()
    while guarded.coming_fault is None:
        began_s = time.monotonic()
        guarded.read()
        took_s.append(time.monotonic() - began_s)
        assert began_s < end_s, "no fault comes"
        pause.wait(0.005)
    # One of them may have waited for a busy machine.
    assert sorted(took_s)[len(took_s) // 2] < 0.5, "readings wait for a dead link"


LEFT_BEHIND = """
import sys
from vla_robot_io.universal_robots.robotiq import RobotiqGripper
from vla_robot_io.universal_robots.ur_link import UrLink, UrLinkConfig
link = UrLink(UrLinkConfig(sys.argv[1], begins_s=60.0), RobotiqGripper(sys.argv[1], opening_m=0.085))
link.open()
link.enable()
print("enabled", flush=True)
sys.stdin.readline()
link.close()
del link
"""


@library
@pytest.mark.parametrize("how", ["stop", "kill"])
def test_f28_a_process_outlives_the_links_of_a_silent_controller(how: str, controller: ControllerProcess) -> None:
    command = [sys.executable, "-c", LEFT_BEHIND, controller.host]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "enabled\n"
        getattr(controller, how)()
        process.communicate("\n", timeout=SOON_S)
    assert process.returncode == 0


@library
def test_f28_a_set_point_for_a_silent_controller_does_not_wait(controller: ControllerProcess) -> None:
    lab = Lab(controller, call_s=0.1).run()
    controller.stop()
    end_s, errors = time.monotonic() + SOON_S, set[str]()
    for _ in range(20):
        try:
            lab.go(0.0)
        except OSError as error:
            errors.add(str(error))
    assert time.monotonic() < end_s
    # ur-rtde takes set-points without an answer, unless its watchdog was being kicked as the controller fell silent.
    assert errors <= {"ur-rtde has not come back from a call for 0.1 s"}
    lab.arm.close()


@library
def test_f70_the_controller_stops_by_itself_when_its_loop_does_not_come_back(controller: ControllerProcess) -> None:
    controller.tell("patient 0")
    lab = Lab(controller, patience_s=0.05).run()
    with contextlib.suppress(OSError, ArmError):  # on a busy machine the loop is late before it ends
        lab.go(0.01)
    fault = lab.until(lambda state: state.mode is ArmMode.FAULT, every_s=0.3).fault
    assert str(fault).startswith("lease_lost")
    lab.arm.close()


@library
@pytest.mark.parametrize(("what", "told"), [("restart", "clock went back"), ("zeros", "exactly 0")])
def test_f29_a_restart_and_zeros_are_faults(lab: Lab, what: str, told: str) -> None:
    lab.run()
    before = lab.until(lambda state: state.fresh).positions
    lab.controller.tell(what)
    state = lab.until(lambda state: state.mode is ArmMode.FAULT)
    assert told in str(state.fault)
    assert state.positions == pytest.approx(before, abs=1e-6)


@library
@pytest.mark.parametrize(
    ("what", "kind"),
    [("protective", "protective_stop"), ("safeguard", "safeguard_stop"), ("emergency", "emergency_stop")],
)
def test_f30_three_stops_have_three_reasons(lab: Lab, what: str, kind: str) -> None:
    lab.run()
    lab.clock.stand()
    lab.controller.tell(what)
    fault = str(lab.until(lambda state: state.mode is ArmMode.FAULT).fault)
    assert fault.startswith(f"{kind}: ")
    with pytest.raises(ArmError, match="5 s after" if what == "protective" else "cleared at the robot"):
        lab.arm.acknowledge(fault)


@library
def test_f30_a_protective_stop_is_unlocked_by_acknowledgement_and_the_arm_runs_again(lab: Lab) -> None:
    lab.run()
    lab.controller.tell("protective")
    fault = str(lab.until(lambda state: state.mode is ArmMode.FAULT).fault)
    lab.controller.tell("age 6")
    lab.clock.skipped_s = 6.0
    lab.arm.acknowledge(fault)
    assert lab.arm.mode is ArmMode.CONFIGURED
    lab.arm.arm()
    lab.arm.run()
    began = lab.arm.read().positions
    lab.go(0.02)
    lab.until(lambda state: bool((state.positions > began + 0.015).all()))


def test_a_controller_that_had_no_processor_time_hears_its_client_before_it_gives_up_on_it() -> None:
    controller = Controller("UR5", "5.12.0")
    controller.start_program()
    controller.command({"input_int_register_0": float(WATCHDOG), "input_double_register_0": 10.0})
    controller.step(5.0)
    controller.command({"input_int_register_0": float(NO_COMMAND)})
    controller.watch()
    assert controller.is_running
    controller.step(0.2)
    controller.watch()
    assert not controller.is_running


def test_a_patient_controller_waits_for_a_client_as_long_as_it_was_told() -> None:
    controller = Controller("UR5", "5.12.0")
    controller.start_program()
    controller.command({"input_int_register_0": float(WATCHDOG), "input_double_register_0": 10.0})
    assert controller.tell(["patient", "60"])
    controller.step(59.0)
    controller.watch()
    assert controller.is_running
    controller.step(2.0)
    controller.watch()
    assert not controller.is_running


def test_an_address_that_another_takes_meanwhile_is_left_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    first = start_anywhere()
    # The other took it after it was looked at.
    monkeypatch.setattr(emulator, "_is_free", lambda host: True)
    second = start_anywhere()
    assert second.host != first.host
    for controller in (first, second):
        controller.close()


def test_f30_the_emulated_controller_unlocks_no_earlier_than_a_real_one() -> None:
    controller = Controller("UR5", "5.12.0")
    controller.tell(["protective"])
    assert controller.dashboard("unlock protective stop").startswith("Cannot unlock")
    assert controller.safety_bits == PROTECTIVE
    controller.step(5.1)
    controller.dashboard("unlock protective stop")
    assert not controller.is_stopped


@pytest.mark.parametrize(
    ("bits", "kind"),
    [
        (1, None),
        (3, None),
        (4, "protective_stop"),
        (16, "safeguard_stop"),
        (0x84, "emergency_stop"),
        (0x40, "emergency_stop"),
    ],
)
def test_f30_the_most_serious_bit_is_the_reason(bits: int, kind: str | None) -> None:
    trouble = trouble_in(bits, 7)
    assert (trouble and trouble.kind) == kind


def test_f30_brakes_that_are_on_are_a_reason() -> None:
    trouble = trouble_in(1, 5)
    assert trouble is not None
    assert "brakes are on" in trouble.text


@library
def test_f31_commands_follow_the_speed_slider(lab: Lab) -> None:
    lab.run()
    lab.controller.tell("slider 0.1")
    told_s = lab.arm.read().device_time_s
    before = lab.until(lambda state: state.device_time_s > told_s + 0.05).commanded
    lab.go(0.01)
    assert lab.arm.read().commanded == pytest.approx(before + 0.001, abs=1e-6)


@library
@pytest.mark.parametrize(
    ("model", "version", "told"), [("UR10", "5.12.0", "UR10"), ("UR5", "3.15.8", "3.15.8"), ("UR5", "10.7.0", "10.7.0")]
)
def test_f32_another_model_or_firmware_is_refused(model: str, version: str, told: str) -> None:
    controller = start_anywhere(model=model, version=version)
    lab = Lab(controller)
    with pytest.raises(ArmError, match=told):
        lab.arm.connect()
    assert lab.arm.mode is ArmMode.DISCONNECTED
    controller.close()


@library
def test_f33_a_program_of_another_that_takes_over_is_a_fault_and_not_fought(lab: Lab) -> None:
    lab.run()
    lab.controller.tell("other")
    fault = str(lab.until(lambda state: state.mode is ArmMode.FAULT).fault)
    assert fault.startswith("lease_lost")
    lab.arm.acknowledge(fault)
    lab.arm.arm()
    assert lab.arm.mode is ArmMode.ARMED


@library
def test_f34_another_payload_is_refused_before_the_program_is_started(controller: ControllerProcess) -> None:
    lab = Lab(controller, payload_kg=2.0)
    lab.arm.connect()
    with pytest.raises(ArmError, match=r"payload is 0\.90 kg, expected 2\.00 kg"):
        lab.arm.configure()
    lab.arm.close()


@library
def test_a_controller_that_is_not_there_is_named() -> None:
    arm = arm_at("127.0.0.254", RealClock())
    with pytest.raises(ArmError, match="does not answer"):
        arm.connect()


@pytest.mark.parametrize("options", [{"host": ""}, {"host": "10.0.0.2", "gripper": "magnet"}])
@library
def test_a_real_arm_needs_what_only_its_owner_knows(options: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        make_robot(RealClock(), instruction="", seed=0, **options)  # type: ignore[arg-type]


def test_without_ur_rtde_the_line_that_installs_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rtde_receive", None)
    with pytest.raises(ConfigError, match=r"uv pip install 'vla-stack\[ur\]'"):
        make_robot(RealClock(), instruction="", seed=0)
