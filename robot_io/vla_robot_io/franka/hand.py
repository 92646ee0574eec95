"""Franka's hand, through franky: asked in a thread of its own, because every answer is waited for."""

from __future__ import annotations

from typing import Any

from vla_robot_io.franka.franka_link import require_franky
from vla_robot_io.links.worker import Worker

SPEED_M_S = 0.1
_NEAR_M = 1e-3
_OPEN_S = 5.0


class FrankaHand:
    """One hand."""

    def __init__(self, host: str) -> None:
        """Nothing is reached yet."""
        self._host, self._worker = host, Worker("franky's gripper")
        self._hand: Any = None
        self._asking: Any = None
        self._opening_m = self._asked_m = 0.0

    def open(self) -> None:
        self._hand = self._worker.ask(lambda: require_franky().Gripper(self._host), _OPEN_S)
        self._opening_m = self._asked_m = float(self._worker.ask(lambda: self._hand.width, _OPEN_S))

    def move(self, opening_m: float) -> None:
        if abs(opening_m - self._asked_m) > _NEAR_M:
            self._asked_m = opening_m
            self._worker.post(lambda: self._hand.move_async(opening_m, SPEED_M_S))

    def opening(self) -> float:
        if self._asking is not None and self._asking.is_done.is_set():
            self._opening_m = self._opening_m if self._asking.answer is None else float(self._asking.answer)
            self._asking = None
        if self._asking is None:
            self._asking = self._worker.post(lambda: self._hand.width)
        return self._opening_m

    def close(self) -> None:
        """The wire is closed with the object."""
        self._hand = None
