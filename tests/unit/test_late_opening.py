"""What is made and not yet opened: a robot can be made in two processes, one for its arm, the other for its cameras."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vla.clock import RealClock, VirtualClock
from vla.errors import ArmError, ConfigError
from vla.interfaces import CameraFrame, Robot
from vla_robot_io.fake_arm import PANDA_READY
from vla_robot_io.guarded_arm import GuardConfig, GuardedArm
from vla_robot_io.late_camera import LateCamera, open_late
from vla_robot_io.links.fake_link import FakeLink
from vla_robot_io.links.late_link import LateLink
from vla_robot_io.links.link import Identity
from vla_robot_io.panda import panda_spec
from vla_robot_io.reasons import TripLog
from vla_robot_io.servos.arm_plant import calibration_of
from vla_robot_io.servos.bus import LateWire
from vla_robot_io.servos.registers import MODELS
from vla_robot_io.servos.robot import make_robot
from vla_sim.embodiments import TABLETOP_PANDA


class Wire:
    """Counts how often it is opened and closed."""

    opened = closed = 0

    def open(self) -> Wire:
        self.opened += 1
        return self

    def send(self, content: bytes) -> None:
        pass

    def receive(self, deadline_s: float) -> bytes:
        return b"answer"

    def drop_input(self) -> None:
        pass

    def close(self) -> None:
        self.closed += 1


def test_a_late_wire_is_opened_once_by_what_is_first_sent() -> None:
    inner = Wire()
    wire = LateWire(inner.open)
    wire.drop_input()
    assert wire.receive(0.0) == b""
    wire.close()
    assert (inner.opened, inner.closed) == (0, 0)
    wire.send(b"x")
    wire.send(b"y")
    assert wire.receive(0.0) == b"answer"
    wire.close()
    assert (inner.opened, inner.closed) == (1, 1)


def test_a_late_wire_that_was_closed_is_opened_anew() -> None:
    inner = Wire()
    wire = LateWire(inner.open)
    for _ in range(2):
        wire.send(b"x")
        wire.close()
    assert (inner.opened, inner.closed) == (2, 2)


class Eye:
    """A camera that was opened."""

    name = "scene"
    is_closed = False

    def read(self) -> CameraFrame:
        return CameraFrame(np.zeros((2, 2, 3), np.uint8), 1.0, 1)

    def close(self) -> None:
        self.is_closed = True


def test_a_late_camera_is_opened_by_its_first_picture() -> None:
    opened: list[Eye] = []

    def make() -> Eye:
        opened.append(Eye())
        return opened[-1]

    camera = LateCamera("scene", make)
    assert (camera.name, opened) == ("scene", [])
    camera.close()
    assert [camera.read().sequence, camera.read().sequence] == [1, 1]
    camera.close()
    assert [eye.is_closed for eye in opened] == [True]


def test_where_one_late_camera_is_not_there_the_others_are_closed_again() -> None:
    eye = Eye()

    def missing() -> Eye:
        raise ConfigError("camera 'wrist': there is nothing to read at 7")

    with pytest.raises(ConfigError, match="nothing to read at 7"):
        open_late((LateCamera("scene", lambda: eye), LateCamera("wrist", missing)))
    assert eye.is_closed


def test_a_late_link_that_was_not_opened_says_so() -> None:
    link = LateLink(lambda: FakeLink(VirtualClock(), panda_spec(100.0), PANDA_READY, Identity("fake", ())))
    link.close()
    with pytest.raises(ArmError, match="connect the arm first"):
        link.measure()
    link.open()
    assert np.isfinite(link.measure().positions).all()


def on_a_port(port: str, folder: Path) -> Robot:
    spec = panda_spec(50.0)
    calibration_of(spec, MODELS["sts3215"]).save(folder / "arm.json")
    (folder / "body.json").write_text(json.dumps(TABLETOP_PANDA.to_json()))
    return make_robot(
        RealClock(),
        instruction="",
        seed=0,
        port=port,
        arm="panda",
        calibration=str(folder / "arm.json"),
        embodiment=str(folder / "body.json"),
        cameras={camera.name: "/dev/nothing" for camera in TABLETOP_PANDA.cameras},
    )


def test_an_arm_on_a_port_opens_nothing_when_it_is_made_and_says_what_is_missing_when_it_is_connected(
    tmp_path: Path,
) -> None:
    robot = on_a_port("/dev/nothing", tmp_path)
    assert robot.opens_late
    guarded = GuardedArm(robot.arm, RealClock(), GuardConfig(), TripLog())
    with pytest.raises(ArmError, match=r"panda at /dev/nothing cannot be connected: .*No such file"):
        guarded.open()
