"""The safety envelope: every command passes here last, before the wire. It is not safety-rated.

    asked ─► finite ─► joint limits ─► step size ─► workspace box ─► clearance ─► command
               │            │              │               │             │
             refuse     clamp inward   clamp, or       clamp: stop   slow down,
                                       fault if 4x     at the wall   then hold

Every stage measures from the *last command*, never from the measured position: an arm that lags behind its
command, as every arm under gravity does, would otherwise be slowed down, or dropped. Every stage leaves a way
back: where the last command is already beyond a limit, the next may stay or come inward, not go farther out.

`Envelope.judge` is a pure function. With L the last command, whatever is asked, its answer is finite, within
the soft limits and one step of L, and the same when asked again: judge(judge(x, L), L) = judge(x, L), except where
nearness slows the arm down, which it does once more.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Callable, Iterable

import numpy as np
from jaxtyping import Bool, Float64

from vla.clearance import Nearness
from vla.errors import ActionError, ArmError
from vla_robot_io.limits import AXES, Limits
from vla_robot_io.reasons import Code, Reason

_BISECTIONS = 16
_ROUNDING_M = 1e-9


class Outcome(enum.Enum):
    """What becomes of a command."""

    PASS = "pass"
    """Sent as asked."""
    CLAMP = "clamp"
    """Sent, changed."""
    HOLD = "hold"
    """Not sent; the arm holds."""
    FAULT = "fault"
    """Not sent; the arm holds, and a fault is latched."""


@dataclasses.dataclass(frozen=True)
class Setpoint:
    """Where the joints and the gripper are to be, one command period from now."""

    positions: Float64[np.ndarray, " joints"]
    """rad"""
    gripper_m: float


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The envelope's answer to one command."""

    outcome: Outcome
    setpoint: Setpoint
    """What to send; the last command where nothing is to be sent."""
    reasons: tuple[Reason, ...] = ()
    refused_at_s: tuple[float, ...] = ()
    """When commands were refused as not finite, within the window: hand it to the next judgement."""


@dataclasses.dataclass(frozen=True)
class _Near:
    """A step that leads nearer to something that is near."""

    reason: Reason
    is_refused: bool
    share: float
    """How much of the step is taken, if it is not refused."""


