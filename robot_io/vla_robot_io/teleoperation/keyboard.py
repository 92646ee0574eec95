"""A terminal's keys: each press leads the hand for a moment, and asks for all else.

    w s  away, near        q e  turn left, turn right     t  take over     n  new episode
    a d  left, right       o c  open, close the gripper   b  hand back     k  keep it as a success, j  as none
    r f  up, down          space  hold    enter  resume   x  discard it    esc  end the run

A terminal does not tell when a key is let go. So a press counts as 150 ms of holding the dead-man switch, and a key
that is held down, which the terminal repeats, as long as it is: `xset r rate 200 30` shortens the pause before that.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float32

from vla.errors import ConfigError
from vla.interfaces import Observation
from vla_robot_io.operating.asking import QueuedRequests, Request, Verb
from vla_robot_io.teleoperation.hand_drive import HandDrive, Push

HELD_FOR_S = 0.15
PUSHES = {
    "w": Push(x=1.0),
    "s": Push(x=-1.0),
    "a": Push(y=1.0),
    "d": Push(y=-1.0),
    "r": Push(z=1.0),
    "f": Push(z=-1.0),
    "q": Push(yaw=1.0),
    "e": Push(yaw=-1.0),
    "o": Push(gripper=1.0),
    "c": Push(gripper=0.0),
}
"""Every key that moves something is a dead-man switch too."""
ASKS = {
    " ": Request(Verb.HOLD),
    "\r": Request(Verb.RESUME),
    "\n": Request(Verb.RESUME),
    "t": Request(Verb.TAKE_OVER),
    "b": Request(Verb.HAND_BACK),
    "n": Request(Verb.RECORD),
    "k": Request(Verb.KEEP, value=1.0),
    "j": Request(Verb.KEEP, value=0.0),
    "x": Request(Verb.DISCARD),
    "\x1b": Request(Verb.END),
}


class KeyboardTeleoperator:
    """The keys of one terminal; also a source of requests."""

    name = "keyboard"

    def __init__(
        self, drive: HandDrive, terminal: int | None = None, now: Callable[[], float] = time.monotonic
    ) -> None:
        """Nothing is opened yet.

        Args:
            drive: makes the actions.
            terminal: its file descriptor; that of this process if not given.
            now: the machine's monotonic clock.
        """
        self._drive, self._now = drive, now
        self._terminal = terminal
        self._before: list[int | list[bytes | int]] | None = None
        self._pushed: tuple[float, Push] = (-float("inf"), Push())
        self._requests = QueuedRequests()
        self.is_over = False

    @property
    def is_held(self) -> bool:
        self._listen()
        return self._now() - self._pushed[0] <= HELD_FOR_S

    def connect(self) -> None:
        terminal = sys.stdin.fileno() if self._terminal is None else self._terminal
        if not os.isatty(terminal):
            raise ConfigError("by=keyboard needs a terminal: this process reads from a file or a pipe")
        self._terminal, self._before = terminal, termios.tcgetattr(terminal)
        tty.setcbreak(terminal)

    def read(self, observation: Observation) -> Float32[np.ndarray, " action_dim"] | None:
        return self._drive.action(self._pushed[1], observation) if self.is_held else None

    def take(self) -> Sequence[Request]:
        """What was asked for: this is a `Requests` too."""
        self._listen()
        return self._requests.take()

    def close(self) -> None:
        if self._terminal is not None and self._before is not None:
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self._terminal, termios.TCSADRAIN, self._before)
        self._before = None

    def _listen(self) -> None:
        for key in self._keys():
            if key in ASKS:
                self._requests.ask(ASKS[key])
            elif key.lower() in PUSHES:
                self._pushed = (self._now(), PUSHES[key.lower()])

    def _keys(self) -> str:
        if self._terminal is None or self._before is None or self.is_over:
            return ""
        try:
            has_come, _, _ = select.select([self._terminal], [], [], 0)
            keys = os.read(self._terminal, 64) if has_come else b""
        except OSError:  # the terminal was closed
            self.is_over = True
            return ""
        # A sequence of a key with no letter, such as an arrow, begins with esc: only esc alone ends a run.
        return "" if keys.startswith(b"\x1b") and len(keys) > 1 else keys.decode("latin-1")
