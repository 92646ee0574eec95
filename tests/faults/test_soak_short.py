"""A soak of some seconds, and what its judge would not let pass; `python -m benchmarks soak` takes two hours."""

from __future__ import annotations

import pytest

from benchmarks.soak import FAKE, SERVOS, Expected, Fault, Outcome, _judge, run

FAULTS = FAKE | SERVOS
WELL = Outcome("it", 10.0, 10.0, 0.04, "a cable", 12.0)


def test_some_seconds_of_faults_break_no_invariant() -> None:
    result = run("fake", 0.2, seed=1, every_s=6.0)
    assert result["faults_struck"] == 2
    assert result["counts"]["commands"] > 300
    assert sum(kind["times"] for kind in result["faults"].values()) == 2


@pytest.mark.parametrize(
    ("outcome", "fault", "told"),
    [
        (WELL, Fault(1.0, Expected.FAULT, 0.01), "still moving 0.040 s later, over 0.01 s"),
        (Outcome("it", 10.0, went_on_s=12.0), Fault(1.0, Expected.FAULT), "no fault was latched"),
        (WELL, Fault(1.0, Expected.GO_ON), "nothing called for one: a cable"),
        (
            Outcome("it", 10.0, told="held: a wall"),
            Fault(1.0, Expected.HOLD),
            "not moved since it was over; held: a wall",
        ),
    ],
)
def test_what_the_loop_gets_wrong_is_told(outcome: Outcome, fault: Fault, told: str) -> None:
    with pytest.raises(AssertionError, match=told):
        _judge(outcome, fault)
    _judge(WELL, Fault(1.0, Expected.FAULT, 0.1))


def test_every_fault_that_stops_an_arm_says_by_when() -> None:
    late = {
        kind: fault.within_s
        for kind, fault in FAULTS.items()
        if fault.expected in (Expected.HOLD, Expected.FAULT) and fault.within_s > 0.5
    }
    assert late == {}
