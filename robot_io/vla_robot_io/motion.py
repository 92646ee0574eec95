"""From a policy's action to joint positions, and back: what was asked in the hand's words, done in the arm's.

    action (dx, dy, dz, dyaw, gripper ratio)
       │  clamp to the embodiment's limits
       ▼
    pose of the last command ─ + ─► pose asked ─ clamp to the box ─► inverse kinematics ─► joint positions asked

Deltas are added to the pose of the *last command*: an arm that lags is not asked twice for the same way.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float32, Float64

from vla.embodiment import ActionKind, Embodiment, Rotation
from vla.errors import ConfigError
from vla.interfaces import ArmSpec, ArmState, Kinematics
from vla_robot_io.envelope import Setpoint
from vla_robot_io.limits import AXES, Limits
from vla_robot_io.reasons import Code, Reason

WALL_MARGIN_M = 0.002
"""How far inside the envelope's box the hand is led: room for the residue of inverse kinematics, and for the arc
of a few tenths of a millimetre that straight lines in joint space make, so that the envelope need not stop it."""
REACH_TOLERANCE_M = 0.005
REACH_TOLERANCE_RAD = 0.05
"""Farther than this from the pose asked for, an inverse kinematic solution is told apart in the log."""

_POSE = ("x", "y", "z", "yaw")


class HandMotion:
    """Delta end-effector actions with yaw, for an arm whose gripper points down."""

    def __init__(self, embodiment: Embodiment, spec: ArmSpec, kinematics: Kinematics, limits: Limits) -> None:
        """Check that the embodiment speaks of this arm in words known here.

        Raises:
            ConfigError: if its actions are of another kind, or it names a reading that the arm does not give.
        """
        _check_action(embodiment)
        self._embodiment = embodiment
        self._spec = spec
        self._kinematics = kinematics
        self._low = limits.box_low + WALL_MARGIN_M
        self._high = limits.box_high - WALL_MARGIN_M
        self._state_fields = tuple(field.name for field in embodiment.proprioception)
        known = (*spec.joints, "gripper", *_POSE)
        for name in self._state_fields:
            if name not in known:
                raise ConfigError(
                    f"proprioception '{name}' of {embodiment.name} is nothing that {spec.name} reads; "
                    f"it reads: {', '.join(known)}"
                )

    def proprioception(self, state: ArmState) -> Float32[np.ndarray, " state_dim"]:
        """What the embodiment lists, from one reading of the arm; the pose by forward kinematics."""
        pose = self._kinematics.forward(state.positions)
        values = dict(zip(self._spec.joints, state.positions, strict=True))
        values |= {"gripper": state.gripper_m} | dict(zip(_POSE, pose, strict=True))
        return np.array([values[name] for name in self._state_fields], np.float32)

    def target(self, action: Float32[np.ndarray, " action_dim"], last: Setpoint) -> tuple[Setpoint, tuple[Reason, ...]]:
        """The joints and gripper to have at the end of the control step, and what had to be changed to get there.

        Args:
            action: finite.
            last: the last command.
        """
        wanted, clamped = self._within_embodiment(action)
        pose, boxed = self._within_box(self._kinematics.forward(last.positions), wanted[:4])
        positions = self._kinematics.inverse(pose, last.positions)
        missed = _missed(pose, self._kinematics.forward(positions))
        return Setpoint(positions, self._opening(wanted[4])), (*clamped, *boxed, *missed)

    def action_between(self, before: Setpoint, after: Setpoint) -> Float32[np.ndarray, " action_dim"]:
        """The action that the commands of one control step amount to: what was really applied.

        Within the embodiment's limits, which the residue of inverse kinematics may exceed by a tenth of a millimetre.
        """
        change = self._kinematics.forward(after.positions) - self._kinematics.forward(before.positions)
        change[3] = math.remainder(change[3], math.tau)
        width = self._spec.gripper_high_m - self._spec.gripper_low_m
        applied = np.array([*change, (after.gripper_m - self._spec.gripper_low_m) / width], np.float32)
        return np.clip(applied, self._embodiment.action_low, self._embodiment.action_high)

    def _opening(self, ratio: float) -> float:
        return self._spec.gripper_low_m + ratio * (self._spec.gripper_high_m - self._spec.gripper_low_m)

    def _within_embodiment(
        self, action: Float32[np.ndarray, " action_dim"]
    ) -> tuple[Float64[np.ndarray, " action_dim"], tuple[Reason, ...]]:
        asked = action.astype(np.float64)
        wanted = np.clip(asked, self._embodiment.action_low, self._embodiment.action_high)
        # Limits are kept in float32: what differs by less than its last bit was not clamped.
        changed = np.flatnonzero(~np.isclose(asked, wanted, rtol=1e-6, atol=0))
        return wanted, tuple(self._clamped(index, asked[index], wanted[index]) for index in changed)

    def _clamped(self, index: np.intp, value: float, limit: float) -> Reason:
        field = self._embodiment.action[index]
        text = f"action {field.name} asked for {value:.4g} {field.unit}, beyond the embodiment's {limit:.4g}: clamped"
        return Reason(Code.ACTION_LIMIT, field.name, float(value), float(limit), text)

    def _within_box(
        self, pose: Float64[np.ndarray, " 4"], change: Float64[np.ndarray, " 4"]
    ) -> tuple[Float64[np.ndarray, " 4"], tuple[Reason, ...]]:
        """Slide along a wall rather than stop at it; the envelope behind this one only stops."""
        asked = pose + change
        low, high = np.minimum(self._low, pose[:3]), np.maximum(self._high, pose[:3])
        clamped = np.append(np.clip(asked[:3], low, high), asked[3])
        return clamped, tuple(
            Reason(
                Code.WORKSPACE,
                AXES[axis],
                float(asked[axis]),
                float(clamped[axis]),
                f"{AXES[axis]} asked for {asked[axis]:.4f} m, beyond the box at {clamped[axis]:.4f} m: kept inside",
            )
            for axis in np.flatnonzero(asked[:3] != clamped[:3])
        )


def _missed(pose: Float64[np.ndarray, " 4"], reached: Float64[np.ndarray, " 4"]) -> tuple[Reason, ...]:
    distance = float(np.linalg.norm(reached[:3] - pose[:3]))
    turn = abs(math.remainder(reached[3] - pose[3], math.tau))
    reasons = []
    if distance > REACH_TOLERANCE_M:
        text = f"position: {distance:.4f} m from what was asked, over {REACH_TOLERANCE_M} m: the arm does not reach it"
        reasons.append(Reason(Code.UNREACHABLE, "position", distance, REACH_TOLERANCE_M, text))
    if turn > REACH_TOLERANCE_RAD:
        text = f"yaw: {turn:.4f} rad from what was asked, over {REACH_TOLERANCE_RAD} rad: the arm does not reach it"
        reasons.append(Reason(Code.UNREACHABLE, "yaw", turn, REACH_TOLERANCE_RAD, text))
    return tuple(reasons)


def _check_action(embodiment: Embodiment) -> None:
    spoken = (embodiment.action_kind, embodiment.frame, embodiment.rotation, embodiment.action_dim)
    if spoken != (ActionKind.DELTA_END_EFFECTOR, "base", Rotation.YAW, 5):
        raise ConfigError(
            f"the control loop carries out dx, dy, dz, dyaw, gripper in the base frame; {embodiment.name} has "
            f"{embodiment.action_dim} numbers of kind {embodiment.action_kind.value}, frame {embodiment.frame}, "
            f"rotation {embodiment.rotation.value}"
        )
