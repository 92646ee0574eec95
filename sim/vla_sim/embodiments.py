"""The embodiments of the simulated worlds: one for each arm at its table.

They speak the same words: steps of the hand in the base frame, a yaw, a gripper that is told how far to open. They
differ in joints, limits and lengths, and so in fingerprint: a policy of one is refused by the others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from vla.embodiment import ActionKind, CameraSpec, Embodiment, Field, Rotation

MAX_STEP_M = 0.04
"""The farthest the commanded pose moves along one axis in one control step: 0.4 m/s."""
MAX_TURN_RAD = 0.2
"""The farthest the commanded yaw turns in one control step."""
SO101_SCALE = 0.375
"""Lengths on the SO-101's table over those on the Panda's: its reach over the Panda's, the gripper pointing down."""

# Franka Control Interface documentation, "Joint limits".
_PANDA_LOW = (-2.8973, -1.7628, -2.8973, -3.0718, -2.8973, -0.0175, -2.8973)
_PANDA_HIGH = (2.8973, 1.7628, 2.8973, -0.0698, 2.8973, 3.7525, 2.8973)
# UR5e technical details: 360 degrees either way; the elbow as its maker's ROS description has it.
_UR5E_JOINTS = ("shoulder_pan", "shoulder_lift", "elbow", "wrist_1", "wrist_2", "wrist_3")
_UR5E_HIGH = (math.tau, math.tau, math.pi, math.tau, math.tau, math.tau)
# SO-ARM100 repository, so101_new_calib.urdf.
_SO101_JOINTS = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll")
_SO101_HIGH = (1.91986, 1.74533, 1.69, 1.65806, 2.79253)


def _tabletop(name: str, joints: Sequence[Field], max_opening_m: float, scale: float = 1.0) -> Embodiment:
    """An arm at a table whose lengths are `scale` times the Panda's."""
    max_step_m = MAX_STEP_M * scale
    return Embodiment(
        name=name,
        action=(
            Field("dx", "m", -max_step_m, max_step_m),
            Field("dy", "m", -max_step_m, max_step_m),
            Field("dz", "m", -max_step_m, max_step_m),
            Field("dyaw", "rad", -MAX_TURN_RAD, MAX_TURN_RAD),
            Field("gripper", "1", 0.0, 1.0),
        ),
        action_kind=ActionKind.DELTA_END_EFFECTOR,
        frame="base",
        rotation=Rotation.YAW,
        gripper="absolute ratio of the opening: 0 closed, 1 open",
        proprioception=(
            *joints,
            Field("gripper", "m", 0.0, max_opening_m),
            Field("x", "m", -scale, scale),
            Field("y", "m", -scale, scale),
            Field("z", "m", -0.2 * scale, 1.2 * scale),
            Field("yaw", "rad", -math.pi, math.pi),
        ),
        control_hz=10.0,
        cameras=(CameraSpec("scene", height=64, width=80), CameraSpec("wrist", height=32, width=40)),
    )


def _either_way(names: Sequence[str], highs: Sequence[float]) -> tuple[Field, ...]:
    return tuple(Field(name, "rad", -high, high) for name, high in zip(names, highs, strict=True))


TABLETOP_PANDA = _tabletop(
    "tabletop_panda",
    [
        Field(f"joint_{index}", "rad", low, high)
        for index, (low, high) in enumerate(zip(_PANDA_LOW, _PANDA_HIGH, strict=True), start=1)
    ],
    max_opening_m=0.08,
)
"""The arm on the table of `vla_sim.worlds`: a Panda with a parallel gripper that points down."""
TABLETOP_UR5E = _tabletop("tabletop_ur5e", _either_way(_UR5E_JOINTS, _UR5E_HIGH), max_opening_m=0.085)
"""A UR5e with a parallel gripper at the same table."""
TABLETOP_SO101 = _tabletop("tabletop_so101", _either_way(_SO101_JOINTS, _SO101_HIGH), 0.03, SO101_SCALE)
"""An arm with the SO-101's joints at a table of its size."""
