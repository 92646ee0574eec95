"""What an operator asks for is one line of JSON; what is none, or came too late, is told and not done."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla.errors import WireError
from vla_robot_io.operating.asking import (
    FILE_NAME,
    MAX_LINE_BYTES,
    Request,
    RequestFile,
    Verb,
    ask,
    line_of,
    request_of,
)


@given(
    verb=st.sampled_from(Verb),
    text=st.text(max_size=300).map(lambda text: " ".join(text.split())),
    value=st.floats(allow_nan=False, allow_infinity=False, width=32),
    asked_s=st.floats(0, 1e9),
)
def test_a_request_comes_back_as_it_was_written(verb: Verb, text: str, value: float, asked_s: float) -> None:
    needs_value = verb in (Verb.SPEED, Verb.KEEP)
    request = Request(verb, text or "a fault", value if needs_value else None, asked_s)
    assert request_of(line_of(request)) == request


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_bytes_that_are_no_request_are_a_wire_error(line: bytes) -> None:
    try:
        request = request_of(line)
    except WireError:
        return
    assert json.loads(line)["verb"] == request.verb.value


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("[]", "verb, text, value and asked_s"),
        ('{"verb": "fly"}', "expected a verb of end, hold"),
        ('{"verb": ["hold"]}', "expected a verb"),
        ('{"verb": "hold", "path": "/etc"}', "nothing else"),
        ('{"verb": "acknowledge"}', "'acknowledge' needs text"),
        ('{"verb": "instruction", "text": "  "}', "'instruction' needs text"),
        ('{"verb": "speed", "value": NaN}', "'speed' needs a finite value"),
        ('{"verb": "speed", "value": true}', "'speed' needs a finite value"),
        ('{"verb": "speed", "value": 1' + "0" * 400 + "}", "'speed' needs a finite value"),
        ('{"verb": "hold", "asked_s": "now"}', "asked_s is a finite number"),
        ("[" * 2000, "one line of JSON"),
        ("x" * (MAX_LINE_BYTES + 1), "at most 2048 bytes"),
    ],
)
def test_what_is_wrong_with_a_request_is_said(line: str, says: str) -> None:
    with pytest.raises(WireError, match=says):
        request_of(line)


class Desk:
    """A request file with a clock that is moved by hand."""

    def __init__(self, folder: Path) -> None:
        self.now_s, self.folder, self.refused = 100.0, folder, list[str]()
        self.file = RequestFile(folder, self.refused.append, now=lambda: self.now_s)

    def ask(self, request: Request) -> None:
        ask(self.folder, request, now=lambda: self.now_s)


def test_requests_of_another_process_come_in_order_and_once(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.ask(Request(Verb.HOLD))
    desk.ask(Request(Verb.SPEED, value=0.5))
    assert [request.verb for request in desk.file.take()] == [Verb.HOLD, Verb.SPEED]
    assert desk.file.take() == []
    desk.file.close()


def test_half_a_line_waits_for_its_other_half(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    line = line_of(Request(Verb.HOLD, asked_s=100.0))
    with (tmp_path / FILE_NAME).open("ab", buffering=0) as file:
        file.write(line[:9])
        assert desk.file.take() == []
        file.write(line[9:])
    assert [request.verb for request in desk.file.take()] == [Verb.HOLD]
    desk.file.close()


def test_what_was_asked_of_the_run_before_is_forgotten(tmp_path: Path) -> None:
    first = Desk(tmp_path)
    first.ask(Request(Verb.RESUME))
    first.file.close()
    second = Desk(tmp_path)
    assert second.file.take() == []
    second.file.close()


def test_a_motion_that_was_asked_for_long_ago_is_not_done_but_a_hold_is(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.ask(Request(Verb.RESUME))
    desk.ask(Request(Verb.HOLD))
    desk.now_s += 30.0
    assert [request.verb for request in desk.file.take()] == [Verb.HOLD]
    assert desk.refused == ["'resume' was asked for 30.0 s ago: not done, ask again"]
    desk.file.close()


def test_a_line_without_end_does_not_grow(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    with (tmp_path / FILE_NAME).open("ab", buffering=0) as file:
        for _ in range(50):
            file.write(b"x" * MAX_LINE_BYTES)
            assert desk.file.take() == []
        file.write(b"\n" + line_of(Request(Verb.HOLD, asked_s=100.0)))
    assert [request.verb for request in desk.file.take()] == [Verb.HOLD]
    desk.file.close()
