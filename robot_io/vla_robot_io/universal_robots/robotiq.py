"""A Robotiq two-finger gripper behind the server that its URCap runs on the controller: lines of text on a port."""

from __future__ import annotations

import contextlib
import socket

from vla.errors import ArmError

PORT = 63352
CLOSED = 255
"""The number of a closed gripper; 0 is open."""
_TIMEOUT_S = 1.0


class RobotiqGripper:
    """One gripper; what it says is taken when it has come, and never waited for."""

    def __init__(self, host: str, opening_m: float) -> None:
        """Nothing is reached yet.

        Args:
            opening_m: between the fingers when it is open.
        """
        self._host, self._opening_m = host, opening_m
        self._wire: socket.socket | None = None
        self._heard = bytearray()
        self._number, self._asked = 0, 0
        self._is_asking = False

    def open(self) -> None:
        """Reach it.

        Raises:
            OSError: if it does not answer.
            ArmError: if it is not activated: activating it moves its fingers, which is the operator's to decide.
        """
        self._wire = socket.create_connection((self._host, PORT), timeout=_TIMEOUT_S)
        self._wire.sendall(b"GET STA\n")
        if self._line() != "STA 3":
            raise ArmError("the gripper is not activated: activate it at the pendant; its fingers will move")
        self._wire.sendall(b"GET POS\n")
        self._heed(self._line())
        self._wire.setblocking(False)

    def move(self, opening_m: float) -> None:
        number = round(CLOSED * (1 - opening_m / self._opening_m))
        if number != self._asked:
            self._asked = number
            self._send(f"SET POS {number} GTO 1\n")

    def opening(self) -> float:
        self._listen()
        if not self._is_asking:
            self._is_asking = True
            self._send("GET POS\n")
        return self._opening_m * (1 - self._number / CLOSED)

    def close(self) -> None:
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    def _send(self, line: str) -> None:
        if self._wire is not None:
            self._wire.sendall(line.encode())

    def _listen(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._wire is not None and (content := self._wire.recv(4096)):
                self._heard += content
        *lines, rest = bytes(self._heard).split(b"\n")
        self._heard = bytearray(rest)
        for line in lines:
            self._heed(line.decode(errors="replace"))

    def _line(self) -> str:
        """Wait for one, before the wire is set not to wait."""
        assert self._wire is not None
        line = b""
        while not line.endswith(b"\n"):
            byte = self._wire.recv(1)
            if not byte:
                raise OSError("the gripper hung up")
            line += byte
        return line.decode(errors="replace").strip()

    def _heed(self, line: str) -> None:
        match line.split():
            case ["POS", number] if number.isdigit() and int(number) <= CLOSED:
                self._number, self._is_asking = int(number), False
