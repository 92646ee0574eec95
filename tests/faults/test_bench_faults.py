"""Row F37 of the fault catalogue: two arms of one bench never have torque where their hands could meet."""

from __future__ import annotations

import dataclasses
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla.clock import VirtualClock
from vla.errors import ConfigError
from vla.interfaces import ArmMode, EpisodeSpec
from vla.testing import LoggedArm, check_applied
from vla_robot_io.bench import BenchConfig, Region, region_of
from vla_robot_io.control_loop import ArmEnvironment, ControlConfig
from vla_robot_io.limits import EnvelopeConfig, limits_of
from vla_robot_io.loopback import loopback_robot
from vla_robot_io.panda import panda_spec
from vla_sim.embodiments import TABLETOP_PANDA

SPEC = EpisodeSpec(task="", seed=0, instruction="push the red block")
BOX = EnvelopeConfig([0.2, -0.4, 0.1], [0.8, 0.4, 0.6], floor_m=0.1, speed_factor=1.0)
FORWARD = np.array([0.01, 0.0, 0.0, 0.0, 1.0], np.float32)
FACING = {"base_m": [1.5, 0.0, 0.0], "base_yaw_rad": math.pi}
"""The other arm looks this one in the face, and reaches 0.1 m into its region."""
BESIDE = {"base_m": [0.0, 1.0, 0.0]}


class Lab:
    """One arm of a bench, in a loop of its own."""

    def __init__(self, folder: Path, name: str, **bench: object) -> None:
        self.clock = VirtualClock(100.0)
        robot = loopback_robot(self.clock, TABLETOP_PANDA)
        self.arm = LoggedArm(robot.arm, self.clock)
        control = ControlConfig(bench=BenchConfig(str(folder), name, **bench))  # type: ignore[arg-type]
        robot = dataclasses.replace(robot, arm=self.arm, arm_model=None)
        self.environment = ArmEnvironment(robot, self.clock, BOX, control)

    def begin(self) -> None:
        self.environment.reset(SPEC)
        self.environment.step(FORWARD)


@pytest.fixture
def left(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path, "left")
    lab.begin()
    yield lab
    lab.environment.close()


def test_f37_an_arm_whose_region_meets_that_of_another_is_refused_before_torque(left: Lab, tmp_path: Path) -> None:
    right = Lab(tmp_path, "right", **FACING)
    for begin in (right.begin, lambda: right.environment.preview(SPEC)):
        with pytest.raises(ConfigError, match=r"'right' .*work in x 0\.70 to 1\.30 m.*, and 'left' works in x 0"):
            begin()
    assert right.arm.mode is ArmMode.DISCONNECTED
    assert right.arm.entries == []
    left.environment.step(FORWARD)
    assert left.arm.mode is ArmMode.RUNNING, "who was there first goes on"
    check_applied(left.arm)


def test_f37_arms_whose_regions_stay_apart_both_move(left: Lab, tmp_path: Path) -> None:
    right = Lab(tmp_path, "right", **BESIDE)
    right.begin()
    assert (left.arm.mode, right.arm.mode) == (ArmMode.RUNNING, ArmMode.RUNNING)
    right.environment.close()


def test_f37_the_wider_of_both_separations_counts(left: Lab, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"less than 0\.3 m apart"):
        Lab(tmp_path, "right", **BESIDE, separation_m=0.3).begin()


def test_f37_a_region_is_free_again_when_its_loop_has_ended(tmp_path: Path) -> None:
    left, right = Lab(tmp_path, "left"), Lab(tmp_path, "right", **FACING)
    left.begin()
    left.environment.close()
    right.begin()
    with pytest.raises(ConfigError, match="'right' works"):
        Lab(tmp_path, "left").begin()
    right.environment.close()


def test_f37_two_loops_never_move_one_arm(left: Lab, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="another loop moves 'left'"):
        Lab(tmp_path, "left").begin()


def test_f37_a_loop_that_was_killed_reserves_nothing(tmp_path: Path) -> None:
    command = [sys.executable, __file__, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline().strip() == "reserved"
        right = Lab(tmp_path, "right", **FACING)
        with pytest.raises(ConfigError, match="'left' works"):
            right.begin()
        other.kill()
        other.wait()
    right.begin()
    right.environment.close()
    assert (tmp_path / "left.region.json").exists()


def test_f37_a_region_that_cannot_be_read_is_not_worked_beside(left: Lab, tmp_path: Path) -> None:
    (tmp_path / "left.region.json").write_text('{"low": [0, 0]')
    with pytest.raises(ConfigError, match="held by a living loop and cannot be read"):
        Lab(tmp_path, "right", **BESIDE).begin()


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"name": ""}, "name is letters"),
        ({"name": "../left"}, "name is letters"),
        ({"base_m": [0.0, 1.0]}, "x, y, z in m"),
        ({"base_m": [0.0, math.nan, 0.0]}, "x, y, z in m"),
        ({"base_yaw_rad": math.inf}, "must be finite"),
        ({"separation_m": -0.1}, "at least 0"),
        ({"separation_m": math.nan}, "at least 0"),
    ],
)
def test_a_place_on_the_bench_that_cannot_be_is_refused(tmp_path: Path, wrong: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Lab(tmp_path, **({"name": "left"} | wrong))  # type: ignore[arg-type]


@given(st.floats(-4.0, 4.0), st.floats(-2.0, 2.0), st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_wherever_the_hand_is_in_its_box_it_is_in_its_region(
    yaw: float, x: float, a: float, b: float, c: float
) -> None:
    limits = limits_of(panda_spec(100.0), BOX)
    region = region_of(limits, BenchConfig("bench", "left", [x, 0.5, 0.1], yaw))
    hand = limits.box_low + np.array([a, b, c]) * (limits.box_high - limits.box_low)
    turned = [math.cos(yaw) * hand[0] - math.sin(yaw) * hand[1], math.sin(yaw) * hand[0] + math.cos(yaw) * hand[1]]
    placed = np.array([turned[0] + x, turned[1] + 0.5, hand[2] + 0.1])
    assert ((region.low - 1e-9 <= placed) & (placed <= region.high + 1e-9)).all()


@given(st.lists(st.floats(-2, 2), min_size=3, max_size=3), st.floats(0, 0.5), st.floats(0, 0.5))
def test_regions_meet_each_other_or_neither(place: list[float], mine_m: float, other_m: float) -> None:
    mine = Region(np.zeros(3), np.ones(3), mine_m)
    other = Region(np.array(place), np.array(place) + 0.5, other_m)
    gaps = np.maximum(mine.low - other.high, other.low - mine.high)
    assert mine.meets(other) == other.meets(mine) == bool(gaps.max() < max(mine_m, other_m))


def _reserve_for_ever(folder: Path) -> None:
    Lab(folder, "left").begin()
    print("reserved", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    _reserve_for_ever(Path(sys.argv[1]))
