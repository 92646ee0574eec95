"""Where committed motion will have taken the robot, as its proprioception will say.

A policy that is asked for what comes after some committed actions should know where the robot is then, while pictures
show where it is now. For actions that are changes (`dx`), the field that they change (`x`) moves by their sum; fields
that no action changes by name stay as they were measured.

Source: the idea of offsetting the state and not the picture is VLASH's (arXiv:2512.01031).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32

from vla.embodiment import ActionKind, Embodiment

_DELTA_KINDS = (ActionKind.DELTA_END_EFFECTOR, ActionKind.DELTA_JOINT)


def motion_map(embodiment: Embodiment) -> Float32[np.ndarray, "action_dim state_dim"]:
    """What one unit of each action field adds to each field of proprioception."""
    moved = np.zeros((embodiment.action_dim, embodiment.state_dim), np.float32)
    if embodiment.action_kind in _DELTA_KINDS:
        for row, action in enumerate(embodiment.action):
            for column, measured in enumerate(embodiment.proprioception):
                moved[row, column] = action.name == f"d{measured.name}"
    return moved


def after(
    proprioception: Float32[np.ndarray, " state_dim"],
    committed: Float32[np.ndarray, "steps action_dim"],
    embodiment: Embodiment,
) -> Float32[np.ndarray, " state_dim"]:
    """Proprioception after the committed actions."""
    return proprioception + committed.sum(axis=0) @ motion_map(embodiment)
