"""`vla robot scan`, `check` and `calibrate`, on emulated servos."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from vla.clock import VirtualClock
from vla.errors import ArmError, ConfigError
from vla_robot_io.servos import robot_commands
from vla_robot_io.servos.bus import ServoBus
from vla_robot_io.servos.calibration import Calibration
from vla_robot_io.servos.emulator import EmulatedServos, LoopbackWire
from vla_robot_io.servos.packets import Feetech
from vla_robot_io.servos.registers import MODELS, ServoModel
from vla_robot_io.servos.robot_commands import CalibrateConfig

IDS = (1, 2, 3)
PLACES = [(2000, 2100, 1500), (1000, 1200, 1500), (3000, 3100, 2600)]
"""Ticks of each servo: at zero with the gripper closed, at one end, at the other."""


class MovedByHand:
    """A plant without motors, which is somewhere else whenever it is looked at."""

    def __init__(self) -> None:
        self._looks = 0

    def drive(self, goals: Mapping[int, int | None]) -> None:
        """There is nothing to drive."""

    def measure(self) -> Mapping[int, tuple[int, float]]:
        place = PLACES[min(self._looks, 1) if self._looks < 2 else self._looks % 3]
        return dict(zip(IDS, ((ticks, 0.0) for ticks in place), strict=True))

    def next(self) -> None:
        self._looks += 1


@contextlib.contextmanager
def bench(port: str, baud: int, model: ServoModel, torque: int = 0) -> Iterator[ServoBus]:
    plant = MovedByHand()
    servos = EmulatedServos(model, Feetech(), IDS, VirtualClock(), plant)
    servos.set(2, "torque_enable", torque)

    class Hand(LoopbackWire):
        def send(self, content: bytes) -> None:
            super().send(content)
            if content[4] == 0x82:
                plant.next()

    yield ServoBus(Hand(servos), Feetech())


def calibrate(out: Path, **changes: object) -> int:
    config = dataclasses.replace(CalibrateConfig(port="bench", out=out, ids=list(IDS)), **changes)  # type: ignore[arg-type]
    return robot_commands.calibrate(config, lambda sentence: None, bench)


def test_a_scan_names_what_answers(capsys: pytest.CaptureFixture[str]) -> None:
    assert robot_commands.scan_main(["port=emulated", "highest_id=8"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert lines[0] == "emulated at 1000000 baud: servo 1, sts3215"


def test_a_port_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("serial")
    assert robot_commands.scan_main(["port=/dev/nothing_here"]) == 2
    assert "error: port=/dev/nothing_here" in capsys.readouterr().err


def test_a_check_tells_of_a_servo_that_is_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    assert robot_commands.check_main(["port=emulated"]) == 0
    assert robot_commands.check_main(["port=emulated", "ids=[1,9]"]) == 3
    assert "servo 9 did not answer" in capsys.readouterr().out


def test_a_calibration_says_where_zero_is_and_how_far_each_joint_goes(tmp_path: Path) -> None:
    assert calibrate(tmp_path / "arm.json", joints=["pan", "lift"], reversed=["lift"]) == 0
    found = Calibration.load(tmp_path / "arm.json")
    assert [(joint.name, joint.id, joint.direction) for joint in found.joints] == [("pan", 1, 1), ("lift", 2, -1)]
    assert [(joint.zero, joint.low, joint.high) for joint in found.joints] == [(2000, 1000, 3000), (2100, 1200, 3100)]
    assert (found.gripper.closed, found.gripper.open) == (1500, 2600)


def test_an_arm_with_torque_is_not_to_be_moved_by_hand(tmp_path: Path) -> None:
    config = CalibrateConfig(port="bench", out=tmp_path / "arm.json", ids=list(IDS))
    with pytest.raises(ArmError, match="servos 2 have torque"):
        robot_commands.calibrate(
            config, lambda sentence: None, lambda port, baud, model: bench(port, baud, model, torque=1)
        )


@pytest.mark.parametrize("wrong", [{"joints": ["pan"]}, {"reversed": ["tilt"]}, {"model": "sts9"}])
def test_names_that_do_not_fit_are_refused(tmp_path: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        calibrate(tmp_path / "arm.json", **wrong)


def test_a_hot_servo_is_named() -> None:
    servos = EmulatedServos(MODELS["sts3215"], Feetech(), IDS, VirtualClock())
    servos.set(1, "present_temperature", 70)
    bus = ServoBus(LoopbackWire(servos), Feetech())
    _, faults = robot_commands._servo(bus, MODELS["sts3215"], 1, None)
    assert faults == ["hot"]
