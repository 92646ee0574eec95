"""The last code before the wire: one method that is called at the arm's rate, and decides each command alone.

    tick:  read ─► fresh? ─► newest plan ─► envelope ─► governor ─► write
                     │           │             │           │
                     └───────────┴──── no ─────┴───────────┴─► brake within the limits, then HOLD and say why

Two positions are kept. The *reference* goes as plans say and the envelope allows. The *command* makes for where the
plan ends, so as to stand there if no other plan comes: it never goes beyond, and lags by its speed over twice its
acceleration. It keeps within speed, acceleration and jerk, and always has a way to rest that is free. Plans go on from
the reference, so what the limits of motion delay is not lost; where the arm is held, the reference is set back to the
command.

A hold with a number needs an acknowledgement (a stop button, a runtime that fell silent); every other one is left by
the next good plan. What is surely wrong brakes the arm and latches a FAULT when it stands; where the arm itself is in
fault, or takes no more commands, there is nothing to brake with, and it is latched at once. Ticks that come late, some
in a row, halve the speed. Nothing here knows cameras, policies or processes, and nothing here is safety-rated.
"""

from __future__ import annotations

import logging
import math
from typing import Protocol, runtime_checkable

import numpy as np

from vla.errors import ArmError, ArmFault
from vla.interfaces import Arm, ArmMode, Clock
from vla_robot_io.dead_man import let_go
from vla_robot_io.envelope import Envelope, Outcome, Setpoint
from vla_robot_io.freshness import stale_arm
from vla_robot_io.governor import Governor, MotionLimits
from vla_robot_io.guarded_arm import GuardConfig, GuardedArm
from vla_robot_io.plans import ArmReport, Halt, Plan
from vla_robot_io.reasons import Code, Reason, TripLog

SAME_RAD = 1e-3
"""A command that the arm applied no farther off than this was applied: servos round to their ticks."""
CATCHING_UP, SLOWEST = 1.5, 0.1
"""A command goes this much faster than its plan, and never slower than this part of full speed."""
LEASH_RAD = 0.2
"""A reference farther than this from a command that is being braked is given up."""
SLOWED = 0.5
"""The part of its speed at which an arm moves whose ticks come late."""
_ADMITS = (ArmMode.ARMED, ArmMode.HOLD)
_HAS_TORQUE = (ArmMode.RUNNING, *_ADMITS)
logger = logging.getLogger("vla.robot_io")


@runtime_checkable
class Watched(Protocol):
    """Something outside that can forbid motion."""

    def objection(self, now_s: float) -> Reason | None:
        """Why the arm must stop now; None if it need not."""
        ...

    @property
    def needs_acknowledgement(self) -> bool:
        """Whether somebody must say that it may go on, when the objection is gone."""
        ...


