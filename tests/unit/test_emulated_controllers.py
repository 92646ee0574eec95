"""Controllers that are emulated in processes of their own, and the robots that they are part of."""

from __future__ import annotations

import sys
import types

import pytest

from vla.clock import RealClock
from vla.errors import ConfigError
from vla_robot_io.drivers import driver
from vla_robot_io.franka import robot as franka
from vla_robot_io.links.controller_process import ControllerProcess
from vla_robot_io.universal_robots import robot as universal_robots
from vla_robot_io.universal_robots.emulator import start_anywhere

SCENE = {"instruction": "reach the red cube", "seed": 3, "task": None}


def test_an_emulated_franka_lives_by_real_time_though_its_shadow_is_simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "franky_sim", types.ModuleType("franky_sim"))
    robot = franka.emulated_robot(RealClock(), rate_hz=50.0, scene=SCENE)
    assert not robot.is_simulated
    assert robot.arm.spec.name == "emulated FR3"


def test_an_emulated_ur_lives_by_real_time_though_its_shadow_is_simulated() -> None:
    assert not universal_robots.emulated_robot(RealClock(), rate_hz=100.0, scene=SCENE).is_simulated


def test_a_controller_that_does_not_begin_is_named_with_its_address() -> None:
    with pytest.raises(OSError, match=r"this did not begin to serve at 127\.0\.0\.9: is one of its ports taken\?"):
        ControllerProcess("this", "127.0.0.9")


def test_a_controller_that_ends_when_it_is_told_something_is_not_taken_to_have_done_it() -> None:
    controller = start_anywhere()
    controller.tell("freeze")
    with pytest.raises(OSError, match=r"what serves at .* ended when it was told 'quit'"):
        controller.tell("quit")
    controller.close()


def test_a_driver_that_nobody_brings_is_refused_by_what_it_is_wanted_for() -> None:
    with pytest.raises(ConfigError, match="unknown robot behind the servos 'vertual'; did you mean 'virtual'"):
        driver("vertual", "robot behind the servos")
