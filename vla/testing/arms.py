"""The contract of `vla.interfaces.Arm`."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable

import numpy as np

from vla.clock import VirtualClock
from vla.errors import ActionError, ArmError, ArmFault
from vla.interfaces import Applied, Arm, ArmCommand, ArmMode, ArmState, Clock
from vla.testing.promises import kept, refused, require

MakeArm = Callable[[Clock], Arm]

_WAY = {
    ArmMode.DISCONNECTED: (),
    ArmMode.CONNECTED: ("connect",),
    ArmMode.CONFIGURED: ("connect", "configure"),
    ArmMode.ARMED: ("connect", "configure", "arm"),
    ArmMode.RUNNING: ("connect", "configure", "arm", "run"),
    ArmMode.HOLD: ("connect", "configure", "arm", "run", "hold"),
}
_ALLOWED = {
    "connect": {ArmMode.DISCONNECTED: ArmMode.CONNECTED},
    "configure": {ArmMode.CONNECTED: ArmMode.CONFIGURED},
    "arm": {ArmMode.CONFIGURED: ArmMode.ARMED},
    "run": {ArmMode.ARMED: ArmMode.RUNNING, ArmMode.HOLD: ArmMode.RUNNING},
    "hold": {ArmMode.RUNNING: ArmMode.HOLD},
}
_IDLE = {("configure", ArmMode.CONFIGURED), ("hold", ArmMode.HOLD)}
"""What is asked for is so already: an arm may refuse, or do nothing."""


def check_arm(make_arm: MakeArm, *, make_clock: Callable[[], Clock] = VirtualClock, may_move: bool = True) -> None:
    """Return if the arm keeps its contract.

    Each transition is taken or refused as `ArmMode` draws it; a fault latches, refuses all else and is cleared by its
    own reason alone; a command that is late, out of order, not finite or of another shape is refused and changes
    nothing; what is applied lies within the limits and says why it differs; a reading is fresh when the device's
    clock has advanced, and only then.

    Args:
        make_arm: gives a new, disconnected arm that lives by a clock; called many times.
        make_clock: gives that clock; with `RealClock` this takes as long as it takes.
        may_move: false for a real arm: no command leads farther than a thousandth of a radian from where it stands, and
            what becomes of commands beyond its limits is not looked at.

    Raises:
        AssertionError: with one sentence on the promise that is broken.
    """
    bench = _Bench(make_arm, make_clock)
    for mode in _WAY:
        _check_transitions(bench, mode)
        _check_close(bench, mode)
        _check_no_acknowledgement_without_fault(bench, mode)
        if mode is not ArmMode.DISCONNECTED:
            _check_fault(bench, mode)
        if mode is not ArmMode.RUNNING:
            _check_write_is_refused(bench, mode)
    _check_nothing_is_read_while_disconnected(bench)
    _check_commands(bench)
    _check_limits(bench, may_move)
    _check_freshness(bench)
    _check_arming_stays(bench)


@dataclasses.dataclass(frozen=True)
class _Bench:
    make_arm: MakeArm
    make_clock: Callable[[], Clock]

    def arm_in(self, mode: ArmMode) -> tuple[Arm, Clock]:
        """A new arm, led to `mode`."""
        clock = self.make_clock()
        arm = self.make_arm(clock)
        require(arm.mode is ArmMode.DISCONNECTED, f"a new arm is disconnected, this one is {arm.mode.value}")
        for verb in _WAY[mode]:
            with kept(f"'{verb}' on the way to {mode.value}"):
                getattr(arm, verb)()
        require(arm.mode is mode, f"after {', '.join(_WAY[mode])} an arm is {mode.value}, this one is {arm.mode.value}")
        return arm, clock


# --------------------------------------------------------------------------- modes


def _check_transitions(bench: _Bench, mode: ArmMode) -> None:
    for verb, allowed in _ALLOWED.items():
        if (verb, mode) in _IDLE:
            continue
        arm, _ = bench.arm_in(mode)
        if mode in allowed:
            with kept(f"'{verb}' while {mode.value}"):
                getattr(arm, verb)()
        else:
            with refused(f"'{verb}' while {mode.value}", ArmError):
                getattr(arm, verb)()
        expected = allowed.get(mode, mode)
        require(arm.mode is expected, f"'{verb}' while {mode.value} leads to {expected.value}, not {arm.mode.value}")
        arm.close()


def _check_close(bench: _Bench, mode: ArmMode) -> None:
    arm, _ = bench.arm_in(mode)
    arm.close()
    require(arm.mode is ArmMode.DISCONNECTED, f"a closed arm is disconnected, this one is {arm.mode.value}")


def _check_no_acknowledgement_without_fault(bench: _Bench, mode: ArmMode) -> None:
    arm, _ = bench.arm_in(mode)
    with refused(f"an acknowledgement while {mode.value}", ArmError):
        arm.acknowledge("nothing")
    arm.close()


def _check_fault(bench: _Bench, mode: ArmMode) -> None:
    arm, clock = bench.arm_in(mode)
    arm.fault("a cable came off")
    arm.fault("and then another")
    require(arm.mode is ArmMode.FAULT, f"a fault while {mode.value} leads to fault, not {arm.mode.value}")
    for verb in ("configure", "arm", "run", "hold"):
        with refused(f"'{verb}' while a fault is latched", ArmFault, naming="a cable came off"):
            getattr(arm, verb)()
    with refused("a command while a fault is latched", ArmFault, naming="a cable came off"):
        arm.write(_stay(arm, clock, 1))
    state = arm.read()
    told = state.mode is ArmMode.FAULT and state.fault == "a cable came off"
    require(told, f"a reading says which fault came first; it says {state.mode.value}, {state.fault!r}")
    with refused("the acknowledgement of another fault", ArmError, naming="a cable came off"):
        arm.acknowledge("and then another")
    require(arm.mode is ArmMode.FAULT, "a fault stays latched until its own reason is acknowledged")
    arm.acknowledge("a cable came off")
    cleared = arm.mode is ArmMode.CONFIGURED and arm.read().fault is None
    require(cleared, f"an acknowledged arm is configured and without fault, this one is {arm.mode.value}")
    arm.close()


def _check_nothing_is_read_while_disconnected(bench: _Bench) -> None:
    arm, _ = bench.arm_in(ArmMode.DISCONNECTED)
    with refused("a reading while disconnected", ArmError):
        arm.read()
    with refused("a fault while disconnected", ArmError):
        arm.fault("nothing there")


def _check_arming_stays(bench: _Bench) -> None:
    """Arming makes no step: the command begins where the arm is."""
    arm, clock = bench.arm_in(ArmMode.CONFIGURED)
    before = arm.read()
    arm.arm()
    clock.sleep_until(clock.now() + 0.2)
    after = arm.read()
    moved = float(np.abs(after.positions - before.positions).max())
    require(moved < 1e-2, f"an arm stays where it is when armed, this one moved {moved:.3g} rad")
    off = float(np.abs(after.commanded - after.positions).max())
    require(off < 5e-2, f"an armed arm's command begins where it is; it is {off:.3g} rad away")
    arm.close()


# --------------------------------------------------------------------------- commands


def _check_write_is_refused(bench: _Bench, mode: ArmMode) -> None:
    arm, clock = bench.arm_in(mode)
    spec = arm.spec
    middle = ArmCommand((spec.position_low + spec.position_high) / 2, spec.gripper_high_m, 1, clock.now() + 1.0)
    with refused(f"a command while {mode.value}", ArmError):
        arm.write(middle)
    arm.close()


def _check_commands(bench: _Bench) -> None:
    arm, clock = bench.arm_in(ArmMode.RUNNING)
    arm.write(_stay(arm, clock, 5))
    bad: dict[str, tuple[ArmCommand, tuple[type[ArmError | ActionError], ...]]] = {}
    good = _stay(arm, clock, 6)
    moved = dataclasses.replace(good, positions=_towards_middle(arm))
    bad["a command that comes too late"] = (dataclasses.replace(moved, valid_until_s=clock.now() - 0.001), (ArmError,))
    bad["a command that came before"] = (dataclasses.replace(moved, sequence=5), (ArmError,))
    bad["a command from before the last"] = (dataclasses.replace(moved, sequence=4), (ArmError,))
    bad["a command valid until NaN"] = (dataclasses.replace(moved, valid_until_s=math.nan), (ArmError, ActionError))
    for value in (math.nan, math.inf):
        positions = moved.positions.copy()
        positions[-1] = value
        bad[f"a position of {value}"] = (dataclasses.replace(moved, positions=positions), (ArmError, ActionError))
        bad[f"an opening of {value}"] = (dataclasses.replace(moved, gripper_m=value), (ArmError, ActionError))
    short = dataclasses.replace(moved, positions=moved.positions[:-1])
    bad["a command of the wrong width"] = (short, (ArmError, ActionError))
    for what, (command, errors) in bad.items():
        before = arm.read().commanded
        with refused(what, *errors):
            arm.write(command)
        require(np.array_equal(arm.read().commanded, before), f"{what} is refused, yet it changed what is commanded")
    with kept("a good command after refused ones"):
        arm.write(good)
    arm.close()


def _check_limits(bench: _Bench, may_move: bool) -> None:
    arm, clock = bench.arm_in(ArmMode.RUNNING)
    applied = arm.write(_stay(arm, clock, 1))
    _check_applied(arm, applied)
    require(not applied.reasons, f"to stay is applied as it is, without reasons; they say {applied.reasons}")
    if may_move:
        _check_beyond(arm, clock)
    arm.close()


def _check_beyond(arm: Arm, clock: Clock) -> None:
    spec = arm.spec
    beyond = ArmCommand(spec.position_high + 1.0, spec.gripper_high_m + 1.0, 2, clock.now() + 1.0)
    applied = arm.write(beyond)
    _check_applied(arm, applied)
    require(applied.reasons, "a command beyond the limits is not applied as it is, yet no reason says so")


def _check_applied(arm: Arm, applied: Applied) -> None:
    spec = arm.spec
    require(np.isfinite(applied.positions).all(), f"what is applied is finite, got {applied.positions}")
    within = (applied.positions >= spec.position_low) & (applied.positions <= spec.position_high)
    require(within.all(), f"what is applied lies within the limits of every joint, got {applied.positions}")
    opened = spec.gripper_low_m <= applied.gripper_m <= spec.gripper_high_m
    require(opened, f"the gripper opens {spec.gripper_low_m} to {spec.gripper_high_m} m, got {applied.gripper_m}")
    state = arm.read()
    same = np.array_equal(state.commanded, applied.positions) and state.commanded_gripper_m == applied.gripper_m
    require(same, f"a reading's command is the last one applied, {applied.positions}, got {state.commanded}")


# --------------------------------------------------------------------------- readings


def _check_freshness(bench: _Bench) -> None:
    arm, clock = bench.arm_in(ArmMode.RUNNING)
    period = 1.0 / arm.spec.rate_hz
    states = [arm.read()]
    _check_state(arm, states[0])
    for wait in (0.0, 0.0, 2 * period, 0.0, 0.3 * period, 0.3 * period, 3 * period):
        clock.sleep_until(clock.now() + wait)
        states.append(arm.read())
        _check_state(arm, states[-1])
    for before, after in itertools.pairwise(states):
        advanced = after.device_time_s > before.device_time_s
        require(after.device_time_s >= before.device_time_s, "the device's clock does not run backwards")
        require(
            after.fresh == advanced, f"a reading is fresh if the device's clock advanced ({advanced}), and only then"
        )
        counted = (after.sequence > before.sequence) == after.fresh and after.sequence >= before.sequence
        require(
            counted, f"a fresh reading advances the sequence, a stale one does not: {before.sequence, after.sequence}"
        )
        require(after.time_s >= before.time_s, "the host's clock does not run backwards")
    require(states[3].fresh and states[-1].fresh, "after two periods of the device a reading is fresh")
    arm.close()


def _check_state(arm: Arm, state: ArmState) -> None:
    joints = (len(arm.spec.joints),)
    for name in ("positions", "velocities", "commanded"):
        values = getattr(state, name)
        require(values.shape == joints, f"'{name}' of a reading has one number a joint, got shape {values.shape}")
        require(np.isfinite(values).all(), f"'{name}' of a reading is finite, got {values}")
    require(math.isfinite(state.gripper_m), f"a reading's gripper is finite, got {state.gripper_m}")
    require(state.mode is arm.mode, f"a reading says the arm's mode {arm.mode.value}, it says {state.mode.value}")


def _stay(arm: Arm, clock: Clock, sequence: int) -> ArmCommand:
    state = arm.read()
    return ArmCommand(state.commanded, state.commanded_gripper_m, sequence, clock.now() + 1.0)


def _towards_middle(arm: Arm) -> np.ndarray:
    middle = (arm.spec.position_low + arm.spec.position_high) / 2
    commanded = arm.read().commanded
    return commanded + np.clip(middle - commanded, -1e-3, 1e-3)
