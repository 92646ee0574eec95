"""Everything by which a run can be attended: its stop button, its requests, its view, and who drives.

A run by real time can always be attended: `vla console run=DIR` may be opened and closed while it goes on. One by
virtual time is over before anybody could look, and is not.
"""

from __future__ import annotations

import contextlib
import dataclasses
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from vla.errors import ConfigError
from vla.interfaces import Clock, Robot
from vla_robot_io.operating.asking import MergedRequests, RequestFile
from vla_robot_io.operating.live_view import LiveView
from vla_robot_io.operating.operated import Attendance
from vla_robot_io.recording import make_folder
from vla_robot_io.stop_flag import FILE_NAME, StopFlag
from vla_robot_io.teleoperation.browser import BrowserTeleoperator
from vla_robot_io.teleoperation.choosing import DriveConfig, make_teleoperator
from vla_robot_io.teleoperation.hand_drive import HandDrive
from vla_robot_io.teleoperation.shared import SharedTeleoperator

CONSOLE_COMES_S = 30.0
"""A console that is not there by then will not be; the arm has no torque meanwhile."""


@dataclasses.dataclass(frozen=True)
class Attended:
    """A run that can be attended."""

    attendance: Attendance
    view: LiveView
    is_looked_at: Callable[[], bool]
    """Whether a console is there."""


@contextlib.contextmanager
def attended(
    folder: Path, robot: Robot, clock: Clock, about: dict[str, Any], drive: DriveConfig, *, is_shadow: bool = False
) -> Iterator[Attended]:
    """Make all of it in a run's folder, and close it when the block ends.

    Args:
        folder: of the run; made if it is not there.
        robot: that acts.
        clock: the robot's own.
        about: what is told of the run; `policy` is empty where a human drives alone.
        drive: what a human drives with.
        is_shadow: whether the human drives, and the policy is only asked.

    Raises:
        ConfigError: if a file cannot be made, or the device is not there.
    """
    make_folder(folder)
    with contextlib.ExitStack() as stack:
        view = LiveView(folder, robot, {**about, **_fields(robot), "is_shadow": is_shadow, "can_drive": True})
        stack.callback(view.close, "closed")
        try:
            requests = RequestFile(folder, lambda text: view.tell("refused", text))
            stack.callback(requests.close)
            stop = stack.enter_context(StopFlag(folder / FILE_NAME))
        except OSError as error:
            raise ConfigError(f"the run's folder {folder} cannot be written: {error}") from error
        browser = BrowserTeleoperator(view.pads, HandDrive(robot.embodiment))
        teleoperator = SharedTeleoperator(make_teleoperator(drive, robot, clock, browser))
        teleoperator.connect()
        stack.callback(teleoperator.close)
        keys = teleoperator.requests()
        yield Attended(
            Attendance(
                requests=MergedRequests(requests, *([] if keys is None else [keys])),
                teleoperator=teleoperator,
                stop=stop,
                is_attended=lambda: browser.is_looked_at,
                is_shadow=is_shadow,
                has_policy=bool(about["policy"]),
            ),
            view,
            lambda: browser.is_looked_at,
        )


@contextlib.contextmanager
def console_beside(folder: Path, port: int, is_there: Callable[[], bool]) -> Iterator[None]:
    """A console of this run, in a process of its own, while the block lasts; the run begins when it is there.

    Args:
        folder: of the run.
        port: of its page; 0 takes a free one.
        is_there: whether the console has been heard of.

    Raises:
        ConfigError: if its packages are not installed, or it does not come up.
    """
    from vla_robot_io.console.console_command import require_installed

    require_installed()
    command = [sys.executable, "-m", "vla", "console", f"run={folder}", f"port={port}"]
    # A session of its own: what interrupts the run in the terminal leaves the stop button working.
    with subprocess.Popen(command, start_new_session=True) as process:
        try:
            _await(process, is_there)
            yield
        finally:
            process.terminate()


def _await(process: subprocess.Popen[bytes], is_there: Callable[[], bool]) -> None:
    until_s = time.monotonic() + CONSOLE_COMES_S
    while not is_there():
        if process.poll() is not None or time.monotonic() > until_s:
            raise ConfigError("the console did not come up: is its port free? console_port=0 takes one that is")
        time.sleep(0.02)


def _fields(robot: Robot) -> dict[str, Any]:
    spec = robot.arm.spec
    low, high = spec.position_low.tolist(), spec.position_high.tolist()
    joints = [dict(zip(("name", "low", "high"), row, strict=True)) for row in zip(spec.joints, low, high, strict=True)]
    gripper = {"name": "gripper, m", "low": spec.gripper_low_m, "high": spec.gripper_high_m}
    return {"action": [dataclasses.asdict(field) for field in robot.embodiment.action], "joints": [*joints, gripper]}
