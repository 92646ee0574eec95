from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from vla.interfaces import ArmMode, ArmState, CameraFrame
from vla_robot_io.freshness import ArmWatch, CameraWatch
from vla_robot_io.reasons import Code

STATE = ArmState(
    positions=np.zeros(7),
    velocities=np.zeros(7),
    gripper_m=0.08,
    commanded=np.zeros(7),
    commanded_gripper_m=0.08,
    time_s=0.0,
    device_time_s=5.0,
    sequence=1,
    mode=ArmMode.RUNNING,
    fresh=True,
)


def reading(device_time_s: float, **changes: object) -> ArmState:
    return dataclasses.replace(STATE, device_time_s=device_time_s, **changes)  # type: ignore[arg-type]


def frame(sequence: int, time_s: float) -> CameraFrame:
    return CameraFrame(np.zeros((4, 4, 3), np.uint8), time_s, sequence)


def test_the_age_grows_while_the_device_clock_stands_still() -> None:
    watch = ArmWatch()
    ages = [watch.look(reading(5.0), now_s) for now_s in (10.0, 10.1, 10.4)]
    assert ages == pytest.approx([0.0, 0.1, 0.4])


def test_an_advance_of_the_device_clock_makes_a_reading_new() -> None:
    watch = ArmWatch()
    watch.look(reading(5.0), 10.0)
    watch.look(reading(5.0), 10.3)
    assert watch.look(reading(5.001), 10.4) == 0.0


def test_a_driver_that_claims_to_be_fresh_is_not_believed() -> None:
    watch = ArmWatch()
    watch.look(reading(5.0, fresh=True, sequence=1), 10.0)
    assert watch.look(reading(5.0, fresh=True, sequence=2), 10.2) == pytest.approx(0.2)


def test_a_device_clock_that_jumps_back_is_not_new() -> None:
    watch = ArmWatch()
    watch.look(reading(5.0), 10.0)
    assert watch.look(reading(0.1), 10.2) == pytest.approx(0.2)


@pytest.mark.parametrize("field", ["positions", "velocities", "commanded"])
def test_a_reading_that_is_not_finite_is_not_new(field: str) -> None:
    watch = ArmWatch()
    watch.look(reading(5.0), 10.0)
    spoilt = reading(5.1, **{field: np.full(7, np.nan)})
    assert watch.look(spoilt, 10.2) == pytest.approx(0.2)


def test_a_picture_is_new_when_its_sequence_advances() -> None:
    watch = CameraWatch("scene", max_age_s=0.15, max_repeats=5)
    new = [watch.look(frame(sequence, 1.0), 1.0)[0] for sequence in (7, 7, 8)]
    assert new == [True, False, True]


def test_an_old_picture_is_not_acted_upon() -> None:
    watch = CameraWatch("scene", max_age_s=0.15, max_repeats=5)
    _, reason = watch.look(frame(1, 1.0), 1.2)
    assert reason is not None
    assert reason.text == "camera 'scene' shows a picture 0.200 s old, over 0.150 s"


def test_a_picture_handed_out_too_often_is_not_acted_upon() -> None:
    watch = CameraWatch("scene", max_age_s=0.15, max_repeats=2)
    reasons = [watch.look(frame(1, time_s), time_s)[1] for time_s in (1.0, 1.1, 1.2)]
    assert [reason.code if reason else None for reason in reasons] == [None, None, Code.STALE_CAMERA]
