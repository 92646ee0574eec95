"""Whatever is called in whatever order, a fault stays until its own reason is acknowledged."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from vla.arm_modes import ArmModes
from vla.errors import ArmError, ArmFault
from vla.interfaces import ArmCommand, ArmMode
from vla_robot_io.panda import panda_spec

SPEC = panda_spec(rate_hz=100.0)
MIDDLE = (SPEC.position_low + SPEC.position_high) / 2
REASONS = st.sampled_from(["a cable came off", "collision", "the operator"])


class Modes(RuleBasedStateMachine):
    """A model of what may be: which fault is latched, and whether torque was given since."""

    def __init__(self) -> None:
        super().__init__()
        self.modes = ArmModes("arm")
        self.latched: str | None = None
        self.armed = False
        self.sequence = 0

    @rule(verb=st.sampled_from(["connect", "configure", "arm", "run", "hold"]))
    def call(self, verb: str) -> None:
        before, refusal = self.modes.mode, None
        try:
            self.modes.enter(verb)
        except ArmError as error:
            refusal = error
        if self.latched is not None:
            assert isinstance(refusal, ArmFault)
        if refusal is not None:
            assert self.modes.mode is before
        else:
            self.armed = verb == "arm" or (self.armed and verb in ("run", "hold"))

    @rule(reason=REASONS)
    def fault(self, reason: str) -> None:
        if self.modes.mode is ArmMode.DISCONNECTED:
            return
        self.modes.latch(reason)
        self.latched = self.latched or reason
        self.armed = False

    @rule(reason=REASONS)
    def acknowledge(self, reason: str) -> None:
        try:
            self.modes.acknowledge(reason)
        except ArmError:
            assert reason != self.latched
        else:
            assert reason == self.latched
            self.latched = None

    @rule()
    def write(self) -> None:
        self.sequence += 1
        try:
            self.modes.admit(ArmCommand(MIDDLE, 0.04, self.sequence, 1.0), SPEC, 0.5)
        except ArmError:
            assert self.modes.mode is not ArmMode.RUNNING
        else:
            assert self.modes.mode is ArmMode.RUNNING

    @rule()
    def disconnect(self) -> None:
        self.modes.disconnect()
        self.latched, self.armed = None, False

    @invariant()
    def a_fault_is_a_fault(self) -> None:
        assert (self.modes.mode is ArmMode.FAULT) == (self.latched is not None)
        assert self.modes.fault == self.latched

    @invariant()
    def only_what_was_armed_moves(self) -> None:
        moves = self.modes.mode in (ArmMode.ARMED, ArmMode.RUNNING, ArmMode.HOLD)
        assert moves == self.armed


def test_no_order_of_calls_leaves_a_fault_unacknowledged() -> None:
    run_state_machine_as_test(Modes, settings=settings(max_examples=60, stateful_step_count=40, deadline=None))
