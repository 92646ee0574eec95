"""Any robot of LeRobot's as a link. LeRobot promises less than an arm here has to; what it does not, is judged here.

freshness   LeRobot tells no times: a reading is as old as the question, a slow one is none, and numbers that do not
            change by a hair while the arm is told to go elsewhere are old
torque      LeRobot's `connect` configures the motors and leaves them stiff; `disconnect` is called only where it is
            known to leave torque as it is
numbers     every one is checked on its way in and on its way out
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64

from vla.errors import ArmError, VlaError
from vla.interfaces import Clock
from vla_robot_io.from_lerobot.joint_mapping import JointMapping
from vla_robot_io.links.link import Identity, Measurement, Sent, Trouble

READ_DEADLINE_S = 0.05
"""A reading that took longer is none."""
STILL_S = 0.2
"""Readings that are the same to the last bit for this long are old ..."""
STILL_RAD = 0.02
"""... if the arm is told to be farther than this from there."""


@runtime_checkable
class LerobotRobot(Protocol):
    """What LeRobot's `Robot` is, as far as it is used here."""

    name: str

    @property
    def observation_features(self) -> Mapping[str, Any]: ...

    @property
    def action_features(self) -> Mapping[str, Any]: ...

    @property
    def is_connected(self) -> bool: ...

    @property
    def is_calibrated(self) -> bool: ...

    def connect(self, calibrate: bool = True) -> None: ...

    def get_observation(self) -> Mapping[str, Any]: ...

    def send_action(self, action: dict[str, float]) -> Mapping[str, Any]: ...

    def disconnect(self) -> None: ...


class LerobotLink:
    """One robot of LeRobot's."""

    def __init__(
        self, robot: LerobotRobot, mapping: JointMapping, clock: Clock, *, disconnects: bool, what: str = ""
    ) -> None:
        """Check that the mapping is about this robot; nothing is connected.

        Args:
            disconnects: whether its `disconnect` leaves torque as it is, and so may be called.
            what: the robot, for errors.

        Raises:
            ArmError: naming features that are mapped and do not exist, or exist and are not mapped.
        """
        self._robot, self._mapping, self._clock, self._disconnects = robot, mapping, clock, disconnects
        self._what = what or f"LeRobot's '{robot.name}'"
        self._goal: Float64[np.ndarray, " joints"] | None = None
        self._last: Measurement | None = None
        self._still_since_s = math.inf
        _require_features(self._what, robot, mapping)

    def open(self) -> Identity:
        """Connect; LeRobot configures the motors with it, and they are stiff from then on: support the arm."""
        with self._at_its_border("would not connect"):
            self._robot.connect(calibrate=False)
        self._goal, self._last, self._still_since_s = None, None, math.inf
        return Identity(self._robot.name, ())

    def check(self) -> None:
        with self._at_its_border("would not say whether it is calibrated"):
            if self._robot.is_calibrated:
                return
        raise ArmError(f"{self._what} is not calibrated: run lerobot-calibrate first")

    def enable(self) -> None:
        """It has been stiff since it was connected."""

    def measure(self) -> Measurement:
        asked_s = self._clock.now()
        with self._at_its_border("cannot be read"):
            observation = self._robot.get_observation()
        took_s = self._clock.now() - asked_s
        if took_s > READ_DEADLINE_S:
            raise OSError(f"{self._what} took {took_s:.3f} s to be read, over {READ_DEADLINE_S} s")
        positions, opening_m = self._mapping.measured(observation)
        if self._last is not None and self._is_old(positions, asked_s):
            return self._last
        self._last = Measurement(positions, self._velocities(positions, asked_s), opening_m, asked_s)
        return self._last

    def send(self, positions: Float64[np.ndarray, " joints"], gripper_m: float) -> Sent:
        action = self._mapping.action(positions, gripper_m)
        with self._at_its_border("would not take an action"):
            answered = self._robot.send_action(dict(action))
        sent = {feature: answered.get(feature, number) for feature, number in action.items()}
        self._goal = positions
        if sent == action:
            return Sent(positions, gripper_m)
        changed = ", ".join(
            f"{feature} to {sent[feature]:.4g}" for feature in action if sent[feature] != action[feature]
        )
        there, opening_m = self._mapping.measured(sent)
        self._goal = there
        return Sent(there, opening_m, (f"{self._what} changed {changed}",))

    def halt(self) -> None:
        """Its motors go to the last action, one step away at most, and stay."""

    def recover(self, trouble: Trouble | None) -> None:
        """Connect again, if it no longer is."""
        if not self._robot.is_connected:
            self.open()

    def close(self) -> None:
        if self._disconnects and self._robot.is_connected:
            with self._at_its_border("would not disconnect"):
                self._robot.disconnect()

    def _is_old(self, positions: Float64[np.ndarray, " joints"], now_s: float) -> bool:
        assert self._last is not None
        is_still = np.array_equal(positions, self._last.positions)
        is_elsewhere = self._goal is not None and bool((np.abs(self._goal - positions) > STILL_RAD).any())
        if not (is_still and is_elsewhere):
            self._still_since_s = math.inf
            return False
        self._still_since_s = min(self._still_since_s, now_s)
        return now_s - self._still_since_s > STILL_S

    def _velocities(self, positions: Float64[np.ndarray, " joints"], now_s: float) -> Float64[np.ndarray, " joints"]:
        """From one reading to the next: LeRobot tells none."""
        if self._last is None or now_s <= self._last.device_time_s:
            return np.zeros_like(positions)
        return (positions - self._last.positions) / (now_s - self._last.device_time_s)

    @contextlib.contextmanager
    def _at_its_border(self, happened: str) -> Any:
        """Whatever a robot of others raises is a wire that failed: none of it may end a control loop unnamed."""
        try:
            yield
        except (VlaError, KeyboardInterrupt):
            raise
        except Exception as error:
            raise OSError(f"{self._what} {happened}: {type(error).__name__}: {error}") from error


def _require_features(what: str, robot: LerobotRobot, mapping: JointMapping) -> None:
    actions = set(robot.action_features)
    absent = [f for f in mapping.features if f not in actions or f not in robot.observation_features]
    left_over = sorted(actions - set(mapping.features))
    if absent or left_over:
        raise ArmError(
            f"the mapping is not of {what}: mapped and not there {', '.join(absent) or 'nothing'}; there and not "
            f"mapped {', '.join(left_over) or 'nothing'}"
        )