@dataclasses.dataclass(frozen=True)
class Envelope:
    """The five stages, for one arm."""

    limits: Limits
    end_effector: Callable[[Float64[np.ndarray, " joints"]], Float64[np.ndarray, " 3"]]
    """Forward kinematics: joint positions to the end-effector's position in the base frame, m."""
    nearness: Callable[[Float64[np.ndarray, " joints"]], Nearness] | None = None
    """How near the arm comes to itself and to what is around it; not watched if not given."""

    def judge(
        self, asked: Setpoint, last: Setpoint, *, now_s: float = 0.0, refused_at_s: tuple[float, ...] = ()
    ) -> Verdict:
        """What to send when `asked` is asked for and `last` was the last command.

        Args:
            asked: anything at all of the right shape.
            last: finite.
            now_s: by the loop's clock.
            refused_at_s: of the judgement before.

        Raises:
            ActionError: if `asked` has another number of joints than the arm, or is not of float64 numbers.
            ArmError: if `last` is not finite: there is nothing to measure from.
        """
        self._check_kind(asked)
        if self._is_unhindered(asked, last):
            return Verdict(Outcome.PASS, Setpoint(asked.positions.copy(), asked.gripper_m), (), refused_at_s)
        _check_beginning(last)
        named = [*zip(self.limits.joints, asked.positions.tolist(), strict=True), ("gripper", asked.gripper_m)]
        reasons = non_finite(named)
        if reasons:
            return self.refuse(reasons, last, now_s=now_s, refused_at_s=refused_at_s)
        inside, reasons = _clamp_to_limits(asked, last, self.limits)
        jumps = _jumps(asked, last, self.limits)
        if jumps:
            return Verdict(Outcome.FAULT, last, (*reasons, *jumps), refused_at_s)
        positions, slowed = _clamp_step(inside.positions, last.positions, self.limits)
        positions, boxed = self._clamp_to_box(positions, last.positions)
        near = self._near(positions, last.positions)
        if near is not None and near.is_refused:
            return Verdict(Outcome.HOLD, last, (*reasons, *slowed, *boxed, near.reason), refused_at_s)
        if near is not None:
            positions = _toward(last.positions, positions, near.share)
        reasons = (*reasons, *slowed, *boxed, *([near.reason] if near else []))
        outcome = Outcome.CLAMP if reasons else Outcome.PASS
        return Verdict(outcome, Setpoint(positions, inside.gripper_m), reasons, refused_at_s)

    def objection(
        self,
        here: Float64[np.ndarray, " joints"],
        end: Float64[np.ndarray, " joints"],
        last: Float64[np.ndarray, " joints"],
    ) -> str | None:
        """What speaks against a command at `here` from which braking ends at `end`; None if nothing does.

        Joints are limited by whoever plans the motion. As everywhere, there is a way back: what leads no farther out
        than the last command is left alone.
        """
        for place in (here, end):
            if (found := self._misplaced(place, last)) is not None:
                return found
        return None

    def _misplaced(self, place: Float64[np.ndarray, " joints"], last: Float64[np.ndarray, " joints"]) -> str | None:
        hand = self.end_effector(place)
        if not _are_inside(hand, self.limits.box_low, self.limits.box_high):
            before = self.end_effector(last)
            low, high = np.minimum(self.limits.box_low, before), np.maximum(self.limits.box_high, before)
            if not _are_inside(hand, low - _ROUNDING_M, high + _ROUNDING_M):
                return "the end-effector could not be stopped inside the box"
        if self.nearness is None:
            return None
        near, stop = self.nearness(place), self.limits.stop_clearance_m
        if near.distance_m >= stop or near.distance_m >= self.nearness(last).distance_m - _ROUNDING_M:
            return None
        return f"{near.between[0]} could not be stopped {stop:g} m from {near.between[1]}"

    def refuse(
        self, reasons: tuple[Reason, ...], last: Setpoint, *, now_s: float, refused_at_s: tuple[float, ...]
    ) -> Verdict:
        """The answer to numbers that are not finite: hold, or a fault where they keep coming."""
        recent = (*(time_s for time_s in refused_at_s if now_s - time_s < self.limits.refusal_window_s), now_s)
        outcome = Outcome.FAULT if len(recent) >= self.limits.refusals_to_fault else Outcome.HOLD
        return Verdict(outcome, last, reasons, recent)

    def _is_unhindered(self, asked: Setpoint, last: Setpoint) -> bool:
        """Whether every stage lets it pass, told at once: nearly every command is such. Never true of NaN."""
        limits = self.limits
        low = np.maximum(limits.soft_low, last.positions - limits.max_step)
        high = np.minimum(limits.soft_high, last.positions + limits.max_step)
        return (
            _are_inside(asked.positions, low, high)
            and limits.gripper_low_m <= asked.gripper_m <= limits.gripper_high_m
            and math.isfinite(last.gripper_m)
            and _are_inside(self.end_effector(asked.positions), limits.box_low, limits.box_high)
            and (self.nearness is None or self.nearness(asked.positions).distance_m >= limits.slow_clearance_m)
        )

    def _check_kind(self, asked: Setpoint) -> None:
        expected = (len(self.limits.joints),)
        if asked.positions.shape != expected:
            raise ActionError(f"a command for {expected[0]} joints has shape {expected}, got {asked.positions.shape}")
        if asked.positions.dtype != np.float64 or not isinstance(asked.gripper_m, float):
            kinds = f"{asked.positions.dtype} and {type(asked.gripper_m).__name__}"
            raise ActionError(f"a command is of float64 positions and a float for the gripper, got {kinds}")

    def _clamp_to_box(
        self, asked: Float64[np.ndarray, " joints"], last: Float64[np.ndarray, " joints"]
    ) -> tuple[Float64[np.ndarray, " joints"], tuple[Reason, ...]]:
        """As far from `last` towards `asked` as the end-effector stays in the box, found by bisection."""
        here, there = self.end_effector(last), self.end_effector(asked)
        low, high = np.minimum(self.limits.box_low, here), np.maximum(self.limits.box_high, here)
        outside = ~_inside(there, low, high)
        if not outside.any():
            return asked, ()
        reached, fraction, width = last, 0.0, 1.0
        for _ in range(_BISECTIONS):
            width /= 2
            candidate = _toward(last, asked, fraction + width)
            if _are_inside(self.end_effector(candidate), low, high):
                reached, fraction = candidate, fraction + width
        return reached, tuple(self._wall(axis, there[axis]) for axis in np.flatnonzero(outside))

    def _near(self, asked: Float64[np.ndarray, " joints"], last: Float64[np.ndarray, " joints"]) -> _Near | None:
        """What nearness makes of a step; None where nothing is near, or the step leads away from it."""
        if self.nearness is None:
            return None
        there, slow, stop = self.nearness(asked), self.limits.slow_clearance_m, self.limits.stop_clearance_m
        if there.distance_m >= slow or there.distance_m >= self.nearness(last).distance_m:
            return None
        first, second = there.between
        limit = stop if there.distance_m < stop else slow
        done = "held" if there.distance_m < stop else "slowed down"
        text = f"{first} would come {there.distance_m:.4f} m near {second}, under {limit:g} m: {done}"
        reason = Reason(Code.CLEARANCE, first, there.distance_m, limit, text)
        return _Near(reason, there.distance_m < stop, (there.distance_m - stop) / (slow - stop))

    def _wall(self, axis: np.intp, value: float) -> Reason:
        below = not value > self.limits.box_low[axis]
        limit = float((self.limits.box_low if below else self.limits.box_high)[axis])
        wall = "the floor or wall below it" if below else "the wall above it"
        text = f"{AXES[axis]} asked for {value:.4f} m, beyond {wall} at {limit:.4f} m: stopped there"
        return Reason(Code.WORKSPACE, AXES[axis], float(value), limit, text)


