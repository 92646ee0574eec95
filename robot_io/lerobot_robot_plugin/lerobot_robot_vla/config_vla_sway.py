"""What can be said of swaying on LeRobot's command line: `--teleop.degrees=5`."""

from __future__ import annotations

from dataclasses import dataclass

from lerobot.teleoperators.config import TeleoperatorConfig


@TeleoperatorConfig.register_subclass("vla_sway")
@dataclass(kw_only=True)
class VlaSwayConfig(TeleoperatorConfig):
    """Sways every joint of an arm of type `vla_virtual` about where it rests."""

    arm: str = "so101"
    """As the robot's."""
    unit: str = "degrees"
    """As the robot's."""
    degrees: float = 5.0
    """How far each joint goes either way, whatever the unit."""
    period_s: float = 4.0
    """There and back."""
