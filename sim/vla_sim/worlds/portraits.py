"""Every arm at its bench in one picture: `python -m vla_sim.worlds.portraits OUT.png`.

A column is an arm: seen from the side, then as its policies see the scene, at the same step of the same episode.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

import cv2
import mujoco
import numpy as np
from jaxtyping import UInt8

from vla.interfaces import EpisodeSpec
from vla_sim.environment import TabletopEnvironment
from vla_sim.worlds.benches import BENCHES
from vla_sim.worlds.mujoco_world import MujocoWorld
from vla_sim.worlds.rendering import shared_renderer

SPEC, STEPS = EpisodeSpec("put_in_bowl", 1_000_003), 5
WIDTH, HEIGHT, _GAP = 320, 400, 8
AZIMUTH_RAD, ELEVATION_RAD = 0.8, 0.3
_BACKGROUND = (238, 240, 243)
_AIM_REACH, _AIM_HEIGHT, _DISTANCE = 0.55, 0.42, 4.2
"""Where the photographer aims and how far away they stand, over the distance from base to the table's middle."""


class PortraitWorld(MujocoWorld):
    """A world that can be seen whole."""

    def portrait(self, height: int, width: int) -> UInt8[np.ndarray, "height width 3"]:
        """The arm and its table from the side, before a light background."""
        index, reach = self._camera("scene"), float(self.bench.point(np.array([0.5, 0.0, 0.0]))[0])
        tallest = float(self._data.xpos[:, 2][self._data.xpos[:, 0] > -1.0].max())
        aim = np.array([_AIM_REACH * reach, 0.0, _AIM_HEIGHT * tallest])
        level = math.cos(ELEVATION_RAD)
        backward = np.array([level * math.cos(AZIMUTH_RAD), level * math.sin(AZIMUTH_RAD), math.sin(ELEVATION_RAD)])
        right = np.cross([0.0, 0.0, 1.0], backward) / level
        rotation, quaternion = np.stack([right, np.cross(backward, right), backward], axis=1), np.zeros(4)
        mujoco.mju_mat2Quat(quaternion, rotation.ravel())
        self._model.cam_pos[index] = aim + max(_DISTANCE * reach, 3.4 * tallest) * backward
        self._model.cam_quat[index] = quaternion
        mujoco.mj_fwdPosition(self._model, self._data)
        renderer = shared_renderer(self._shared)
        picture = renderer.render(self._model, self._data, index, height, width)
        picture[renderer.segment(self._model, self._data, index, height, width) < 0] = _BACKGROUND
        return picture


def portraits(arms: Sequence[str] = tuple(BENCHES)) -> UInt8[np.ndarray, "height width 3"]:
    """One column an arm."""
    return np.concatenate([_column(arm) for arm in arms], axis=1)[:, :-_GAP]


def _column(arm: str) -> UInt8[np.ndarray, "height width 3"]:
    world = PortraitWorld(arm=arm)
    environment = TabletopEnvironment(world)
    environment.reset(SPEC)
    for _ in range(STEPS):
        environment.step(environment.expert_action())
    seen = environment.observe().images["scene"].repeat(WIDTH // 80, axis=0).repeat(WIDTH // 80, axis=1)
    column = np.concatenate([world.portrait(HEIGHT, WIDTH), np.full((_GAP, WIDTH, 3), 255, np.uint8), seen])
    return np.pad(column, ((0, 0), (0, _GAP), (0, 0)), constant_values=255)


def main(arguments: Sequence[str]) -> int:
    """Write the picture; the exit status."""
    if len(arguments) != 1:
        print("usage: python -m vla_sim.worlds.portraits OUT.png", file=sys.stderr)
        return 2
    return 0 if cv2.imwrite(arguments[0], portraits()[..., ::-1]) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
