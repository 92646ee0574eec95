"""Sessions: one slot, one controller, numbers upwards, and how long a message was held up."""

from __future__ import annotations

import math

import pytest

from vla_policies.serving.messages import Header, Refused
from vla_policies.serving.sessions import MAX_SESSIONS_PER_CONNECTION, HeldUp, Sessions


def test_slots_are_unlike_and_used_again() -> None:
    sessions, one, two = Sessions(), object(), object()
    slots = [sessions.claim(one, "a").slot, sessions.claim(one, None).slot, sessions.claim(two, None).slot]
    assert slots == [0, 1, 2]
    assert sessions.claim(one, None).slot == 1
    sessions.release(one)
    assert len(sessions) == 1
    assert {sessions.claim(two, "a").slot, sessions.claim(two, "b").slot} == {0, 1}


def test_a_session_of_another_is_busy() -> None:
    sessions = Sessions()
    sessions.claim(1, "arm")
    with pytest.raises(Refused, match="controlled by another client"):
        sessions.claim(2, "arm")


def test_a_connection_has_only_so_many_sessions() -> None:
    sessions = Sessions()
    for index in range(MAX_SESSIONS_PER_CONNECTION):
        sessions.claim(1, f"arm-{index}")
    with pytest.raises(Refused, match="at most 64 sessions"):
        sessions.claim(1, "one more")
    sessions.claim(2, "of another")


def test_numbers_go_upwards() -> None:
    session = Sessions().claim(1, "arm")
    for seq in (0, 1, None, 7):
        session.advance(seq)
    with pytest.raises(Refused, match="request 7 of session 'arm' comes after 7"):
        session.advance(7)


def test_a_deadline_counts_from_when_the_request_was_sent() -> None:
    session = Sessions().claim(1, "arm")
    assert session.expires_s(Header(deadline_ms=100.0), 5.0) == pytest.approx(5.1)
    assert session.expires_s(Header(deadline_ms=100.0, sent_s=1000.0), 6.0) == pytest.approx(6.1)
    assert session.expires_s(Header(deadline_ms=100.0, sent_s=1001.0), 8.0) == pytest.approx(7.1, abs=0.01)
    assert session.expires_s(Header(), 9.0) == math.inf


def test_a_message_is_held_up_by_what_it_took_longer_than_the_fastest() -> None:
    held_up = HeldUp()
    arrivals = [(0.0, 10.02), (0.1, 10.11), (0.2, 10.51), (0.3, 10.51)]
    assert [held_up.seconds(*arrival) for arrival in arrivals] == pytest.approx([0.0, 0.0, 0.3, 0.2], abs=0.001)


def test_clocks_that_drift_apart_hold_nothing_up() -> None:
    held_up = HeldUp()
    late_s = [held_up.seconds(float(s), 5.0 + s * (1 + 1e-4)) for s in range(36_000)]
    assert max(late_s) < 1e-3
