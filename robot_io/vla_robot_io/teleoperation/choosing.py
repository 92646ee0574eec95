"""Which device a human drives with, by its name in a configuration."""

from __future__ import annotations

import dataclasses
import enum
from pathlib import Path

from vla.errors import ConfigError
from vla.interfaces import Clock, Robot
from vla_robot_io.teleoperation.browser import BrowserTeleoperator
from vla_robot_io.teleoperation.gamepad import DEVICE, GamepadTeleoperator
from vla_robot_io.teleoperation.hand_drive import HandDrive
from vla_robot_io.teleoperation.keyboard import KeyboardTeleoperator
from vla_robot_io.teleoperation.leader_arm import LeaderArmTeleoperator
from vla_robot_io.teleoperation.replayed import replayed
from vla_robot_io.teleoperation.spacemouse import SpaceMouseTeleoperator
from vla_robot_io.teleoperation.teleoperator import Teleoperator


class By(enum.Enum):
    """What a human drives with."""

    BROWSER = "browser"
    """Pads on the console's page, also on a phone."""
    KEYBOARD = "keyboard"
    """The keys of the terminal."""
    GAMEPAD = "gamepad"
    """A gamepad, by Linux's joystick interface."""
    SPACEMOUSE = "spacemouse"
    """A SpaceMouse, by its raw reports."""
    LEADER = "leader"
    """A second arm of servos, led by hand."""
    REPLAY = "replay"
    """No human: an episode of a store."""


@dataclasses.dataclass
class DriveConfig:
    """What a human drives with."""

    by: By = By.BROWSER
    """The device."""
    device: str = ""
    """Where it is: /dev/input/js0, /dev/hidraw3, a leader arm's serial port, STORE#EPISODE; looked for if empty."""
    scale: float = 1.0
    """A full push is this share of the largest step that the embodiment allows."""
    calibration: str = ""
    """Of a leader arm: the file that `vla robot calibrate` wrote."""
    model: str = "sts3215"
    """Of a leader arm's servos."""


def make_teleoperator(config: DriveConfig, robot: Robot, clock: Clock, browser: BrowserTeleoperator) -> Teleoperator:
    """The device, not yet connected.

    Args:
        browser: the pads of the run's console.

    Raises:
        ConfigError: if it does not drive such a robot, or something that it needs is not said.
    """
    drive = HandDrive(robot.embodiment, config.scale)
    match config.by:
        case By.BROWSER:
            return browser
        case By.KEYBOARD:
            return KeyboardTeleoperator(drive)
        case By.GAMEPAD:
            return GamepadTeleoperator(drive, Path(config.device or DEVICE))
        case By.SPACEMOUSE:
            return SpaceMouseTeleoperator(drive, Path(config.device) if config.device else None)
        case By.LEADER:
            return _leader(config, robot, clock)
        case By.REPLAY:
            return replayed(config.device, robot.embodiment)


def _leader(config: DriveConfig, robot: Robot, clock: Clock) -> LeaderArmTeleoperator:
    """A leader arm on a serial port; its motors are never given torque."""
    from vla_robot_io.servos.bus import SerialWire, ServoBus
    from vla_robot_io.servos.calibration import Calibration
    from vla_robot_io.servos.packets import DIALECTS
    from vla_robot_io.servos.registers import MODELS
    from vla_robot_io.servos.servo_arm import ServoArm, ServoArmConfig

    if not (config.device and config.calibration and config.model in MODELS):
        raise ConfigError(
            "by=leader needs teleop.device=PORT, teleop.calibration=FILE and teleop.model, one of: "
            + ", ".join(sorted(MODELS))
        )
    model = MODELS[config.model]
    speeds = tuple(robot.arm.spec.max_speed.tolist())
    try:
        bus = ServoBus(SerialWire(config.device, 1_000_000), DIALECTS[model.dialect])
    except OSError as error:
        raise ConfigError(f"the leader arm at {config.device} cannot be opened: {error}") from error
    arm = ServoArm(bus, model, Calibration.load(Path(config.calibration)), ServoArmConfig("leader", speeds), clock)
    return LeaderArmTeleoperator(arm, robot.kinematics, robot.embodiment, scale=config.scale, now=clock.now)