class ArmRunner:
    """One arm's driver behind its envelope and governor."""

    def __init__(
        self,
        arm: Arm,
        clock: Clock,
        envelope: Envelope,
        config: GuardConfig,
        trips: TripLog,
        *,
        watched: tuple[Watched, ...] = (),
        overruns_to_hold: int = 10,
        gap_fault_s: float = math.inf,
        overruns_to_slow: int = 3,
        slow_for_s: float = 2.0,
        dead_man: Watched | None = None,
    ) -> None:
        """Touch nothing yet.

        Args:
            arm: disconnected.
            clock: that ticks go by.
            envelope: made for this arm.
            config: when the arm is no longer trusted.
            trips: told of every limit that is met.
            watched: looked at on every tick.
            overruns_to_hold: hold after so many late ticks in a row.
            gap_fault_s: latch a fault if ticks were farther apart, as after this process was suspended.
            overruns_to_slow: go at half speed after so many late ticks in a row ...
            slow_for_s: ... until none has been late for so long.
            dead_man: looked at while a plan is carried out that needs it.

        Raises:
            ConfigError: if a number is none that limits.
        """
        self._clock, self._envelope, self._config, self._trips = clock, envelope, config, trips
        self._watched, self._overruns_to_hold, self._gap_fault_s = watched, overruns_to_hold, gap_fault_s
        self._overruns_to_slow, self._slow_for_s = overruns_to_slow, slow_for_s
        self._speed, self._late_s = 1.0, -math.inf
        self._dead_man = dead_man
        self._arm = GuardedArm(arm, clock, config, trips)
        self._period_s = 1.0 / arm.spec.rate_hz
        limits = envelope.limits
        motion = MotionLimits(
            limits.soft_low,
            limits.soft_high,
            limits.max_step / self._period_s,
            limits.max_acceleration,
            limits.max_jerk,
        )
        self._governor = Governor(motion, self._period_s, self._watch_space)
        self._name = arm.spec.name
        self._reference: Setpoint | None = None
        self._plan: Plan | None = None
        self._taken = self._left = 0
        self._halt: Halt | None = None
        self._stops = self._acknowledged = 0
        self._pace = 1.0
        self._ended_s = self._ticked_s = -math.inf
        self._refused_at_s: tuple[float, ...] = ()
        self._ticks = self._overruns = self._overruns_in_a_row = 0
        self._failure: str | None = None

    # ------------------------------------------------------------------ coming up, going down

    @property
    def mode(self) -> ArmMode:
        return self._arm.mode

    @property
    def failure(self) -> str | None:
        """What to raise as `ArmFault`."""
        return self._failure

    @property
    def last_fault(self) -> str | None:
        """The last fault that was latched or met."""
        return self._arm.last_fault

    @property
    def arm(self) -> GuardedArm:
        return self._arm

    def open(self) -> None:
        """Connect and configure, if that is yet to be done; no torque."""
        self._arm.open()

    def enable(self) -> None:
        """Torque on; reference and command start where the arm says it was commanded last, at rest.

        Raises:
            ArmFault: if a fault is latched.
            ArmError: if the arm does not read a finite position.
        """
        self._start(self._arm.enable())
        self._refused_at_s, self._failure = (), None
        self._plan, self._left, self._overruns_in_a_row = None, 0, 0
        self._ticked_s = -math.inf
        # To put torque on is to acknowledge what stopped the arm before.
        self._halt, self._acknowledged = None, self._stops

    def acknowledge(self, reason: str) -> None:
        """Clear the fault that is latched; the arm is configured then, and must be enabled again.

        Raises:
            ArmError: if `reason` is not the fault that is latched.
        """
        self._arm.acknowledge(reason)
        self._failure = None
        # To clear what a controller has latched may take seconds, in which nothing is ticked.
        self._ticked_s = -math.inf

    def fault(self, text: str) -> None:
        """Brake, and latch a fault when the arm stands: at once if it does, else on the ticks to come."""
        self._arm.distrust(text)
        self._end_if_still()

    @property
    def is_ending(self) -> bool:
        """Whether the arm brakes, to be in fault when it stands: it wants ticks."""
        return self._arm.coming_fault is not None

    def close(self) -> None:
        """Hold where the command is, and close the wire; torque stays as it is."""
        self._arm.close()

    # ------------------------------------------------------------------ ticking

    def look(self) -> None:
        """Read the arm, and command nothing."""
        try:
            self._arm.read()
            self._end_if_still()
        except ArmFault as error:
            self._fail(error)

    def tick(self, plan: Plan | None = None, due_s: float | None = None, forbidden: Reason | None = None) -> None:
        """One command period.

        Args:
            plan: the newest; one that was taken before, or is older, is not taken again.
            due_s: when this tick should have begun; now if not given.
            forbidden: why the operator lets nothing move, if so.
        """
        now_s = self._clock.now()
        self._ticks += 1
        try:
            self._arm.read()
            late = self._count_overruns(now_s, due_s)
            self._heed_gap(now_s)
            if plan is not None and plan.sequence > self._taken:
                self._take(plan, now_s)
            if forbidden is not None:
                self._stop(forbidden, source="operator")
            if self._arm.mode in _HAS_TORQUE:
                self._heed(now_s, late)
            self._act(now_s)
        except ArmFault as error:
            # What came first says more than that a fault is latched.
            if self._failure is None:
                self._fail(error)
        self._ticked_s = now_s
        self._left = max(0, self._left - 1)

    def report(self) -> ArmReport:
        """Where the arm is and what it does, as of the last tick or look.

        Raises:
            ArmError: if the arm has not been read.
        """
        # Before torque nothing was commanded: plans would go on from where it stands.
        state = self._arm.state
        here = Setpoint(state.commanded, state.commanded_gripper_m)
        reference = self._reference or here
        return ArmReport(
            tick=self._ticks,
            time_s=self._clock.now(),
            state=state,
            is_trusted=self._arm.is_trusted,
            mode=self._arm.mode,
            reference=reference,
            command=self._arm.last if self._reference else here,
            is_at_rest=self._reference is None or self._governor.is_at_rest,
            plan=self._taken,
            ticks_left=self._left,
            overruns=self._overruns,
            halt=self._halt,
            failure=self._failure,
        )

    # ------------------------------------------------------------------ may it move?

    def _take(self, plan: Plan, now_s: float) -> None:
        self._taken, self._left, self._plan = plan.sequence, plan.ticks, None
        self._acknowledged = max(self._acknowledged, plan.acknowledged)
        if self._halt is not None and self._acknowledged < self._halt.number:
            return
        if plan.stands_still:
            self._halt = self._halt or Halt(Code.PLAN_ENDED, "told to stand still")
            return
        if now_s > plan.valid_until_s:
            late_s = now_s - plan.valid_until_s
            text = f"plan {plan.sequence} came {late_s:.3f} s after it was valid: not done"
            self._stop(Reason(Code.LATE_COMMAND, "plan", late_s, 0.0, text))
            return
        self._halt, self._plan = None, plan

    def _heed(self, now_s: float, late: Reason | None) -> None:
        """Stop if anything speaks against motion."""
        if not self._arm.is_trusted and not self.is_ending:
            self._stop(stale_arm(self._arm.age_s, self._config.stale_hold_s), source="reading")
        for watched in self._watched:
            reason = watched.objection(now_s)
            if reason is not None:
                self._stop(reason, needs_acknowledgement=watched.needs_acknowledgement)
        if self._plan is not None and self._plan.needs_dead_man:
            self._heed_dead_man(self._dead_man, now_s)
        if late is not None:
            self._stop(late, source="loop")
        if self._left == 0 and self._arm.is_running and self._halt is None:
            self._heed_end(now_s)
        else:
            self._ended_s = now_s

    def _heed_dead_man(self, dead_man: Watched | None, now_s: float) -> None:
        unheard = let_go("a plan needs a dead-man input, and nobody listens to one")
        reason = unheard if dead_man is None else dead_man.objection(now_s)
        if reason is not None:
            self._stop(reason, source="operator")

    def _heed_end(self, now_s: float) -> None:
        age_s, limit_s = now_s - self._ended_s, self._config.command_age_s
        if age_s > limit_s:
            text = f"nothing more to do came for {age_s:.3f} s, over {limit_s:.3f} s"
            self._stop(Reason(Code.PLAN_ENDED, "plan", age_s, limit_s, text))

    def _stop(self, reason: Reason, source: str = "stop", *, needs_acknowledgement: bool = False) -> None:
        """Brake and hold from now on; a reason that lasts is one stop, and is noted on every tick of its own."""
        self._plan = None
        self._arm.note((reason,), source)
        open_stop = self._halt is not None and self._halt.number > self._acknowledged
        if open_stop or (self._halt is not None and not needs_acknowledgement and self._halt.code is reason.code):
            return
        if needs_acknowledgement:
            self._stops += 1
        self._halt = Halt(reason.code, reason.text, self._stops if needs_acknowledgement else 0)

    def _count_overruns(self, now_s: float, due_s: float | None) -> Reason | None:
        late_s = 0.0 if due_s is None else now_s - due_s
        is_overrun = late_s > self._period_s
        self._overruns += is_overrun
        if due_s is not None:
            self._overruns_in_a_row = self._overruns_in_a_row + 1 if is_overrun else 0
        number = self._overruns_in_a_row
        self._late_s = now_s if is_overrun else self._late_s
        self._set_speed(number, now_s, late_s)
        if number < self._overruns_to_hold:
            return None
        self._overruns_in_a_row = 0
        text = f"{number} commands in a row were late, the last by {late_s:.3f} s: hold"
        return Reason(Code.OVERRUN, "loop", float(number), float(self._overruns_to_hold), text)

    def _set_speed(self, late_in_a_row: int, now_s: float, late_s: float) -> None:
        """Half, when the ticks have come late; full again when none has for a while."""
        if late_in_a_row >= self._overruns_to_slow and self._speed == 1.0:
            self._speed, for_s = SLOWED, self._slow_for_s
            text = (
                f"{late_in_a_row} commands in a row were late, the last by {late_s:.3f} s: half speed until none has "
                f"been late for {for_s:g} s"
            )
            reason = Reason(Code.OVERRUN, "speed", float(late_in_a_row), float(self._overruns_to_slow), text)
            self._arm.note((reason,), "speed")
        elif self._speed < 1.0 and now_s - self._late_s >= self._slow_for_s:
            self._speed = 1.0
            told = f"{self._name} goes at full speed again: no command has been late for {self._slow_for_s:g} s"
            self._arm.tell(told)
            logger.warning("%s", told)

    def _heed_gap(self, now_s: float) -> None:
        gap_s = now_s - self._ticked_s
        if gap_s > 1.5 * self._period_s and self._reference is not None:
            # The arm came to the last command and stood there: to go on at speed would be a jerk.
            self._governor.start(self._governor.motion.positions)
        if self._gap_fault_s < gap_s < math.inf:
            text = f"the process that holds {self._name} stood still for {gap_s:.3f} s, over {self._gap_fault_s:.3f} s"
            self._arm.distrust(text)

    # ------------------------------------------------------------------ moving

    def _act(self, now_s: float) -> None:
        if self.is_ending:
            self._brake_to_fault()
            return
        if self._reference is None or self._arm.mode not in _HAS_TORQUE:
            return
        if self._halt is not None:
            self._brake()
        elif self._plan is not None and self._left > 0:
            self._advance(self._plan, now_s)
        elif self._arm.is_running:
            self._follow(self._reference)

    def _advance(self, plan: Plan, now_s: float) -> None:
        """One step along the plan, as far as the envelope allows."""
        before = self._at
        if self._arm.mode in _ADMITS:
            self._arm.run()
        asked = Setpoint(before.positions + self._speed * plan.increment, plan.gripper_m)
        verdict = self._envelope.judge(asked, before, now_s=now_s, refused_at_s=self._refused_at_s)
        self._refused_at_s = verdict.refused_at_s
        self._arm.note(verdict.reasons, "command")
        if verdict.outcome is Outcome.FAULT:
            self._arm.distrust(verdict.reasons[-1].text)
            self._brake_to_fault()
            return
        if verdict.outcome is Outcome.HOLD:
            self._plan, last = None, verdict.reasons[-1]
            self._halt = Halt(last.code, last.text)
            self._brake()
            return
        self._reference = verdict.setpoint
        self._pace = self._pace_of(plan)
        ahead = (self._left - 1) * (verdict.setpoint.positions - before.positions)
        self._follow(Setpoint(verdict.setpoint.positions + ahead, plan.gripper_m))

    def _pace_of(self, plan: Plan) -> float:
        """The part of full speed with which the command follows: a little more than the plan has, to keep up."""
        fastest = self._speed * float(np.abs(plan.increment / self._envelope.limits.max_step).max())
        return min(1.0, max(SLOWEST, CATCHING_UP * fastest))

    def _follow(self, reference: Setpoint) -> None:
        step = self._governor.follow(reference.positions, scale=self._pace)
        if step.objection is not None:
            self._arm.note((Reason(Code.BRAKED, self._name, 0.0, 0.0, step.objection),), "governor")
            self._heed_distance(step.motion.positions, reference)
        self._write(Setpoint(step.motion.positions, reference.gripper_m))

    def _heed_distance(self, command: np.ndarray, reference: Setpoint) -> None:
        """Set the reference back to a command that cannot follow it, so that the way is not made up for later."""
        if np.abs(reference.positions - command).max() > LEASH_RAD:
            self._reference = Setpoint(command.copy(), reference.gripper_m)

    def _brake(self) -> None:
        if not self._arm.is_running:
            return
        if not self._governor.is_at_rest:
            self._write_braking()
        if self._governor.is_at_rest:
            self._arm.hold()

    def _write_braking(self) -> None:
        motion = self._governor.brake()
        self._reference = Setpoint(motion.positions.copy(), self._at.gripper_m)
        self._write(self._reference)

    def _brake_to_fault(self) -> None:
        self._failure, self._plan = self._failure or self._arm.coming_fault, None
        if self._is_moving:
            self._write_braking()
        self._end_if_still()

    def _end_if_still(self) -> None:
        """Latch the fault that is coming, if the arm stands; else the ticks to come brake it."""
        fault = self._arm.coming_fault
        if fault is None:
            return
        self._failure, self._plan = self._failure or fault, None
        if not self._is_moving:
            self._arm.fault(fault)

    @property
    def _is_moving(self) -> bool:
        return self._arm.is_running and self._reference is not None and not self._governor.is_at_rest

    def _write(self, setpoint: Setpoint) -> None:
        applied = self._arm.write(setpoint)
        if np.abs(applied.positions - setpoint.positions).max() > SAME_RAD:
            # The arm knows better where it was commanded to: all begins from there.
            self._start(applied)

    def _start(self, setpoint: Setpoint) -> None:
        self._reference = setpoint
        self._governor.start(setpoint.positions)

    def _watch_space(self, here: np.ndarray, end: np.ndarray) -> str | None:
        return self._envelope.objection(here, end, self._governor.motion.positions)

    @property
    def _at(self) -> Setpoint:
        if self._reference is None:
            raise ArmError(f"{self._name} has no last command: enable it first")
        return self._reference

    def _fail(self, error: ArmFault) -> None:
        self._failure, self._plan = str(error), None
