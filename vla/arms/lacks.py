"""What an arm's MuJoCo XML lacks to be driven here: `python -m vla.arms.lacks my_arm.xml`.

joints   hinges, before anything else, each with limits and a position actuator of its own name, in their order
gripper  two slides named `finger_left` and `finger_right`, that open as they grow; actuators of their names, last
frames   a site `tcp` between the finger pads, its z axis out of the gripper; a body `hand`; a camera `wrist`
numbers  `max_speed_rad_s`, `max_acceleration_rad_s2`, `max_jerk_rad_s3` and `rest_rad`, one a joint; `opening_m`,
         closed and open
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import mujoco
import numpy as np

FINGERS = ("finger_left", "finger_right")
_HINGE, _SLIDE = mujoco.mjtJoint.mjJNT_HINGE, mujoco.mjtJoint.mjJNT_SLIDE
_TILT_RAD = 0.02
"""How far from straight down the gripper may point at rest."""


def lacks(model: mujoco.MjModel) -> list[str]:
    """What is missing or wrong, one sentence each; empty if the arm can be driven."""
    found = [*_joints(model), *_gripper(model), *_frames(model), *_numbers(model)]
    return found or list(_rest(model))


def main(arguments: Sequence[str]) -> int:
    """Print what a file lacks; the exit status."""
    if len(arguments) != 1:
        print("usage: python -m vla.arms.lacks FILE.xml", file=sys.stderr)
        return 2
    try:
        found = lacks(mujoco.MjModel.from_xml_path(arguments[0]))
    except ValueError as error:
        found = [f"MuJoCo cannot read it: {error}"]
    for line in found:
        print(f"{Path(arguments[0]).name}: {line}")
    if not found:
        print(f"{Path(arguments[0]).name}: lacks nothing")
    return 1 if found else 0


def _joints(model: mujoco.MjModel) -> Iterator[str]:
    types = list(model.jnt_type)
    hinges = [joint for joint, kind in enumerate(types) if kind == _HINGE]
    if not hinges:
        yield "it has no hinge: expected the arm's joints"
    if hinges != list(range(len(hinges))):
        yield "a hinge comes after another joint: expected the arm's joints first, then the fingers"
    for joint in hinges:
        name = model.joint(joint).name
        if not model.jnt_limited[joint]:
            yield f"joint '{name}' has no limits: give it range='LOW HIGH', rad"
        if joint >= model.nu or model.actuator(joint).name != name:
            yield f"joint '{name}' has no actuator of its name in its place: expected <position> number {joint + 1}"
        elif model.actuator_gainprm[joint, 0] <= 0 or model.actuator_biasprm[joint, 1] >= 0:
            yield f"actuator '{name}' follows no position: expected <position kp=... kv=...>"


def _gripper(model: mujoco.MjModel) -> Iterator[str]:
    names = [model.joint(joint).name for joint in range(model.njnt) if model.jnt_type[joint] == _SLIDE]
    if names != list(FINGERS):
        yield f"its slides are {names or 'none'}: expected {list(FINGERS)}, the gripper's fingers"
        return
    actuators = [model.actuator(index).name for index in range(model.nu)]
    if tuple(actuators[-2:]) != FINGERS:
        yield f"its last two actuators are {actuators[-2:]}: expected {list(FINGERS)}"
    for name in FINGERS:
        if not model.joint(name).range[0] == 0.0 < model.joint(name).range[1]:
            yield f"finger '{name}' has no range from 0, closed, to half of the opening: give range='0 HALF', m"


def _frames(model: mujoco.MjModel) -> Iterator[str]:
    if mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_SITE, "tcp") < 0:
        yield "it has no site 'tcp': expected one between the finger pads, its z axis out of the gripper"
    if mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA, "wrist") < 0:
        yield "it has no camera 'wrist': expected one on the hand, looking at the finger pads"
    for name in ("hand", *FINGERS):
        if mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, name) < 0:
            yield f"it has no body '{name}': what touches a thing as the gripper goes by this name"


def _numbers(model: mujoco.MjModel) -> Iterator[str]:
    joints = int((model.jnt_type == _HINGE).sum())
    meanings = {
        "max_speed_rad_s": (joints, "one speed a joint"),
        "max_acceleration_rad_s2": (joints, "one acceleration a joint"),
        "max_jerk_rad_s3": (joints, "one jerk a joint"),
        "rest_rad": (joints, "one position a joint, the gripper down over the table"),
        "opening_m": (2, "between the fingers, closed and open"),
    }
    for name, (size, meaning) in meanings.items():
        if mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_NUMERIC, name) < 0:
            yield f"it has no <numeric name='{name}'>: expected {size} numbers, {meaning}"
        elif len(model.numeric(name).data) != size:
            yield f"'{name}' has {len(model.numeric(name).data)} numbers: expected {size}, {meaning}"
        elif name.startswith("max_") and not (model.numeric(name).data > 0).all():
            yield f"'{name}' holds a number that is not above 0"


def _rest(model: mujoco.MjModel) -> Iterator[str]:
    """Of an arm that is otherwise whole: limits and direction of the rest posture, and the opening."""
    rest, travel = model.numeric("rest_rad").data, model.joint(FINGERS[0]).range[1]
    for joint, position in enumerate(rest):
        low, high = model.jnt_range[joint]
        if not low <= position <= high:
            yield f"at rest joint '{model.joint(joint).name}' is at {position:g}, beyond {low:g} to {high:g} rad"
    opening = model.numeric("opening_m").data[1]
    if abs(opening - 2 * travel) > 1e-9:
        yield f"'opening_m' is {opening:g} m when open: expected twice a finger's travel, {2 * travel:g} m"
    data = mujoco.MjData(model)
    data.qpos[: len(rest)] = rest
    mujoco.mj_kinematics(model, data)
    tilt = float(np.arccos(np.clip(-data.site("tcp").xmat[8], -1.0, 1.0)))
    if tilt > _TILT_RAD:
        yield f"at rest the z axis of 'tcp' is {tilt:.3f} rad off straight down: expected below {_TILT_RAD} rad"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
