"""What can be said of a simulated arm on LeRobot's command line: `--robot.arm=so101`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lerobot.robots.config import RobotConfig


@RobotConfig.register_subclass("vla_virtual")
@dataclass(kw_only=True)
class VlaVirtualConfig(RobotConfig):
    """A simulated arm at its table."""

    arm: str = "so101"
    """`so101`, `panda` or `ur5e`."""
    instruction: str = "reach the red block"
    """Its words choose the task and the colours of the scene."""
    seed: int = 0
    """Of the scene."""
    task: str | None = None
    """Whose scene to set up, where the words alone do not tell."""
    unit: str = "degrees"
    """Of the joints' numbers: `degrees`, `radians` or `normalised`."""
    rate_hz: float = 50.0
    """The arm goes from one command to the next in this part of a second."""
    log: Path | None = None
    """Where to write what was asked, sent and measured, a line of JSON an action."""
