from __future__ import annotations

import dataclasses

import numpy as np

from vla.dead_reckoning import after, motion_map
from vla.embodiment import ActionKind
from vla_sim.embodiments import TABLETOP_PANDA

NAMES = [field.name for field in TABLETOP_PANDA.proprioception]


def test_committed_motion_moves_the_pose_and_nothing_else() -> None:
    state = np.zeros(TABLETOP_PANDA.state_dim, np.float32)
    committed = np.array([[0.01, 0, 0, 0.1, 1], [0.02, 0, -0.03, 0.1, 1]], np.float32)
    moved = dict(zip(NAMES, after(state, committed, TABLETOP_PANDA), strict=True))
    expected = {"x": 0.03, "y": 0.0, "z": -0.03, "yaw": 0.2}
    for name, value in moved.items():
        np.testing.assert_allclose(value, expected.get(name, 0.0), atol=1e-7)


def test_nothing_committed_moves_nothing() -> None:
    state = np.arange(TABLETOP_PANDA.state_dim, dtype=np.float32)
    np.testing.assert_array_equal(after(state, np.zeros((0, 5), np.float32), TABLETOP_PANDA), state)


def test_absolute_actions_are_no_changes() -> None:
    body = dataclasses.replace(TABLETOP_PANDA, action_kind=ActionKind.ABSOLUTE_END_EFFECTOR)
    assert not motion_map(body).any()
