"""Whatever is called in whatever order on any arm, a fault is left by its own acknowledgement or by closing alone."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla.clock import VirtualClock
from vla.errors import ActionError, ArmError
from vla.interfaces import Arm, ArmCommand, ArmMode, Clock
from vla.testing import LoggedArm, check_applied
from vla_robot_io.dry_run import DryRunArm
from vla_robot_io.fake_arm import PANDA_READY, ArmFaults, FakeArm, Window
from vla_robot_io.links.fake_link import FakeLink
from vla_robot_io.links.link import Identity, KnownArm
from vla_robot_io.links.linked_arm import LinkedArm
from vla_robot_io.loopback import loopback_servos
from vla_robot_io.panda import panda_spec
from vla_robot_io.servos.emulator import ServoFaults
from vla_sim.embodiments import TABLETOP_PANDA


def fake(clock: Clock) -> Arm:
    return FakeArm(clock, faults=ArmFaults(write_error=Window(0.3, 0.5)))


def feetech(clock: Clock) -> Arm:
    faults = ServoFaults(errors={2: (Window(0.3, 0.5), 1 << 3)})
    return loopback_servos(clock, TABLETOP_PANDA, "sts3215", faults=faults)[0].arm


def dynamixel(clock: Clock) -> Arm:
    return loopback_servos(clock, TABLETOP_PANDA, "xl330_m288", faults=ServoFaults(limp={2: Window(0.3, 0.5)}))[0].arm


def linked(clock: Clock) -> Arm:
    spec = panda_spec(100.0, "linked")
    return LinkedArm(FakeLink(clock, spec, PANDA_READY, Identity("panda", (5, 2))), spec, KnownArm(("panda",)), clock)


def dry(clock: Clock) -> Arm:
    return DryRunArm(fake(clock))


CALLS = (
    "connect",
    "configure",
    "arm",
    "run",
    "hold",
    "read",
    "close",
    "write",
    "fault",
    "acknowledge",
    "name it",
    "wait",
)
TO_RUNNING = ["connect", "configure", "arm", "run"]


def call(arm: LoggedArm, clock: VirtualClock, verb: str, sequence: int) -> None:
    match verb:
        case "wait":
            clock.advance(0.1)
        case "fault":
            arm.fault("a cable came off")
        case "acknowledge":
            arm.acknowledge("whatever it was")
        case "name it":
            arm.acknowledge(arm.read().fault or "nothing")
        case "write":
            state = arm.read()
            before = arm.mode
            try:
                arm.write(ArmCommand(state.commanded, state.commanded_gripper_m, sequence, clock.now() + 1.0))
            finally:
                assert before is ArmMode.RUNNING or arm.entries[-1].applied is None
        case _:
            getattr(arm, verb)()


@pytest.mark.parametrize("make_arm", [fake, feetech, dynamixel, linked, dry])
@settings(max_examples=12, deadline=None)
@given(st.lists(st.sampled_from(CALLS), max_size=25))
def test_no_order_of_calls_leaves_a_fault_but_its_name(make_arm: Callable[[Clock], Arm], verbs: list[str]) -> None:
    clock = VirtualClock()
    arm = LoggedArm(make_arm(clock), clock)
    for sequence, verb in enumerate([*TO_RUNNING, *verbs], 1):
        with contextlib.suppress(ArmError, ActionError, OSError):
            call(arm, clock, verb, sequence)
    check_applied(arm)
    written = [entry.applied.positions for entry in arm.written if entry.applied]
    assert all(np.isfinite(positions).all() for positions in written)
