"""Who has the arm: the operator decides, and a fault is left by its name alone."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from vla_robot_io.operating.asking import Request, Verb
from vla_robot_io.operating.seat import Actor, Seat


def seat() -> Seat:
    return Seat(has_policy=True, has_human=True)


def test_the_policy_has_the_arm_first_and_the_human_where_there_is_none() -> None:
    assert seat().actor is Actor.POLICY
    assert Seat(has_policy=False, has_human=True).actor is Actor.HUMAN


def test_the_operator_takes_the_arm_from_the_policy_and_hands_it_back() -> None:
    ours = seat()
    assert ours.heed(Request(Verb.TAKE_OVER)) is None
    assert ours.actor is Actor.HUMAN
    assert ours.heed(Request(Verb.HAND_BACK)) is None
    assert ours.actor is Actor.POLICY


@pytest.mark.parametrize(
    ("has_policy", "has_human", "before", "verb", "says"),
    [
        (True, False, [], Verb.TAKE_OVER, "no teleoperator"),
        (False, True, [], Verb.HAND_BACK, "no policy"),
        (True, True, [], Verb.HAND_BACK, "policy has the arm"),
        (True, True, [Verb.HOLD], Verb.HAND_BACK, "nobody has the arm"),
        (True, True, [Verb.END], Verb.RESUME, "at its end"),
    ],
)
def test_what_cannot_be_done_is_refused_and_told(
    has_policy: bool, has_human: bool, before: list[Verb], verb: Verb, says: str
) -> None:
    ours = Seat(has_policy=has_policy, has_human=has_human)
    for earlier in before:
        ours.heed(Request(earlier))
    actor = ours.actor
    refusal = ours.heed(Request(verb))
    assert refusal is not None
    assert says in refusal.text
    assert ours.actor is actor


def test_a_fault_is_acknowledged_by_its_own_name() -> None:
    ours = seat()
    ours.latch("joint_3 is 0.2 rad away")
    refusal = ours.heed(Request(Verb.ACKNOWLEDGE, "joint_2 is 0.2 rad away"))
    assert refusal is not None
    assert "the latched fault is 'joint_3 is 0.2 rad away'" in refusal.text
    assert ours.heed(Request(Verb.ACKNOWLEDGE, "joint_3 is 0.2 rad away")) is None


def test_the_first_fault_stays() -> None:
    ours = seat()
    ours.latch("first")
    ours.latch("second")
    assert ours.fault == "first"


class Operated(RuleBasedStateMachine):
    """Anything may be asked in any order; `clear` is what the run does after an acknowledgement was heeded."""

    def __init__(self) -> None:
        super().__init__()
        self.seat = seat()
        self.is_owed = False

    @rule(name=st.sampled_from(["overheated", "lost"]))
    def fault(self, name: str) -> None:
        self.seat.latch(name)
        self.is_owed = True

    @rule(verb=st.sampled_from([verb for verb in Verb if verb is not Verb.ACKNOWLEDGE]))
    def ask(self, verb: Verb) -> None:
        self.seat.heed(Request(verb, "words", 0.5))

    @rule(name=st.sampled_from(["overheated", "lost", "", "OVERHEATED"]))
    def acknowledge(self, name: str) -> None:
        is_right = name == self.seat.fault
        assert (self.seat.heed(Request(Verb.ACKNOWLEDGE, name)) is None) == is_right
        if is_right:
            self.seat.clear()
            self.is_owed = False
            assert self.seat.actor is Actor.NOBODY

    @invariant()
    def nobody_acts_while_a_fault_is_owed(self) -> None:
        assert not self.is_owed or self.seat.actor is Actor.NOBODY


TestOperated = Operated.TestCase
