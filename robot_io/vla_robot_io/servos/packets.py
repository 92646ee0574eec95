"""Packets of servo buses: what is sent, and what of the bytes that come back is a packet.

    Feetech STS      FF FF | id | length | instruction or error | parameters | checksum
    Dynamixel 2.0    FF FF FD 00 | id | length (2) | instruction | error, parameters, stuffed | CRC-16 (2)

Sources: Feetech, "Communication Protocol User Manual" (STS, SCS); Robotis, "Protocol 2.0". The makers' own libraries
answer a reply that is missing or broken with old numbers, with zeros, or with both; here it is an error, and a reply
counts only if its checksum, its id and its length are right.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

PING, READ, WRITE, SYNC_READ, SYNC_WRITE = 0x01, 0x02, 0x03, 0x82, 0x83
BROADCAST = 0xFE


@dataclasses.dataclass(frozen=True, slots=True)
class Packet:
    """One packet, in either direction."""

    id: int
    code: int
    """The instruction; in a reply, the servo's error bits."""
    parameters: bytes = b""


class Found(enum.Enum):
    """What lies at the beginning of some bytes that is no packet."""

    NOTHING_YET = enum.auto()
    """Perhaps the beginning of one: wait for more."""
    GARBAGE = enum.auto()
    """No packet begins with the first byte: drop it."""


@runtime_checkable
class Dialect(Protocol):
    """How packets are written in bytes."""

    @property
    def name(self) -> str: ...

    def request(self, packet: Packet) -> bytes:
        """The bytes of an instruction."""
        ...

    def reply(self, packet: Packet) -> bytes:
        """The bytes of a reply, as a servo sends it."""
        ...

    def parse_request(self, received: bytes) -> tuple[Packet, int] | Found:
        """The instruction that some bytes begin with, and how many bytes it takes."""
        ...

    def parse_reply(self, received: bytes) -> tuple[Packet, int] | Found:
        """The reply that some bytes begin with, and how many bytes it takes."""
        ...

    def read_block(self, address: int, size: int) -> bytes:
        """The parameters of `READ`, and the first ones of `SYNC_READ` and `SYNC_WRITE`."""
        ...

    def write_block(self, address: int, content: bytes) -> bytes:
        """The parameters of `WRITE`."""
        ...

    def parse_write(self, parameters: bytes) -> tuple[int, bytes]:
        """Address and content of a `WRITE`."""
        ...

    def parse_read(self, parameters: bytes) -> tuple[int, int, bytes]:
        """Address and size of a `READ` or of a sync instruction, and what follows them."""
        ...


class Feetech:
    """The dialect of Feetech's STS series; numbers of several bytes come lowest byte first."""

    name = "feetech"

    def request(self, packet: Packet) -> bytes:
        body = bytes([packet.id, len(packet.parameters) + 2, packet.code]) + packet.parameters
        return b"\xff\xff" + body + bytes([~sum(body) & 0xFF])

    reply = request

    def parse_request(self, received: bytes) -> tuple[Packet, int] | Found:
        if not b"\xff\xff".startswith(received[:2]):
            return Found.GARBAGE
        if len(received) < 4:
            return Found.NOTHING_YET
        # A third FF belongs to the header of a packet that begins one byte later.
        if received[2] == 0xFF or received[3] < 2:
            return Found.GARBAGE
        end = 4 + received[3]
        if len(received) < end:
            return Found.NOTHING_YET
        body, checksum = received[2 : end - 1], received[end - 1]
        if ~sum(body) & 0xFF != checksum:
            return Found.GARBAGE
        return Packet(body[0], body[2], body[3:]), end

    parse_reply = parse_request

    def read_block(self, address: int, size: int) -> bytes:
        return bytes([address, size])

    def write_block(self, address: int, content: bytes) -> bytes:
        return bytes([address]) + content

    def parse_write(self, parameters: bytes) -> tuple[int, bytes]:
        return parameters[0], parameters[1:]

    def parse_read(self, parameters: bytes) -> tuple[int, int, bytes]:
        return parameters[0], parameters[1], parameters[2:]


