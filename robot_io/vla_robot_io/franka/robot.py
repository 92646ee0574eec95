"""The robot of driver `franka`: a Research 3 or an Emika Panda at an address, or one that franky-sim simulates."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from vla.errors import unknown
from vla.interfaces import Clock, Robot
from vla.kinematics import ArmKinematics
from vla.libraries import require_library
from vla_robot_io.equipment import late_cameras, read_embodiment, require_options
from vla_robot_io.franka import simulated_controller
from vla_robot_io.franka.fci_proxy import start_proxy
from vla_robot_io.franka.franka_link import FrankaLink, FrankaLinkConfig, require_franky
from vla_robot_io.franka.hand import FrankaHand
from vla_robot_io.franka.limits import MODELS, FrankaModel
from vla_robot_io.links.controller_process import ControllerProcess
from vla_robot_io.links.gripper import Gripper, NoGripper
from vla_robot_io.links.late_link import LateLink
from vla_robot_io.links.link import ArmLink, KnownArm
from vla_robot_io.links.linked_arm import LinkedArm
from vla_robot_io.links.shadow import shadow, with_shadow
from vla_robot_io.panda import MAX_OPENING_M

RATE_HZ = 50.0
"""Set-points a second; franky goes from one to the next at a thousand."""
EMULATED = "emulated"
"""This host is a simulated controller behind the fault proxy, both on this machine."""
GRIPPERS = ("none", "hand")
_SIMULATED, _PROXY = "127.0.1.77", "127.0.1.78"


def make_robot(
    clock: Clock,
    *,
    instruction: str,
    seed: int,
    host: str = "",
    model: str = "fr3",
    gripper: str = "hand",
    dynamics_factor: float = 0.2,
    real_time: bool = True,
    embodiment: str = "",
    cameras: dict[str, Any] | None = None,
    rate_hz: float = RATE_HZ,
    task: str | None = None,
) -> Robot:
    """An arm of Franka's.

    Args:
        clock: that the control loop goes by; a controller, simulated or not, lives by real time alone.
        instruction: what the policy will be told; for what is simulated also what the scene is made for.
        seed: of the scene of what is simulated.
        host: address of the controller; `emulated` for one on this machine.
        model: `fr3`, or `fer` for the Emika Panda; compared with the limits that the controller tells.
        gripper: `hand` or `none`.
        dynamics_factor: the part of the arm's limits that franky plans with.
        real_time: refuse to drive the arm without a kernel that runs franky's thread in real time.
        embodiment: a JSON file of the embodiment, or a checkpoint's folder, whose embodiment it is.
        cameras: device of each of the embodiment's cameras: a number, a path or a video file.
        rate_hz: set-points a second.
        task: whose scene to set up around what is simulated.

    Raises:
        ConfigError: naming what is missing, unknown, or not installed.
    """
    require_franky()
    if model not in MODELS:
        raise unknown("model of Franka's", model, MODELS)
    if gripper not in GRIPPERS:
        raise unknown("gripper", gripper, GRIPPERS)
    if host == EMULATED:
        return emulated_robot(clock, rate_hz=rate_hz, scene={"instruction": instruction, "seed": seed, "task": task})
    require_options("an arm of Franka's", {"host": host, "embodiment": embodiment, "cameras": cameras})
    body = read_embodiment(Path(embodiment))
    fingers: Gripper = FrankaHand(host) if gripper == "hand" else NoGripper(MAX_OPENING_M)
    link = FrankaLink(FrankaLinkConfig(host, dynamics_factor, real_time, rate_hz), fingers)
    arm = make_arm(clock, link, MODELS[model], f"{model} at {host}", rate_hz)
    eyes = late_cameras(body, cameras or {}, clock)
    return Robot(arm, eyes, body, ArmKinematics("panda"), "panda", opens_late=True)


def make_arm(clock: Clock, link: ArmLink, model: FrankaModel, name: str, rate_hz: float = RATE_HZ) -> LinkedArm:
    """The arm on a link, whose controller must tell this model's limits."""
    return LinkedArm(link, model.spec(name, rate_hz), KnownArm((model.name,)), clock, speeds_at=model.speeds_at)


def emulated_robot(clock: Clock, *, rate_hz: float, scene: dict[str, Any]) -> Robot:
    """A Research 3 that franky-sim simulates, behind the fault proxy; a simulated arm with a world does as it does.

    The controller begins when the arm is connected, by whoever connects it.

    Raises:
        ConfigError: if franky-sim is not installed.
    """
    require_library("franky_sim", what="driver=franka host=emulated", extra="franka-emulated")
    robot = shadow("panda", clock, scene)
    kept: list[ControllerProcess] = []
    arm = make_arm(clock, LateLink(lambda: _begin(kept, rate_hz)), MODELS["fr3"], "emulated FR3", rate_hz)
    return with_shadow(arm, robot)


def _begin(kept: list[ControllerProcess], rate_hz: float) -> FrankaLink:
    """Start the simulated controller, and the proxy before it; both are added to what is kept.

    Raises:
        OSError: if one does not start.
    """
    start = ArmKinematics("panda").rest_posture.tolist()
    with contextlib.ExitStack() as stack:
        arguments = [repr(angle) for angle in start]
        controller = ControllerProcess(simulated_controller.__name__, _SIMULATED, arguments)
        stack.callback(controller.close)
        kept += [controller, start_proxy(_PROXY, _SIMULATED)]
        stack.pop_all()
    # A fifth of the dynamics, as for arms of metal, is slower than the demonstrations.
    config = FrankaLinkConfig(_PROXY, dynamics_factor=1.0, real_time=False, rate_hz=rate_hz)
    return FrankaLink(config, NoGripper(MAX_OPENING_M))
