"""Variations on MuJoCo: written into a world's own copy of the compiled model, and undone before the next scene."""

from __future__ import annotations

import functools
import math

import mujoco
import numpy as np
from jaxtyping import Float64

from vla_sim.worlds.benches import Bench
from vla_sim.worlds.scene import CAPACITY, Kind
from vla_sim.worlds.tabletop import SCENE_CAMERA_TARGET
from vla_sim.worlds.variations import CameraShift, Light, TableLook, Variation, check_variation


def vary(model: mujoco.MjModel, variation: Variation, bench: Bench) -> None:
    """Write a variation, all but its shove and its sensor, into a copy of the tabletop's model at a bench.

    Raises:
        ConfigError: if it is out of range.
    """
    check_variation(variation)
    _move_camera(model, variation.camera, bench.point(SCENE_CAMERA_TARGET))
    _light(model, variation.light)
    _cover_table(model, variation.table)
    model.geom_friction[:, 0] *= variation.friction
    if variation.mass != 1.0:
        _weigh(model, variation.mass)


def undo(model: mujoco.MjModel, usual: mujoco.MjModel) -> None:
    """Write every number of the usual model into a copy of it that was varied."""
    for name in _arrays(usual):
        getattr(model, name)[...] = getattr(usual, name)
    for name in ("ambient", "diffuse", "specular"):
        getattr(model.vis.headlight, name)[:] = getattr(usual.vis.headlight, name)


@functools.lru_cache(maxsize=4)
def _arrays(model: mujoco.MjModel) -> tuple[str, ...]:
    """The names of all its arrays of numbers."""
    names = (name for name in dir(model) if not name.startswith("_"))
    return tuple(name for name in names if isinstance(getattr(model, name), np.ndarray))


def look_at(
    position: Float64[np.ndarray, " xyz"], target: Float64[np.ndarray, " xyz"], roll_rad: float = 0.0
) -> Float64[np.ndarray, " wxyz"]:
    """The orientation of a camera at a position that looks at a target, its top up before it rolls."""
    backward = (position - target) / np.linalg.norm(position - target)
    right = np.cross([0.0, 0.0, 1.0], backward)
    right /= np.linalg.norm(right)
    upright, roll, quaternion = np.zeros(4), np.zeros(4), np.zeros(4)
    mujoco.mju_mat2Quat(upright, np.stack([right, np.cross(backward, right), backward], axis=1).ravel())
    mujoco.mju_axisAngle2Quat(roll, np.array([0.0, 0.0, 1.0]), roll_rad)
    mujoco.mju_mulQuat(quaternion, upright, roll)
    return quaternion


def _move_camera(model: mujoco.MjModel, shift: CameraShift, target: Float64[np.ndarray, " xyz"]) -> None:
    if shift == CameraShift():
        return
    camera = model.camera("scene").id
    x, y, z = model.cam_pos[camera] - target
    azimuth = math.atan2(y, x) + shift.azimuth_rad
    elevation = min(math.atan2(z, math.hypot(x, y)) + shift.elevation_rad, 1.5)
    level = math.cos(elevation)
    backward = np.array([level * math.cos(azimuth), level * math.sin(azimuth), math.sin(elevation)])
    position = target + shift.distance * math.sqrt(x * x + y * y + z * z) * backward
    model.cam_pos[camera] = position
    model.cam_quat[camera] = look_at(position, target, shift.roll_rad)


def _light(model: mujoco.MjModel, light: Light) -> None:
    if light == Light():
        return
    factor = light.brightness * np.array(light.tint)
    model.light_diffuse[:] *= factor
    model.light_specular[:] *= factor
    headlight = model.vis.headlight
    headlight.ambient[:] *= factor.astype(np.float32)
    headlight.diffuse[:] *= factor.astype(np.float32)
    for index in range(model.nlight):
        x, y, z = model.light_dir[index]
        azimuth = math.atan2(y, x) + light.turn_rad
        elevation = min(math.atan2(math.hypot(x, y), -z) + light.lean_rad, 1.4)
        model.light_dir[index] = [
            math.sin(elevation) * math.cos(azimuth),
            math.sin(elevation) * math.sin(azimuth),
            -math.cos(elevation),
        ]


def _cover_table(model: mujoco.MjModel, look: TableLook) -> None:
    table = model.geom("table").id
    if look.colour is not None:
        model.geom_rgba[table, :3] = look.colour
    if look.pattern:
        material = model.material(look.pattern).id
        model.geom_matid[table] = material
        model.mat_texrepeat[material] = look.repeat


def _weigh(model: mujoco.MjModel, factor: float) -> None:
    """Other masses, and all that MuJoCo derives of them."""
    for index in range(CAPACITY[Kind.BLOCK]):
        body = model.body(f"block_{index}").id
        model.body_mass[body] *= factor
        model.body_inertia[body] *= factor
    mujoco.mj_setConst(model, mujoco.MjData(model))
