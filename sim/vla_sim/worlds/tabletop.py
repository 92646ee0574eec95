"""The model of the tabletop: one compiled MuJoCo model that holds everything any scene may need.

A scene chooses by joint positions and by fields of its own copy of the model (`mujoco_world.py`); what it does
not use is parked out of sight. So every world in a process has the same structure, and one renderer serves all.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Collection
from typing import Any

import mujoco
import numpy as np

from vla.kinematics import arm_path
from vla_sim.worlds.benches import Bench, bench_of
from vla_sim.worlds.scene import (
    BLOCK_SIZE_M,
    BOWL_HEIGHT_M,
    BOWL_RADIUS_M,
    BUTTON_RADIUS_M,
    BUTTON_TOP_M,
    BUTTON_TRAVEL_M,
    CARD_SIZE_M,
    CUP_HEIGHT_M,
    CUP_SIZE_M,
    DRAWER_TRAVEL_M,
    HANDLE_OFFSET_M,
    PAD_SIZE_M,
    PLATE_RADIUS_M,
    TABLETOP_CAST,
    TILE_SIZE_M,
    Cast,
    Kind,
)
from vla_sim.worlds.tile_drawings import add_drawings
from vla_sim.worlds.variations import PATTERNS

PHYSICS_DT_S = 0.005

TABLE_RGBA = (0.74, 0.72, 0.69, 1.0)
WOOD_RGBA = (0.62, 0.42, 0.24, 1.0)
LIGHT_WOOD_RGBA = (0.80, 0.60, 0.38, 1.0)
CUP_RGBA = (0.55, 0.60, 0.62, 1.0)
CARD_RGBA = (0.97, 0.97, 0.97, 1.0)
METAL_RGBA = (0.25, 0.26, 0.29, 1.0)

BLOCK_FRICTION = (0.4, 0.005, 0.0001)
"""Sliding, torsional, rolling. At 1.5 a pushed block tips over; the fingers bring their own, higher friction."""
BALL_FRICTION = (0.6, 0.005, 0.003)

SCENE_CAMERA_FOVY_RAD = math.radians(30)
SCENE_CAMERA_POSITION = np.array([1.076, 0.273, 0.612])
SCENE_CAMERA_TARGET = np.array([0.49, 0.0, 0.03])

_BOX = mujoco.mjtGeom.mjGEOM_BOX
_CYLINDER = mujoco.mjtGeom.mjGEOM_CYLINDER


@functools.cache
def tabletop_model(*, arm: str = "panda", cast: Cast = TABLETOP_CAST) -> mujoco.MjModel:
    """The compiled model, made once a process. Copy it; do not write into it.

    Args:
        arm: a key of `vla_sim.worlds.benches.BENCHES`.
        cast: the things in it; those of one cast are the same, bit for bit, whatever other casts hold.

    Raises:
        ConfigError: if there is no such arm.
    """
    spec = mujoco.MjSpec.from_file(arm_path(arm))
    arm_bodies = {body.name for body in spec.bodies}
    _settings(spec)
    _patterns(spec)
    if cast.number(Kind.TILE):
        add_drawings(spec)
    _surroundings(spec)
    for kind, add in _MAKERS.items():
        for index in range(cast.number(kind)):
            add(spec, f"{kind.value}_{index}")
    if not bench_of(arm).is_the_tasks:
        _fit(spec, bench_of(arm), arm_bodies)
    return spec.compile()


def _fit(spec: mujoco.MjSpec, bench: Bench, arm_bodies: Collection[str]) -> None:
    """Shrink all but the arm to its bench: lengths, and masses by their cube. The light stays, and so do springs."""
    for body in spec.bodies:
        if body.name not in arm_bodies:
            _shrink(body, bench.scale)
    for geom in spec.worldbody.geoms:
        geom.size = bench.scale * geom.size
    for standing in (*spec.worldbody.geoms, *spec.worldbody.cameras):
        standing.pos = bench.point(standing.pos)


def _shrink(body: mujoco.MjsBody, scale: float) -> None:
    body.pos = scale * body.pos
    for geom in body.geoms:
        geom.size, geom.pos, geom.mass = scale * geom.size, scale * geom.pos, scale**3 * geom.mass
    for joint in body.joints:
        joint.range = scale * joint.range


def _settings(spec: mujoco.MjSpec) -> None:
    spec.option.timestep = PHYSICS_DT_S
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio = 5
    spec.option.iterations = 20
    quality = spec.visual.quality
    quality.shadowsize, quality.offsamples = 0, 0
    quality.numslices, quality.numstacks, quality.numquads = 16, 6, 1
    spec.visual.global_.offwidth, spec.visual.global_.offheight = 640, 480
    headlight = spec.visual.headlight
    headlight.ambient, headlight.diffuse, headlight.specular = [0.42] * 3, [0.28] * 3, [0.0] * 3
    spec.visual.map.znear, spec.visual.map.zfar = 0.01, 20


def _patterns(spec: mujoco.MjSpec) -> None:
    """What a variation may cover the table with; nothing wears them by itself.

    They are grey, so that the table's colour tints them.
    """
    size = 64
    rows, columns = np.mgrid[0:size, 0:size] * 2 * np.pi / size
    waves = {
        "checks": np.sin(rows) * np.sin(columns) > 0,
        "stripes": np.sin(2 * columns) > 0,
        "spots": np.cos(rows) + np.cos(columns) > 0.9,
    }
    for name in PATTERNS:
        grey = np.where(waves[name], 255, 120).astype(np.uint8)
        texture = spec.add_texture(name=name, type=mujoco.mjtTexture.mjTEXTURE_2D, width=size, height=size, nchannel=3)
        texture.data = np.repeat(grey[..., None], 3, axis=2).tobytes()
        material = spec.add_material(name=name, texuniform=True, specular=0.0, shininess=0.0)
        material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = name


def _surroundings(spec: mujoco.MjSpec) -> None:
    """The light, the table, the floor and the scene camera."""
    world = spec.worldbody
    # Lights of MuJoCo 3.3.0 have no type.
    types = getattr(mujoco, "mjtLightType", None)
    sun: dict[str, Any] = {"directional": True} if types is None else {"type": types.mjLIGHT_DIRECTIONAL}
    world.add_light(**sun, dir=[-0.35, 0.3, -0.9], pos=[0, 0, 2], diffuse=[0.5] * 3, specular=[0.08] * 3)
    world.add_geom(
        name="table", type=_BOX, size=[0.75, 0.9, 0.02], pos=[0.4, 0, -0.02], rgba=TABLE_RGBA, friction=BLOCK_FRICTION
    )
    backward = SCENE_CAMERA_POSITION - SCENE_CAMERA_TARGET
    backward /= np.linalg.norm(backward)
    right = np.cross([0.0, 0.0, 1.0], backward)
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(backward, right), backward], axis=1)
    quaternion = np.zeros(4)
    mujoco.mju_mat2Quat(quaternion, rotation.ravel())
    world.add_camera(name="scene", pos=SCENE_CAMERA_POSITION, quat=quaternion, fovy=math.degrees(SCENE_CAMERA_FOVY_RAD))


def _block(spec: mujoco.MjSpec, name: str) -> None:
    body = spec.worldbody.add_body(name=name)
    body.add_freejoint(name=name)
    half = BLOCK_SIZE_M / 2
    body.add_geom(name=name, type=_BOX, size=[half] * 3, mass=0.06, friction=BLOCK_FRICTION, condim=4)


def _pad(spec: mujoco.MjSpec, name: str) -> None:
    """A tile that is seen and not felt, so that a block never catches on its edge."""
    body = spec.worldbody.add_body(name=name)
    half = PAD_SIZE_M / 2
    body.add_geom(name=name, type=_BOX, size=[half, half, 0.001], pos=[0, 0, 0.001], contype=0, conaffinity=0)


def _bowl(spec: mujoco.MjSpec, name: str) -> None:
    """An octagon of boxes that lean outwards."""
    body = spec.worldbody.add_body(name=name)
    body.add_geom(type=_CYLINDER, size=[BOWL_RADIUS_M, 0.0015, 0], pos=[0, 0, 0.0015], friction=BLOCK_FRICTION)
    lean = 0.35
    radius = BOWL_RADIUS_M + BOWL_HEIGHT_M / 2 * math.sin(lean)
    half_width = (radius + 0.008) * math.tan(math.pi / 8)
    for side in range(8):
        angle = side * math.pi / 4
        turn, tilt, quaternion = np.zeros(4), np.zeros(4), np.zeros(4)
        mujoco.mju_axisAngle2Quat(turn, np.array([0.0, 0.0, 1.0]), angle)
        mujoco.mju_axisAngle2Quat(tilt, np.array([0.0, 1.0, 0.0]), lean)
        mujoco.mju_mulQuat(quaternion, turn, tilt)
        position = [radius * math.cos(angle), radius * math.sin(angle), BOWL_HEIGHT_M / 2]
        size = [0.003, half_width, BOWL_HEIGHT_M / 2]
        body.add_geom(type=_BOX, size=size, pos=position, quat=quaternion, friction=BLOCK_FRICTION)


def _button(spec: mujoco.MjSpec, name: str) -> None:
    """A coloured cap on a spring in a metal base."""
    body = spec.worldbody.add_body(name=name)
    base_top = BUTTON_TOP_M - BUTTON_TRAVEL_M - 0.002
    body.add_geom(
        name=f"{name}_base", type=_CYLINDER, size=[0.036, base_top / 2, 0], pos=[0, 0, base_top / 2], rgba=METAL_RGBA
    )
    cap = body.add_body(name=f"{name}_cap", pos=[0, 0, BUTTON_TOP_M], gravcomp=1)
    cap.add_joint(
        name=name,
        type=mujoco.mjtJoint.mjJNT_SLIDE,
        axis=[0, 0, -1],
        range=[0, BUTTON_TRAVEL_M],
        stiffness=200,
        damping=4,
        armature=0.05,
    )
    cap.add_geom(name=name, type=_CYLINDER, size=[BUTTON_RADIUS_M, 0.011, 0], pos=[0, 0, -0.011], mass=0.05)
    spec.add_exclude(bodyname1=name, bodyname2=f"{name}_cap")


def _cup(spec: mujoco.MjSpec, name: str) -> None:
    """An opaque box without a floor, its origin in the middle of its rim, on the table; a block fits below."""
    body = spec.worldbody.add_body(name=name)
    body.add_freejoint(name=name)
    half, wall, top = CUP_SIZE_M / 2, 0.0018, 0.002
    sides = (
        ([wall, half, CUP_HEIGHT_M / 2], [half - wall, 0.0, CUP_HEIGHT_M / 2]),
        ([wall, half, CUP_HEIGHT_M / 2], [wall - half, 0.0, CUP_HEIGHT_M / 2]),
        ([half - 2 * wall, wall, CUP_HEIGHT_M / 2], [0.0, half - wall, CUP_HEIGHT_M / 2]),
        ([half - 2 * wall, wall, CUP_HEIGHT_M / 2], [0.0, wall - half, CUP_HEIGHT_M / 2]),
        ([half - 2 * wall, half - 2 * wall, top], [0.0, 0.0, CUP_HEIGHT_M - top]),
    )
    for size, position in sides:
        body.add_geom(type=_BOX, size=size, pos=position, rgba=CUP_RGBA, mass=0.012, friction=BLOCK_FRICTION, condim=4)


def _drawer(spec: mujoco.MjSpec, name: str) -> None:
    """A cabinet whose drawer opens along +x by a T-shaped handle that the fingers take from above.

    The cabinet's front is at x = 0.06 of its body, closed.
    """
    body = spec.worldbody.add_body(name=name)
    walls = (
        ([0.06, 0.004, 0.04], [0.0, 0.076, 0.04]),
        ([0.06, 0.004, 0.04], [0.0, -0.076, 0.04]),
        ([0.004, 0.072, 0.04], [-0.056, 0.0, 0.04]),
        ([0.062, 0.082, 0.004], [0.0, 0.0, 0.084]),
    )
    for size, position in walls:
        body.add_geom(type=_BOX, size=size, pos=position, rgba=WOOD_RGBA)
    drawer = body.add_body(name=f"{name}_drawer", gravcomp=1)
    drawer.add_joint(
        name=name,
        type=mujoco.mjtJoint.mjJNT_SLIDE,
        axis=[1, 0, 0],
        range=[0, DRAWER_TRAVEL_M],
        damping=6,
        frictionloss=0.5,
        armature=0.1,
    )
    x, _, z = HANDLE_OFFSET_M
    panels = (
        ([0.004, 0.070, 0.037], [0.058, 0.0, 0.041], LIGHT_WOOD_RGBA),
        ([0.054, 0.066, 0.002], [0.0, 0.0, 0.008], LIGHT_WOOD_RGBA),
        ([0.054, 0.002, 0.024], [0.0, 0.066, 0.030], LIGHT_WOOD_RGBA),
        ([0.054, 0.002, 0.024], [0.0, -0.066, 0.030], LIGHT_WOOD_RGBA),
        ([0.018, 0.006, 0.014], [x - 0.002, 0.0, z], METAL_RGBA),
        ([0.005, 0.018, 0.014], [x + 0.019, 0.0, z], METAL_RGBA),
    )
    for size, position, rgba in panels:
        drawer.add_geom(type=_BOX, size=size, pos=position, rgba=rgba, mass=0.05)
    spec.add_exclude(bodyname1=name, bodyname2=f"{name}_drawer")


# --------------------------------------------------------------------------- of the cast `shapes`


def _cylinder(spec: mujoco.MjSpec, name: str) -> None:
    body = spec.worldbody.add_body(name=name)
    body.add_freejoint(name=name)
    half = BLOCK_SIZE_M / 2
    body.add_geom(name=name, type=_CYLINDER, size=[half, half, 0], mass=0.06, friction=BLOCK_FRICTION, condim=4)


def _prism(spec: mujoco.MjSpec, name: str) -> None:
    """A hexagon of three boxes, each between two opposite sides; one pair of sides faces the fingers at yaw 0."""
    body = spec.worldbody.add_body(name=name)
    body.add_freejoint(name=name)
    half = BLOCK_SIZE_M / 2
    for turn in range(3):
        angle = turn * math.pi / 3
        body.add_geom(
            type=_BOX,
            size=[half / math.sqrt(3), half, half],
            quat=[math.cos(angle / 2), 0, 0, math.sin(angle / 2)],
            mass=0.02,
            friction=BLOCK_FRICTION,
            condim=4,
        )


def _ball(spec: mujoco.MjSpec, name: str) -> None:
    """It rolls badly, so that it stays where it is put."""
    body = spec.worldbody.add_body(name=name)
    body.add_freejoint(name=name)
    half = BLOCK_SIZE_M / 2
    body.add_geom(
        name=name, type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[half, 0, 0], mass=0.06, friction=BALL_FRICTION, condim=6
    )


def _plate(spec: mujoco.MjSpec, name: str) -> None:
    """A round pad."""
    body = spec.worldbody.add_body(name=name)
    size = [PLATE_RADIUS_M, 0.001, 0]
    body.add_geom(name=name, type=_CYLINDER, size=size, pos=[0, 0, 0.001], contype=0, conaffinity=0)


# --------------------------------------------------------------------------- of the cast `tiles`


def _tile(spec: mujoco.MjSpec, name: str) -> None:
    """A coloured frame that is seen and not felt, and in it a white card; the scene says what is drawn on that."""
    body = spec.worldbody.add_body(name=name)
    frame, card = TILE_SIZE_M / 2, CARD_SIZE_M / 2
    body.add_geom(name=name, type=_BOX, size=[frame, frame, 0.001], pos=[0, 0, 0.001], contype=0, conaffinity=0)
    body.add_geom(
        name=f"{name}_card",
        type=_BOX,
        size=[card, card, 0.001],
        pos=[0, 0, 0.0018],
        rgba=CARD_RGBA,
        contype=0,
        conaffinity=0,
    )


_MAKERS: dict[Kind, Callable[[mujoco.MjSpec, str], None]] = {
    Kind.BLOCK: _block,
    Kind.PAD: _pad,
    Kind.BOWL: _bowl,
    Kind.BUTTON: _button,
    Kind.DRAWER: _drawer,
    Kind.CYLINDER: _cylinder,
    Kind.PRISM: _prism,
    Kind.BALL: _ball,
    Kind.PLATE: _plate,
    Kind.CUP: _cup,
    Kind.TILE: _tile,
}
"""In the order in which bodies come in a model."""