_HEADER = b"\xff\xff\xfd\x00"
_STATUS = 0x55


class Dynamixel:
    """The dialect of Dynamixel's protocol 2.0."""

    name = "dynamixel"

    def request(self, packet: Packet) -> bytes:
        return self._framed(packet.id, bytes([packet.code]) + packet.parameters)

    def reply(self, packet: Packet) -> bytes:
        return self._framed(packet.id, bytes([_STATUS, packet.code]) + packet.parameters)

    def parse_request(self, received: bytes) -> tuple[Packet, int] | Found:
        found = self._unframed(received)
        if isinstance(found, Found):
            return found
        id, body, end = found
        return Packet(id, body[0], body[1:]), end

    def parse_reply(self, received: bytes) -> tuple[Packet, int] | Found:
        found = self._unframed(received)
        if isinstance(found, Found):
            return found
        id, body, end = found
        if body[0] != _STATUS or len(body) < 2:
            return Found.GARBAGE
        return Packet(id, body[1], body[2:]), end

    def read_block(self, address: int, size: int) -> bytes:
        return address.to_bytes(2, "little") + size.to_bytes(2, "little")

    def write_block(self, address: int, content: bytes) -> bytes:
        return address.to_bytes(2, "little") + content

    def parse_write(self, parameters: bytes) -> tuple[int, bytes]:
        return int.from_bytes(parameters[:2], "little"), parameters[2:]

    def parse_read(self, parameters: bytes) -> tuple[int, int, bytes]:
        return int.from_bytes(parameters[:2], "little"), int.from_bytes(parameters[2:4], "little"), parameters[4:]

    def _framed(self, id: int, body: bytes) -> bytes:
        stuffed = body.replace(b"\xff\xff\xfd", b"\xff\xff\xfd\xfd")
        whole = _HEADER + bytes([id]) + (len(stuffed) + 2).to_bytes(2, "little") + stuffed
        return whole + crc16(whole).to_bytes(2, "little")

    def _unframed(self, received: bytes) -> tuple[int, bytes, int] | Found:
        """Id and body of the packet that some bytes begin with, and how many bytes it takes."""
        begin = received[: len(_HEADER)]
        if not _HEADER.startswith(begin):
            return Found.GARBAGE
        if len(received) < 7:
            return Found.NOTHING_YET
        length = int.from_bytes(received[5:7], "little")
        end = 7 + length
        if length < 3 or length > MAX_LENGTH:
            return Found.GARBAGE
        if len(received) < end:
            return Found.NOTHING_YET
        if crc16(received[: end - 2]) != int.from_bytes(received[end - 2 : end], "little"):
            return Found.GARBAGE
        return received[4], received[7 : end - 2].replace(b"\xff\xff\xfd\xfd", b"\xff\xff\xfd"), end


DIALECTS: dict[str, Dialect] = {dialect.name: dialect for dialect in (Feetech(), Dynamixel())}
"""By the names that `ServoModel.dialect` calls them."""

MAX_LENGTH = 1024
"""A length beyond this is a broken header, not a packet that is worth waiting for."""


def crc16(content: bytes) -> int:
    """The checksum of Dynamixel's protocol 2.0: polynomial 0x8005, from 0, most significant bit first."""
    value = 0
    for byte in content:
        value = (value << 8) & 0xFFFF ^ _CRC_TABLE[(value >> 8) ^ byte]
    return value


def _crc_entry(index: int) -> int:
    value = index << 8
    for _ in range(8):
        value = (value << 1) ^ (0x8005 if value & 0x8000 else 0)
    return value & 0xFFFF


_CRC_TABLE: Sequence[int] = tuple(_crc_entry(index) for index in range(256))
