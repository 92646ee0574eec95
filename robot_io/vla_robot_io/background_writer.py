"""Writing that the control loop never waits for: a bounded queue, and a thread that takes its time.

    control loop ── do ──► queue ──► thread ──► disk, codec
                      └─ full: dropped, and counted

What fails, fails once: nothing more is written, the first error is kept for the end, and the loop goes on. A disk that
is full, slow or gone is no reason to hold an arm, nor to let it go.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable


class BackgroundWriter:
    """One thread that does what it is given, in order."""

    def __init__(self, name: str, most_waiting: int, *, may_wait: bool = False) -> None:
        """Begin.

        Args:
            name: of the thread.
            most_waiting: no more than this waits to be done: what a stall may cost in memory.
            may_wait: whether `do` waits where the queue is full: for time that is virtual.
        """
        self._waiting: queue.Queue[Callable[[], None] | None] = queue.Queue(most_waiting)
        self._may_wait = may_wait
        self.dropped = 0
        """What found the queue full."""
        self.error: Exception | None = None
        """The first that was raised; nothing is done after it."""
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def do(self, act: Callable[[], None]) -> None:
        """Have it done in its turn; never waits and never raises, where it may not wait."""
        try:
            self._waiting.put(act, block=self._may_wait)
        except queue.Full:
            self.dropped += 1

    def flush(self) -> None:
        """Wait until all that was given has been done."""
        self._waiting.join()

    def finish(self) -> None:
        """Do what still waits, and end the thread."""
        if self._thread.is_alive():
            self._waiting.put(None)
            self._thread.join()

    def _work(self) -> None:
        while True:
            act = self._waiting.get()
            try:
                if act is None:
                    return
                if self.error is None:
                    act()
            except Exception as error:
                self.error = error
            finally:
                self._waiting.task_done()
