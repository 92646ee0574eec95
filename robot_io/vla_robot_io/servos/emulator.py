"""Servos without servos: a bus that answers as theirs does, with faults that are written down beforehand.

    bytes ─► EmulatedServos ─► bytes        registers, torque, a goal that a joint moves to
                 │                          kept registers outlive a loss of power, the others do not
                 └─ plant: ideal joints, or any physics that takes goals and gives positions

`LoopbackWire` is the bus in this process, by whatever clock; `pseudo_terminal` is a serial port that any program opens.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import select
import threading
import tty
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from vla.interfaces import Clock
from vla_robot_io.fake_arm import Window
from vla_robot_io.servos.packets import BROADCAST, PING, READ, SYNC_READ, SYNC_WRITE, WRITE, Dialect, Found, Packet
from vla_robot_io.servos.registers import Register, ServoModel

_SIZE = 256
_ALERT = 0x80
_ACCESS_ERROR = 0x07
_TRIPPED = -1


@runtime_checkable
class Plant(Protocol):
    """What the servos move."""

    def drive(self, goals: Mapping[int, int | None]) -> None:
        """Go to these ticks, by id; None is a joint without torque."""
        ...

    def measure(self) -> Mapping[int, tuple[int, float]]:
        """Ticks, and ticks a second, by id."""
        ...


class IdealJoints:
    """Joints that move to their goals at one speed, by a clock."""

    def __init__(self, clock: Clock, start: Mapping[int, int], ticks_per_s: float = 2000.0) -> None:
        """Place them.

        Args:
            start: ticks, by id.
        """
        self._clock = clock
        self._ticks = {id: float(ticks) for id, ticks in start.items()}
        self._speeds = dict.fromkeys(start, 0.0)
        self._goals: dict[int, int | None] = dict.fromkeys(start)
        self._ticks_per_s = ticks_per_s
        self._moved_s = clock.now()

    def drive(self, goals: Mapping[int, int | None]) -> None:
        self._move()
        self._goals |= goals

    def measure(self) -> Mapping[int, tuple[int, float]]:
        self._move()
        return {id: (round(ticks), self._speeds[id]) for id, ticks in self._ticks.items()}

    def _move(self) -> None:
        now_s = self._clock.now()
        passed_s, self._moved_s = now_s - self._moved_s, now_s
        if passed_s <= 0:
            return
        reach = self._ticks_per_s * passed_s
        for id, goal in self._goals.items():
            way = 0.0 if goal is None else min(max(goal - self._ticks[id], -reach), reach)
            self._ticks[id] += way
            self._speeds[id] = way / passed_s


@dataclasses.dataclass(frozen=True)
class ServoFaults:
    """What goes wrong on the bus, and when, in seconds since it was made."""

    silent: Mapping[int, Window] = dataclasses.field(default_factory=dict)
    """Servos that do not answer."""
    corrupt: Window | None = None
    """Replies have a wrong checksum."""
    truncated: Window | None = None
    """Replies lack their last byte."""
    noise: Window | None = None
    """Replies come after bytes that are none of theirs."""
    other_id: Window | None = None
    """Replies say that they come from another servo."""
    errors: Mapping[int, tuple[Window, int]] = dataclasses.field(default_factory=dict)
    """Servos that tell of an error: the bits of `hardware_error`."""
    told: Mapping[tuple[int, str], tuple[Window, int]] = dataclasses.field(default_factory=dict)
    """Registers that say something else: (servo, register) to when and what."""
    lossy: tuple[Window, float] | None = None
    """This part of all replies has a wrong checksum, the same ones each time."""
    dropped: Sequence[int] = ()
    """Replies that never come, by their number since the servos were made."""
    twice: Mapping[int, Window] = dataclasses.field(default_factory=dict)
    """Two servos have this id: everything is answered twice."""
    unwritten: Window | None = None
    """Goals for all servos are lost on the way; nobody answers those."""
    limp: Mapping[int, Window] = dataclasses.field(default_factory=dict)
    """Servos that take their torque away by themselves, at the beginning of the window."""
    stubborn: Mapping[int, Window] = dataclasses.field(default_factory=dict)
    """Servos that refuse every write."""
    stuck: Mapping[int, Window] = dataclasses.field(default_factory=dict)
    """Servos that do not move."""
    no_power: Window | None = None
    """Nobody answers, torque is gone, and what does not outlive that is forgotten."""


class EmulatedServos:
    """Servos of one model on one bus."""

    def __init__(
        self,
        model: ServoModel,
        dialect: Dialect,
        ids: Sequence[int],
        clock: Clock,
        plant: Plant | None = None,
        faults: ServoFaults | None = None,
    ) -> None:
        """Place the servos, in the middle of their turn and without torque.

        Args:
            plant: ideal joints if not given.
            faults: none if not given.
        """
        self._model, self._dialect, self._clock = model, dialect, clock
        self.faults = faults or ServoFaults()
        """What goes wrong; others may take their place at any time."""
        middle = model.ticks_per_turn // 2
        self._plant = plant or IdealJoints(clock, dict.fromkeys(ids, middle))
        self._start_s = clock.now()
        self._memory = {id: bytearray(_SIZE) for id in ids}
        self._heard_s = dict.fromkeys(ids, clock.now())
        self._had_power = True
        self._received = b""
        self._held: dict[int, int] = {}
        self._chance = np.random.default_rng(0)
        self._replies = 0
        self._limp: set[int] = set()
        self._true: dict[tuple[int, str], int] = {}
        for id in ids:
            self.set(id, "model", model.number)
            self.set(id, "id", id)
        self._wake()

    # ------------------------------------------------------------------ for tests

    def get(self, id: int, register: str) -> int:
        """A register's number, as the servo has it now."""
        found = self._register(register)
        return found.decode(bytes(self._memory[id][found.address : found.address + found.size]))

    def set(self, id: int, register: str, value: int) -> None:
        """Put a number into a register, unasked."""
        found = self._register(register)
        self._memory[id][found.address : found.address + found.size] = found.encode(value)

    # ------------------------------------------------------------------ the bus

    def exchange(self, content: bytes) -> bytes:
        """What comes back for these bytes; a request may come in pieces."""
        self._received += content
        answers = b""
        while self._received:
            found = self._dialect.parse_request(self._received)
            if found is Found.NOTHING_YET:
                break
            if isinstance(found, Found):
                self._received = self._received[1:]
                continue
            packet, used = found
            self._received = self._received[used:]
            answers += self._answer(packet)
        return answers

    def _answer(self, packet: Packet) -> bytes:
        self._go_on()
        if self._is(self.faults.no_power):
            return b""
        block = packet.parameters
        match packet.code:
            case code if code == PING:
                return self._reply(packet.id, b"" if self._dialect.name == "feetech" else self._identity(packet.id))
            case code if code == READ:
                address, size, _ = self._dialect.parse_read(block)
                return self._reply(packet.id, self._content(packet.id, address, size))
            case code if code == WRITE:
                error = self._write(packet.id, *self._dialect.parse_write(block))
                self._drive()
                return self._reply(packet.id, b"", error)
            case code if code == SYNC_READ and packet.id == BROADCAST:
                address, size, ids = self._dialect.parse_read(block)
                return b"".join(self._reply(id, self._content(id, address, size)) for id in ids)
            case code if code == SYNC_WRITE and packet.id == BROADCAST and not self._is(self.faults.unwritten):
                address, size, rest = self._dialect.parse_read(block)
                for begin in range(0, len(rest), size + 1):
                    self._write(rest[begin], address, rest[begin + 1 : begin + 1 + size])
                self._drive()
        return b""

    def _reply(self, id: int, parameters: bytes, error: int = 0) -> bytes:
        if id not in self._memory or self._is(self.faults.silent.get(id)):
            return b""
        self._heard_s[id] = self._clock.now()
        self._replies += 1
        if self._replies - 1 in self.faults.dropped:
            return b""
        bits = self.get(id, "hardware_error")
        code = bits if self._dialect.name == "feetech" else error | (_ALERT if bits else 0)
        sender = id % 250 + 1 if self._is(self.faults.other_id) else id
        whole = self._dialect.reply(Packet(sender, code, parameters))
        lossy, share = self.faults.lossy or (None, 0.0)
        if self._is(self.faults.corrupt) or (self._is(lossy) and self._chance.random() < share):
            whole = whole[:-1] + bytes([whole[-1] ^ 0x55])
        if self._is(self.faults.truncated):
            whole = whole[:-1]
        whole *= 2 if self._is(self.faults.twice.get(id)) else 1
        return (b"\x00\xff\x13" if self._is(self.faults.noise) else b"") + whole

    def _identity(self, id: int) -> bytes:
        return self._content(id, self._register("model").address, 2) + b"\x2e" if id in self._memory else b""

    def _content(self, id: int, address: int, size: int) -> bytes:
        return bytes(self._memory[id][address : address + size]) if id in self._memory else b""

    def _write(self, id: int, address: int, content: bytes) -> int:
        """The error code of the servo's answer."""
        if id not in self._memory or self._is(self.faults.silent.get(id)):
            return 0
        self._heard_s[id] = self._clock.now()
        torque = self.get(id, "torque_enable")
        kept = [r for r in self._model.registers.values() if r.kept and r.address == address]
        watchdog = self._model.watchdog_unit_s is not None and self.get(id, "bus_watchdog") == _TRIPPED
        is_goal = address == self._register("goal_position").address
        if (kept and torque) or (watchdog and is_goal) or self._is(self.faults.stubborn.get(id)):
            return _ACCESS_ERROR
        self._memory[id][address : address + len(content)] = content
        if is_goal:
            self._held.pop(id, None)
        return 0

    # ------------------------------------------------------------------ time

    def _go_on(self) -> None:
        """Let time take its course: power, watchdogs, joints, errors."""
        has_power = not self._is(self.faults.no_power)
        if self._had_power and not has_power:
            self._wake()
        self._had_power = has_power
        for id in self._memory:
            self._watch(id)
            window, bits = self.faults.errors.get(id, (None, 0))
            self.set(id, "hardware_error", bits if self._is(window) else 0)
            if not self._is(self.faults.limp.get(id)):
                self._limp.discard(id)
            elif id not in self._limp:
                self._limp.add(id)
                self.set(id, "torque_enable", 0)
        self._drive()
        for id, (ticks, speed) in self._plant.measure().items():
            self.set(id, "present_position", ticks)
            self.set(id, "present_velocity", self._velocity(speed))
        self._pretend()

    def _pretend(self) -> None:
        """Registers say what a fault has them say; of those that the servo keeps up to date, the old value returns."""
        for (id, register), (window, value) in self.faults.told.items():
            if self._is(window):
                self._true.setdefault((id, register), self.get(id, register))
                self.set(id, register, value)
            elif (id, register) in self._true:
                self.set(id, register, self._true.pop((id, register)))

    def _wake(self) -> None:
        """As after power came: what is not kept is as the maker made it."""
        for id, memory in self._memory.items():
            for register in self._model.registers.values():
                if not register.kept:
                    memory[register.address : register.address + register.size] = bytes(register.size)
            self.set(id, "present_temperature", 30)
            self.set(id, "present_voltage", 120 if self._dialect.name == "dynamixel" else 74)
        self._held = {}
        for id, (ticks, _) in self._plant.measure().items():
            self.set(id, "present_position", ticks)
            self.set(id, "goal_position", ticks)

    def _watch(self, id: int) -> None:
        """A servo whose watchdog trips stays where it is."""
        unit_s = self._model.watchdog_unit_s
        if unit_s is None or self.get(id, "bus_watchdog") <= 0:
            return
        if self._clock.now() - self._heard_s[id] > unit_s * self.get(id, "bus_watchdog"):
            self.set(id, "bus_watchdog", _TRIPPED)
            self._held[id] = self._plant.measure()[id][0]

    def _drive(self) -> None:
        self._plant.drive({id: self._goal(id) for id in self._memory})

    def _goal(self, id: int) -> int | None:
        if not self.get(id, "torque_enable") or self._is(self.faults.no_power):
            return None
        if self._is(self.faults.stuck.get(id)):
            return self._held.setdefault(id, self._plant.measure()[id][0])
        return self._held.get(id, self.get(id, "goal_position"))

    def _velocity(self, ticks_per_s: float) -> int:
        per_unit = self._model.rad_s_per_unit / self._model.rad_per_tick
        low, high = self._register("present_velocity").range
        return min(max(round(ticks_per_s / per_unit), low), high)

    def _register(self, name: str) -> Register:
        return self._model.registers[name]

    def _is(self, window: Window | None) -> bool:
        return window is not None and self._clock.now() - self._start_s in window


