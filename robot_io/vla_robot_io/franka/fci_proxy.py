"""Between a client of Franka's control interface and a simulated controller: faults, and the rules that it lacks.

    libfranka ──TCP 1337──► proxy ──TCP 1337──► simulated controller          commands; the UDP port is rewritten
              ◄──UDP─────── proxy ◄──UDP──────                                states: dropped, doubled, out of order
              ───UDP──────► proxy ───UDP──────►                               commands: lost, or against the limits

A real controller aborts a motion when 20 commands in a row are missing, when a command is beyond a joint's limits, and
when it feels a collision. A simulated one does none of it; the proxy does, in the controller's own words: an aborted
motion, a mode, an error bit, and nothing moves before error recovery was asked for. It runs in a process of its own.
"""

from __future__ import annotations

import dataclasses
import random
import select
import socket
import struct
import sys
from collections.abc import Sequence
from typing import Any, TextIO

from vla_robot_io.franka.limits import FR3, FrankaModel
from vla_robot_io.links.controller_process import ControllerProcess

PORT = 1337
LOST_TO_ABORT = 20
_HEADER = struct.Struct("<III")
_CONNECT, _MOVE, _RECOVER = 0, 1, 10
_REFLEX_ABORTED = 8
_MOVING, _REFLEX = 2, 4
_COMMAND = struct.Struct("<Q7d7d16d6d2d??7d?")
_FINISHED, _TORQUE_FINISHED = 40, 48
"""Where a command says that its motion, or its torques, are over."""
_ERRORS = 41
_TAIL = 5
"""After the errors and the reflex's reasons: one byte of mode, four of success rate."""
ERRORS = {"joint_position_limits_violation": 0, "joint_reflex": 6, "communication_constraints_violation": 25}
"""Their places among the error bits."""


@dataclasses.dataclass
class Rules:
    """What goes wrong, and what a controller would make of it."""

    model: FrankaModel = FR3
    seed: int = 0
    drop: float = 0.0
    """The part of states and of commands that is lost ..."""
    double: float = 0.0
    """... comes twice ..."""
    reorder: float = 0.0
    """... or comes after the next."""
    is_silent: bool = False
    """Nothing passes."""
    lost_commands: int = 0
    """So many of the next commands are lost."""
    aborted: str | None = None
    """The error for which the motion was aborted."""

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._missing = 0
        self._kept: dict[str, bytes] = {}

    def passes(self, packet: bytes, way: str) -> list[bytes]:
        """What comes of a packet, in the order in which it does.

        Args:
            way: `states` or `commands`: one overtakes another of its own way alone.
        """
        if self.is_silent or self._random.random() < self.drop:
            return []
        if way not in self._kept and self._random.random() < self.reorder:
            self._kept[way] = packet
            return []
        doubled = [packet] * (2 if self._random.random() < self.double else 1)
        kept = self._kept.pop(way, None)
        return doubled if kept is None else [*doubled, kept]

    def heed_command(self, packet: bytes) -> bool:
        """Whether a command reaches the controller; a motion may be aborted for it."""
        if self.lost_commands > 0:
            self.lost_commands -= 1
            return False
        self._missing = 0
        if self.aborted is not None or len(packet) < _COMMAND.size:
            return False
        fields = _COMMAND.unpack(packet[: _COMMAND.size])
        is_over = fields[_FINISHED] or fields[_TORQUE_FINISHED]
        beyond = any(
            not low <= joint <= high
            for joint, low, high in zip(fields[1:8], self.model.low, self.model.high, strict=True)
        )
        if beyond and not is_over:
            self.aborted = "joint_position_limits_violation"
        return self.aborted is None

    def heed_state(self, packet: bytes) -> bytes:
        """A state as the controller would have sent it: counts what is missing, and tells what was aborted."""
        if packet[-_TAIL] == _MOVING and self.aborted is None:
            self._missing += 1
            if self._missing > LOST_TO_ABORT:
                self.aborted = "communication_constraints_violation"
        if self.aborted is None:
            return packet
        state = bytearray(packet)
        state[-_TAIL] = _REFLEX
        for before in (_TAIL + 2 * _ERRORS, _TAIL + _ERRORS):
            state[len(state) - before + ERRORS[self.aborted]] = 1
        return bytes(state)

    def recover(self) -> None:
        """What automatic error recovery does."""
        self.aborted, self._missing = None, 0

    def tell(self, words: Sequence[str]) -> bool:
        """Do what a line says: `reflex`, `silence`, `talk`, `lose 25`, `drop 0.01`, `double 0.05`, `reorder 0.05`."""
        match list(words):
            case ["reflex"]:
                self.aborted = "joint_reflex"
            case ["silence" | "talk" as way]:
                self.is_silent = way == "silence"
            case ["lose", count]:
                self.lost_commands = int(count)
            case ["drop" | "double" | "reorder" as name, part]:
                setattr(self, name, float(part))
            case _:
                return False
        return True


