"""A real arm keeps the contract of every arm: `pytest tests/contract/test_arm_hardware.py --hardware "robot=..."`.

Somebody stands by with the arm's own emergency stop in hand. Torque comes and stays; no command leads farther than a
thousandth of a radian from where the arm stands. Each promise is looked at on an arm that is connected anew.
"""

from __future__ import annotations

import shlex

import pytest

from vla import cli
from vla.clock import RealClock
from vla.interfaces import Arm, Clock
from vla.testing.arms import check_arm
from vla_robot_io.deploy import DeployConfig
from vla_robot_io.drivers import make_robot


def arm_of(overrides: str, clock: Clock) -> Arm:
    """The arm that `vla deploy` would drive."""
    needed = ["policy=zero", "instruction=reach the red block", "out=unused"]
    return make_robot(cli.compose("deploy", DeployConfig, [*shlex.split(overrides), *needed]), clock).arm


@pytest.mark.robot
def test_a_real_arm_keeps_its_contract(request: pytest.FixtureRequest) -> None:
    overrides = request.config.getoption("--hardware")
    if not overrides:
        pytest.skip("no real arm was named with --hardware")
    check_arm(lambda clock: arm_of(overrides, clock), make_clock=RealClock, may_move=False)


def test_the_arm_is_the_one_that_deploy_would_drive() -> None:
    arm = arm_of("robot=servos_emulated 'options={arm: panda, rate_hz: 50.0}'", RealClock())
    assert arm.spec.rate_hz == 50.0
    assert arm.spec.name == "emulated virtual_panda"
