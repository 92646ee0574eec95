"""Bytes on a servo bus: what is written is read back, and nothing else is taken for a packet."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_robot_io.servos.packets import PING, READ, Dialect, Dynamixel, Feetech, Found, Packet, crc16
from vla_robot_io.servos.registers import MODELS, Register, Sign, error_words

DIALECTS: list[Dialect] = [Feetech(), Dynamixel()]
IDS, CODES = st.integers(0, 252), st.integers(0, 255)
STUFFED = st.lists(st.sampled_from([b"\xff\xff\xfd", b"\xff", b"\xfd", b"\x00"]), max_size=12).map(b"".join)
PACKETS = st.builds(Packet, IDS, CODES, st.binary(max_size=60) | STUFFED)
REGISTERS = [register for model in MODELS.values() for register in model.registers.values()]


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
@given(packet=PACKETS, tail=st.binary(max_size=9))
def test_a_packet_is_read_back_and_what_follows_it_is_left(dialect: Dialect, packet: Packet, tail: bytes) -> None:
    request, reply = dialect.request(packet), dialect.reply(packet)
    assert dialect.parse_request(request + tail) == (packet, len(request))
    assert dialect.parse_reply(reply + tail) == (packet, len(reply))


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
@given(packet=PACKETS, data=st.data())
def test_the_beginning_of_a_packet_is_waited_for(dialect: Dialect, packet: Packet, data: st.DataObject) -> None:
    whole = dialect.reply(packet)
    assert dialect.parse_reply(whole[: data.draw(st.integers(1, len(whole) - 1))]) is Found.NOTHING_YET


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
@given(packet=PACKETS, data=st.data())
def test_a_byte_that_was_changed_is_noticed(dialect: Dialect, packet: Packet, data: st.DataObject) -> None:
    whole = bytearray(dialect.reply(packet))
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    found = dialect.parse_reply(bytes(whole))
    assert not isinstance(found, tuple) or found[0] != packet


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
@given(noise=st.binary(max_size=300))
def test_noise_never_raises(dialect: Dialect, noise: bytes) -> None:
    while noise:
        found = dialect.parse_reply(noise)
        if found is Found.NOTHING_YET:
            return
        noise = noise[found[1] if isinstance(found, tuple) else 1 :]


@pytest.mark.parametrize(
    ("dialect", "packet", "published"),
    [
        (Dynamixel(), Packet(1, PING), "fffffd0001030001194e"),
        (Dynamixel(), Packet(1, READ, bytes([132, 0, 4, 0])), "fffffd000107000284000400 1d15"),
        (Feetech(), Packet(1, PING), "ffff010201fb"),
    ],
)
def test_requests_are_those_that_the_makers_publish(dialect: Dialect, packet: Packet, published: str) -> None:
    assert dialect.request(packet) == bytes.fromhex(published)


def test_the_checksum_of_nothing_is_nothing() -> None:
    assert crc16(b"") == 0


@given(st.sampled_from(REGISTERS), st.data())
def test_a_number_that_fits_a_register_is_read_back(register: Register, data: st.DataObject) -> None:
    low, high = register.range
    value = data.draw(st.integers(low, high))
    assert register.decode(register.encode(value)) == value


@given(st.sampled_from(REGISTERS), st.integers())
def test_a_number_that_does_not_fit_is_refused(register: Register, value: int) -> None:
    low, high = register.range
    if not low <= value <= high:
        with pytest.raises(ValueError, match="the register at"):
            register.encode(value)


def test_a_sign_bit_is_no_part_of_the_size() -> None:
    assert Register(56, 2, Sign.BIT_15).encode(-5) == bytes([5, 0x80])
    assert Register(132, 4, Sign.COMPLEMENT).encode(-1) == b"\xff" * 4


def test_errors_are_told_in_words() -> None:
    assert error_words("feetech", 0b100100) == ["overheated", "overload"]
    assert error_words("dynamixel", 0b10) == ["error bit 1"]
