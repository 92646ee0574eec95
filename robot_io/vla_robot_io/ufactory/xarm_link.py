"""An xArm as a link, through xArm-Python-SDK. Tested with a made-up SDK; 1.18.4 is what it was written against.

reports     the controller sends joints and state about a hundred times a second; freshness is that they come, by the
            time at which they came: they carry no clock
errors      are asked for five times a second, and at once when the state says stop
set-points  servo mode, in rad; every call's code is looked at, and none but 0 is success
"""

from __future__ import annotations

import dataclasses
import threading
from typing import Any

import numpy as np
from jaxtyping import Float64

from vla.errors import ArmError
from vla.interfaces import Clock
from vla.libraries import require_library
from vla_robot_io.links.gripper import Gripper
from vla_robot_io.links.link import Identity, Measurement, Sent, Trouble
from vla_robot_io.links.worker import Worker
from vla_robot_io.ufactory.codes import SERVO_MODE, SLEEPING, STOPPING, trouble_in

_OPEN_S, _CALL_S, _POLL_S = 5.0, 0.1, 0.2
_READY = 0
"""The state to be set before an arm moves."""


def require_xarm() -> Any:
    """The library.

    Raises:
        ConfigError: with the line that installs it.
    """
    return require_library("xarm.wrapper", what="driver=xarm", extra="xarm")


@dataclasses.dataclass(frozen=True)
class _Report:
    joints: Float64[np.ndarray, " joints"]
    velocities: Float64[np.ndarray, " joints"]
    state: int
    time_s: float


class XarmLink:
    """One controller."""

    def __init__(self, host: str, num_joints: int, clock: Clock, gripper: Gripper, library: Any = None) -> None:
        """Nothing is reached yet.

        Args:
            clock: by which reports are new.
            library: for tests; the SDK if not given.

        Raises:
            ConfigError: if the SDK is not installed.
        """
        self._host, self._num_joints, self._clock, self._gripper = host, num_joints, clock, gripper
        self._library = library or require_xarm()
        self._worker = Worker("the xArm SDK")
        self._arm: Any = None
        self._report: _Report | None = None
        self._error, self._asked_s = 0, -1.0
        self._asking: Any = None
        self._came = threading.Event()

    @property
    def sdk(self) -> Any:
        """The SDK's arm, for the gripper on it."""
        return self._arm

    def open(self) -> Identity:
        library = self._library

        def connect() -> Any:
            arm = library.XArmAPI(self._host, is_radian=True, report_type="real", do_not_open=True)
            arm.register_report_callback(self._heed, report_joints=True, report_state=True)
            arm.connect()
            return arm

        self._came.clear()
        self._worker = Worker("the xArm SDK")
        self._arm = self._ask(connect, _OPEN_S, "would not answer")
        if not self._arm.connected or not self._came.wait(_OPEN_S):
            raise OSError(f"the controller at {self._host} sends no reports")
        self._error = self._code_of(self._ask(self._arm.get_err_warn_code, _OPEN_S, "would not tell its errors"))
        self._gripper.open()
        return Identity(f"xarm{self._arm.axis}", tuple(int(number) for number in self._arm.version_number))

    def check(self) -> None:
        """Nothing of the controller's settings is relied upon."""

    def enable(self) -> None:
        """Brakes off, servo mode, ready: nothing moves before the first set-point."""
        arm = self._arm
        for what, call in (
            ("enable its motors", lambda: arm.motion_enable(True)),
            ("enter servo mode", lambda: arm.set_mode(SERVO_MODE)),
            ("become ready", lambda: arm.set_state(_READY)),
        ):
            self._require_ok(self._ask(call, _OPEN_S, f"would not {what}"), what)

    def measure(self) -> Measurement:
        report = self._report
        if report is None:
            raise OSError(f"the controller at {self._host} has sent no report")
        self._poll_errors(report)
        return Measurement(
            positions=report.joints,
            velocities=report.velocities,
            gripper_m=self._gripper.opening(),
            device_time_s=report.time_s,
            trouble=trouble_in(self._error, report.state),
        )

    def send(self, positions: Float64[np.ndarray, " joints"], gripper_m: float) -> Sent:
        joints = positions.tolist()
        code = self._ask(lambda: self._arm.set_servo_angle_j(joints, is_radian=True), _CALL_S, "would not take it")
        self._require_ok(code, "take a set-point")
        self._gripper.move(gripper_m)
        return Sent(positions, gripper_m)

    def halt(self) -> None:
        """The last set-point stays, one step away at most."""

    def recover(self, trouble: Trouble | None) -> None:
        # An answer from before is not one about now.
        self._asking = None
        if trouble is not None and trouble.is_clearable:
            self._require_ok(
                self._ask(self._arm.clean_error, _OPEN_S, "would not clear its errors"), "clear its errors"
            )
            self._require_ok(
                self._ask(lambda: self._arm.set_state(_READY), _OPEN_S, "would not become ready"), "be ready"
            )
        self._error = self._code_of(self._ask(self._arm.get_err_warn_code, _OPEN_S, "would not tell its errors"))
        if self._error:
            raise OSError(f"the controller still has error C{self._error}")
        if self._report is not None and self._report.state == STOPPING:
            # The next report says otherwise, or the fault comes again.
            self._report = dataclasses.replace(self._report, state=SLEEPING)

    def close(self) -> None:
        """The wire alone; motors and brakes stay as the controller has them."""
        arm, self._arm, self._report = self._arm, None, None
        self._gripper.close()
        if arm is not None:
            self._worker.post(arm.disconnect)

    def _heed(self, item: dict[str, Any]) -> None:
        """A report, in a thread of the SDK's."""
        joints = np.array(item["joints"][: self._num_joints], np.float64)
        now_s, before = self._clock.now(), self._report
        elapsed_s = 0.0 if before is None else now_s - before.time_s
        still = np.zeros_like(joints)
        velocities = still if before is None or elapsed_s <= 0 else (joints - before.joints) / elapsed_s
        self._report = _Report(joints, velocities, int(item["state"]), now_s)
        self._came.set()

    def _poll_errors(self, report: _Report) -> None:
        if self._asking is not None and self._asking.is_done.is_set():
            if self._asking.answer is not None:
                self._error = self._code_of(self._asking.answer)
            self._asking = None
        is_due = report.time_s - self._asked_s >= _POLL_S or report.state == STOPPING
        if self._asking is None and is_due:
            self._asked_s = report.time_s
            self._asking = self._worker.post(self._arm.get_err_warn_code)

    def _code_of(self, answer: Any) -> int:
        code, (error, _) = answer
        self._require_ok(code, "tell its errors")
        return int(error)

    def _require_ok(self, code: Any, what: str) -> None:
        number = code[0] if isinstance(code, tuple | list) else code
        if number != 0:
            raise ArmError(f"the controller at {self._host} did not {what}: the SDK's code is {number}")

    def _ask(self, call: Any, deadline_s: float, happened: str) -> Any:
        try:
            return self._worker.ask(call, deadline_s)
        except (OSError, ArmError):
            raise
        except Exception as error:
            raise OSError(f"the controller at {self._host} {happened}: {error}") from error
