"""Arms behind a maker's library keep the contract of every arm."""

from __future__ import annotations

from vla.interfaces import Clock
from vla.testing.arms import check_arm
from vla_robot_io.fake_arm import PANDA_READY
from vla_robot_io.links.fake_link import FakeLink
from vla_robot_io.links.link import Identity, KnownArm
from vla_robot_io.links.linked_arm import LinkedArm
from vla_robot_io.panda import panda_spec


def make_arm(clock: Clock) -> LinkedArm:
    spec = panda_spec(100.0, "linked")
    return LinkedArm(FakeLink(clock, spec, PANDA_READY, Identity("panda", (5, 2))), spec, KnownArm(("panda",)), clock)


def test_an_arm_behind_a_library_keeps_the_contract() -> None:
    check_arm(make_arm)
