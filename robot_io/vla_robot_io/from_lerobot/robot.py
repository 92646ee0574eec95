"""The robot of driver `lerobot`: any robot that LeRobot knows, behind our envelope; or one that is emulated."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from pathlib import Path
from typing import Any

from vla.errors import ArmError, ConfigError, unknown
from vla.interfaces import Clock, Robot
from vla.kinematics import ArmKinematics
from vla.libraries import require_library
from vla_robot_io.drivers import driver
from vla_robot_io.equipment import late_cameras, read_embodiment, require_options
from vla_robot_io.from_lerobot.arm_as_lerobot import ArmAsLerobot
from vla_robot_io.from_lerobot.joint_mapping import Unit, load_mapping, mapping_of
from vla_robot_io.from_lerobot.lerobot_link import LerobotLink, LerobotRobot
from vla_robot_io.links.link import KnownArm
from vla_robot_io.links.linked_arm import LinkedArm
from vla_robot_io.links.plausibility import PlausibilityConfig

EMULATED = "emulated"
"""This type is an arm of ours in the shape of LeRobot's robots; it needs no LeRobot."""
TORQUE = "disable_torque_on_disconnect"
"""What LeRobot's own servo arms call it."""
ZEROS = PlausibilityConfig(suspects_zeros=False)
"""A normalised arm in the middle of its range reads zeros."""


def make_robot(
    clock: Clock,
    *,
    instruction: str,
    seed: int,
    type: str = EMULATED,
    settings: dict[str, Any] | None = None,
    mapping: str | dict[str, Any] = "",
    keeps_torque: bool = False,
    embodiment: str = "",
    cameras: dict[str, Any] | None = None,
    arm: str = "so101",
    rate_hz: float = 50.0,
    behind: str = "virtual",
    unit: str = "degrees",
    task: str | None = None,
) -> Robot:
    """A robot of LeRobot's.

    Args:
        clock: that the control loop goes by.
        instruction: what the policy will be told; for what is emulated also what the scene is made for.
        seed: of the scene of what is emulated.
        type: as `--robot.type` of LeRobot's commands; `emulated` needs neither LeRobot nor a robot.
        settings: as `--robot.*` of LeRobot's commands: port, id, ...; leave its cameras out, they block the loop.
        mapping: which of its features is which joint, in which unit: a file, or an arm's name (`so101`).
        keeps_torque: that you have seen its `disconnect` leave torque as it is, where LeRobot has no setting for it.
        embodiment: a JSON file of the embodiment, or a checkpoint's folder, whose embodiment it is.
        cameras: device of each of the embodiment's cameras: a number, a path or a video file.
        arm: whose kinematics it has, one of `vla.kinematics.ARMS`.
        rate_hz: commands a second.
        behind: the robot, by its entry point, that an emulated one moves.
        unit: of an emulated one's numbers: `degrees`, `radians` or `normalised`.
        task: whose scene to set up behind an emulated one.

    Raises:
        ConfigError: naming what is unknown, missing, or not installed.
    """
    if type == EMULATED:
        if unit not in [each.value for each in Unit]:
            raise unknown("unit", unit, [each.value for each in Unit])
        scene = {"instruction": instruction, "seed": seed, "arm": arm, "task": task}
        return emulated_robot(clock, behind, Unit(unit), rate_hz=rate_hz, scene=scene)
    what = f"LeRobot's '{type}'"
    require_library("lerobot", what="driver=lerobot", extra="lerobot")
    require_options(what, {"mapping": mapping, "embodiment": embodiment, "cameras": cameras})
    mapped, body = load_mapping(mapping), read_embodiment(Path(embodiment))
    theirs = make_lerobot_robot(type, settings or {}, keeps_torque=keeps_torque)
    try:
        link = LerobotLink(theirs, mapped, clock, disconnects=True, what=what)
    except ArmError as error:
        raise ConfigError(str(error)) from error
    linked = LinkedArm(link, mapped.spec(f"lerobot {type}", rate_hz), KnownArm((theirs.name,)), clock, ZEROS)
    eyes = late_cameras(body, cameras or {}, clock)
    return Robot(linked, eyes, body, ArmKinematics(arm), arm, opens_late=True)


def emulated_robot(clock: Clock, behind: str, unit: Unit, *, rate_hz: float, scene: dict[str, Any]) -> Robot:
    """Another robot whose arm is driven the way LeRobot's robots are, through features in LeRobot's units.

    Args:
        behind: its entry point in the group `vla.robots`.
        scene: what that is to be made with.

    Raises:
        ConfigError: if there is no such entry point.
    """
    robot = driver(behind, "robot behind LeRobot's")(clock, rate_hz=rate_hz, **scene)
    mapped = mapping_of(robot.arm.spec, unit)
    theirs = ArmAsLerobot(robot.arm, mapped, clock)
    link = LerobotLink(theirs, mapped, clock, disconnects=True)
    spec = mapped.spec(f"lerobot {robot.arm.spec.name}", rate_hz)
    return dataclasses.replace(robot, arm=LinkedArm(link, spec, KnownArm((theirs.name,)), clock, ZEROS))


def make_lerobot_robot(type: str, settings: dict[str, Any], *, keeps_torque: bool) -> LerobotRobot:
    """A robot of LeRobot's, by the name that its commands know it by; plug-ins are found as they find them.

    Raises:
        ConfigError: if LeRobot is not installed or has no such robot, a setting is wrong, or torque would go off.
    """
    robots = require_library("lerobot.robots", what="driver=lerobot", extra="lerobot")
    for module in pkgutil.iter_modules(robots.__path__):
        if module.ispkg:
            importlib.import_module(f"lerobot.robots.{module.name}")
    importlib.import_module("lerobot.utils.import_utils").register_third_party_plugins()
    known = robots.RobotConfig.get_known_choices()
    if type not in known:
        raise unknown("type of LeRobot's robots", type, known)
    settings = _keeping_torque(type, known[type], settings, keeps_torque)
    try:
        config = importlib.import_module("draccus").decode(robots.RobotConfig, {"type": type, **settings})
        return importlib.import_module("lerobot.robots.utils").make_robot_from_config(config)
    except Exception as error:
        told = " ".join(str(error).split())
        raise ConfigError(f"LeRobot's '{type}' cannot be made with settings={settings}: {told}") from error


def _keeping_torque(type: str, config: Any, settings: dict[str, Any], keeps_torque: bool) -> dict[str, Any]:
    """The settings, with which disconnecting drops no arm."""
    has_setting = TORQUE in {field.name for field in dataclasses.fields(config)}
    if has_setting and settings.get(TORQUE):
        raise ConfigError(f"settings.{TORQUE}=true would drop the arm when the program ends: leave it out")
    if not has_setting and not keeps_torque:
        raise ConfigError(
            f"LeRobot's '{type}' has no setting that keeps torque when it is disconnected: look what its disconnect() "
            "does, and say keeps_torque=true if the arm does not drop"
        )
    return {**settings, TORQUE: False} if has_setting else settings
