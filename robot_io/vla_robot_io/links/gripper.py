"""Grippers that are devices of their own, beside the arm that carries them."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class Gripper(Protocol):
    """One gripper. No call waits for fingers."""

    def open(self) -> None:
        """Reach it, and have it ready."""
        ...

    def move(self, opening_m: float) -> None:
        """Begin to go to an opening."""
        ...

    def opening(self) -> float:
        """m, as it said last."""
        ...

    def close(self) -> None:
        """Let go of the wire; fingers stay."""
        ...


class NoGripper:
    """Nothing at the flange: whatever opening is asked for is the opening."""

    def __init__(self, opening_m: float) -> None:
        self._opening_m = opening_m

    def open(self) -> None:
        """Nothing is there."""

    def move(self, opening_m: float) -> None:
        self._opening_m = opening_m

    def opening(self) -> float:
        return self._opening_m

    def close(self) -> None:
        """Nothing is there."""
