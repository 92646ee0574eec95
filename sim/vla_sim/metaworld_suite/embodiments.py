"""Meta-World's Sawyer arm: a hand that keeps its orientation, moved by a weld to a mocap body.

    action of Meta-World, -1..1  ──×0.01 m──►  how far the mocap body moves along x, y, z in one control step

Its gripper is not a position but an effort: the fingers close for as long as it is positive.
"""

from __future__ import annotations

import dataclasses

from vla.embodiment import ActionKind, CameraSpec, Embodiment, Field, Rotation

MAX_STEP_M = 0.01
"""`SawyerXYZEnv.action_scale`, alike in all tasks."""
MAX_OPENING_M = 0.1
"""What Meta-World divides the fingers' distance by."""

METAWORLD_SAWYER = Embodiment(
    name="metaworld_sawyer",
    action=(
        Field("dx", "m", -MAX_STEP_M, MAX_STEP_M),
        Field("dy", "m", -MAX_STEP_M, MAX_STEP_M),
        Field("dz", "m", -MAX_STEP_M, MAX_STEP_M),
        Field("gripper", "1", -1.0, 1.0),
    ),
    action_kind=ActionKind.DELTA_END_EFFECTOR,
    frame="world",
    rotation=Rotation.NONE,
    gripper="effort as a ratio of the greatest: -1 opens, 1 closes",
    proprioception=(
        # `SawyerXYZEnv._HAND_SPACE`.
        Field("x", "m", -0.525, 0.525),
        Field("y", "m", 0.348, 1.025),
        Field("z", "m", -0.0525, 0.7),
        Field("gripper", "m", 0.0, MAX_OPENING_M),
    ),
    # Five physics steps of 2.5 ms.
    control_hz=80.0,
    cameras=(CameraSpec("corner2", height=224, width=224),),
)
"""With the camera that published results are from."""

METAWORLD_SAWYER_SMALL = dataclasses.replace(
    METAWORLD_SAWYER,
    name="metaworld_sawyer_small",
    cameras=(CameraSpec("corner2", height=96, width=96), CameraSpec("gripper", height=48, width=48)),
)
"""The same arm in small pictures, and with a camera at its gripper: for models that are trained from scratch."""

METAWORLD_SAWYER_BLIND = dataclasses.replace(METAWORLD_SAWYER, name="metaworld_sawyer_blind", cameras=())
"""The same arm where nothing is rendered."""
