"""From how far a stick is pushed to an action: a hand led in the base frame, a gripper told how far to open.

x, y, z, yaw in -1 .. 1 ── times the embodiment's largest step ──► dx, dy, dz, dyaw
opening wanted, 0 .. 1  ── kept until another is wanted ─────────► gripper
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from jaxtyping import Float32

from vla.embodiment import Embodiment
from vla.errors import ConfigError
from vla.interfaces import Observation

FIELDS = ("dx", "dy", "dz", "dyaw", "gripper")


@dataclasses.dataclass(frozen=True, slots=True)
class Push:
    """How a human pushes, whatever they push with: each of -1 .. 1."""

    x: float = 0.0
    """Away from the robot's base."""
    y: float = 0.0
    """To the left of the robot, seen by the robot."""
    z: float = 0.0
    """Up."""
    yaw: float = 0.0
    """Counter-clockwise seen from above."""
    gripper: float | None = None
    """The opening wanted, 0 closed, 1 open; None leaves it as it is."""


class HandDrive:
    """Makes the actions of one embodiment."""

    def __init__(self, embodiment: Embodiment, scale: float = 1.0) -> None:
        """Check that it can be led so.

        Args:
            embodiment: whose actions are made.
            scale: a full push is this share of the largest step.

        Raises:
            ConfigError: if its actions are others, or the scale is not above 0 and at most 1.
        """
        names = tuple(field.name for field in embodiment.action)
        if names != FIELDS:
            raise ConfigError(f"a hand is led by {', '.join(FIELDS)}; {embodiment.name} takes {', '.join(names)}")
        if not 0 < scale <= 1:
            raise ConfigError(f"teleop.scale is above 0 and at most 1, got {scale}")
        self._most = scale * embodiment.action_high
        self._opening: float | None = None
        state = [field.name for field in embodiment.proprioception]
        self._gripper_index = state.index("gripper") if "gripper" in state else None
        self._widest = max(embodiment.proprioception[self._gripper_index].high, 1e-6) if self._gripper_index else 1.0

    def action(self, push: Push, observation: Observation) -> Float32[np.ndarray, " action_dim"]:
        """The action that a push amounts to.

        Args:
            push: what is not finite counts as no push.
            observation: says how far the gripper is open when nobody has wanted anything of it yet.
        """
        if push.gripper is not None and math.isfinite(push.gripper):
            self._opening = min(max(push.gripper, 0.0), 1.0)
        if self._opening is None:
            self._opening = self._measured(observation)
        pushed = [min(max(value, -1.0), 1.0) if math.isfinite(value) else 0.0 for value in _axes(push)]
        return np.array([*(self._most[:4] * pushed), self._opening], np.float32)

    def _measured(self, observation: Observation) -> float:
        if self._gripper_index is None:
            return 1.0
        return float(np.clip(observation.proprioception[self._gripper_index] / self._widest, 0.0, 1.0))


def _axes(push: Push) -> tuple[float, float, float, float]:
    return (push.x, push.y, push.z, push.yaw)


def without_rest(value: float, rest: float = 0.1) -> float:
    """A stick's deflection without the middle in which it never quite comes to rest; -1 .. 1 stays -1 .. 1."""
    beyond = max(0.0, abs(value) - rest) / (1.0 - rest)
    return math.copysign(min(beyond, 1.0), value)
