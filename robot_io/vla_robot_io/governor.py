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

SLACK_RAD = 1e-6
"""How far inside the joint limits motions are planned: more than what rounding adds."""
_SAME = 1e-12
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


@dataclasses.dataclass(frozen=True)
class _Braking:
    """The fastest way to rest, each joint by itself.

    It is planned from zero: among the places that such a motion comes through, Ruckig 0.19 always counts zero.
    """

    start: Float64[np.ndarray, " joints"]
    """rad"""
    way: Any
    """Ruckig's trajectory, from zero."""

    @property
    def reach(self) -> tuple[Float64[np.ndarray, " joints"], Float64[np.ndarray, " joints"]]:
        """The lowest and the highest place of each joint on it, rad."""
        extrema = self.way.position_extrema
        low, high = np.array([bound.min for bound in extrema]), np.array([bound.max for bound in extrema])
        return self.start + low, self.start + high

    def after(self, time_s: float) -> Motion:
        """Once at rest, to stay there."""
        is_over = time_s >= self.way.duration
        positions, velocities, accelerations = map(np.array, self.way.at_time(min(time_s, self.way.duration)))
        rest = np.zeros(len(self.start))
        return Motion(self.start + positions, rest if is_over else velocities, rest if is_over else accelerations)


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
        self._ok = (ruckig.Result.Working, ruckig.Result.Finished)
        self._ask.synchronization = ruckig.Synchronization.TimeIfNecessary
        self._stop.synchronization = ruckig.Synchronization.No
        self._stop.control_interface = ruckig.ControlInterface.Velocity
        for wish in (self._ask, self._stop):
            wish.max_velocity = limits.speed.tolist()
            wish.max_acceleration = limits.acceleration.tolist()
            wish.max_jerk = limits.jerk.tolist()
        self._stop.target_velocity = self._stop.target_acceleration = [0.0] * self._number
        self._ask.target_acceleration = [0.0] * self._number
        self._motion: Motion | None = None
        self._braking: _Braking | None = None
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
        self._motion = Motion(positions.astype(np.float64), rest, rest)
        self._braking = self._plan_braking(self._motion)
        self._braked_s = 0.0

    def follow(
        self,
        positions: Float64[np.ndarray, " joints"],
        velocities: Float64[np.ndarray, " joints"] | None = None,
        scale: float = 1.0,
    ) -> Step:
        """The next command on the fastest way to a place, or of braking if that cannot be stopped safely.

        Args:
            positions: finite, rad; what lies beyond a joint limit is led to the limit.
            velocities: finite, rad/s, with which to be there: those of a place that moves on. At rest if not given.
            scale: of the speed, above 0, at most 1.
        """
        now = self.motion
        low, high = self._room(now)
        place = np.clip(positions, low, high)
        self._ask.max_velocity = (self._limits.speed * scale).tolist()
        self._set_state(self._ask, now)
        self._ask.target_position = place.tolist()
        self._ask.target_velocity = self._arriving(place, velocities, scale).tolist()
        if self._planner.update(self._ask, self._answer) not in self._ok:
            return self._keep_braking("no motion leads there within the limits")
        planned = Motion(
            np.array(self._answer.new_position),
            np.array(self._answer.new_velocity),
            np.array(self._answer.new_acceleration),
        )
        braking = self._plan_braking(planned)
        objection = self._object(planned, braking, low, high)
        if objection is not None:
            return self._keep_braking(objection)
        self._motion, self._braking, self._braked_s = planned, braking, 0.0
        return Step(planned, None)

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
        return bool((self.motion.velocities == 0).all() and (self.motion.accelerations == 0).all())

    # ------------------------------------------------------------------ the way to rest

    def _plan_braking(self, motion: Motion) -> _Braking | None:
        self._set_state(self._stop, dataclasses.replace(motion, positions=np.zeros(self._number)))
        found = self._trajectory(self._number)
        result = self._planner.calculate(self._stop, found)
        return _Braking(motion.positions, found) if result in self._ok else None

    def _object(self, planned: Motion, braking: _Braking | None, low: np.ndarray, high: np.ndarray) -> str | None:
        if braking is None:
            return "no motion stops it within the limits"
        lowest, highest = braking.reach
        beyond = np.flatnonzero((lowest < low - _SAME) | (highest > high + _SAME))
        if beyond.size:
            return f"joint {beyond[0] + 1} could not be stopped inside its limits"
        return self._watch(planned.positions, braking.after(braking.way.duration).positions)

    def _keep_braking(self, objection: str) -> Step:
        assert self._braking is not None  # to stand still, with which all begins, is a braking motion
        self._braked_s += self._period_s
        self._motion = self._braking.after(self._braked_s)
        return Step(self._motion, objection)

    def _room(self, now: Motion) -> tuple[np.ndarray, np.ndarray]:
        """The joint limits, widened to where the command is, so that there is always a way back."""
        low, high = self._inside
        return np.minimum(low, now.positions), np.maximum(high, now.positions)

    def _arriving(
        self, place: np.ndarray, velocities: np.ndarray | None, scale: float
    ) -> Float64[np.ndarray, " joints"]:
        """Velocities at the place, no faster than what can be braked from there inside the limits."""
        if velocities is None:
            return np.zeros(self._number)
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

    def _set_state(self, wish: Any, motion: Motion) -> None:
        wish.current_position = motion.positions.tolist()
        wish.current_velocity = motion.velocities.tolist()
        wish.current_acceleration = motion.accelerations.tolist()


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
