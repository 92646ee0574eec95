"""An arm that does not go where it is commanded."""

from __future__ import annotations

import numpy as np
import pytest

from vla.interfaces import ArmMode, ArmState
from vla_robot_io.reasons import Code
from vla_robot_io.tracking import TrackingWatch


def reading(gap: float, mode: ArmMode = ArmMode.RUNNING) -> ArmState:
    there = np.zeros(2)
    return ArmState(np.array([0.0, gap]), there, 0.0, there, 0.0, 0.0, 0.0, 0, mode, True)


def watch() -> TrackingWatch:
    return TrackingWatch(("shoulder", "elbow"), limit_rad=0.15, limit_s=0.2)


def test_a_joint_that_stays_away_is_named_after_its_time() -> None:
    watched = watch()
    assert [watched.look(reading(-0.2), now_s) for now_s in (0.0, 0.1, 0.2)] == [None] * 3
    reason = watched.look(reading(-0.3), 0.21)
    assert reason is not None
    assert (reason.code, reason.field, reason.value) == (Code.TRACKING, "elbow", pytest.approx(0.3))


def test_an_arm_that_lags_and_catches_up_is_left_alone() -> None:
    watched = watch()
    for now_s in np.arange(0.0, 5.0, 0.1):
        assert watched.look(reading(0.2 if round(now_s * 10) % 3 else 0.1), float(now_s)) is None


@pytest.mark.parametrize(("gap", "mode"), [(np.nan, ArmMode.RUNNING), (1.0, ArmMode.CONFIGURED), (0.15, ArmMode.HOLD)])
def test_what_others_watch_is_not_told_twice(gap: float, mode: ArmMode) -> None:
    watched = watch()
    assert [watched.look(reading(gap, mode), now_s) for now_s in (0.0, 1.0, 2.0)] == [None] * 3
