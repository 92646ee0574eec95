"""The robot of driver `ur`: a UR5e at an address, or one whose controller is emulated and whose shadow is simulated."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from vla.errors import unknown
from vla.interfaces import ArmSpec, Clock, Robot
from vla.kinematics import ArmKinematics
from vla_robot_io.equipment import late_cameras, read_embodiment, require_options
from vla_robot_io.links.controller_process import ControllerProcess
from vla_robot_io.links.gripper import Gripper, NoGripper
from vla_robot_io.links.late_link import LateLink
from vla_robot_io.links.link import ArmLink, KnownArm
from vla_robot_io.links.linked_arm import LinkedArm
from vla_robot_io.links.shadow import shadow, with_shadow
from vla_robot_io.universal_robots.emulator import start_anywhere
from vla_robot_io.universal_robots.robotiq import RobotiqGripper
from vla_robot_io.universal_robots.ur_link import UrLink, UrLinkConfig, require_ur_rtde

RATE_HZ = 100.0
"""Commands a second: a whole part of the controller's 500, and a multiple of usual policies' rates."""
EMULATED = "emulated"
"""This host is a controller in a process of its own on this machine."""
UR5E = KnownArm(models=("UR5", "UR5e"), firmware_from=(5, 4), firmware_below=(6,))
"""A UR5e calls itself a UR5 on the dashboard; what sets it apart is PolyScope 5."""
GRIPPERS = ("none", "robotiq")


def make_robot(
    clock: Clock,
    *,
    instruction: str,
    seed: int,
    host: str = "",
    serial: str = "",
    payload_kg: float | None = None,
    gripper: str = "robotiq",
    embodiment: str = "",
    cameras: dict[str, Any] | None = None,
    rate_hz: float = RATE_HZ,
    task: str | None = None,
) -> Robot:
    """A UR5e.

    Args:
        clock: that the control loop goes by; a controller, emulated or not, lives by real time alone.
        instruction: what the policy will be told; for what is emulated also what the scene is made for.
        seed: of the scene of what is emulated.
        host: address of the controller; `emulated` for one on this machine.
        serial: number of this very arm; not compared if empty.
        payload_kg: what the controller should think it carries; not compared if not given.
        gripper: `robotiq`, behind its URCap's server, or `none`.
        embodiment: a JSON file of the embodiment, or a checkpoint's folder, whose embodiment it is.
        cameras: device of each of the embodiment's cameras: a number, a path or a video file.
        rate_hz: commands a second.
        task: whose scene to set up around what is emulated.

    Raises:
        ConfigError: naming what is missing, unknown, or not installed.
    """
    require_ur_rtde()
    if gripper not in GRIPPERS:
        raise unknown("gripper", gripper, GRIPPERS)
    if host == EMULATED:
        return emulated_robot(clock, rate_hz=rate_hz, scene={"instruction": instruction, "seed": seed, "task": task})
    require_options("a UR5e", {"host": host, "embodiment": embodiment, "cameras": cameras})
    body, kinematics = read_embodiment(Path(embodiment)), ArmKinematics("ur5e")
    known = dataclasses.replace(UR5E, serial=serial)
    config = UrLinkConfig(host, rate_hz, payload_kg=payload_kg)
    arm = make_arm(clock, f"UR5e at {host}", config, known, _gripper(gripper, host, kinematics.opening_high_m))
    return Robot(arm, late_cameras(body, cameras or {}, clock), body, kinematics, "ur5e", opens_late=True)


def emulated_robot(clock: Clock, *, rate_hz: float, scene: dict[str, Any]) -> Robot:
    """A UR5e whose controller runs in a process of its own, and a simulated UR5e that does as it does.

    The controller begins when the arm is connected, by whoever connects it.

    Raises:
        ConfigError: if there is no simulator.
    """
    robot = shadow("ur5e", clock, scene)
    opening_m = robot.arm.spec.gripper_high_m
    kept: list[ControllerProcess] = []

    def begin() -> ArmLink:
        controller = start_anywhere(ArmKinematics("ur5e").rest_posture.tolist())
        kept.append(controller)
        return UrLink(UrLinkConfig(controller.host, rate_hz), RobotiqGripper(controller.host, opening_m))

    arm = LinkedArm(LateLink(begin), spec_of("emulated UR5e", rate_hz), UR5E, clock)
    return with_shadow(arm, robot)


def make_arm(clock: Clock, name: str, config: UrLinkConfig, known: KnownArm, gripper: Gripper) -> LinkedArm:
    """The arm at an address."""
    return LinkedArm(UrLink(config, gripper), spec_of(name, config.rate_hz), known, clock)


def spec_of(name: str, rate_hz: float) -> ArmSpec:
    """A UR5e's joints and limits."""
    body = ArmKinematics("ur5e")
    return ArmSpec(
        name=name,
        joints=body.joints,
        position_low=body.position_low,
        position_high=body.position_high,
        max_speed=body.max_speed,
        gripper_low_m=body.opening_low_m,
        gripper_high_m=body.opening_high_m,
        rate_hz=rate_hz,
    )


def _gripper(name: str, host: str, opening_m: float) -> Gripper:
    return RobotiqGripper(host, opening_m) if name == "robotiq" else NoGripper(opening_m)
