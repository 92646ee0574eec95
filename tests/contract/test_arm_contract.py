"""Every arm keeps the contract of `vla.interfaces.Arm`, the fakes too."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest

from vla.interfaces import Arm, Camera, Clock, Robot
from vla.kinematics import ARMS
from vla.testing import check_arm, check_camera
from vla_robot_io.fake_arm import FakeArm
from vla_robot_io.fake_camera import FakeCamera
from vla_sim.embodiments import TABLETOP_PANDA
from vla_sim.virtual_arm import make_robot


def virtual_robot(clock: Clock, arm: str = "panda") -> Robot:
    return make_robot(clock, instruction="reach the red block", seed=0, arm=arm)


def virtual_arm(clock: Clock, arm: str) -> Arm:
    return virtual_robot(clock, arm).arm


VIRTUAL = [functools.partial(virtual_arm, arm=name) for name in ARMS]


@pytest.mark.parametrize("make_arm", [FakeArm, *VIRTUAL], ids=["fake", *ARMS])
def test_an_arm_keeps_its_contract(make_arm: Callable[[Clock], Arm]) -> None:
    check_arm(make_arm)


def fake_camera(clock: Clock, index: int) -> Camera:
    return FakeCamera(TABLETOP_PANDA.cameras[index], clock)


def virtual_camera(clock: Clock, index: int) -> Camera:
    return virtual_robot(clock).cameras[index]


@pytest.mark.parametrize("index", range(2), ids=["scene", "wrist"])
@pytest.mark.parametrize("make_camera", [fake_camera, virtual_camera], ids=["fake", "virtual"])
def test_a_camera_keeps_its_contract(make_camera: Callable[[Clock, int], Camera], index: int) -> None:
    check_camera(lambda clock: make_camera(clock, index), TABLETOP_PANDA.cameras[index])
