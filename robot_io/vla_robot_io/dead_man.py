"""The input that a human must hold for the arm to move, carried to the process that has the arm.

    device ─► held? asked every 10 ms by a thread, and before every plan ─► mailbox ─► looked at on every tick

A plan that a human's hand leads is carried out while the input is held, and no longer: let go, or silent for 0.2 s
because its device, its thread or its whole process hangs, it brakes the arm, whatever the control loop does meanwhile.
The next plan that is made while it is held goes on. Not safety-rated.
"""

from __future__ import annotations

import logging
import struct
import threading
import time
from collections.abc import Callable

from vla_robot_io.operating.letterbox import Mailbox
from vla_robot_io.reasons import Code, Reason

SILENT_S = 0.2
"""What was said longer ago than this counts for nothing."""
ASK_EVERY_S = 0.01
MESSAGE = struct.Struct("<Qd?")
"""The number of the run, when it was said by `time.monotonic`, and whether the input is held."""

logger = logging.getLogger("vla.robot_io")


class DeadManSender:
    """Asks whether the input is held, and tells the arm's process."""

    def __init__(self, mailbox: Mailbox, nonce: int) -> None:
        """Ask nobody yet.

        Args:
            mailbox: written by this alone.
            nonce: the number of this run.
        """
        self._mailbox, self._nonce = mailbox, nonce
        self._is_held: Callable[[], bool] | None = None
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def is_held(self) -> Callable[[], bool] | None:
        """Whom to ask, from two threads, one at a time; nobody if None."""
        return self._is_held

    @is_held.setter
    def is_held(self, is_held: Callable[[], bool] | None) -> None:
        self._is_held = is_held
        if is_held is not None and self._thread is None:
            self._thread = threading.Thread(target=self._ask_on, name="dead-man input", daemon=True)
            self._thread.start()

    def say(self) -> None:
        """Ask now, and tell; who cannot be asked does not hold it."""
        with self._lock:
            is_held = self._is_held
            if is_held is not None and not self._stopped.is_set():
                self._mailbox.write(MESSAGE.pack(self._nonce, time.monotonic(), _answer(is_held)))

    def close(self) -> None:
        """Ask nobody any more."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def _ask_on(self) -> None:
        while not self._stopped.is_set():
            self.say()
            self._stopped.wait(ASK_EVERY_S)


class DeadManSwitch:
    """What the arm's process hears of it."""

    needs_acknowledgement = False
    """To hold it again is to want to go on."""

    def __init__(self, mailbox: Mailbox, nonce: int) -> None:
        """Nothing has been heard yet.

        Args:
            mailbox: that the sender writes.
            nonce: the number of this run: what another said counts for nothing.
        """
        self._mailbox, self._nonce = mailbox, nonce
        self._said_s, self._is_held = float("-inf"), False

    def objection(self, now_s: float) -> Reason | None:
        message = self._mailbox.read()
        if message is not None and len(message) == MESSAGE.size:
            nonce, said_s, is_held = MESSAGE.unpack(message)
            if nonce == self._nonce:
                self._said_s, self._is_held = said_s, is_held
        silent_s = now_s - self._said_s
        if silent_s > SILENT_S:
            return let_go(f"the dead-man input has not been heard of for {silent_s:.3f} s, over {SILENT_S} s", silent_s)
        return None if self._is_held else let_go("the dead-man input is not held", silent_s)


def let_go(text: str, silent_s: float = 0.0) -> Reason:
    """The reason of a motion that nobody permits any more."""
    return Reason(Code.DEAD_MAN, "dead_man", silent_s, SILENT_S, text)


def _answer(is_held: Callable[[], bool]) -> bool:
    try:
        return bool(is_held())
    except Exception as error:  # a device that fails is one that nobody holds
        logger.warning("the dead-man input cannot be asked (%s: %s): it counts as let go", type(error).__name__, error)
        return False
