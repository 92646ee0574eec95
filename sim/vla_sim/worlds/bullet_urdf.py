"""A jointed body tree of a MuJoCo model as URDF, which is how Bullet takes joints that have limits.

A link's frame is where its joint is anchored, turned as MuJoCo turns the body. Geoms that touch nothing are left out.
"""

from __future__ import annotations

import xml.etree.ElementTree as xml
from collections.abc import Sequence

import mujoco
import numpy as np
from jaxtyping import Float64

from vla.errors import ConfigError

_GEOM, _JOINT = mujoco.mjtGeom, mujoco.mjtJoint
_KINDS = {_JOINT.mjJNT_HINGE: "revolute", _JOINT.mjJNT_SLIDE: "prismatic"}
_EFFORT, _SPEED = 1e4, 1e3
"""What URDF wants to know of a joint, and Bullet does not keep to."""


def urdf(model: mujoco.MjModel, tree: Sequence[int]) -> str:
    """The text.

    Args:
        tree: bodies, parents first; the first stands fast, every other one has a joint or is fixed to its parent.

    Raises:
        ConfigError: if there is something that URDF does not know.
    """
    robot = xml.Element("robot", name=model.body(tree[0]).name or "world")
    for body in tree:
        _link(robot, model, body, is_base=body == tree[0])
    for body in tree[1:]:
        _joint(robot, model, body)
    return xml.tostring(robot, encoding="unicode")


def joint_of(model: mujoco.MjModel, body: int) -> int:
    """The joint of a body; -1 if it has none.

    Raises:
        ConfigError: if it has several.
    """
    number = int(model.body_jntnum[body])
    if number > 1:
        name = model.body(body).name
        raise ConfigError(f"Bullet's world knows one joint a body, and '{name}' has {number}: put a body between")
    return int(model.body_jntadr[body]) if number else -1


def anchor_of(model: mujoco.MjModel, body: int) -> Float64[np.ndarray, " xyz"]:
    """Where the frame of a body's link is, in the body's frame."""
    joint = joint_of(model, body)
    is_jointed = joint >= 0 and model.jnt_type[joint] in _KINDS
    return model.jnt_pos[joint].copy() if is_jointed else np.zeros(3)


def touching_geoms(model: mujoco.MjModel, body: int) -> list[int]:
    """The geoms of a body that can touch anything."""
    first, number = int(model.body_geomadr[body]), int(model.body_geomnum[body])
    return [g for g in range(first, first + number) if model.geom_contype[g] or model.geom_conaffinity[g]]


def _link(robot: xml.Element, model: mujoco.MjModel, body: int, is_base: bool) -> None:
    link = xml.SubElement(robot, "link", name=f"body_{body}")
    inertial = xml.SubElement(link, "inertial")
    anchor = anchor_of(model, body)
    _origin(inertial, model.body_ipos[body] - anchor, model.body_iquat[body])
    xml.SubElement(inertial, "mass", value=repr(0.0 if is_base else float(model.body_mass[body])))
    x, y, z = (repr(float(value)) for value in model.body_inertia[body])
    xml.SubElement(inertial, "inertia", ixx=x, iyy=y, izz=z, ixy="0", ixz="0", iyz="0")
    for geom in touching_geoms(model, body):
        collision = xml.SubElement(link, "collision")
        _origin(collision, model.geom_pos[geom] - anchor, model.geom_quat[geom])
        _shape(xml.SubElement(collision, "geometry"), model, geom)


def _shape(geometry: xml.Element, model: mujoco.MjModel, geom: int) -> None:
    size, kind = model.geom_size[geom], _GEOM(int(model.geom_type[geom]))
    radius, length = repr(float(size[0])), repr(2 * float(size[1]))
    match kind:
        case _GEOM.mjGEOM_BOX:
            xml.SubElement(geometry, "box", size=_numbers(2 * size))
        case _GEOM.mjGEOM_SPHERE:
            xml.SubElement(geometry, "sphere", radius=radius)
        case _GEOM.mjGEOM_CYLINDER:
            xml.SubElement(geometry, "cylinder", radius=radius, length=length)
        case _GEOM.mjGEOM_CAPSULE:
            xml.SubElement(geometry, "capsule", radius=radius, length=length)
        case _:
            raise ConfigError(
                f"a jointed body in Bullet's world is of boxes, balls, cylinders and capsules; got {kind.name}"
            )


def _joint(robot: xml.Element, model: mujoco.MjModel, body: int) -> None:
    number, parent = joint_of(model, body), int(model.body_parentid[body])
    joint = xml.SubElement(robot, "joint", name=f"joint_{body}", type=_kind(model, number))
    xml.SubElement(joint, "parent", link=f"body_{parent}")
    xml.SubElement(joint, "child", link=f"body_{body}")
    anchor = np.zeros(3)
    mujoco.mju_rotVecQuat(anchor, anchor_of(model, body), model.body_quat[body])
    _origin(joint, model.body_pos[body] + anchor - anchor_of(model, parent), model.body_quat[body])
    if number < 0:
        return
    xml.SubElement(joint, "axis", xyz=_numbers(model.jnt_axis[number]))
    low, high = (float(value) for value in model.jnt_range[number])
    xml.SubElement(joint, "limit", lower=repr(low), upper=repr(high), effort=repr(_EFFORT), velocity=repr(_SPEED))


def _kind(model: mujoco.MjModel, joint: int) -> str:
    if joint < 0:
        return "fixed"
    kind = _JOINT(int(model.jnt_type[joint]))
    if kind not in _KINDS:
        raise ConfigError(f"Bullet's world knows hinges and slides; joint {joint} is {kind.name}")
    if model.jnt_limited[joint]:
        return _KINDS[kind]
    if kind is _JOINT.mjJNT_SLIDE:
        raise ConfigError(f"Bullet's world wants limits of a slide; joint {joint} has none")
    return "continuous"


def _origin(parent: xml.Element, position: Float64[np.ndarray, " xyz"], wxyz: Float64[np.ndarray, " wxyz"]) -> None:
    xml.SubElement(parent, "origin", xyz=_numbers(position), rpy=_numbers(_roll_pitch_yaw(wxyz)))


def _roll_pitch_yaw(wxyz: Float64[np.ndarray, " wxyz"]) -> Float64[np.ndarray, " angles"]:
    """Fixed-axis angles, rad: R = Rz(yaw) Ry(pitch) Rx(roll)."""
    flat = np.zeros(9)
    mujoco.mju_quat2Mat(flat, wxyz)
    rotation = flat.reshape(3, 3)
    level = np.hypot(rotation[0, 0], rotation[1, 0])
    pitch = np.arctan2(-rotation[2, 0], level)
    if level < 1e-9:
        # Straight up or down: roll and yaw turn about one axis, and roll takes it all.
        return np.array([np.arctan2(-rotation[1, 2], rotation[1, 1]), pitch, 0.0])
    return np.array([np.arctan2(rotation[2, 1], rotation[2, 2]), pitch, np.arctan2(rotation[1, 0], rotation[0, 0])])


def _numbers(values: Sequence[float] | Float64[np.ndarray, " numbers"]) -> str:
    return " ".join(repr(float(value)) for value in values)
