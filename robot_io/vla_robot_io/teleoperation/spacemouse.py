"""A SpaceMouse, by its raw HID reports: the cap leads the hand, its left button is the dead-man switch.

    report 1   x, y, z as s16 (and the three turns too, on later models)
    report 2   turns about x, y, z as s16
    report 3   buttons, a bit each: the first is the dead-man switch, the second opens and closes the gripper

The device's axes go right, towards the user, and down; a full push is 350. The hand's go away from the robot's base,
to its left, and up: the user is taken to stand behind the robot and look the same way.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from vla.errors import ConfigError
from vla.interfaces import Observation
from vla_robot_io.teleoperation.device_file import DeviceFile
from vla_robot_io.teleoperation.hand_drive import HandDrive, Push, without_rest

FULL = 350.0
_THREE, _SIX = struct.Struct("<3h"), struct.Struct("<6h")
_DEAD_MAN, _GRIPPER = 1, 2
_MAKERS = ("0000256F", "0000046D:0000C6")
"""3Dconnexion, and the numbers it had under Logitech."""
_HIDRAW = Path("/sys/class/hidraw")


class SpaceMouseState:
    """What the reports so far amount to."""

    def __init__(self) -> None:
        self.translation = (0.0, 0.0, 0.0)
        """In the device's axes, -1 .. 1."""
        self.rotation = (0.0, 0.0, 0.0)
        self.buttons = 0
        self.opening: float | None = None
        """Of the gripper, as the second button has toggled it."""

    def feed(self, report: bytes) -> None:
        """Take one report in; what is none is passed over."""
        kind, body = report[:1], report[1:]
        if kind == b"\x01" and len(body) >= _SIX.size:
            values = _SIX.unpack_from(body)
            self.translation, self.rotation = _shares(values[:3]), _shares(values[3:])
        elif kind == b"\x01" and len(body) >= _THREE.size:
            self.translation = _shares(_THREE.unpack_from(body))
        elif kind == b"\x02" and len(body) >= _THREE.size:
            self.rotation = _shares(_THREE.unpack_from(body))
        elif kind == b"\x03" and body:
            self._press(int.from_bytes(body[:4], "little"))

    @property
    def is_held(self) -> bool:
        return bool(self.buttons & _DEAD_MAN)

    def push(self) -> Push:
        """How the hand is pushed."""
        right, near, down = (without_rest(value) for value in self.translation)
        return Push(-near, -right, -down, -without_rest(self.rotation[2]), self.opening)

    def _press(self, buttons: int) -> None:
        if buttons & ~self.buttons & _GRIPPER:
            self.opening = 1.0 if self.opening == 0.0 else 0.0
        self.buttons = buttons


class SpaceMouseTeleoperator:
    """One SpaceMouse."""

    name = "spacemouse"

    def __init__(self, drive: HandDrive, device: Path | None = None) -> None:
        """Nothing is opened yet.

        Args:
            drive: makes the actions.
            device: a `/dev/hidrawN`; looked for if not given.
        """
        self._drive, self._path = drive, device
        self._device: DeviceFile | None = None
        self._state = SpaceMouseState()

    @property
    def is_held(self) -> bool:
        # The kernel gives one report a time.
        while self._device is not None and (report := self._device.read()):
            self._state.feed(report)
        return not self.is_over and self._state.is_held

    @property
    def is_over(self) -> bool:
        return self._device is not None and self._device.is_gone

    def connect(self) -> None:
        self._device = DeviceFile(self._path or found())
        self._device.open()

    def read(self, observation: Observation) -> Float32[np.ndarray, " action_dim"] | None:
        return self._drive.action(self._state.push(), observation) if self.is_held else None

    def close(self) -> None:
        if self._device is not None:
            self._device.close()


def found(hidraw: Path = _HIDRAW) -> Path:
    """The first SpaceMouse of this machine.

    Raises:
        ConfigError: if there is none.
    """
    for device in sorted(hidraw.glob("hidraw*")):
        about = (device / "device" / "uevent").read_text(encoding="ascii", errors="replace").upper()
        if any(f"HID_ID={bus}:{maker}" in about for bus in ("0003", "0005") for maker in _MAKERS):
            return Path("/dev") / device.name
    raise ConfigError("no SpaceMouse is plugged in: give teleop.device=/dev/hidrawN if it is another's")


def _shares(values: Sequence[int]) -> tuple[float, float, float]:
    x, y, z = (min(max(value / FULL, -1.0), 1.0) for value in values)
    return x, y, z
