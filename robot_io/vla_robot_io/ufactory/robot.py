"""The robot of driver `xarm`: an xArm 7 at an address."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vla.errors import unknown
from vla.interfaces import ArmSpec, Clock, Robot
from vla.kinematics import ArmKinematics
from vla_robot_io.equipment import late_cameras, read_embodiment, require_options
from vla_robot_io.links.gripper import NoGripper
from vla_robot_io.links.link import KnownArm
from vla_robot_io.links.linked_arm import LinkedArm
from vla_robot_io.links.plausibility import PlausibilityConfig
from vla_robot_io.ufactory.gripper import OPENING_M, XarmGripper
from vla_robot_io.ufactory.xarm_link import XarmLink, require_xarm

RATE_HZ = 100.0
"""Set-points a second."""
XARM7 = KnownArm(models=("xarm7",), firmware_from=(1, 9), firmware_below=(3,))
GRIPPERS = ("none", "xarm")
# UFACTORY, xArm 7 user manual: joint ranges, and 180 degrees a second.
_LOW_RAD = (-2 * np.pi, -2.059, -2 * np.pi, -0.19198, -2 * np.pi, -1.69297, -2 * np.pi)
_HIGH_RAD = (2 * np.pi, 2.0944, 2 * np.pi, 3.927, 2 * np.pi, np.pi, 2 * np.pi)
_ZEROS = PlausibilityConfig(suspects_zeros=False)
"""An xArm is delivered, and homes, with every joint at zero."""


def make_robot(
    clock: Clock,
    *,
    instruction: str,
    seed: int,
    host: str = "",
    gripper: str = "xarm",
    kinematics: str = "",
    embodiment: str = "",
    cameras: dict[str, Any] | None = None,
    rate_hz: float = RATE_HZ,
) -> Robot:
    """An xArm 7.

    Args:
        clock: that the control loop goes by.
        instruction: what the policy will be told.
        seed: unused: nothing here is simulated.
        host: address of the controller.
        gripper: `xarm` for UFACTORY's own, or `none`.
        kinematics: a MuJoCo XML of the arm, of which `python -m vla.arms.lacks` finds nothing lacking.
        embodiment: a JSON file of the embodiment, or a checkpoint's folder, whose embodiment it is.
        cameras: device of each of the embodiment's cameras: a number, a path or a video file.
        rate_hz: set-points a second.

    Raises:
        ConfigError: naming what is missing, unknown, or not installed.
    """
    require_xarm()
    if gripper not in GRIPPERS:
        raise unknown("gripper", gripper, GRIPPERS)
    needed = {"host": host, "kinematics": kinematics, "embodiment": embodiment, "cameras": cameras}
    require_options("an xArm 7", needed)
    body = read_embodiment(Path(embodiment))
    arm = make_arm(clock, host, gripper, rate_hz)
    eyes = late_cameras(body, cameras or {}, clock)
    return Robot(arm, eyes, body, ArmKinematics(kinematics), opens_late=True)


def make_arm(
    clock: Clock, host: str, gripper: str = "none", rate_hz: float = RATE_HZ, library: Any = None
) -> LinkedArm:
    """The arm at an address.

    Args:
        library: for tests; the SDK if not given.
    """
    spec = ArmSpec(
        name=f"xArm 7 at {host}",
        joints=tuple(f"joint_{number}" for number in range(1, 8)),
        position_low=np.array(_LOW_RAD),
        position_high=np.array(_HIGH_RAD),
        max_speed=np.full(7, np.pi),
        gripper_low_m=0.0,
        gripper_high_m=OPENING_M,
        rate_hz=rate_hz,
    )
    links: list[XarmLink] = []
    fingers = XarmGripper(lambda: links[0].sdk) if gripper == "xarm" else NoGripper(OPENING_M)
    links.append(XarmLink(host, len(spec.joints), clock, fingers, library))
    return LinkedArm(links[0], spec, XARM7, clock, _ZEROS)
