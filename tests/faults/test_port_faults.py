"""Row F15 of the fault catalogue: a port that has become another device is not opened."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from vla.clock import RealClock
from vla.errors import ConfigError
from vla_robot_io.loopback import loopback_servos
from vla_robot_io.servos.bus import SerialWire
from vla_robot_io.servos.ports import port_of
from vla_robot_io.servos.robot import make_robot
from vla_sim.embodiments import TABLETOP_PANDA


@dataclasses.dataclass
class Plugged:
    """One port, as pyserial tells of it."""

    device: str
    serial_number: str | None


FOLLOWER, LEADER = Plugged("/dev/ttyACM0", "FOLLOWER"), Plugged("/dev/ttyACM1", "LEADER")
SWAPPED = [Plugged("/dev/ttyACM0", "LEADER"), Plugged("/dev/ttyACM1", "FOLLOWER")]
OTHERS = [Plugged("/dev/ttyACM0", "LEADER"), Plugged("/dev/ttyS0", None)]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that were opened; nothing answers there."""
    serial = pytest.importorskip("serial")
    paths: list[str] = []

    def open_port(path: str, *_: object, **__: object) -> Any:
        paths.append(path)
        raise OSError("nothing answers there")

    monkeypatch.setattr(serial, "Serial", open_port)
    return paths


def plug(monkeypatch: pytest.MonkeyPatch, *ports: Plugged) -> None:
    list_ports = pytest.importorskip("serial.tools.list_ports")
    monkeypatch.setattr(list_ports, "comports", lambda: list(ports))


@pytest.mark.parametrize(("ports", "path"), [([FOLLOWER, LEADER], "/dev/ttyACM0"), (SWAPPED, "/dev/ttyACM1")])
def test_f15_an_arm_is_found_by_its_adapter_wherever_that_is_plugged_in(
    ports: list[Plugged], path: str, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plug(monkeypatch, *ports)
    with pytest.raises(OSError, match="nothing answers"):
        SerialWire("serial=FOLLOWER", 1_000_000)
    assert opened == [path]


def test_f15_a_port_that_is_another_device_now_is_refused_before_it_is_opened(
    opened: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plug(monkeypatch, *OTHERS)
    calibration, embodiment = tmp_path / "arm.json", tmp_path / "embodiment.json"
    robot, _ = loopback_servos(RealClock(), TABLETOP_PANDA)
    robot.arm._calibration.save(calibration)  # type: ignore[attr-defined]
    embodiment.write_text(json.dumps(TABLETOP_PANDA.to_json()))
    made = make_robot(
        RealClock(),
        instruction="push",
        seed=0,
        arm="panda",
        port="serial=FOLLOWER",
        calibration=str(calibration),
        embodiment=str(embodiment),
        cameras={camera.name: 0 for camera in TABLETOP_PANDA.cameras},
    )
    with pytest.raises(ConfigError, match=r"'FOLLOWER'; connected are: LEADER at /dev/ttyACM0, no number at /dev/tty"):
        made.arm.connect()
    assert opened == []


def test_f15_adapters_of_one_number_are_refused_with_both_their_places() -> None:
    with pytest.raises(ConfigError, match="/dev/ttyACM0 and /dev/ttyACM9 both have number 'FOLLOWER'"):
        port_of("serial=FOLLOWER", lambda: [FOLLOWER, dataclasses.replace(FOLLOWER, device="/dev/ttyACM9")])


def test_f15_a_port_that_is_named_by_its_path_is_opened_there_and_nobody_is_asked() -> None:
    assert (
        port_of("/dev/serial/by-id/usb-A1", lambda: pytest.fail("nobody is to be asked")) == "/dev/serial/by-id/usb-A1"
    )


def test_without_pyserial_the_line_that_installs_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "serial.tools.list_ports", None)
    with pytest.raises(ConfigError, match=r"pip install 'vla-stack\[robots\]'"):
        port_of("serial=FOLLOWER")
