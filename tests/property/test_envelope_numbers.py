"""Whatever is asked, the envelope answers with numbers that an arm may be sent."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vla.errors import ConfigError
from vla_robot_io.envelope import Envelope, Outcome, Setpoint
from vla_robot_io.limits import EnvelopeConfig, limits_of
from vla_robot_io.panda import panda_spec

SPEC = panda_spec(rate_hz=100.0)
CONFIG = EnvelopeConfig([-0.3, -0.4, 0.1], [0.6, 0.4, 0.9], floor_m=0.05, speed_factor=1.0)
LIMITS = limits_of(SPEC, CONFIG)


def end_effector(positions: np.ndarray) -> np.ndarray:
    """A smooth made-up arm: every joint moves every coordinate."""
    q = positions
    return np.array([np.sin(q[:4]).sum(), np.cos(q[3:]).sum(), np.sin(q).sum()]) / 4


ENVELOPE = Envelope(LIMITS, end_effector)

anything = st.floats(width=64, allow_nan=True, allow_infinity=True, allow_subnormal=True)
joints_asked = st.lists(anything, min_size=7, max_size=7).map(np.array)
fractions = st.lists(st.floats(0.0, 1.0), min_size=7, max_size=7).map(np.array)
last_positions = fractions.map(lambda f: LIMITS.soft_low + f * (LIMITS.soft_high - LIMITS.soft_low)).map(
    lambda q: np.clip(q, LIMITS.soft_low, LIMITS.soft_high)
)
steps = st.lists(st.floats(-6.0, 6.0), min_size=7, max_size=7).map(np.array)
"""In step limits: from well inside the limit to beyond the fault."""
openings = st.floats(0.0, 0.08)


@st.composite
def asked_and_last(draw: st.DrawFn) -> tuple[Setpoint, Setpoint]:
    """Half of the commands are near the last one, so that every stage gets its share."""
    last = Setpoint(draw(last_positions), draw(openings))
    near = last.positions + draw(steps) * LIMITS.max_step
    return Setpoint(draw(st.one_of(joints_asked, st.just(near))), draw(st.one_of(anything, openings))), last


EXTREMES = [np.nan, np.inf, -np.inf, 1.797e308, -1.797e308, 5e-324, -5e-324, -0.0, 0.0]


@settings(max_examples=400, deadline=None)
@given(asked_and_last())
def test_the_answer_is_finite_within_soft_limits_and_one_step_away(pair: tuple[Setpoint, Setpoint]) -> None:
    asked, last = pair
    answer = ENVELOPE.judge(asked, last).setpoint
    assert np.isfinite(answer.positions).all()
    assert np.isfinite(answer.gripper_m)
    assert (answer.positions >= LIMITS.soft_low).all()
    assert (answer.positions <= LIMITS.soft_high).all()
    assert (answer.positions >= last.positions - LIMITS.max_step).all()
    assert (answer.positions <= last.positions + LIMITS.max_step).all()
    assert LIMITS.gripper_low_m <= answer.gripper_m <= LIMITS.gripper_high_m


@settings(max_examples=400, deadline=None)
@given(asked_and_last())
def test_the_answer_to_an_answer_is_itself(pair: tuple[Setpoint, Setpoint]) -> None:
    asked, last = pair
    first = ENVELOPE.judge(asked, last).setpoint
    again = ENVELOPE.judge(first, last)
    assert again.outcome is Outcome.PASS
    assert again.reasons == ()
    assert np.array_equal(again.setpoint.positions, first.positions)
    assert again.setpoint.gripper_m == first.gripper_m


@settings(max_examples=300, deadline=None)
@given(asked_and_last())
def test_the_end_effector_never_goes_farther_out_of_the_box(pair: tuple[Setpoint, Setpoint]) -> None:
    asked, last = pair
    here = end_effector(last.positions)
    reached = end_effector(ENVELOPE.judge(asked, last).setpoint.positions)
    assert (reached >= np.minimum(LIMITS.box_low, here)).all()
    assert (reached <= np.maximum(LIMITS.box_high, here)).all()


@settings(max_examples=200, deadline=None)
@given(asked_and_last())
def test_what_is_not_sent_as_asked_has_a_reason(pair: tuple[Setpoint, Setpoint]) -> None:
    asked, last = pair
    verdict = ENVELOPE.judge(asked, last)
    moved = not np.array_equal(verdict.setpoint.positions, asked.positions)
    turned = verdict.setpoint.gripper_m != asked.gripper_m
    assert (verdict.outcome is Outcome.PASS) == (not moved and not turned)
    assert (verdict.outcome is Outcome.PASS) == (verdict.reasons == ())
    assert all(reason.field in reason.text for reason in verdict.reasons)


@pytest.mark.parametrize("value", EXTREMES, ids=str)
@pytest.mark.parametrize("joint", range(8))
def test_each_number_may_be_extreme_on_its_own(joint: int, value: float) -> None:
    last = Setpoint(np.clip(np.zeros(7), LIMITS.soft_low, LIMITS.soft_high), 0.04)
    positions = last.positions.copy()
    if joint < 7:
        positions[joint] = value
    answer = ENVELOPE.judge(Setpoint(positions, value if joint == 7 else 0.04), last).setpoint
    assert np.isfinite(answer.positions).all()
    assert np.isfinite(answer.gripper_m)
    assert (np.abs(answer.positions - last.positions) <= LIMITS.max_step * (1 + 1e-12)).all()


@settings(max_examples=50, deadline=None)
@given(st.lists(asked_and_last().map(lambda pair: pair[0]), min_size=1, max_size=40))
def test_no_sequence_of_commands_leaves_the_soft_limits(commands: list[Setpoint]) -> None:
    last = Setpoint(np.clip(np.zeros(7), LIMITS.soft_low, LIMITS.soft_high), 0.04)
    for asked in commands:
        last = ENVELOPE.judge(asked, last).setpoint
        assert (last.positions >= LIMITS.soft_low).all()
        assert (last.positions <= LIMITS.soft_high).all()


CONFIG_NUMBERS = ["floor_m", "soft_margin_rad", "speed_factor", "fault_factor", "refusal_window_s"]


@pytest.mark.parametrize("field", CONFIG_NUMBERS)
@given(value=anything)
@example(value=float("nan"))
@example(value=float("inf"))
@example(value=-1.0)
@example(value=5e-324)
@settings(max_examples=60, deadline=None)
def test_a_configuration_is_either_refused_or_safe(field: str, value: float) -> None:
    try:
        limits = limits_of(SPEC, dataclasses.replace(CONFIG, **{field: value}))
    except ConfigError:
        return
    for name in ("soft_low", "soft_high", "max_step", "box_low", "box_high"):
        assert np.isfinite(getattr(limits, name)).all()
    assert (limits.soft_low >= SPEC.position_low).all()
    assert (limits.soft_high <= SPEC.position_high).all()
    assert (limits.max_step > 0).all()
    assert (limits.max_step <= SPEC.max_speed / SPEC.rate_hz).all()
    assert (limits.box_low < limits.box_high).all()
