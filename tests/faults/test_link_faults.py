"""What goes wrong behind a maker's library ends in a stale reading or a latched fault: rows of the fault catalogue."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from vla.clock import VirtualClock
from vla.errors import ArmError
from vla.interfaces import ArmCommand, ArmMode
from vla_robot_io.fake_arm import PANDA_READY, Window
from vla_robot_io.guarded_arm import GuardConfig, GuardedArm
from vla_robot_io.links.fake_link import FakeLink, LinkFaults
from vla_robot_io.links.link import Identity, KnownArm, Trouble
from vla_robot_io.links.linked_arm import LinkedArm
from vla_robot_io.panda import panda_spec
from vla_robot_io.reasons import TripLog

SPEC = panda_spec(100.0, "linked")
KNOWN = KnownArm(("panda",), firmware_from=(5, 0), firmware_below=(6,), serial="P-1")
IDENTITY = Identity("panda", (5, 2), "P-1")
PROTECTIVE = Trouble("protective_stop", "the arm hit something", is_clearable=True, wait_s=5.0)
SAFEGUARD = Trouble("safeguard_stop", "the safeguard is open")
EMERGENCY = Trouble("emergency_stop", "the emergency stop is pressed")


class Lab:
    """An arm that has been led to RUNNING, unless it was told not to."""

    def __init__(self, faults: LinkFaults | None = None, identity: Identity = IDENTITY, *, run: bool = True) -> None:
        self.clock = VirtualClock()
        self.link = FakeLink(self.clock, SPEC, PANDA_READY, identity, faults)
        self.arm = LinkedArm(self.link, SPEC, KNOWN, self.clock)
        self._sequence = 0
        if run:
            for verb in (self.arm.connect, self.arm.configure, self.arm.read, self.arm.arm, self.arm.run):
                verb()

    def tick(self, step_rad: float = 0.0) -> None:
        """Write a command a step away from the last, let one period pass and read."""
        self._sequence += 1
        goal = self.arm.read().commanded + step_rad
        if self.arm.mode is ArmMode.RUNNING:
            self.arm.write(ArmCommand(goal, 0.04, self._sequence, self.clock.now() + 0.1))
        self.clock.advance(0.01)
        self.arm.read()

    def guarded(self) -> GuardedArm:
        return GuardedArm(self.arm, self.clock, GuardConfig(), TripLog())


@pytest.mark.parametrize("fault", ["frozen", "silent", "nan"])
def test_f28_a_library_that_says_nothing_new_is_stale_at_once_and_holds_in_50_ms(fault: str) -> None:
    what: dict[str, Any] = {fault: Window(1.0)}
    lab = Lab(LinkFaults(**what), run=False)
    guarded = lab.guarded()
    guarded.open()
    guarded.enable()
    guarded.run()
    lab.clock.advance(0.99)
    before = guarded.read()
    lab.clock.advance(0.03)
    assert not guarded.read().fresh or fault == "frozen"
    state = before
    while guarded.is_trusted:
        lab.clock.advance(0.01)
        state = guarded.read()
    assert lab.clock.now() <= 1.0 + 0.05 + 0.02
    assert np.isfinite(state.positions).all()
    assert state.positions == pytest.approx(before.positions)
    lab.clock.advance(0.5)
    guarded.read()
    assert "has not advanced" in str(guarded.coming_fault)
    assert str(guarded.fault("at rest")) == guarded.last_fault == guarded.latched
    assert "has not advanced" in str(guarded.latched)


def test_f29_a_controller_that_was_restarted_is_a_fault() -> None:
    lab = Lab(LinkFaults(backwards=Window(0.5)))
    for _ in range(60):
        lab.tick()
    assert lab.arm.mode is ArmMode.FAULT
    assert "clock went back" in str(lab.arm.read().fault)


def test_f29_zeros_are_no_measurement() -> None:
    lab = Lab(LinkFaults(zeros=Window(0.5)))
    for _ in range(60):
        lab.tick()
    state = lab.arm.read()
    assert state.mode is ArmMode.FAULT
    assert "exactly 0" in str(state.fault)
    assert state.positions == pytest.approx(PANDA_READY)


def test_f29_an_arm_that_reads_zeros_is_not_armed() -> None:
    lab = Lab(LinkFaults(zeros=Window(0.0)), run=False)
    lab.arm.connect()
    lab.arm.configure()
    with pytest.raises(ArmError, match="exactly 0"):
        lab.arm.arm()


@pytest.mark.parametrize("trouble", [PROTECTIVE, SAFEGUARD, EMERGENCY], ids=lambda trouble: trouble.kind)
def test_f30_each_stop_has_its_own_reason(trouble: Trouble) -> None:
    lab = Lab(LinkFaults(troubles={Window(0.5): trouble}))
    for _ in range(60):
        lab.tick()
    assert lab.arm.read().fault == f"{trouble.kind}: {trouble.text}"
    assert lab.link.halts == 1


def test_f30_a_protective_stop_is_cleared_by_an_acknowledgement_and_not_before_5_s() -> None:
    lab = Lab(LinkFaults(troubles={Window(0.5, 9.0): PROTECTIVE}))
    for _ in range(60):
        lab.tick()
    fault = str(lab.arm.read().fault)
    with pytest.raises(ArmError, match="5 s after it came"):
        lab.arm.acknowledge(fault)
    assert lab.arm.mode is ArmMode.FAULT
    assert lab.link.recoveries == []
    lab.clock.advance(5.0)
    lab.arm.acknowledge(fault)
    assert lab.link.recoveries == [PROTECTIVE]
    assert lab.arm.mode is ArmMode.CONFIGURED


@pytest.mark.parametrize("trouble", [SAFEGUARD, EMERGENCY], ids=lambda trouble: trouble.kind)
def test_f30_no_other_stop_is_cleared_from_here(trouble: Trouble) -> None:
    lab = Lab(LinkFaults(troubles={Window(0.5, 20.0): trouble}))
    for _ in range(60):
        lab.tick()
    fault = str(lab.arm.read().fault)
    lab.clock.advance(10.0)
    with pytest.raises(ArmError, match="cleared at the robot"):
        lab.arm.acknowledge(fault)
    assert lab.link.recoveries == []
    lab.clock.advance(10.0)
    lab.arm.acknowledge(fault)
    assert lab.arm.mode is ArmMode.CONFIGURED


def test_f31_commands_follow_the_speed_slider_and_do_not_queue_up() -> None:
    lab = Lab(LinkFaults(slowed=Window(0.5)))
    lab.clock.advance(0.5)
    lab.arm.read()
    before = lab.arm.read().commanded
    applied = lab.arm.write(ArmCommand(before + 0.01, 0.04, 1, lab.clock.now() + 0.1))
    assert applied.positions == pytest.approx(before + 0.001)
    assert "slowed to 10 %" in applied.reasons[0]
    assert lab.arm.read().commanded == pytest.approx(applied.positions)
    assert lab.link.sent[-1] == pytest.approx(applied.positions)


@pytest.mark.parametrize(
    ("identity", "told"),
    [
        (Identity("fr3", (5, 2), "P-1"), "expected panda"),
        (Identity("panda", (4, 9), "P-1"), "firmware 4.9 is not 5.0 up to, without, 6"),
        (Identity("panda", (6, 0), "P-1"), "limits are known"),
        (Identity("panda", (), "P-1"), "names no firmware"),
        (Identity("panda", (5, 2), "P-2"), "another arm"),
    ],
)
def test_f32_an_arm_whose_limits_are_unknown_is_refused_at_connect(identity: Identity, told: str) -> None:
    lab = Lab(identity=identity, run=False)
    with pytest.raises(ArmError, match=told):
        lab.arm.connect()
    assert lab.arm.mode is ArmMode.DISCONNECTED


def test_f34_what_the_link_finds_set_otherwise_is_refused_before_torque() -> None:
    lab = Lab(run=False)

    def check() -> None:
        raise ArmError("payload is 1.2 kg, expected 0.9 kg")

    lab.link.check = check  # type: ignore[method-assign]
    lab.arm.connect()
    with pytest.raises(ArmError, match="payload"):
        lab.arm.configure()
    assert lab.arm.mode is ArmMode.CONNECTED


def test_an_arm_in_trouble_is_not_armed() -> None:
    lab = Lab(LinkFaults(troubles={Window(0.0): EMERGENCY}), run=False)
    lab.arm.connect()
    lab.arm.configure()
    with pytest.raises(ArmError, match="emergency stop is pressed"):
        lab.arm.arm()


def test_a_link_that_says_it_sent_nonsense_is_an_error() -> None:
    lab = Lab()
    send = lab.link.send
    lab.link.send = lambda positions, gripper_m: dataclasses.replace(  # type: ignore[method-assign]
        send(positions, gripper_m), gripper_m=float("nan")
    )
    with pytest.raises(ArmError, match="not finite"):
        lab.arm.write(ArmCommand(lab.arm.read().commanded, 0.04, 1, lab.clock.now() + 0.1))
