"""What of franky is used here, made of arithmetic: for tests where franky is not installed, and for faults at a moment.

It keeps the controller's rules: a target beyond the limits, a reflex or a loss of the network aborts the motion, and
nothing moves before error recovery; what aborted a motion is thrown by whoever joins it or asks for the next one; after
the network was lost its objects are dead, as franky's are.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from vla.interfaces import Clock
from vla_robot_io.franka.limits import FR3, FrankaModel

MAX_SPEED_RAD_S = (2.175, 2.175, 2.175, 2.175, 2.61, 2.61, 2.61)
MAX_ACCELERATION_RAD_S2 = (15.0, 7.5, 10.0, 12.5, 15.0, 20.0, 20.0)
"""What franky 2.0 plans with, unless told otherwise: `Robot.joint_velocity_limit`, `joint_acceleration_limit`."""
START_RAD = (0.0, 0.151, 0.0, -2.398, 0.0, 2.549, 0.785)


class _RobotMode(enum.Enum):
    Idle = 1
    Move = 2
    Reflex = 4
    UserStopped = 5


class _ControlException(Exception):
    """A motion was aborted."""


class _NetworkException(Exception):
    """The network failed."""


@dataclasses.dataclass(frozen=True)
class _JointMotion:
    target: Sequence[float]
    relative_dynamics_factor: float = 1.0
    return_when_finished: bool = True


class FakeFranky:
    """The module."""

    RobotMode = _RobotMode
    ControlException = _ControlException
    JointMotion = _JointMotion
    RealtimeConfig = SimpleNamespace(Enforce=0, Ignore=1)

    def __init__(self, clock: Clock, model: FrankaModel = FR3) -> None:
        """One controller, and the arm on it."""
        self.clock, self.model = clock, model
        self.q, self.goal = np.array(START_RAD), np.array(START_RAD)
        self.moved_s = clock.now()
        self.factor = 1.0
        """Of the dynamics, as the last motion said."""
        self.mode = _RobotMode.Idle
        self.errors: tuple[str, ...] = ()
        self.unjoined: str | None = None
        """What aborted the last motion, and nobody was told yet."""
        self.is_silent = False
        self.success_rate = 1.0
        self.num_robots = 0
        """How often somebody connected."""

    def Robot(self, host: str, realtime_config: object = None) -> _Robot:
        self._require_network()
        self.num_robots += 1
        return _Robot(self)

    def abort(self, error: str) -> None:
        """The controller aborts the motion."""
        if self.mode is _RobotMode.Move:
            self.unjoined = error
        self.mode, self.errors, self.goal = _RobotMode.Reflex, (error,), self.q.copy()

    def advance(self) -> None:
        """Let the arm move for the time that has passed."""
        now_s = self.clock.now()
        reach = np.array(self.model.max_speed) * (now_s - self.moved_s)
        self.q = self.q + np.clip(self.goal - self.q, -reach, reach)
        self.moved_s = now_s

    def _require_network(self) -> None:
        if self.is_silent:
            raise _NetworkException("libfranka: UDP receive: Timeout")


class _Robot:
    def __init__(self, controller: FakeFranky) -> None:
        self._controller = controller
        self._is_dead = False
        self.joint_velocity_limit = SimpleNamespace(get=lambda: MAX_SPEED_RAD_S)
        self.joint_acceleration_limit = SimpleNamespace(get=lambda: MAX_ACCELERATION_RAD_S2)

    @property
    def model_urdf(self) -> str:
        limits = zip(self._controller.model.low, self._controller.model.high, strict=True)
        return '<robot name="fr3">' + "".join(
            f'<limit effort="1" lower="{low}" upper="{high}"/>' for low, high in limits
        )

    @property
    def state(self) -> Any:
        self._listen()
        controller = self._controller
        controller.advance()
        now_ms = round(1000 * controller.clock.now())
        return SimpleNamespace(
            q=controller.q.copy(),
            dq=np.zeros(7),
            q_d=controller.goal.copy(),
            time=SimpleNamespace(to_sec=lambda: now_ms / 1000),
            robot_mode=controller.mode,
            current_errors=list(controller.errors),
            last_motion_errors=list(controller.errors),
            control_command_success_rate=controller.success_rate,
        )

    def move(self, motion: _JointMotion, asynchronous: bool = False) -> None:
        self._listen()
        controller = self._controller
        controller.advance()
        self.join_motion()
        if controller.errors:
            raise _ControlException(f"motion aborted by reflex! {list(controller.errors)}")
        target = np.array(motion.target)
        if (target < controller.model.low).any() or (target > controller.model.high).any():
            controller.abort("joint_position_limits_violation")
            raise _ControlException("motion aborted by reflex! ['joint_position_limits_violation']")
        controller.mode, controller.goal = _RobotMode.Move, target
        controller.factor = motion.relative_dynamics_factor

    def join_motion(self, timeout: float | None = None) -> bool:
        """Throw what aborted the last motion, once."""
        error, self._controller.unjoined = self._controller.unjoined, None
        if error is not None:
            raise _ControlException(f"motion aborted by reflex! [{error!r}]")
        return True

    def recover_from_errors(self) -> bool:
        self._listen()
        self._controller.mode, self._controller.errors = _RobotMode.Idle, ()
        return True

    def stop(self) -> None:
        """The motion ends where the arm is."""

    def _listen(self) -> None:
        if self._controller.is_silent or self._is_dead:
            self._is_dead = True
            raise _NetworkException("libfranka: UDP receive: Timeout")
