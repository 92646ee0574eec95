"""A gamepad, by Linux's joystick interface: sticks lead the hand, a shoulder button is the dead-man switch.

    left stick   away, near, left, right        LB (button 4), held: the dead-man switch
    right stick  up, down, turn                 A (0) closes the gripper, B (1) opens it

An event is 8 bytes (linux/joystick.h): time in ms u32, value s16, kind u8, number u8. Kind 1 is a button, 2 an axis;
0x80 is added to those that tell the state when the device is opened. Axes go from -32767 to 32767, down and right
being positive. The numbers are those of pads that speak as an Xbox's does; others are given in the configuration.
"""

from __future__ import annotations

import dataclasses
import struct
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from vla.interfaces import Observation
from vla_robot_io.teleoperation.device_file import DeviceFile
from vla_robot_io.teleoperation.hand_drive import HandDrive, Push, without_rest

DEVICE = Path("/dev/input/js0")
_EVENT = struct.Struct("<IhBB")
_BUTTON, _AXIS, _AT_FIRST = 0x01, 0x02, 0x80
_FULL = 32767


@dataclasses.dataclass(frozen=True)
class PadLayout:
    """Which number is what."""

    left_x: int = 0
    left_y: int = 1
    right_x: int = 3
    right_y: int = 4
    close: int = 0
    open: int = 1
    dead_man: int = 4


class PadState:
    """What the events so far amount to."""

    def __init__(self) -> None:
        self.axes: dict[int, float] = {}
        """-1 .. 1, by number."""
        self.buttons: set[int] = set()
        """Those held down."""
        self._rest = b""

    def feed(self, events: bytes) -> None:
        """Take events in, whole or not; a kind that is not known is passed over."""
        raw = self._rest + events
        whole = len(raw) - len(raw) % _EVENT.size
        self._rest = raw[whole:]
        for _, value, kind, number in _EVENT.iter_unpack(raw[:whole]):
            match kind & ~_AT_FIRST:
                case 0x01 if value:
                    self.buttons.add(number)
                case 0x01:
                    self.buttons.discard(number)
                case 0x02:
                    self.axes[number] = min(max(value / _FULL, -1.0), 1.0)
                case _:
                    pass

    def push(self, layout: PadLayout) -> Push:
        """How the hand is pushed."""
        x, y, yaw, z = (
            -without_rest(self.axes.get(number, 0.0))
            for number in (layout.left_y, layout.left_x, layout.right_x, layout.right_y)
        )
        gripper = 0.0 if layout.close in self.buttons else 1.0 if layout.open in self.buttons else None
        return Push(x, y, z, yaw, gripper)


class GamepadTeleoperator:
    """One gamepad."""

    name = "gamepad"

    def __init__(self, drive: HandDrive, device: Path = DEVICE, layout: PadLayout | None = None) -> None:
        self._drive, self._layout = drive, layout or PadLayout()
        self._device = DeviceFile(device)
        self._state = PadState()

    @property
    def is_held(self) -> bool:
        self._state.feed(self._device.read())
        return not self._device.is_gone and self._layout.dead_man in self._state.buttons

    @property
    def is_over(self) -> bool:
        return self._device.is_gone

    def connect(self) -> None:
        self._device.open()

    def read(self, observation: Observation) -> Float32[np.ndarray, " action_dim"] | None:
        return self._drive.action(self._state.push(self._layout), observation) if self.is_held else None

    def close(self) -> None:
        self._device.close()
