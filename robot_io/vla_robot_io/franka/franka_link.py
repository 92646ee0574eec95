"""A Franka arm as a link, through franky 2: its C++ owns the kilohertz, Python owns the set-points.

    read     franky's state; where no motion runs it waits up to 1 s for a packet, so it is asked in a thread of its own
    send     a new motion to the joint positions that pre-empts the one before; Ruckig in franky makes it smooth
             each is planned to a stop, so that the arm comes to rest there if none follows: set-points that run on at v
             are followed v^2 / 2a behind them, and faster ones than that leaves little of are slowed, and told
    trouble  the controller's errors and modes; whatever aborted a motion stays until an operator acknowledged it

After the network failed, franky's object is dead: an acknowledgement makes a new one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import time
from typing import Any

import numpy as np
from jaxtyping import Float64

from vla.errors import ArmError
from vla.libraries import require_library
from vla_robot_io.franka.limits import model_in
from vla_robot_io.links.gripper import Gripper
from vla_robot_io.links.link import Identity, Measurement, Sent, Trouble
from vla_robot_io.links.worker import Worker

_OPEN_S = 5.0
_READ_S = 0.02
_SEND_S = 0.1
_STOP_S = 0.5
_ROUNDING = 1e-9
LAG_RAD = 0.12
"""Set-points are followed no farther behind than this: less than a tracking fault takes."""


def require_franky() -> Any:
    """The library.

    Raises:
        ConfigError: with the line that installs it.
    """
    return require_library("franky", what="driver=franka", extra="franka")


@dataclasses.dataclass(frozen=True)
class FrankaLinkConfig:
    """Where a controller is, and how fast franky may go."""

    host: str
    dynamics_factor: float = 0.2
    """The part of the arm's speed, acceleration and jerk limits that franky's own planning uses, above 0, at most 1."""
    real_time: bool = True
    """Refuse to drive the arm from a thread that the kernel does not run in real time."""
    rate_hz: float = 50.0
    """Set-points a second."""


class FrankaLink:
    """One controller."""

    def __init__(self, config: FrankaLinkConfig, gripper: Gripper, library: Any = None) -> None:
        """Nothing is reached yet.

        Args:
            library: for tests; franky if not given.

        Raises:
            ConfigError: if franky is not installed.
        """
        self._config, self._gripper = config, gripper
        self._library = library or require_franky()
        self._robot: Any = None
        self._worker = Worker("franky")
        self._aborted: str | None = None
        self._success_rate = 1.0
        self._max_step = np.zeros(0)
        self._held: Float64[np.ndarray, " joints"] | None = None
        self._sent: Float64[np.ndarray, " joints"] | None = None

    @property
    def success_rate(self) -> float:
        """The part of commands that came in time, as the controller counts it; 1 if it stands."""
        return self._success_rate

    def open(self) -> Identity:
        self._connect()
        urdf = self._ask(lambda: self._robot.model_urdf, _OPEN_S, "would not say what it is")
        self._gripper.open()
        return Identity(model_in(urdf), ())

    def check(self) -> None:
        """Versions of libraries are compared by franky when it connects."""

    def enable(self) -> None:
        """Brakes are released at the desk; a motion begins with the first set-point."""
        # The first set-point is a step away from where the controller holds the arm.
        self._aborted, self._sent = None, self._held

    def measure(self) -> Measurement:
        state = self._ask(lambda: self._robot.state, _READ_S, "cannot be read")
        if state.robot_mode == self._library.RobotMode.Move:
            self._success_rate = float(state.control_command_success_rate)
        self._held = np.array(state.q_d, np.float64).reshape(-1)
        return Measurement(
            positions=np.array(state.q, np.float64).reshape(-1),
            velocities=np.array(state.dq, np.float64).reshape(-1),
            gripper_m=self._gripper.opening(),
            device_time_s=float(state.time.to_sec()),
            target=self._held,
            trouble=self._trouble(state),
        )

    def send(self, positions: Float64[np.ndarray, " joints"], gripper_m: float) -> Sent:
        library, factor = self._library, self._config.dynamics_factor
        followed, reasons = self._followed(positions)
        target = followed.tolist()

        def move() -> None:
            motion = library.JointMotion(target, relative_dynamics_factor=factor, return_when_finished=False)
            self._robot.move(motion, asynchronous=True)

        self._ask(move, _SEND_S, "would not take a set-point")
        self._sent = followed
        self._gripper.move(gripper_m)
        return Sent(followed, gripper_m, reasons)

    def halt(self) -> None:
        """The last set-point stays, one step away at most, under the control of franky."""

    def recover(self, trouble: Trouble | None) -> None:
        if self._is_dead():
            self._connect()
        self._ask(self._join, _STOP_S, "would not end its motion")
        self._ask(lambda: self._robot.recover_from_errors(), _OPEN_S, "would not recover")
        end_s = time.monotonic() + _STOP_S
        while (
            self._ask(lambda: self._robot.state, _STOP_S, "cannot be read").robot_mode == self._library.RobotMode.Reflex
        ):
            if time.monotonic() > end_s:
                raise OSError("the controller has errors that it cannot recover from: see its desk")
            time.sleep(0.005)
        self._aborted = None

    def close(self) -> None:
        """The motion is stopped; brakes and power stay as the controller has them."""
        robot, self._robot = self._robot, None
        if robot is not None and not self._worker.is_busy:
            call = self._worker.post(robot.stop)
            call.is_done.wait(_STOP_S)
        self._gripper.close()

    def _connect(self) -> None:
        library, config = self._library, self._config
        kind = library.RealtimeConfig.Enforce if config.real_time else library.RealtimeConfig.Ignore
        self._worker, self._aborted = Worker("franky"), None
        self._robot = self._ask(lambda: library.Robot(config.host, realtime_config=kind), _OPEN_S, "would not answer")
        speed = np.array(self._robot.joint_velocity_limit.get(), np.float64)
        acceleration = np.array(self._robot.joint_acceleration_limit.get(), np.float64)
        period_s = 1.0 / config.rate_hz
        self._max_step = period_s * speed_followed(speed, acceleration, config.dynamics_factor, period_s)

    def _followed(
        self, asked: Float64[np.ndarray, " joints"]
    ) -> tuple[Float64[np.ndarray, " joints"], tuple[str, ...]]:
        """As far on the way as franky will follow; all joints are slowed alike."""
        if self._sent is None:
            return asked, ()
        step = np.abs(asked - self._sent)
        part = float(np.min(self._max_step / np.maximum(step, self._max_step)))
        if part > 1.0 - _ROUNDING:
            return asked, ()
        joint = int(np.argmax(step / self._max_step))
        told = (
            f"joint_{joint + 1} is slowed to the {self._max_step[joint] * self._config.rate_hz:.2f} rad/s that franky "
            f"follows with dynamics_factor={self._config.dynamics_factor:g}: lower speed=, or raise it"
        )
        return self._sent + part * (asked - self._sent), (told,)

    def _join(self) -> None:
        """End the motion: what aborted it is acknowledged, and would be thrown at the next one."""
        with contextlib.suppress(self._library.ControlException):
            self._robot.join_motion(0.0)

    def _is_dead(self) -> bool:
        try:
            self._ask(lambda: self._robot.state, _STOP_S, "cannot be read")
        except OSError:
            return True
        return False

    def _trouble(self, state: Any) -> Trouble | None:
        errors = _names_of(state.current_errors)
        if errors or state.robot_mode == self._library.RobotMode.Reflex:
            # What a motion was aborted for stays told when the controller has forgotten it.
            self._aborted = ", ".join(errors or _names_of(state.last_motion_errors)) or "no error is told"
        if state.robot_mode == self._library.RobotMode.UserStopped:
            return Trouble("user_stop", "the external activation device or a stop is pressed: release it at the robot")
        if self._aborted is not None:
            return Trouble("reflex", f"the controller aborted the motion ({self._aborted}): look what happened", True)
        return None

    def _ask(self, call: Any, deadline_s: float, happened: str) -> Any:
        try:
            return self._worker.ask(call, deadline_s)
        except (OSError, ArmError):
            raise
        except self._library.ControlException as error:
            self._aborted = " ".join(str(error).split())
            raise OSError(f"the controller at {self._config.host} aborted the motion: {self._aborted}") from error
        except Exception as error:
            raise OSError(f"the controller at {self._config.host} {happened}: {error}") from error


def speed_followed(
    speed: Float64[np.ndarray, " joints"], acceleration: Float64[np.ndarray, " joints"], factor: float, period_s: float
) -> Float64[np.ndarray, " joints"]:
    """The fastest that set-points may run on, rad/s: franky's own speed, or one that it follows within `LAG_RAD`.

    Who plans each set-point to a stop is v^2 / 2a + v T behind set-points that run on at v, one a period T.

    Args:
        speed: what franky plans with, rad/s.
        acceleration: what franky plans with, rad/s^2.
        factor: the part of both that it uses.
        period_s: T.
    """
    lost = factor * acceleration * period_s
    return np.minimum(factor * speed, np.sqrt(lost**2 + 2 * factor * acceleration * LAG_RAD) - lost)


def _names_of(errors: Any) -> list[str]:
    """The names in `[joint_reflex, ...]`, as franky prints its errors."""
    return re.findall(r"[a-z_]{4,}", str(errors))
