"""The tabletop as a photographer sees it: a camera that moves, a table of any tone, and which thing is where."""

from __future__ import annotations

import dataclasses
import math

import mujoco
import numpy as np
from jaxtyping import Bool, Float64, Int32, UInt8

from vla_sim.worlds.mujoco_world import MujocoWorld
from vla_sim.worlds.rendering import shared_renderer
from vla_sim.worlds.scene import TABLETOP_CAST, Cast, Scene
from vla_sim.worlds.tabletop import SCENE_CAMERA_FOVY_RAD, SCENE_CAMERA_POSITION, SCENE_CAMERA_TARGET

CAMERA = "scene"
SIZES = ((64, 80), (96, 120), (128, 160), (224, 224))
"""Height and width of pictures, px."""

_ASPECT = 1.25
"""Width over height for which the scene camera was made: a narrower picture opens it until it sees as much."""
_CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float64)
_RIMS = np.array([[math.cos(a), math.sin(a), z] for a in np.arange(16) * math.pi / 8 for z in (-1, 1)])


@dataclasses.dataclass(frozen=True)
class Look:
    """How a picture is taken."""

    height: int
    width: int
    turn: float
    """Of the camera about the vertical through the table's middle, rad."""
    rise: float
    """Of the camera's elevation, rad."""
    distance: float
    """Over the usual one."""
    table: tuple[float, float, float]
    """Linear RGB."""

    @staticmethod
    def draw(generator: np.random.Generator) -> Look:
        """Any look."""
        height, width = SIZES[int(generator.integers(len(SIZES)))]
        turn, rise = generator.uniform(-0.3, 0.3), generator.uniform(-0.1, 0.14)
        tone = generator.uniform(0.45, 0.85) * generator.uniform(0.92, 1.0, 3)
        red, green, blue = (float(value) for value in tone)
        return Look(height, width, float(turn), float(rise), float(generator.uniform(0.95, 1.1)), (red, green, blue))


class StudioWorld(MujocoWorld):
    """A tabletop with a free camera."""

    def __init__(self, cast: Cast = TABLETOP_CAST) -> None:
        """Make a world with an empty table; scenes may hold the things of a cast."""
        super().__init__(cast=cast)
        self._camera_id = self._camera(CAMERA)
        self._table = self._model.geom("table").id
        self.look_of = Look(64, 80, 0.0, 0.0, 1.0, (0.74, 0.72, 0.69))
        """How the next picture is taken."""

    @property
    def model(self) -> mujoco.MjModel:
        """This world's own; read it, do not write into it."""
        return self._model

    @property
    def data(self) -> mujoco.MjData:
        """MuJoCo's state; read it, do not write into it."""
        return self._data

    def take(self, scene: Scene, look: Look, state: Float64[np.ndarray, " numbers"]) -> None:
        """Stand as in a picture that was taken before."""
        self.reset(scene)
        self.restore(state)
        self.look(look)

    def look(self, look: Look) -> None:
        """Put the camera and the table's colour in place."""
        position, quaternion = _camera_pose(look)
        self._model.cam_pos[self._camera_id], self._model.cam_quat[self._camera_id] = position, quaternion
        opening = math.tan(SCENE_CAMERA_FOVY_RAD / 2) * max(1.0, _ASPECT * look.height / look.width)
        self._model.cam_fovy[self._camera_id] = math.degrees(2 * math.atan(opening))
        self._model.geom_rgba[self._table, :3] = look.table
        mujoco.mj_fwdPosition(self._model, self._data)
        self.look_of = look

    def picture(self) -> UInt8[np.ndarray, "height width 3"]:
        """What the camera sees now."""
        return self.render(CAMERA, self.look_of.height, self.look_of.width)

    def geoms_seen(self, scale: int = 1) -> Int32[np.ndarray, "height width"]:
        """The number of the geom in each pixel, in a picture `scale` times as large; -1 for none."""
        height, width = self.look_of.height * scale, self.look_of.width * scale
        renderer = shared_renderer(self._shared)
        return renderer.segment(self._model, self._data, self._camera_id, height, width)

    def mask(self, name: str, geoms: Int32[np.ndarray, "height width"]) -> Bool[np.ndarray, "height width"]:
        """Where a thing is seen."""
        return np.isin(geoms, self._slot(name).geoms)

    def pixel(self, points: Float64[np.ndarray, "points xyz"]) -> Float64[np.ndarray, "points uv"]:
        """Where the camera sees points: column and row, px of the picture; also beyond its edge."""
        look, data = self.look_of, self._data
        local = (points - data.cam_xpos[self._camera_id]) @ data.cam_xmat[self._camera_id].reshape(3, 3)
        tangent = math.tan(math.radians(self._model.cam_fovy[self._camera_id]) / 2)
        plane = local[:, :2] / (-local[:, 2:] * tangent) * [1.0, -1.0] * look.height / 2
        return plane + np.array([look.width / 2, look.height / 2])

    def corners(self, name: str) -> Float64[np.ndarray, "points xyz"]:
        """The corners of a thing's geoms, and points around the rims of round ones."""
        found = []
        for geom in self._slot(name).geoms:
            half, local = self._model.geom_size[geom], _CORNERS
            if self._model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_CYLINDER:
                half, local = half[[0, 0, 1]], _RIMS
            turned = (local * half) @ self._data.geom_xmat[geom].reshape(3, 3).T
            found.append(turned + self._data.geom_xpos[geom])
        return np.concatenate(found)


def _camera_pose(look: Look) -> tuple[np.ndarray, np.ndarray]:
    """Position and quaternion (wxyz) of a camera that looks at the table's middle."""
    x, y, z = SCENE_CAMERA_POSITION - SCENE_CAMERA_TARGET
    radius = look.distance * math.sqrt(x * x + y * y + z * z)
    azimuth = math.atan2(y, x) + look.turn
    elevation = math.atan2(z, math.hypot(x, y)) + look.rise
    level = math.cos(elevation)
    backward = np.array([level * math.cos(azimuth), level * math.sin(azimuth), math.sin(elevation)])
    right = np.cross([0.0, 0.0, 1.0], backward)
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(backward, right), backward], axis=1)
    quaternion = np.zeros(4)
    mujoco.mju_mat2Quat(quaternion, rotation.ravel())
    return SCENE_CAMERA_TARGET + radius * backward, quaternion
