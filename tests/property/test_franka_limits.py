"""The limits of Franka's arms: published numbers, and speeds that let a joint brake before its end."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla.clock import VirtualClock
from vla_robot_io.franka.fake_franky import FakeFranky
from vla_robot_io.franka.limits import FER, FR3, model_in

PARTS = st.lists(st.floats(0.0, 1.0), min_size=7, max_size=7)
LOW, HIGH = np.array(FR3.low), np.array(FR3.high)


@settings(max_examples=15)
@given(parts=PARTS)
def test_a_joint_that_goes_as_fast_as_it_may_never_comes_to_its_end(parts: list[float]) -> None:
    positions = LOW + np.array(parts) * (HIGH - LOW)
    for _ in range(60):
        positions = positions + FR3.speeds_at(positions)[1] * 0.01
        assert (positions <= HIGH).all()
    assert (FR3.speeds_at(HIGH)[1] == 0).all()
    assert (FR3.speeds_at(LOW)[0] == 0).all()


@settings(max_examples=50)
@given(parts=PARTS)
def test_speeds_are_within_the_published_ones_and_mirrored(parts: list[float]) -> None:
    positions = LOW + np.array(parts) * (HIGH - LOW)
    low, high = FR3.speeds_at(positions)
    assert ((high >= 0) & (high <= FR3.max_speed)).all()
    assert FR3.speeds_at(LOW + HIGH - positions)[0] == pytest.approx(-high, abs=1e-9)
    assert (low <= 0).all()


def test_in_the_middle_a_research_3_goes_at_its_published_speed() -> None:
    assert FR3.speeds_at((LOW + HIGH) / 2)[1][0] == pytest.approx(2.62)
    # At the suggested end of joint 1, 2.3476 rad, the formula of the documentation by hand.
    near = (LOW + HIGH) / 2
    near[0] = 2.3476
    assert FR3.speeds_at(near)[1][0] == pytest.approx(-0.6599 + np.sqrt(2 * 6 * (2.9007 - 2.3476)))


def test_a_panda_has_speeds_that_do_not_depend_on_positions() -> None:
    assert FER.speeds_at(np.array(FER.high))[1] == pytest.approx(FER.max_speed)


@pytest.mark.parametrize("model", [FER, FR3], ids=lambda model: model.name)
def test_a_model_is_known_by_the_limits_that_its_controller_tells(model: object) -> None:
    robot = FakeFranky(VirtualClock(), model).Robot("nowhere")  # type: ignore[arg-type]
    assert model_in(robot.model_urdf) == model.name  # type: ignore[attr-defined]


def test_other_limits_are_no_model() -> None:
    robot = FakeFranky(VirtualClock(), FR3).Robot("nowhere")
    assert model_in(robot.model_urdf.replace("4.6216", "4.5169")).startswith("fr3 with joint limits")
    assert model_in("") == "arm with joint limits []"
