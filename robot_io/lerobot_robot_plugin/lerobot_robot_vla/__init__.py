"""The simulated arms of this project as a robot of LeRobot's, of the type `vla_virtual`, and somebody to move it.

    lerobot-record --robot.type=vla_virtual --teleop.type=vla_sway ...      no hardware, no screen

LeRobot imports this package by its name when a command starts. Nothing here is safety-rated.
"""

from __future__ import annotations

from lerobot_robot_vla.config_vla_sway import VlaSwayConfig as VlaSwayConfig
from lerobot_robot_vla.config_vla_virtual import VlaVirtualConfig as VlaVirtualConfig
from lerobot_robot_vla.vla_sway import VlaSway as VlaSway
from lerobot_robot_vla.vla_virtual import VlaVirtual as VlaVirtual
