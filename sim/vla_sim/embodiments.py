"""The embodiments of the simulated worlds."""

from __future__ import annotations

import math

from vla.embodiment import ActionKind, CameraSpec, Embodiment, Field, Rotation

MAX_STEP_M = 0.04
"""The farthest the commanded pose moves along one axis in one control step: 0.4 m/s."""
MAX_TURN_RAD = 0.2
"""The farthest the commanded yaw turns in one control step."""

# Franka Control Interface documentation, "Joint limits".
_PANDA_LOW = (-2.8973, -1.7628, -2.8973, -3.0718, -2.8973, -0.0175, -2.8973)
_PANDA_HIGH = (2.8973, 1.7628, 2.8973, -0.0698, 2.8973, 3.7525, 2.8973)

TABLETOP_PANDA = Embodiment(
    name="tabletop_panda",
    action=(
        Field("dx", "m", -MAX_STEP_M, MAX_STEP_M),
        Field("dy", "m", -MAX_STEP_M, MAX_STEP_M),
        Field("dz", "m", -MAX_STEP_M, MAX_STEP_M),
        Field("dyaw", "rad", -MAX_TURN_RAD, MAX_TURN_RAD),
        Field("gripper", "1", 0.0, 1.0),
    ),
    action_kind=ActionKind.DELTA_END_EFFECTOR,
    frame="base",
    rotation=Rotation.YAW,
    gripper="absolute ratio of the opening: 0 closed, 1 open",
    proprioception=(
        *(
            Field(f"joint_{index}", "rad", low, high)
            for index, (low, high) in enumerate(zip(_PANDA_LOW, _PANDA_HIGH, strict=True), start=1)
        ),
        Field("gripper", "m", 0.0, 0.08),
        Field("x", "m", -1.0, 1.0),
        Field("y", "m", -1.0, 1.0),
        Field("z", "m", -0.2, 1.2),
        Field("yaw", "rad", -math.pi, math.pi),
    ),
    control_hz=10.0,
    cameras=(CameraSpec("scene", height=64, width=80), CameraSpec("wrist", height=32, width=40)),
)
"""The arm on the table of `vla_sim.worlds`: a Panda with a parallel gripper that points down."""