class _Proxy:
    """One client at a time."""

    def __init__(self, host: str, upstream: str, rules: Rules) -> None:
        self._host, self._upstream, self._rules = host, upstream, rules
        self._listener = socket.create_server((host, PORT))
        self._states, self._commands = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        for wire in (self._states, self._commands):
            wire.bind((host, 0))
        self._client: socket.socket | None = None
        self._server: socket.socket | None = None
        self._client_udp: tuple[str, int] | None = None
        self._server_udp: tuple[str, int] | None = None
        self._buffer = bytearray()
        self._move_id: int | None = None
        self._was_aborted = False

    def serve(self) -> None:
        """Until standard input is closed."""
        told: TextIO = sys.stdin
        while True:
            wires = [wire for wire in (self._client, self._server) if wire is not None]
            waiting: list[Any] = [told, self._listener, self._states, self._commands, *wires]
            ready, _, _ = select.select(waiting, [], [])
            for file in ready:
                if file is told:
                    line = told.readline()
                    if not line or not self._tell(line.split()):
                        return
                    print("done", flush=True)
                elif file is self._listener:
                    self._accept()
                elif file is self._states:
                    self._pass_state()
                elif file is self._commands:
                    self._pass_command()
                elif isinstance(file, socket.socket):
                    self._pass_bytes(file)

    def _tell(self, words: list[str]) -> bool:
        if words == ["close"]:
            self._hang_up()
            return True
        return self._rules.tell(words)

    def _accept(self) -> None:
        self._hang_up()
        self._client, (address, _) = self._listener.accept()
        self._client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._server = socket.create_connection((self._upstream, PORT), source_address=(self._host, 0))
        self._server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._client_udp, self._server_udp = (address, 0), None
        self._buffer.clear()
        self._rules.recover()
        self._move_id, self._was_aborted = None, False

    def _hang_up(self) -> None:
        for wire in (self._client, self._server):
            if wire is not None:
                wire.close()
        self._client = self._server = None

    def _pass_bytes(self, source: socket.socket) -> None:
        try:
            content = source.recv(65536)
        except OSError:
            content = b""
        if not content:
            self._hang_up()
        elif source is self._server and self._client is not None:
            self._client.sendall(content)
        else:
            self._buffer += content
            self._pass_messages()

    def _pass_messages(self) -> None:
        """From the client: each is looked at on its way."""
        while len(self._buffer) >= _HEADER.size:
            kind, number, size = _HEADER.unpack_from(self._buffer)
            if len(self._buffer) < size:
                return
            message = bytearray(self._buffer[:size])
            del self._buffer[:size]
            if kind == _CONNECT:
                port = struct.unpack_from("<H", message, _HEADER.size + 2)[0]
                self._client_udp = (self._client_udp[0], port) if self._client_udp else None
                struct.pack_into("<H", message, _HEADER.size + 2, self._states.getsockname()[1])
            if kind == _MOVE:
                self._move_id = number
            if kind == _RECOVER:
                self._rules.recover()
                self._was_aborted = False
            if self._server is not None:
                self._server.sendall(message)

    def _pass_state(self) -> None:
        packet, self._server_udp = self._states.recvfrom(65536)
        packet = self._rules.heed_state(packet)
        self._heed_abort()
        if self._client_udp is not None:
            for each in self._rules.passes(packet, "states"):
                self._commands.sendto(each, self._client_udp)

    def _pass_command(self) -> None:
        packet, _ = self._commands.recvfrom(65536)
        arrived = self._rules.passes(packet, "commands")
        for each in arrived:
            if self._rules.heed_command(each) and self._server_udp is not None:
                self._states.sendto(each, self._server_udp)

    def _heed_abort(self) -> None:
        """Tell the client, once, that its motion was aborted."""
        if self._rules.aborted is None or self._was_aborted:
            return
        self._was_aborted = True
        if self._move_id is not None and self._client is not None:
            self._client.sendall(_HEADER.pack(_MOVE, self._move_id, _HEADER.size + 1) + bytes([_REFLEX_ABORTED]))
            self._move_id = None


def start_proxy(host: str, upstream: str) -> ControllerProcess:
    """A proxy in a process of its own; it is told what `Rules.tell` knows, or to `close` the connection.

    Args:
        host: where clients find it.
        upstream: where the simulated controller is.

    Raises:
        OSError: if its port is taken.
    """
    return ControllerProcess(__name__, host, (upstream,))


def main(arguments: Sequence[str]) -> int:
    """Serve until standard input ends: HOST UPSTREAM."""
    host, upstream = arguments
    proxy = _Proxy(host, upstream, Rules())
    print("done", flush=True)
    proxy.serve()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
