"""An xArm's contract and faults, at the seam of its SDK: every code has its meaning, and none but 0 is success."""

from __future__ import annotations

import math
import sys
import time

import numpy as np
import pytest

from vla.clock import RealClock, VirtualClock
from vla.errors import ActionError, ArmError, ConfigError
from vla.interfaces import ArmCommand, ArmMode, ArmState, Clock
from vla.testing.arms import check_arm
from vla_robot_io.links.linked_arm import LinkedArm
from vla_robot_io.ufactory.codes import trouble_in
from vla_robot_io.ufactory.fake_sdk import FakeXarm
from vla_robot_io.ufactory.robot import make_arm, make_robot


class ToldClock(VirtualClock):
    """Time in which an arm reports a hundred times a second, as a real one does."""

    def __init__(self) -> None:
        super().__init__()
        self.arms: list[FakeXarm] = []

    def advance(self, duration_s: float) -> None:
        super().advance(duration_s)
        for arm in self.arms:
            arm.tell()

    def sleep_until(self, time_s: float) -> None:
        super().sleep_until(time_s)
        for arm in self.arms:
            arm.tell()


def make(clock: Clock) -> LinkedArm:
    fake = FakeXarm(clock)
    assert isinstance(clock, ToldClock)
    clock.arms.append(fake)
    return make_arm(clock, "nowhere", "xarm", library=fake)


def test_an_arm_behind_its_sdk_keeps_the_contract() -> None:
    check_arm(make, make_clock=ToldClock)


class Lab:
    """An arm led to RUNNING, unless it was told not to."""

    def __init__(self, *, run: bool = True) -> None:
        self.clock = ToldClock()
        self.arm = make(self.clock)
        (self.fake,) = self.clock.arms
        self._sequence = 0
        if run:
            for verb in (self.arm.connect, self.arm.configure, self.arm.read, self.arm.arm, self.arm.run):
                verb()

    def go(self, positions: np.ndarray, gripper_m: float = 0.05) -> ArmState:
        self._sequence += 1
        self.arm.write(ArmCommand(positions, gripper_m, self._sequence, self.clock.now() + 0.1))
        self.clock.advance(0.01)
        return self.arm.read()

    def until_fault(self) -> str:
        """The reason: errors are asked for in a thread of their own."""
        end_s = time.monotonic() + 10.0
        while self.arm.read().fault is None:
            assert time.monotonic() < end_s
            self.clock.advance(0.01)
        return str(self.arm.read().fault)


def test_control_is_taken_in_the_makers_order_and_a_set_point_goes_where_it_says() -> None:
    lab = Lab()
    assert lab.fake.enabled == ["motion", "mode 1", "state 0"]
    state = lab.go(np.full(7, 0.02))
    assert state.positions == pytest.approx(0.02)
    assert lab.fake.gripper in (850, 500)


@pytest.mark.parametrize(
    ("error", "kind"),
    [(1, "emergency_stop"), (3, "emergency_stop"), (22, "self_collision"), (31, "collision"), (60, "speed_limit")],
)
def test_f30_each_error_has_its_reason(error: int, kind: str) -> None:
    lab = Lab()
    lab.fake.fail(error)
    lab.clock.advance(0.01)
    fault = lab.until_fault()
    assert fault.startswith(("stopped: ", f"{kind}: "))
    assert str(trouble_in(error, 4).kind) == kind  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("error", "is_clearable"), [(1, False), (11, False), (17, False), (31, True), (60, True), (777, False)]
)
def test_f30_only_what_is_in_the_table_is_cleared_from_here(error: int, is_clearable: bool) -> None:
    trouble = trouble_in(error, 4)
    assert trouble is not None
    assert trouble.is_clearable == is_clearable
    assert f"C{error}" in trouble.text


def test_f33_an_arm_that_somebody_else_stopped_is_a_fault() -> None:
    lab = Lab()
    lab.fake.state = 4
    lab.clock.advance(0.01)
    assert lab.until_fault().startswith("stopped: ")


def test_f25_a_collision_is_cleared_by_acknowledgement_and_the_arm_goes_on() -> None:
    lab = Lab()
    lab.fake.fail(31)
    lab.clock.advance(0.01)
    lab.arm.acknowledge(lab.until_fault())
    assert lab.fake.error == 0
    lab.clock.advance(0.01)
    lab.arm.arm()
    lab.arm.run()
    assert lab.go(lab.arm.read().commanded + 0.01).mode is ArmMode.RUNNING


def test_f28_reports_that_stop_coming_are_stale_though_the_sdk_says_it_is_connected() -> None:
    lab = Lab()
    lab.clock.advance(0.01)
    assert lab.arm.read().fresh
    lab.fake.is_silent = True
    lab.clock.advance(0.01)
    assert not lab.arm.read().fresh
    assert lab.fake.connected


def test_a_code_that_is_not_0_is_an_error_that_says_it() -> None:
    lab = Lab()
    lab.fake.refuses = 9
    with pytest.raises(ArmError, match="did not take a set-point: the SDK's code is 9"):
        lab.go(np.zeros(7))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_f27_what_is_not_finite_never_comes_to_the_sdk(value: float) -> None:
    lab = Lab()
    with pytest.raises(ActionError, match="not finite"):
        lab.go(np.full(7, value))


@pytest.mark.parametrize(
    ("axis", "version", "told"), [(6, (1, 12, 10), "xarm6"), (7, (1, 8, 0), "1.8.0"), (7, (3, 0, 0), "3.0.0")]
)
def test_f32_another_model_or_firmware_is_refused(axis: int, version: tuple[int, int, int], told: str) -> None:
    lab = Lab(run=False)
    lab.fake.axis, lab.fake.version_number = axis, version
    with pytest.raises(ArmError, match=told):
        lab.arm.connect()


def test_without_the_sdk_the_line_that_installs_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xarm", None)
    with pytest.raises(ConfigError, match=r"uv pip install 'vla-stack\[xarm\]'"):
        make_robot(RealClock(), instruction="", seed=0)


def test_a_real_arm_needs_what_only_its_owner_knows() -> None:
    pytest.importorskip("xarm")
    with pytest.raises(ConfigError, match="needs options host, kinematics, embodiment, cameras"):
        make_robot(RealClock(), instruction="", seed=0)
