"""UFACTORY's own gripper, whose numbers are tenths of a millimetre, 0 closed and 850 open."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vla_robot_io.links.worker import Worker

OPENING_M = 0.085
_PER_M = 10_000
_OPEN_S = 5.0


class XarmGripper:
    """One gripper, on the arm's own wire; what it says is taken when it has come."""

    def __init__(self, sdk: Callable[[], Any]) -> None:
        """Nothing is reached yet.

        Args:
            sdk: gives the SDK's arm, once that is connected.
        """
        self._sdk, self._worker = sdk, Worker("the xArm gripper")
        self._asking: Any = None
        self._opening_m, self._asked = 0.0, -1

    def open(self) -> None:
        self._opening_m = self._heard(self._worker.ask(self._sdk().get_gripper_position, _OPEN_S))
        self._asked = round(self._opening_m * _PER_M)

    def move(self, opening_m: float) -> None:
        number = round(opening_m * _PER_M)
        if number != self._asked:
            self._asked, arm = number, self._sdk()
            self._worker.post(lambda: arm.set_gripper_position(number, wait=False))

    def opening(self) -> float:
        if self._asking is not None and self._asking.is_done.is_set():
            if self._asking.answer is not None:
                self._opening_m = self._heard(self._asking.answer)
            self._asking = None
        arm = self._sdk()
        if self._asking is None and arm is not None:
            self._asking = self._worker.post(arm.get_gripper_position)
        return self._opening_m

    def close(self) -> None:
        """The arm's wire is the arm's."""

    def _heard(self, answer: Any) -> float:
        """m; the last one again where the SDK says that this is none."""
        code, number = answer
        return self._opening_m if code != 0 or number is None else min(max(number / _PER_M, 0.0), OPENING_M)
