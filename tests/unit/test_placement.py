"""Where an arm is ticked: in a process of its own wherever it can be, and why not where it cannot."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from rich.console import Console

from vla import cli
from vla.clock import RealClock, VirtualClock
from vla.errors import ConfigError
from vla.interfaces import Clock, Robot
from vla_robot_io.deploy import DeployConfig
from vla_robot_io.loopback import loopback_robot
from vla_robot_io.placement import Placement, apart, placement_of, told_of
from vla_sim.embodiments import TABLETOP_PANDA


def config(*words: str) -> DeployConfig:
    return cli.compose("deploy", DeployConfig, ["robot=virtual", "instruction=go", "out=unused", *words])


def robot(clock: Clock, *, opens_late: bool) -> Robot:
    return dataclasses.replace(loopback_robot(clock, TABLETOP_PANDA), opens_late=opens_late)


def placed(clock: Clock, *words: str, opens_late: bool = True) -> Placement:
    return placement_of(config(*words), robot(clock, opens_late=opens_late), clock)


def test_an_arm_that_can_be_has_a_process_of_its_own_unless_that_is_turned_off() -> None:
    assert placed(RealClock()) == placed(RealClock(), "process=true") == Placement(True)
    assert placed(RealClock(), "process=false") == Placement(False, "process=false asks for it")


def test_by_a_virtual_clock_it_is_ticked_here_and_nobody_is_surprised() -> None:
    found = placed(VirtualClock())
    assert (found.is_apart, found.is_surprising) == (False, False)
    assert found.why_here == "another process does not go by a virtual clock: use clock=real"


def test_an_arm_that_is_opened_when_it_is_made_is_ticked_here_and_that_is_told() -> None:
    found = placed(RealClock(), opens_late=False)
    assert (found.is_apart, found.is_surprising) == (False, True)
    assert "driver 'virtual' opens its arm or its cameras when it is made" in found.why_here


@pytest.mark.parametrize("clock", [RealClock(), VirtualClock()])
def test_a_process_that_is_asked_for_and_not_to_be_had_is_refused(clock: Clock) -> None:
    with pytest.raises(ConfigError, match="process=true is not to be had: "):
        placed(clock, "process=true", opens_late=False)


def test_why_an_arm_is_ticked_here_is_printed_and_goes_into_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    placement = Placement(False, "its bus is open", is_surprising=True)
    console = Console(highlight=False)
    with apart(placement, config(), robot(RealClock(), opens_late=False), console) as link:
        assert link is None
        assert told_of(placement, link) == {"is_apart": False, "why": "its bus is open"}
    assert capsys.readouterr().out == "The arm has no process of its own: its bus is open.\n"


def test_a_process_that_does_not_come_up_says_why(tmp_path: Path) -> None:
    words = config("driver=nobody", f"out={tmp_path}")
    with (
        pytest.raises(ConfigError, match=r"did not come up: .*driver 'nobody'"),
        apart(Placement(True), words, robot(RealClock(), opens_late=True), Console()),
    ):
        pass
