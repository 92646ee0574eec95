"""What of xArm-Python-SDK is used here, made of arithmetic: for tests, and for faults at a moment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from vla.interfaces import Clock


class FakeXarm:
    """The module, and the one arm behind it."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.joints, self.goal = np.zeros(7), np.zeros(7)
        self.moved_s = clock.now()
        self.error, self.state, self.mode = 0, 2, 0
        self.axis, self.version_number = 7, (1, 12, 10)
        self.gripper = 850
        self.is_silent = False
        self.refuses = 0
        """A code that is not 0 is the answer to every set-point."""
        self.enabled: list[str] = []
        """What was called to take control, in order."""
        self.report: Callable[[dict[str, Any]], None] | None = None

    def XArmAPI(self, host: str, **_: object) -> FakeXarm:
        """Connect to it."""
        return self

    @property
    def connected(self) -> bool:
        """Whatever happens: the real one says so for long, too."""
        return True

    def register_report_callback(self, callback: Callable[[dict[str, Any]], None], **_: object) -> None:
        self.report = callback

    def connect(self) -> None:
        self.tell()

    def disconnect(self) -> None:
        self.report = None

    def tell(self) -> None:
        """Send a report of where the arm is now, in rad."""
        now_s = self.clock.now()
        if self.state in (1, 2):
            reach = np.pi * (now_s - self.moved_s)
            self.joints = self.joints + np.clip(self.goal - self.joints, -reach, reach)
        self.moved_s = now_s
        if self.report is not None and not self.is_silent:
            self.report({"joints": self.joints.tolist(), "state": self.state})

    def fail(self, error: int) -> None:
        """The controller finds an error, and stops."""
        self.error, self.state, self.goal = error, 4, self.joints.copy()

    def get_err_warn_code(self) -> tuple[int, list[int]]:
        return 0, [self.error, 0]

    def motion_enable(self, enable: bool) -> int:
        self.enabled.append("motion")
        return 0

    def set_mode(self, mode: int) -> int:
        self.mode = mode
        self.enabled.append(f"mode {mode}")
        return 0

    def set_state(self, state: int) -> int:
        self.enabled.append(f"state {state}")
        self.state = 2 if self.error == 0 else 4
        return 0

    def clean_error(self) -> int:
        self.error = 0
        return 0

    def set_servo_angle_j(self, angles: list[float], is_radian: bool | None = None) -> int:
        if self.mode != 1 or not is_radian:
            return 9
        self.goal = np.array(angles)
        return self.refuses

    def get_gripper_position(self) -> tuple[int, int]:
        return 0, self.gripper

    def set_gripper_position(self, position: int, wait: bool = True) -> int:
        self.gripper = position
        return 0
