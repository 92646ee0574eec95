"""A plan is carried out though a little time goes by between making and taking it, as it does by real time."""

from __future__ import annotations

import numpy as np

from vla.clock import VirtualClock
from vla.interfaces import ArmMode, EpisodeSpec
from vla_robot_io.control_loop import ArmEnvironment
from vla_robot_io.limits import EnvelopeConfig
from vla_robot_io.loopback import loopback_robot
from vla_sim.embodiments import TABLETOP_PANDA

BOX = EnvelopeConfig([0.2, -0.4, 0.01], [0.8, 0.4, 0.6], floor_m=0.01, speed_factor=1.0)
FORWARD = np.array([0.01, 0.0, 0.0, 0.0, 1.0], np.float32)


class RunningClock(VirtualClock):
    """Goes on by some microseconds whenever it is looked at."""

    def now(self) -> float:
        self.advance(5e-6)
        return super().now()


def test_a_plan_is_carried_out_though_time_goes_by_while_it_is_handed_over() -> None:
    clock = RunningClock(100.0)
    environment = ArmEnvironment(loopback_robot(clock, TABLETOP_PANDA), clock, BOX)
    environment.reset(EpisodeSpec(task="", seed=0, instruction="push the red block"))
    moved = sum(float(environment.step(FORWARD).applied[0]) for _ in range(10))
    assert environment.mode is ArmMode.RUNNING
    assert moved > 0.08
