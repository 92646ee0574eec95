"""What LeRobot's robots leave open is closed here: old numbers, NaN, exceptions, torque, features of another robot."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from vla.clock import VirtualClock
from vla.errors import ActionError, ArmError, ConfigError
from vla.interfaces import ArmCommand, ArmMode
from vla_robot_io.fake_arm import PANDA_READY, FakeArm
from vla_robot_io.from_lerobot.arm_as_lerobot import ArmAsLerobot
from vla_robot_io.from_lerobot.joint_mapping import Unit, load_mapping, mapping_of
from vla_robot_io.from_lerobot.lerobot_link import STILL_S, LerobotLink
from vla_robot_io.from_lerobot.robot import ZEROS, _keeping_torque, make_robot
from vla_robot_io.links.link import KnownArm
from vla_robot_io.links.linked_arm import LinkedArm


class Unruly(ArmAsLerobot):
    """A robot of LeRobot's that can be told to misbehave."""

    def __init__(self, arm: FakeArm, clock: VirtualClock) -> None:
        super().__init__(arm, mapping_of(arm.spec, Unit.DEGREES), clock)
        self._time = clock
        self.raises: Exception | None = None
        self.frozen: dict[str, Any] | None = None
        self.slow_s = 0.0
        self.changes: dict[str, float] = {}
        self.disconnects = 0

    def get_observation(self) -> dict[str, Any]:
        self._time.advance(self.slow_s)
        if self.raises is not None:
            raise self.raises
        return {**(self.frozen or super().get_observation()), **self.changes}

    def send_action(self, action: Mapping[str, Any]) -> dict[str, float]:
        if self.raises is not None:
            raise self.raises
        return super().send_action(action) | self.changes

    def disconnect(self) -> None:
        self.disconnects += 1
        super().disconnect()


class Lab:
    def __init__(self, *, disconnects: bool = True) -> None:
        self.clock = VirtualClock()
        self.robot = Unruly(FakeArm(self.clock), self.clock)
        mapping = mapping_of(FakeArm(self.clock).spec, Unit.DEGREES)
        link = LerobotLink(self.robot, mapping, self.clock, disconnects=disconnects)
        self.arm = LinkedArm(link, mapping.spec("theirs", 100.0), KnownArm(("vla",)), self.clock, ZEROS)
        for verb in (self.arm.connect, self.arm.configure, self.arm.read, self.arm.arm, self.arm.run):
            verb()
        self._sequence = 0

    def go(self, positions: np.ndarray) -> Any:
        self._sequence += 1
        return self.arm.write(ArmCommand(positions, 0.04, self._sequence, self.clock.now() + 0.1))


@pytest.mark.parametrize("error", [ConnectionError("no status packet"), RuntimeError("camera"), KeyError("x")])
def test_f74_whatever_a_robot_raises_is_a_stale_reading(error: Exception) -> None:
    lab = Lab()
    lab.robot.raises = error
    lab.clock.advance(0.1)
    assert not lab.arm.read().fresh
    with pytest.raises(OSError, match=type(error).__name__):
        lab.go(PANDA_READY)


def test_a_reading_that_took_too_long_is_none() -> None:
    lab = Lab()
    lab.clock.advance(0.1)
    lab.robot.slow_s = 0.3
    assert not lab.arm.read().fresh


def test_numbers_that_stand_still_while_the_arm_should_go_are_old() -> None:
    lab = Lab()
    lab.clock.advance(0.02)
    lab.robot.frozen = lab.robot.get_observation()
    lab.go(PANDA_READY + 0.05)
    seen = []
    for _ in range(40):
        lab.clock.advance(0.01)
        seen.append(lab.arm.read().fresh)
    turned = seen.index(False)
    assert turned * 0.01 == pytest.approx(STILL_S, abs=0.03)
    assert not any(seen[turned:])


def test_numbers_that_stand_still_where_the_arm_should_be_are_new() -> None:
    lab = Lab()
    for _ in range(40):
        lab.clock.advance(0.01)
        assert lab.arm.read().fresh


def test_nan_that_comes_in_is_no_reading() -> None:
    lab = Lab()
    lab.robot.changes = {"joint_2.pos": math.nan}
    lab.clock.advance(0.1)
    state = lab.arm.read()
    assert not state.fresh
    assert np.isfinite(state.positions).all()


def test_f27_nan_that_would_go_out_is_refused() -> None:
    lab = Lab()
    with pytest.raises(ActionError, match="not finite"):
        lab.go(np.full(7, math.nan))


def test_nan_that_is_said_to_have_been_sent_is_an_error() -> None:
    lab = Lab()
    lab.robot.changes = {"joint_2.pos": math.nan}
    with pytest.raises(ArmError, match="not finite"):
        lab.go(PANDA_READY)


def test_what_a_robot_changes_is_told_and_counts_as_the_command() -> None:
    lab = Lab()
    lab.robot.changes = {"joint_1.pos": 1.0}
    applied = lab.go(PANDA_READY + 0.01)
    assert applied.positions[0] == pytest.approx(math.radians(1.0))
    assert applied.positions[1:] == pytest.approx(PANDA_READY[1:] + 0.01)
    assert "joint_1.pos to 1" in applied.reasons[0]


def test_a_goal_that_is_too_far_is_only_approached() -> None:
    lab = Lab()
    sent = lab.robot.send_action({**lab.robot.positions(), "joint_1.pos": 90.0})
    assert 0.0 < sent["joint_1.pos"] <= math.degrees(2.175 * 0.1) + 1e-6


@pytest.mark.parametrize("disconnects", [True, False])
def test_disconnect_is_called_only_where_it_leaves_torque_alone(disconnects: bool) -> None:
    lab = Lab(disconnects=disconnects)
    lab.arm.close()
    assert lab.robot.disconnects == disconnects
    assert lab.arm.mode is ArmMode.DISCONNECTED


def test_features_of_another_robot_are_refused_by_name() -> None:
    clock = VirtualClock()
    robot = Unruly(FakeArm(clock), clock)
    with pytest.raises(ArmError, match=r"there and not mapped joint_1\.pos"):
        LerobotLink(robot, load_mapping("so101"), clock, disconnects=True)


def test_settings_that_would_drop_the_arm_are_refused() -> None:
    has_setting = dataclasses.make_dataclass("Servo", [("port", str), ("disable_torque_on_disconnect", bool, True)])
    has_none = dataclasses.make_dataclass("Other", [("port", str)])
    with pytest.raises(ConfigError, match="would drop the arm"):
        _keeping_torque("so101", has_setting, {"disable_torque_on_disconnect": True}, False)
    assert _keeping_torque("so101", has_setting, {"port": "x"}, False)["disable_torque_on_disconnect"] is False
    with pytest.raises(ConfigError, match="keeps_torque=true"):
        _keeping_torque("other", has_none, {}, False)
    assert _keeping_torque("other", has_none, {"port": "x"}, True) == {"port": "x"}


def test_a_real_robot_needs_what_only_its_owner_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lerobot", ModuleType("lerobot"))
    with pytest.raises(ConfigError, match="needs options mapping, embodiment, cameras"):
        make_robot(VirtualClock(), instruction="", seed=0, type="so101_follower")


def test_without_lerobot_the_line_that_installs_it_is_told_before_anything_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "lerobot", None)
    with pytest.raises(ConfigError, match=r"uv pip install 'vla-stack\[lerobot\]'"):
        make_robot(VirtualClock(), instruction="", seed=0, type="so101_follower")
