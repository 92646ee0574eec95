"""Motion that can always stop: every command obeys speed, acceleration and jerk, and leaves a way to rest.

    asked ─► the fastest motion there within the limits (Ruckig) ─► one period of it ─► M
                                                                                        │
      is M's braking motion inside joint limits, and allowed by who watches the space? ─┴─ yes ─► M is sent
                                                                                          no ──► one period of the
                                                                                                 braking found before

By induction the arm is never without a braking motion that was found free: the first is to stand still. So joint
limits, walls and obstacles are met at rest, not at speed, and whatever goes wrong, `brake` stops within the limits.

Sources: Ruckig, "Jerk-limited real-time trajectory generation" (Berscheid and Kroeger, 2021); the kept braking motion
is a fail-safe manoeuvre as in Kroeger (2009) and Petti and Fraichard (2005). Nothing here is safety-rated.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float64

from vla.errors import ArmError, ConfigError

SLOWLY = 0.05
"""Of the speed, where what was asked for cannot be stopped in time."""
SLACK_RAD = 1e-6
"""How far inside the joint limits motions are planned: more than what rounding adds."""
_SAME = 1e-12
_STILL_RAD_S, _STILL_RAD_S2 = 1e-9, 1e-6
_NO_BEGINNING = "commands have no beginning yet: call start with where the arm stands"


@dataclasses.dataclass(frozen=True)
class Motion:
    """Where a command is, and how it moves there."""

    positions: Float64[np.ndarray, " joints"]
    """rad"""
    velocities: Float64[np.ndarray, " joints"]
    """rad/s"""
    accelerations: Float64[np.ndarray, " joints"]
    """rad/s^2"""


@dataclasses.dataclass(frozen=True)
class MotionLimits:
    """What a command may do, joint by joint."""

    low: Float64[np.ndarray, " joints"]
    """rad"""
    high: Float64[np.ndarray, " joints"]
    """rad"""
    speed: Float64[np.ndarray, " joints"]
    """rad/s"""
    acceleration: Float64[np.ndarray, " joints"]
    """rad/s^2"""
    jerk: Float64[np.ndarray, " joints"]
    """rad/s^3"""


@dataclasses.dataclass(frozen=True)
class Step:
    """One period of motion."""

    motion: Motion
    """At its end."""
    objection: str | None
    """Why it brakes instead of doing what was asked; None if it does."""


type Watch = Callable[[Float64[np.ndarray, " joints"], Float64[np.ndarray, " joints"]], str | None]
"""From the joint positions (rad) after the next command, and those at which braking from there ends, to what speaks
against going there; None if nothing does."""


class Governor:
    """The motion of one arm's commands; holds state, so one an arm."""

    def __init__(self, limits: MotionLimits, period_s: float, watch: Watch = lambda here, end: None) -> None:
        """Make it for commands of this period.

        Raises:
            ConfigError: if Ruckig is not installed, or a limit is not finite and above 0.
        """
        _check(limits, period_s)
        ruckig = _ruckig()
        self._limits = limits
        self._period_s = period_s
        self._watch = watch
        self._number = len(limits.speed)
        self._inside = limits.low + SLACK_RAD, limits.high - SLACK_RAD
        self._planner = ruckig.Ruckig(self._number, period_s)
        self._ask, self._answer = ruckig.InputParameter(self._number), ruckig.OutputParameter(self._number)
        self._stop = ruckig.InputParameter(self._number)
        self._trajectory = ruckig.Trajectory
        self._failed = ruckig.RuckigError
        self._zeros, self._rest = [0.0] * self._number, np.zeros(self._number)
        self._braked_from = np.zeros(self._number)
        self._ok = (ruckig.Result.Working, ruckig.Result.Finished)
        self._together, self._each = ruckig.Synchronization.Phase, ruckig.Synchronization.No
        # Joints that stop together stay near the line that they were on; each by itself they would leave it.
        self._stop.synchronization = ruckig.Synchronization.Time
        self._stop.control_interface = ruckig.ControlInterface.Velocity
        for wish in (self._ask, self._stop):
            wish.max_velocity = limits.speed.tolist()
            wish.max_acceleration = limits.acceleration.tolist()
            wish.max_jerk = limits.jerk.tolist()
        self._stop.target_velocity = self._stop.target_acceleration = [0.0] * self._number
        for target in ("position", "velocity", "acceleration"):
            setattr(self._ask, f"target_{target}", [0.0] * self._number)
        self._motion: Motion | None = None
        self._braking: Any = None
        self._braked_s = 0.0

    @property
    def motion(self) -> Motion:
        """At the last command.

        Raises:
            ArmError: before `start`.
        """
        if self._motion is None:
            raise ArmError(_NO_BEGINNING)
        return self._motion

    def start(self, positions: Float64[np.ndarray, " joints"]) -> None:
        """Begin at rest, here; positions beyond a limit are allowed, and only lead inward."""
        rest = np.zeros(self._number)
        motion = Motion(positions.astype(np.float64), rest, rest)
        self._brake_from(motion, self._plan_braking(motion))

    def _brake_from(self, motion: Motion, braking: Any) -> None:
        """Go on from this motion, whose way to rest is `braking`."""
        self._motion, self._braking = motion, braking
        self._braked_from, self._braked_s = motion.positions, 0.0

    def follow(
        self,
        positions: Float64[np.ndarray, " joints"],
        velocities: Float64[np.ndarray, " joints"] | None = None,
        scale: float = 1.0,
    ) -> Step:
        """The next command on the fastest way to a place, or of braking if that cannot be stopped safely.

        Args:
            positions: finite, rad; what lies beyond a joint limit is led to the limit.
            velocities: finite, rad/s, of a place that moves on, and is there at the end of this period. It stands if
                not given.
            scale: of the speed, above 0, at most 1.
        """
        now = self.motion
        low, high = self._room(now)
        place = np.clip(positions, low, high)
        moves = self._moving(place, velocities, scale)
        objection = self._try(place, moves, self._limits.speed * scale)
        if objection is not None and moves.any():
            # What cannot be stopped in time at that speed may be reached at rest.
            objection = self._try(place, self._rest, self._limits.speed * scale)
        if objection is not None:
            # Fast joints leave the straight line, and so does the hand: slowly it goes along a wall, and not into it.
            objection = self._try(place, self._rest, self._limits.speed * scale * SLOWLY)
        return Step(self.motion, None) if objection is None else self._keep_braking(objection)

    def _try(self, place: np.ndarray, moves: np.ndarray, speed: np.ndarray) -> str | None:
        """Go one period towards the place, or say what speaks against it."""
        now = self.motion
        self._meet(place, moves, now, speed)
        if not self._found(lambda: self._planner.update(self._ask, self._answer)):
            return "no motion leads there within the limits"
        planned = Motion(
            place + self._answer.new_position,
            moves + self._answer.new_velocity,
            np.array(self._answer.new_acceleration),
        )
        braking = self._plan_braking(planned)
        objection = self._object(planned, braking, *self._room(now))
        if objection is None:
            self._brake_from(planned, braking)
        return objection

    def brake(self) -> Motion:
        """The next command of braking; once at rest, to stay there.

        Raises:
            ArmError: before `start`.
        """
        if self._motion is None:
            raise ArmError(_NO_BEGINNING)
        return self._keep_braking("").motion

    @property
    def is_at_rest(self) -> bool:
        """Up to what rounding leaves of a motion that has come to its end."""
        motion = self.motion
        return bool(
            (abs(motion.velocities) <= _STILL_RAD_S).all() and (abs(motion.accelerations) <= _STILL_RAD_S2).all()
        )

    # ------------------------------------------------------------------ the way to rest

    def _plan_braking(self, motion: Motion) -> Any:
        """The fastest motion to rest, all joints together."""
        # Positions are counted from here: far from zero Ruckig's arithmetic fails, and its extremes of a motion that is
        # given by velocities take in zero wherever the joint is.
        self._stop.current_position = self._zeros
        self._stop.current_velocity = motion.velocities.tolist()
        self._stop.current_acceleration = motion.accelerations.tolist()
        found = self._trajectory(self._number)
        return found if self._found(lambda: self._planner.calculate(self._stop, found)) else None

    def _found(self, plan: Callable[[], Any]) -> bool:
        """Whether Ruckig finds a motion; it raises where its arithmetic fails."""
        try:
            return plan() in self._ok
        except self._failed:
            return False

    def _object(self, planned: Motion, braking: Any, low: np.ndarray, high: np.ndarray) -> str | None:
        if braking is None:
            return "no motion stops it within the limits"
        ways = zip(braking.position_extrema, planned.positions.tolist(), low.tolist(), high.tolist(), strict=True)
        for joint, (way, here, lowest, highest) in enumerate(ways, start=1):
            if here + way.min < lowest - _SAME or here + way.max > highest + _SAME:
                return f"joint {joint} could not be stopped inside its limits"
        end = planned.positions + braking.at_time(braking.duration)[0]
        return self._watch(planned.positions, end)

    def _keep_braking(self, objection: str) -> Step:
        self._braked_s += self._period_s
        rest_s = self._braking.duration
        position, velocity, acceleration = self._braking.at_time(min(self._braked_s, rest_s))
        still = self._braked_s >= rest_s
        rest = np.zeros(self._number)
        self._motion = Motion(
            self._braked_from + position,
            rest if still else np.array(velocity),
            rest if still else np.array(acceleration),
        )
        return Step(self._motion, objection)

    def _room(self, now: Motion) -> tuple[np.ndarray, np.ndarray]:
        """The joint limits, widened to where the command is, so that there is always a way back."""
        low, high = self._inside
        return np.minimum(low, now.positions), np.maximum(high, now.positions)

    def _meet(self, place: np.ndarray, moves: np.ndarray, now: Motion, speed: np.ndarray) -> None:
        """Ask for the fastest way to meet the place and to go on with it.

        All is told as seen from the place: there it stands, and speed limits are shifted by its own velocity. To ask
        for the place itself, with a velocity to have there, would make an arm at rest take a run-up.
        """
        self._ask.current_acceleration = now.accelerations.tolist()
        if moves is self._rest:
            self._ask.current_position = (now.positions - place).tolist()
            self._ask.current_velocity = now.velocities.tolist()
            self._ask.max_velocity = speed.tolist()
            self._ask.min_velocity = None
            self._ask.synchronization = self._together
            return
        self._ask.current_position = (now.positions - (place - moves * self._period_s)).tolist()
        self._ask.current_velocity = (now.velocities - moves).tolist()
        self._ask.max_velocity = (speed - moves).tolist()
        self._ask.min_velocity = (-speed - moves).tolist()
        # Joints that wait for the slowest never catch up with a place that moves on.
        self._ask.synchronization = self._each if moves.any() else self._together

    def _moving(self, place: np.ndarray, velocities: np.ndarray | None, scale: float) -> Float64[np.ndarray, " joints"]:
        """Velocities of the place, no faster than what can be braked from there inside the limits."""
        if velocities is None:
            return self._rest
        low, high = self._inside
        fastest = 0.99 * scale * self._limits.speed
        up = np.minimum(fastest, self._brakeable(np.maximum(high - place, 0.0)))
        down = np.minimum(fastest, self._brakeable(np.maximum(place - low, 0.0)))
        return np.clip(velocities, -down, up)

    def _brakeable(self, room: Float64[np.ndarray, " joints"]) -> Float64[np.ndarray, " joints"]:
        """A speed that braking takes off within this way: at half the acceleration, which leaves jerk its time."""
        by_acceleration = np.sqrt(room * self._limits.acceleration / 2)
        by_jerk = np.cbrt(room**2 * self._limits.jerk / 4)
        return np.minimum(by_acceleration, by_jerk)


def _check(limits: MotionLimits, period_s: float) -> None:
    for field in dataclasses.fields(limits):
        values = getattr(limits, field.name)
        if not np.isfinite(values).all():
            raise ConfigError(f"motion limits: {field.name} must be finite, got {values}")
    for name in ("speed", "acceleration", "jerk"):
        if not (getattr(limits, name) > 0).all():
            raise ConfigError(f"motion limits: {name} must be above 0, got {getattr(limits, name)}")
    if not (limits.low + 2 * SLACK_RAD < limits.high).all():
        raise ConfigError(f"motion limits: low must be below high, got {limits.low} and {limits.high}")
    if not (np.isfinite(period_s) and period_s > 0):
        raise ConfigError(f"a command's period must be finite and above 0, got {period_s} s")


def _ruckig() -> Any:
    try:
        return importlib.import_module("ruckig")
    except ModuleNotFoundError as error:
        raise ConfigError(
            "moving an arm needs ruckig, which is not installed: pip install 'vla-stack[robots]'"
        ) from error
