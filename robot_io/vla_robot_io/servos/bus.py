"""A bus of servos: questions with a deadline, and answers that are whole or an error.

    read(names of registers, of all servos at once) ─► one request ─► a reply from each, in order ─► numbers
                                                                        └─ late, broken, of another ─► BusError

Nothing is ever answered from memory: what is returned was measured after the question was put.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

from vla.errors import ArmError
from vla.libraries import require_library
from vla_robot_io.servos.packets import (
    BROADCAST,
    PING,
    READ,
    SYNC_READ,
    SYNC_WRITE,
    WRITE,
    Dialect,
    Found,
    Packet,
)
from vla_robot_io.servos.ports import port_of
from vla_robot_io.servos.registers import Register, ServoModel

REPLY_S = 0.02
"""How long all replies to one question may take; six servos at 1 Mbit/s take 3 ms."""
ECHO_S = 0.004
"""So long after one answer a second one to the same question comes at the latest."""
_ALERT = 0x80
"""A reply of Dynamixel with this bit says that `hardware_error` is to be read; it is no error of the question."""


class Wrong(enum.Enum):
    """What was wrong with an answer."""

    SILENT = "silent"
    """None came."""
    BROKEN = "broken"
    """Something came that is no whole packet, or one of another length."""
    STRANGE = "strange"
    """One came from a servo that was not asked, or twice."""
    REFUSED = "refused"
    """The servo would not do it."""


class BusError(ArmError):
    """A question that was not answered whole, in time, by whom it was put to."""

    def __init__(self, text: str, id: int, wrong: Wrong) -> None:
        """Say it.

        Args:
            id: of the servo that was asked.
        """
        super().__init__(text)
        self.id, self.wrong = id, wrong


@dataclasses.dataclass
class Tally:
    """What became of the answers of one bus."""

    answered: int = 0
    broken: int = 0
    silent: int = 0
    strange: int = 0


@runtime_checkable
class Wire(Protocol):
    """Bytes to and from a bus."""

    def send(self, content: bytes) -> None: ...

    def receive(self, deadline_s: float) -> bytes:
        """What has arrived, as soon as that is anything; nothing if nothing arrives by then.

        Args:
            deadline_s: by `time.monotonic`.
        """
        ...

    def drop_input(self) -> None:
        """Forget what has arrived and was not asked for."""
        ...

    def close(self) -> None: ...


class SerialWire:
    """A serial port."""

    def __init__(self, port: str, baud: int) -> None:
        """Open it, for this program alone.

        Args:
            port: its path, or `serial=NUMBER` of the adapter behind it.
            baud: bits a second.

        Raises:
            ConfigError: if pyserial is not installed, or no adapter has this number.
            OSError: if there is no such port, or somebody else has it.
        """
        serial = require_library("serial", what="a serial port", extra="robots")
        self._serial = serial.Serial(port_of(port), baud, timeout=0, exclusive=True)

    def send(self, content: bytes) -> None:
        self._serial.write(content)

    def receive(self, deadline_s: float) -> bytes:
        self._serial.timeout = max(0.0, deadline_s - time.monotonic())
        first = self._serial.read(1)
        return first + self._serial.read(self._serial.in_waiting) if first else b""

    def drop_input(self) -> None:
        self._serial.reset_input_buffer()

    def close(self) -> None:
        self._serial.close()


class LateWire:
    """Another wire, opened when something is first sent: whoever only knows of the bus leaves it to another process."""

    def __init__(self, open: Callable[[], Wire]) -> None:
        """Nothing is opened yet.

        Args:
            open: opens it; what it raises, `send` does.
        """
        self._open = open
        self._wire: Wire | None = None

    def send(self, content: bytes) -> None:
        self._wire = self._wire or self._open()
        self._wire.send(content)

    def receive(self, deadline_s: float) -> bytes:
        return b"" if self._wire is None else self._wire.receive(deadline_s)

    def drop_input(self) -> None:
        if self._wire is not None:
            self._wire.drop_input()

    def close(self) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.close()


class ServoBus:
    """Servos of one dialect on one wire."""

    def __init__(self, wire: Wire, dialect: Dialect, reply_s: float = REPLY_S) -> None:
        self._wire = wire
        self._dialect = dialect
        self._reply_s = reply_s
        self._received = b""
        self._skipped = 0
        self.tally = Tally()
        """Of every answer since this was made."""
        self.alerts: set[int] = set()
        """The servos whose last reply said that something is wrong with them."""

    @property
    def dialect(self) -> Dialect:
        return self._dialect

    def ping(self, id: int) -> bool:
        """Whether a servo of this id answers."""
        with contextlib.suppress(BusError):
            self._ask(Packet(id, PING), [id])
            return True
        return False

    def is_shared(self, id: int) -> bool:
        """Whether more than one servo answers to this id, or their answers collide."""
        self._ask(Packet(id, PING), [id])
        return bool(self._received or self._wire.receive(time.monotonic() + ECHO_S))

    def scan(self, ids: Sequence[int] = range(1, 21)) -> list[int]:
        """Those of these ids that answer."""
        return [id for id in ids if self.ping(id)]

    def read(self, id: int, register: Register) -> int:
        """One register of one servo.

        Raises:
            BusError: if it does not answer, or answers something else.
        """
        block = self._dialect.read_block(register.address, register.size)
        (reply,) = self._ask(Packet(id, READ, block), [id], register.size)
        return register.decode(reply)

    def write(self, id: int, register: Register, value: int) -> None:
        """Write one register of one servo, and hear that it was taken.

        Raises:
            BusError: if that was not heard.
            ValueError: if the number does not fit.
        """
        block = self._dialect.write_block(register.address, register.encode(value))
        self._ask(Packet(id, WRITE, block), [id], 0)

    def sync_read(self, model: ServoModel, names: Sequence[str], ids: Sequence[int]) -> dict[str, list[int]]:
        """Some registers of many servos, by name, in the order of the ids; one question, all measured at once.

        Raises:
            BusError: naming the first servo whose answer is missing or wrong; nothing is returned then.
        """
        registers = [model.registers[name] for name in names]
        begin = min(register.address for register in registers)
        end = max(register.address + register.size for register in registers)
        block = self._dialect.read_block(begin, end - begin)
        replies = self._ask(Packet(BROADCAST, SYNC_READ, block + bytes(ids)), ids, end - begin)
        cut = {
            name: slice(r.address - begin, r.address - begin + r.size) for name, r in zip(names, registers, strict=True)
        }
        return {
            name: [register.decode(reply[cut[name]]) for reply in replies]
            for name, register in zip(names, registers, strict=True)
        }

    def sync_write(self, register: Register, values: Mapping[int, int]) -> None:
        """Write one register of many servos, by id; nobody answers.

        Raises:
            ValueError: if a number does not fit.
        """
        block = self._dialect.read_block(register.address, register.size)
        content = b"".join(bytes([id]) + register.encode(value) for id, value in values.items())
        self._wire.send(self._dialect.request(Packet(BROADCAST, SYNC_WRITE, block + content)))

    def close(self) -> None:
        self._wire.close()

    # ------------------------------------------------------------------ asking

    def _ask(self, packet: Packet, ids: Sequence[int], size: int | None = None) -> list[bytes]:
        """The parameters of each servo's reply, in order.

        Args:
            size: of the parameters, in bytes; any if not given.
        """
        self._wire.drop_input()
        self._received = b""
        deadline_s = time.monotonic() + self._reply_s
        self._wire.send(self._dialect.request(packet))
        return [self._reply(id, ids[index + 1 :], size, deadline_s) for index, id in enumerate(ids)]

    def _reply(self, id: int, later: Sequence[int], size: int | None, deadline_s: float) -> bytes:
        """Args: later: those whose replies are to come after this one."""
        reply = self._next(id, deadline_s)
        if reply.id != id:
            # Where the next one answers, this one has said nothing, or nothing that could be read.
            wrong = Wrong.STRANGE if reply.id not in later else Wrong.BROKEN if self._skipped else Wrong.SILENT
            raise self._error(f"servo {id} was asked, servo {reply.id} answered", id, wrong)
        if size is not None and len(reply.parameters) != size:
            text = f"servo {id} answered {len(reply.parameters)} bytes where {size} were asked for"
            raise self._error(text, id, Wrong.BROKEN)
        self._heed(reply)
        self.tally.answered += 1
        return reply.parameters

    def _next(self, id: int, deadline_s: float) -> Packet:
        """The next whole reply; noise before it is dropped."""
        self._skipped = 0
        while True:
            found = self._dialect.parse_reply(self._received) if self._received else Found.NOTHING_YET
            if isinstance(found, tuple):
                packet, used = found
                self._received = self._received[used:]
                return packet
            if found is Found.GARBAGE:
                self._received = self._received[1:]
                self._skipped += 1
                continue
            more = self._wire.receive(deadline_s)
            if not more:
                wrong = Wrong.BROKEN if self._skipped or self._received else Wrong.SILENT
                raise self._error(f"servo {id} did not answer within {self._reply_s:g} s", id, wrong)
            self._received += more

    def _error(self, text: str, id: int, wrong: Wrong) -> BusError:
        """Count what went wrong."""
        if wrong is not Wrong.REFUSED:
            setattr(self.tally, wrong.value, getattr(self.tally, wrong.value) + 1)
        return BusError(text, id, wrong)

    def _heed(self, reply: Packet) -> None:
        if self._dialect.name == "feetech":
            (self.alerts.add if reply.code else self.alerts.discard)(reply.id)
            return
        (self.alerts.add if reply.code & _ALERT else self.alerts.discard)(reply.id)
        if reply.code & ~_ALERT:
            text = f"servo {reply.id} refuses the instruction, error {reply.code & ~_ALERT}"
            raise self._error(text, reply.id, Wrong.REFUSED)
