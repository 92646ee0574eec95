"""Whether an arm goes where it is commanded: what is jammed, weak or carried away by something does not.

An arm that moves lags behind its command by a few hundredths of a radian, for as long as it moves. One that is far from
it, and stays so, has hit something, or lost a motor.
"""

from __future__ import annotations

import numpy as np

from vla.interfaces import ArmMode, ArmState
from vla_robot_io.reasons import Code, Reason

_WATCHED = (ArmMode.RUNNING, ArmMode.HOLD)


class TrackingWatch:
    """How long one arm's joints have been far from their commands."""

    def __init__(self, joints: tuple[str, ...], limit_rad: float, limit_s: float) -> None:
        """Begin with an arm that follows.

        Args:
            joints: their names.
            limit_rad: farther than this from its command a joint does not follow.
            limit_s: for longer than this it is a fault.
        """
        self._joints, self._limit_rad, self._limit_s = joints, limit_rad, limit_s
        self._since_s: float | None = None

    def look(self, state: ArmState, now_s: float) -> Reason | None:
        """Why the arm is to be stopped, if it is."""
        gaps = np.abs(state.positions - state.commanded)
        worst = int(gaps.argmax())
        # Written so that NaN, which another watch answers, starts no clock.
        if state.mode not in _WATCHED or not gaps[worst] > self._limit_rad:
            self._since_s = None
            return None
        self._since_s = now_s if self._since_s is None else self._since_s
        if now_s - self._since_s <= self._limit_s:
            return None
        name, gap = self._joints[worst], float(gaps[worst])
        for_s = now_s - self._since_s
        text = (
            f"{name} has been more than {self._limit_rad:g} rad from its command for {for_s:.3f} s, now {gap:.3f} rad: "
            f"something holds or moves it"
        )
        return Reason(Code.TRACKING, name, gap, self._limit_rad, text)