class LoopbackWire:
    """The bus within this process: what is not there yet will not come."""

    def __init__(self, servos: EmulatedServos) -> None:
        self._servos = servos
        self._arrived = b""

    def send(self, content: bytes) -> None:
        self._arrived += self._servos.exchange(content)

    def receive(self, deadline_s: float) -> bytes:
        arrived, self._arrived = self._arrived, b""
        return arrived

    def drop_input(self) -> None:
        self._arrived = b""

    def close(self) -> None:
        """Nothing is held."""


@contextlib.contextmanager
def pseudo_terminal(servos: EmulatedServos) -> Iterator[str]:
    """The servos behind a serial port, which lasts as long as the context: its path."""
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    wake, stop = os.pipe()
    thread = threading.Thread(target=_serve, args=(servos, ours, wake), daemon=True)
    thread.start()
    try:
        yield os.ttyname(theirs)
    finally:
        os.write(stop, b"x")
        thread.join()
        for end in (ours, theirs, wake, stop):
            os.close(end)


def _serve(servos: EmulatedServos, port: int, wake: int) -> None:
    while True:
        ready, _, _ = select.select([port, wake], [], [])
        if wake in ready:
            return
        answer = servos.exchange(os.read(port, 4096))
        if answer:
            os.write(port, answer)
