"""Bullet's own pictures, by its software renderer: the same shapes, colours and cameras under another light.

They are slow, and look different: what a policy does with them says how much it depends on the usual renderer. Poses
come from MuJoCo's data, so that any engine's world can be drawn. Textures, and variations of the light, are not there.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any

import mujoco
import numpy as np
from jaxtyping import UInt8

from vla.errors import ConfigError
from vla_sim.worlds.bullet_library import disconnect, pybullet

_GEOM = mujoco.mjtGeom
_NEAR_M, _FAR_M = 0.01, 5.0
_TO_LIGHT = (0.35, -0.3, 0.9)
"""Where the light comes from, as in the tabletop."""
_SEEN_GROUPS = 3
"""Groups of geoms below this one are seen."""
_AWAY = (0.0, 0.0, -50.0)


class BulletPictures:
    """Draws one world's model."""

    def __init__(self) -> None:
        """Make a client of its own, with nothing in it.

        Raises:
            ConfigError: if PyBullet is not installed.
        """
        self._bullet = pybullet()
        self._client = self._bullet.connect(self._bullet.DIRECT)
        weakref.finalize(self, disconnect, self._client)
        self._bodies: dict[int, int] = {}
        self._colours: dict[int, tuple[float, ...]] = {}

    def __call__(
        self, model: mujoco.MjModel, data: mujoco.MjData, camera_id: int, height: int, width: int
    ) -> UInt8[np.ndarray, "height width 3"]:
        """What a camera sees.

        Raises:
            ConfigError: if there is a shape that it cannot draw.
        """
        for geom in range(model.ngeom):
            if model.geom_group[geom] < _SEEN_GROUPS:
                self._show(model, data, geom)
            elif geom in self._bodies:
                self._place(geom, _AWAY, (0.0, 0.0, 0.0, 1.0))
        bullet, client = self._bullet, self._client
        eye, rotation = data.cam_xpos[camera_id], data.cam_xmat[camera_id].reshape(3, 3)
        view = bullet.computeViewMatrix(eye.tolist(), (eye - rotation[:, 2]).tolist(), rotation[:, 1].tolist())
        lens = bullet.computeProjectionMatrixFOV(float(model.cam_fovy[camera_id]), width / height, _NEAR_M, _FAR_M)
        found = bullet.getCameraImage(
            width,
            height,
            view,
            lens,
            shadow=0,
            lightDirection=_TO_LIGHT,
            renderer=bullet.ER_TINY_RENDERER,
            physicsClientId=client,
        )
        return np.array(found[2], np.uint8).reshape(height, width, 4)[:, :, :3].copy()

    def _show(self, model: mujoco.MjModel, data: mujoco.MjData, geom: int) -> None:
        colour = tuple(float(value) for value in model.geom_rgba[geom])
        if geom not in self._bodies:
            self._bodies[geom] = self._make(model, geom, colour)
        elif colour != self._colours[geom]:
            self._bullet.changeVisualShape(self._bodies[geom], -1, rgbaColor=colour, physicsClientId=self._client)
        self._colours[geom] = colour
        quaternion = np.zeros(4)
        mujoco.mju_mat2Quat(quaternion, data.geom_xmat[geom])
        w, x, y, z = quaternion.tolist()
        self._place(geom, data.geom_xpos[geom].tolist(), (x, y, z, w))

    def _place(self, geom: int, position: tuple[float, ...] | list[float], xyzw: tuple[float, ...]) -> None:
        self._bullet.resetBasePositionAndOrientation(self._bodies[geom], position, xyzw, physicsClientId=self._client)

    def _make(self, model: mujoco.MjModel, geom: int, colour: tuple[float, ...]) -> int:
        kind, sizes = self._shape(model, geom)
        shape = self._bullet.createVisualShape(kind, rgbaColor=colour, physicsClientId=self._client, **sizes)
        return int(self._bullet.createMultiBody(0.0, -1, shape, physicsClientId=self._client))

    def _shape(self, model: mujoco.MjModel, geom: int) -> tuple[int, Mapping[str, Any]]:
        size, bullet = model.geom_size[geom], self._bullet
        round_sizes = {"radius": float(size[0]), "length": 2 * float(size[1])}
        match _GEOM(int(model.geom_type[geom])):
            case _GEOM.mjGEOM_BOX:
                return bullet.GEOM_BOX, {"halfExtents": size.tolist()}
            case _GEOM.mjGEOM_SPHERE:
                return bullet.GEOM_SPHERE, {"radius": float(size[0])}
            case _GEOM.mjGEOM_CYLINDER:
                return bullet.GEOM_CYLINDER, round_sizes
            case _GEOM.mjGEOM_CAPSULE:
                return bullet.GEOM_CAPSULE, round_sizes
            case other:
                raise ConfigError(f"Bullet's pictures know boxes, balls, cylinders and capsules; got {other.name}")
