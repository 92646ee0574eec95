"""A controller of Universal Robots as a link, through ur-rtde. Tested with ur-rtde 1.6.5.

    dashboard   who it is; unlocking after a protective stop
    receive     joints, modes and the controller's own clock; its `isConnected` is never asked
    control     servoJ, and the watchdog that stops the arm when this host falls silent

When a controller falls silent, ur-rtde 1.6.5's calls of `control` do not return, for seconds or ever: they are made in
a thread of their own, with a deadline. Its program on the controller is started when the arm is armed. Whatever ends
that program (a stop, another program, a pendant) ends control: nothing here takes it back without an operator.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import math
import re
import threading
import time
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Float64

from vla.errors import ArmError, VlaError
from vla.libraries import require_library
from vla_robot_io.links.gripper import Gripper
from vla_robot_io.links.link import Identity, Measurement, Sent, Trouble
from vla_robot_io.links.worker import Worker
from vla_robot_io.universal_robots.safety_bits import PROGRAM_RUNNING, trouble_in

WATCHDOG_HZ = 10.0
"""The controller stops the arm when it hears nothing for one period of this."""
LOOKAHEAD_S, GAIN = 0.1, 300.0
"""Of servoJ, as Universal Robots presets them."""
STOP_RAD_S2 = 4.0
"""The deceleration when it is told to stand."""
_STOP_S = 1.0
_ALIVE_S = 0.03
_KICK_S = 0.02
_REASON_S = 0.05
_VARIABLES = (
    "timestamp",
    "actual_q",
    "actual_qd",
    "target_q",
    "robot_mode",
    "safety_status_bits",
    "robot_status_bits",
    "speed_scaling",
    "target_speed_fraction",
    "payload",
)
_LOST = Trouble("lease_lost", "another program, or a person at the pendant, took control: agree who has it", True)


def require_ur_rtde() -> None:
    """Return if ur-rtde is installed.

    Raises:
        ConfigError: with the line that installs it.
    """
    _library("rtde_receive")


@dataclasses.dataclass(frozen=True)
class UrLinkConfig:
    """Where a controller is, and how it should be set."""

    host: str
    rate_hz: float = 100.0
    """Commands, and readings, a second."""
    patience_s: float = 2.0
    """So long may a loop think between two readings or commands, the arm standing at its last set-point; then, as when
    this process ends, the controller's watchdog stops the arm."""
    payload_kg: float | None = None
    """What the controller should think the arm carries; not compared if not given."""
    call_s: float = 0.1
    """A set-point that ur-rtde has not taken within this is an error."""
    begins_s: float = 2.0
    """So long may the controller take to start the program, and to leave a stop."""


