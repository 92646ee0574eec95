"""Whether what is read is new: judged by the device's own clock and counters, never by a call that returned.

A driver whose link has died goes on handing out its last reading, as if it were new. So a reading counts as new
when the device's clock has advanced, and a picture when the camera's sequence has.
"""

from __future__ import annotations

import math

import numpy as np

from vla.interfaces import ArmState, CameraFrame
from vla_robot_io.reasons import Code, Reason


class ArmWatch:
    """How long ago the arm was last heard of."""

    def __init__(self) -> None:
        self._device_s = -math.inf
        self._heard_s = math.nan

    def look(self, state: ArmState, now_s: float) -> float:
        """Seconds since the last new and finite reading; 0 if this is one.

        A device clock that runs backwards, as after a reboot, is not new.
        """
        is_new = state.device_time_s > self._device_s and is_finite(state)
        if is_new or math.isnan(self._heard_s):
            self._device_s, self._heard_s = state.device_time_s, now_s
        return now_s - self._heard_s


def is_finite(state: ArmState) -> bool:
    """Whether every number of a reading is."""
    scalars = (state.gripper_m, state.commanded_gripper_m, state.device_time_s)
    arrays = (state.positions, state.velocities, state.commanded)
    return all(map(math.isfinite, scalars)) and all(bool(np.isfinite(array).all()) for array in arrays)


def stale_arm(age_s: float, limit_s: float) -> Reason:
    """The reason to stop trusting an arm that was last heard of `age_s` ago."""
    text = f"the arm's clock has not advanced, or its readings are not finite, for {age_s:.3f} s, over {limit_s:.3f} s"
    return Reason(Code.STALE_ARM, "arm", age_s, limit_s, text)


SETTLED_FRAMES = 5
"""A camera that has stopped, or whose clock has jumped, is trusted again after so many new pictures."""
_AHEAD_S = 0.005
"""Clocks may differ by this much before a picture counts as taken in the future."""


class CameraWatch:
    """Whether one camera still sees."""

    def __init__(self, name: str, max_age_s: float, max_repeats: int) -> None:
        """Begin with a camera that has shown nothing.

        Args:
            name: of the camera.
            max_age_s: an older picture is not to be acted upon.
            max_repeats: nor is one that has been handed out again this many times.
        """
        self._name = name
        self._max_age_s = max_age_s
        self._max_repeats = max_repeats
        self._sequence: int | None = None
        self._time_s = -math.inf
        self._repeats = 0
        self._is_settled = True
        self._first_back: int | None = None

    def look(self, frame: CameraFrame, now_s: float) -> tuple[bool, Reason | None]:
        """Whether the frame is new, and why it is not to be acted upon, if it is not."""
        is_new = self._sequence is None or frame.sequence > self._sequence
        self._repeats = 0 if is_new else self._repeats + 1
        jumped = self._jumped(frame, now_s)
        self._sequence, self._time_s = frame.sequence, frame.time_s
        reason = jumped or self._old(now_s - frame.time_s) or self._frozen()
        if reason is not None:
            self.lost()
        return is_new, reason or self._settling(frame.sequence)

    def lost(self) -> None:
        """Note that it is not to be trusted: it has to settle when it is back."""
        self._is_settled, self._first_back = False, None

    def _jumped(self, frame: CameraFrame, now_s: float) -> Reason | None:
        """A picture from the future, or a new one from before the last: its clock was set anew."""
        ahead_s = frame.time_s - now_s
        back_s = self._time_s - frame.time_s
        if ahead_s <= _AHEAD_S and (back_s < 0 or (back_s == 0 and frame.sequence == self._sequence)):
            return None
        way = f"{ahead_s:.3f} s ahead" if ahead_s > _AHEAD_S else f"not after the one before, by {back_s:.3f} s"
        text = f"camera '{self._name}' shows a picture from {way}: its clock has jumped"
        return Reason(Code.CAMERA_CLOCK, self._name, max(ahead_s, back_s), _AHEAD_S, text)

    def _settling(self, sequence: int) -> Reason | None:
        if self._is_settled:
            return None
        self._first_back = sequence if self._first_back is None else self._first_back
        shown = 1 + sequence - self._first_back
        self._is_settled = shown >= SETTLED_FRAMES
        if self._is_settled:
            return None
        text = f"camera '{self._name}' is back, and has shown {shown} of {SETTLED_FRAMES} new pictures"
        return Reason(Code.STALE_CAMERA, self._name, float(shown), float(SETTLED_FRAMES), text)

    def _old(self, age_s: float) -> Reason | None:
        if age_s <= self._max_age_s:
            return None
        text = f"camera '{self._name}' shows a picture {age_s:.3f} s old, over {self._max_age_s:.3f} s"
        return Reason(Code.STALE_CAMERA, self._name, age_s, self._max_age_s, text)

    def _frozen(self) -> Reason | None:
        if self._repeats < self._max_repeats:
            return None
        text = f"camera '{self._name}' handed out one picture {self._repeats + 1} times, limit {self._max_repeats}"
        return Reason(Code.STALE_CAMERA, self._name, float(self._repeats), float(self._max_repeats), text)
