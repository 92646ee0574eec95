"""What one process writes into a record, the other reads out of it."""

from __future__ import annotations

import dataclasses

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vla.interfaces import ArmMode, ArmState
from vla_robot_io.envelope import Setpoint
from vla_robot_io.plans import ArmReport, Halt, Plan
from vla_robot_io.process_records import (
    EVENTS,
    events_after,
    order_type,
    plan_of,
    put_event,
    put_plan,
    put_report,
    report_of,
    state_type,
)
from vla_robot_io.reasons import Code, Reason

NUMBER = st.floats(-1e6, 1e6)
JOINTS = st.lists(NUMBER, min_size=3, max_size=3).map(np.array)
WORDS = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=150)


def over(record: np.ndarray) -> np.ndarray:
    """As it arrives."""
    return np.frombuffer(record.tobytes(), record.dtype).reshape(())


@given(JOINTS, NUMBER, st.integers(1, 1 << 40), st.integers(1, 1000), st.integers(0, 9), st.booleans())
def test_a_plan_arrives_as_it_was_sent(
    increment: np.ndarray, number: float, sequence: int, ticks: int, acknowledged: int, stands: bool
) -> None:
    plan = Plan(sequence, increment, number, ticks, number, acknowledged, stands_still=stands)
    record = np.zeros((), order_type(3))
    put_plan(record, plan)
    assert _same(plan_of(over(record)), plan)


@given(JOINTS, NUMBER, st.sampled_from(list(ArmMode)), st.sampled_from(list(Code)), WORDS, st.booleans())
def test_a_report_arrives_as_it_was_sent(
    joints: np.ndarray, number: float, mode: ArmMode, code: Code, words: str, has: bool
) -> None:
    state = ArmState(joints, -joints, number, joints + 1, number, number, number, 7, mode, has)
    report = ArmReport(
        tick=3,
        time_s=number,
        state=state,
        is_trusted=has,
        mode=mode,
        reference=Setpoint(joints, number),
        command=Setpoint(2 * joints, number),
        is_at_rest=not has,
        plan=9,
        ticks_left=4,
        overruns=2,
        halt=Halt(code, words, 5) if has else None,
        failure=words if has else None,
    )
    record = np.zeros((), state_type(3, 11))
    put_report(record, report)
    assert _same(report_of(over(record)), report)


@given(st.integers(0, 3 * EVENTS), st.integers(0, 3 * EVENTS))
def test_the_newest_events_arrive_in_order_and_once(number: int, seen: int) -> None:
    record = np.zeros((), state_type(1, 0))
    for index in range(number):
        put_event(record, "command", Reason(Code.WORKSPACE, "x", float(index), 0.5, f"event {index}"))
    found = [text for _, _, text in events_after(over(record), seen)]
    assert found == [f"event {index}" for index in range(max(min(seen, number), number - EVENTS), number)]


def _same(one: object, other: object) -> bool:
    """Whether two records of data are the same, arrays and all."""
    if dataclasses.is_dataclass(one) and not isinstance(one, type):
        fields = dataclasses.fields(one)
        return type(one) is type(other) and all(_same(getattr(one, f.name), getattr(other, f.name)) for f in fields)
    if isinstance(one, np.ndarray):
        return isinstance(other, np.ndarray) and bool(np.array_equal(one, other))
    return one == other