class UrLink:
    """One controller."""

    def __init__(self, config: UrLinkConfig, gripper: Gripper) -> None:
        """Nothing is reached yet.

        Raises:
            ConfigError: if ur-rtde is not installed.
        """
        require_ur_rtde()
        self._config, self._gripper = config, gripper
        self._dashboard: Any = None
        self._receive: Any = None
        self._control: Any = None
        self._worker = Worker("ur-rtde")
        self._ticked_s = -math.inf
        self._ended_s = math.inf

    def open(self) -> Identity:
        with _at_its_border("would not answer"):
            self._dashboard = _kept(_library("dashboard_client").DashboardClient(self._config.host))
            self._dashboard.connect()
            model, version = self._dashboard.getRobotModel(), self._dashboard.polyscopeVersion()
            receive = _library("rtde_receive").RTDEReceiveInterface
            self._receive = _kept(receive(self._config.host, self._config.rate_hz, list(_VARIABLES)))
        self._gripper.open()
        return Identity(model.strip(), _numbers_of(version), self._serial())

    def _serial(self) -> str:
        """Its number; empty where the firmware is too old to tell."""
        try:
            return self._dashboard.getSerialNumber().strip()
        except RuntimeError:
            return ""

    def check(self) -> None:
        with _at_its_border("would not say how it is set"):
            is_remote, payload_kg = self._dashboard.isInRemoteControl(), self._receive.getPayload()
        wrong = [] if is_remote else ["it is not in remote control: set it at the pendant"]
        expected = self._config.payload_kg
        if expected is not None and abs(payload_kg - expected) > 0.05:
            wrong.append(f"its payload is {payload_kg:.2f} kg, expected {expected:.2f} kg")
        if wrong:
            raise ArmError(f"the controller at {self._config.host}: {'; '.join(wrong)}")

    def enable(self) -> None:
        """Start the program that takes set-points, and have the controller watch that they come."""
        self._let_go()
        control = _library("rtde_control").RTDEControlInterface
        with _at_its_border("would not start its control program"):
            self._worker = Worker("ur-rtde")
            self._control = _kept(control(self._config.host, self._config.rate_hz, control.FLAG_UPLOAD_SCRIPT))
            self._ticked_s = time.monotonic()
            self._worker.ask(lambda: self._control.setWatchdog(WATCHDOG_HZ), self._config.begins_s)
            # From here on the controller wants to hear of us, whether its program is seen to run yet or not.
            threading.Thread(target=self._keep_alive, args=(self._control, self._worker), daemon=True).start()
            deadline_s = time.monotonic() + self._config.begins_s
            while not self._receive.getRobotStatus() & PROGRAM_RUNNING:
                if time.monotonic() > deadline_s:
                    self._let_go()
                    raise OSError("its control program does not run")
                time.sleep(0.002)
        self._ticked_s = time.monotonic()

    def measure(self) -> Measurement:
        with _at_its_border("cannot be read"):
            receive = self._receive
            device_time_s = receive.getTimestamp()
            positions, velocities = np.array(receive.getActualQ()), np.array(receive.getActualQd())
            # In this order: whatever ended the program is told with its end, or before it.
            is_lost = self._is_lost(bool(receive.getRobotStatus() & PROGRAM_RUNNING), device_time_s)
            trouble = trouble_in(receive.getSafetyStatusBits(), receive.getRobotMode())
            measured = Measurement(
                positions=positions,
                velocities=velocities,
                gripper_m=self._gripper.opening(),
                device_time_s=device_time_s,
                target=np.array(receive.getTargetQ()),
                trouble=trouble or (_LOST if is_lost else None),
                speed_scaling=receive.getSpeedScaling() * receive.getTargetSpeedFraction(),
            )
        self._ticked_s = time.monotonic()
        return measured

    def send(self, positions: Float64[np.ndarray, " joints"], gripper_m: float) -> Sent:
        if self._control is None:
            raise ArmError(f"the controller at {self._config.host} has no control program: arm it first")
        self._ticked_s = time.monotonic()
        with _at_its_border("would not take a set-point"):
            period_s = 1.0 / self._config.rate_hz
            joints = positions.tolist()
            servo = self._control.servoJ
            if not self._worker.ask(lambda: servo(joints, 0.0, 0.0, period_s, LOOKAHEAD_S, GAIN), self._config.call_s):
                raise OSError("servoJ was refused")
        self._gripper.move(gripper_m)
        return Sent(positions, gripper_m)

    def halt(self) -> None:
        """The last set-point stays, one step away at most; `servoStop` would wait for an answer, which may not come."""

    def recover(self, trouble: Trouble | None) -> None:
        """Unlock a protective stop; control is taken anew when the arm is armed."""
        self._let_go()
        if trouble is not None and trouble.kind == "protective_stop":
            with _at_its_border("would not unlock its protective stop"):
                self._dashboard.closeSafetyPopup()
                self._dashboard.unlockProtectiveStop()
                deadline_s = time.monotonic() + self._config.begins_s
                while trouble_in(self._receive.getSafetyStatusBits(), self._receive.getRobotMode()) is not None:
                    if time.monotonic() > deadline_s:
                        raise OSError("it stays in its protective stop")
                    time.sleep(0.01)

    def close(self) -> None:
        """The program on the controller ends, and the arm stands; brakes and power stay as they are."""
        self._let_go()
        self._gripper.close()
        for client in (self._receive, self._dashboard):
            if client is not None:
                Worker("ur-rtde").post(client.disconnect)
        self._receive = self._dashboard = None

    def _is_lost(self, is_running: bool, device_time_s: float) -> bool:
        """Whether our program has ended, and the controller has had time to say why."""
        if is_running or self._control is None:
            self._ended_s = math.inf
            return False
        self._ended_s = min(self._ended_s, device_time_s)
        return device_time_s - self._ended_s >= _REASON_S

    def _let_go(self) -> None:
        control, self._control = self._control, None
        if control is None:
            return
        with contextlib.suppress(RuntimeError, OSError):
            if self._is_alive() and self._receive.getRobotStatus() & PROGRAM_RUNNING:
                self._worker.ask(lambda: (control.servoStop(STOP_RAD_S2), control.stopScript()), _STOP_S)
        self._worker.post(control.disconnect)

    def _keep_alive(self, control: Any, worker: Worker) -> None:
        """Tell the controller's watchdog that we are there, as long as the loop and the controller are."""
        heard_s = -math.inf
        while self._control is control:
            time.sleep(_KICK_S)
            before_s, heard_s = heard_s, self._receive.getTimestamp() if self._receive is not None else heard_s
            is_thinking = time.monotonic() - self._ticked_s < self._config.patience_s
            if is_thinking and heard_s > before_s and not worker.is_busy and self._control is control:
                worker.post(control.kickWatchdog)

    def _is_alive(self) -> bool:
        before_s = self._receive.getTimestamp()
        time.sleep(_ALIVE_S)
        return self._receive.getTimestamp() > before_s


def _kept(client: Any) -> Any:
    """The client, in memory for as long as this process lives.

    So that none is freed while a thread of its own still waits for a controller that fell silent, for which C++ would
    end this process. They are few, and disconnected.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(client))
    return client


@contextlib.contextmanager
def _at_its_border(happened: str) -> Iterator[None]:
    """What ur-rtde raises is a wire that failed."""
    try:
        yield
    except (VlaError, OSError):
        raise
    except (RuntimeError, ValueError, AttributeError) as error:
        raise OSError(f"the controller {happened}: {error}") from error


def _library(name: str) -> ModuleType:
    return require_library(name, what="driver=ur", extra="ur")


def _numbers_of(version: str) -> tuple[int, ...]:
    """5.12.0 of `URSoftware 5.12.0.1101319 (Jan 01 2023)`."""
    found = re.search(r"(\d+)\.(\d+)\.(\d+)", version)
    return tuple(int(number) for number in found.groups()) if found else ()
