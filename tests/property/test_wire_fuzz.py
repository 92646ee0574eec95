"""Whatever the bytes are: a message, or one kind of error."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from websockets.sync.client import connect

from vla.errors import VlaError, WireError
from vla.testing import SMALL_EMBODIMENT, FakePolicy, make_observation
from vla_policies.remote import RemotePolicy
from vla_policies.serving.background import served
from vla_policies.serving.messages import Begin, Greeting, Header, Request
from vla_policies.serving.parsing import parse_error, parse_header, parse_reply, parse_request
from vla_policies.serving.wire import DTYPES, decode, encode

MAX_BYTES = 1 << 16
VALID = [
    encode(Request(Header("arm", 3, 100.0, 1.5), make_observation(SMALL_EMBODIMENT, 0)).to_message()),
    encode(Begin(Header("arm", 4), 7).to_message()),
    encode(Greeting("zero", None, SMALL_EMBODIMENT, 4).to_message()),
    encode({"actions": np.zeros((4, 5), np.float32), "start_s": 0.0, "valid_s": 0.4, "seq": 1}),
    encode({"error": {"kind": "late", "text": "x"}, "seq": 1}),
]

arrays = st.sampled_from(DTYPES).flatmap(lambda name: hnp.arrays(name, hnp.array_shapes(min_dims=0, max_side=3)))
leaves = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False), st.text(max_size=5), arrays
)
KEYS = """
observation/state observation/images/scene prompt begin seq session deadline_ms sent_s time_s fresh committed
actions start_s valid_s error protocol embodiment x
"""
keys = st.sampled_from(KEYS.split())
trees = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=8
)
messages = st.dictionaries(keys, trees, max_size=6)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A message in which a few bytes are changed, removed, inserted or repeated."""
    data = bytearray(draw(st.sampled_from(VALID)))
    for _ in range(draw(st.integers(1, 4))):
        place, length = draw(st.integers(0, len(data))), draw(st.integers(0, 9))
        data[place : place + length] = draw(st.binary(max_size=9))
    return bytes(data)


def understand(data: bytes) -> None:
    """Read bytes as every kind of message there is."""
    message = decode(data, max_bytes=MAX_BYTES)
    for read in (
        lambda: parse_request(message, parse_header(message), SMALL_EMBODIMENT, 4, 0.0),
        lambda: parse_reply(message, SMALL_EMBODIMENT, 4),
        lambda: Greeting.from_message(message),
        lambda: parse_error(message),
    ):
        with contextlib.suppress(VlaError):
            read()


@settings(max_examples=1000)
@given(st.binary(max_size=200) | damaged())
def test_any_bytes_are_a_message_or_a_wire_error(data: bytes) -> None:
    with contextlib.suppress(WireError):
        understand(data)


@settings(max_examples=300)
@given(messages)
def test_any_tree_is_understood_or_refused_by_name(message: dict[str, Any]) -> None:
    understand(encode(message))


@settings(max_examples=300)
@given(messages)
def test_what_is_written_is_read_back(message: dict[str, Any]) -> None:
    read = decode(encode(message), max_bytes=MAX_BYTES)
    assert encode(read) == encode(message)


@pytest.mark.parametrize("data", VALID)
def test_a_message_that_ends_early_is_refused(data: bytes) -> None:
    for length in range(0, len(data), 1 + len(data) // 500):
        with pytest.raises(WireError):
            decode(data[:length], max_bytes=MAX_BYTES)


def test_a_server_answers_thousands_of_damaged_messages_and_lives_on() -> None:
    generator = np.random.default_rng(0)
    with served(FakePolicy()) as url:
        with connect(url, compression=None, max_size=None) as socket:
            socket.recv()
            for _ in range(30):
                batch = [_damaged(generator) for _ in range(100)]
                for data in batch:
                    socket.send(data)
                for _ in batch:
                    socket.recv(timeout=5)
        policy = RemotePolicy(url)
        policy.reset([0])
        assert len(policy.predict([make_observation(SMALL_EMBODIMENT, 0)])) == 1
        policy.close()


def _damaged(generator: np.random.Generator) -> bytes:
    data = bytearray(VALID[generator.integers(len(VALID))])
    for _ in range(generator.integers(1, 5)):
        place = int(generator.integers(len(data)))
        data[place : place + int(generator.integers(4))] = generator.bytes(int(generator.integers(4)))
    return bytes(data)