# --------------------------------------------------------------------------- the stages


def _check_beginning(last: Setpoint) -> None:
    if not (np.isfinite(last.positions).all() and math.isfinite(last.gripper_m)):
        raise ArmError("the last command is not finite, so no step can be measured from it: read the arm again")


def non_finite(named: Iterable[tuple[str, float]]) -> tuple[Reason, ...]:
    """A reason for each of these numbers that is NaN or infinite."""
    return tuple(
        Reason(Code.NON_FINITE, name, value, math.inf, f"{name} asked for {value}, which is not finite: refused")
        for name, value in named
        if not math.isfinite(value)
    )


def _clamp_to_limits(asked: Setpoint, last: Setpoint, limits: Limits) -> tuple[Setpoint, tuple[Reason, ...]]:
    low, high = np.minimum(limits.soft_low, last.positions), np.maximum(limits.soft_high, last.positions)
    positions = np.clip(asked.positions, low, high)
    reasons = [
        _beyond(limits.joints[j], asked.positions[j], positions[j], "rad")
        for j in np.flatnonzero(positions != asked.positions)
    ]
    closed, opened = min(limits.gripper_low_m, last.gripper_m), max(limits.gripper_high_m, last.gripper_m)
    gripper = min(max(asked.gripper_m, closed), opened)
    if gripper != asked.gripper_m:
        reasons.append(_beyond("gripper", asked.gripper_m, gripper, "m"))
    return Setpoint(positions, gripper), tuple(reasons)


def _beyond(name: str, value: float, limit: float, unit: str) -> Reason:
    side = "above" if value > limit else "below"
    text = f"{name} asked for {value:.4g} {unit}, {side} its soft limit {limit:.4f} {unit}: stopped there"
    return Reason(Code.JOINT_LIMIT, name, float(value), float(limit), text)


def _jumps(asked: Setpoint, last: Setpoint, limits: Limits) -> tuple[Reason, ...]:
    """A jump is judged on what was asked, before any clamp could hide it."""
    distance = np.abs(asked.positions - last.positions)
    limit = limits.fault_factor * limits.max_step
    return tuple(
        Reason(
            Code.STEP_SIZE,
            limits.joints[j],
            float(distance[j]),
            float(limit[j]),
            f"{limits.joints[j]} asked to jump {distance[j]:.4g} rad in one command, "
            f"over {limits.fault_factor:g} times its step limit {limits.max_step[j]:.4f} rad: fault",
        )
        for j in np.flatnonzero(distance > limit)
    )


def _clamp_step(
    asked: Float64[np.ndarray, " joints"], last: Float64[np.ndarray, " joints"], limits: Limits
) -> tuple[Float64[np.ndarray, " joints"], tuple[Reason, ...]]:
    """All joints slowed alike, so that the arm stays on the straight line that was asked for."""
    low, high = last - limits.max_step, last + limits.max_step
    fast = ~_inside(asked, low, high)
    if not fast.any():
        return asked, ()
    fraction = min(1.0, 1.0 / float(np.max(np.abs(asked - last) / limits.max_step)))
    positions = np.clip(_toward(last, asked, fraction), low, high)
    return positions, tuple(
        Reason(
            Code.STEP_SIZE,
            limits.joints[j],
            float(abs(asked[j] - last[j])),
            float(limits.max_step[j]),
            f"{limits.joints[j]} asked to move {abs(asked[j] - last[j]):.4f} rad in one command, "
            f"over its step limit {limits.max_step[j]:.4f} rad: slowed down",
        )
        for j in np.flatnonzero(fast)
    )


def _toward(
    start: Float64[np.ndarray, " joints"], end: Float64[np.ndarray, " joints"], fraction: float
) -> Float64[np.ndarray, " joints"]:
    """A point on the segment; rounding never carries it past either end."""
    return np.clip(start + fraction * (end - start), np.minimum(start, end), np.maximum(start, end))


def _inside(
    values: Float64[np.ndarray, " n"], low: Float64[np.ndarray, " n"], high: Float64[np.ndarray, " n"]
) -> Bool[np.ndarray, " n"]:
    """Written so that NaN is never inside."""
    return (low <= values) & (values <= high)


def _are_inside(
    values: Float64[np.ndarray, " n"], low: Float64[np.ndarray, " n"], high: Float64[np.ndarray, " n"]
) -> bool:
    """Of all of them; a few numbers are compared sooner one by one than as arrays."""
    return all(a <= b <= c for a, b, c in zip(low.tolist(), values.tolist(), high.tolist(), strict=True))
