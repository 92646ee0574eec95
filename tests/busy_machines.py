"""Arms in processes of their own, on a machine that is too busy for them now and then."""

from __future__ import annotations

import time

import numpy as np

from vla.errors import ArmHeld
from vla_robot_io.control_loop import ArmEnvironment

ALONG = np.array([0.0, 0.005, 0.0, 0.0, 1.0], np.float32)
PATIENCE_S = 60.0
"""For processes of a machine that is busy; nothing here measures time."""


def act(environment: ArmEnvironment) -> None:
    """One step; on a machine too busy for pulses the operator acknowledges, and it is tried again."""
    end_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            environment.step(ALONG)
            return
        except ArmHeld:
            assert time.monotonic() < end_s, "the arm is held again and again"
            environment.go_on()
