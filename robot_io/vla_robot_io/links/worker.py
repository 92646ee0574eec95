"""A thread for calls of makers' libraries that may not come back: a dead link must not hold up who finds it so."""

from __future__ import annotations

import atexit
import queue
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

_WORKERS: weakref.WeakSet[Worker] = weakref.WeakSet()
_LAST_S = 2.0


@atexit.register
def _let_them_finish() -> None:
    """A library that is torn down in the middle of a call takes the process down with it."""
    end_s = time.monotonic() + _LAST_S
    for worker in list(_WORKERS):
        worker.wait(end_s - time.monotonic())


class Worker:
    """One call at a time, each with a deadline. The thread ends with the process, whatever it waits for."""

    def __init__(self, name: str) -> None:
        """Start the thread.

        Args:
            name: of what is called, for errors.
        """
        self._name = name
        self._calls: queue.SimpleQueue[_Call] = queue.SimpleQueue()
        self._last: _Call | None = None
        threading.Thread(target=self._work, name=name, daemon=True).start()
        _WORKERS.add(self)

    @property
    def is_busy(self) -> bool:
        """Whether a call has not come back."""
        return self._last is not None and not self._last.is_done.is_set()

    def ask(self, call: Callable[[], Any], deadline_s: float) -> Any:
        """What a call gives back.

        Raises:
            OSError: if it has not come back in time; if it has not begun by then, it is never made.
            Exception: whatever the call raises.
        """
        asked = self.post(call)
        if not asked.is_done.wait(deadline_s):
            # What comes too late must not be done when the library wakes up.
            asked.is_dropped = True
            raise OSError(f"{self._name} has not come back from a call for {deadline_s} s")
        if asked.error is not None:
            raise asked.error
        return asked.answer

    def post(self, call: Callable[[], Any]) -> _Call:
        """Have something done when everything before it is; nobody waits for it."""
        self._last = _Call(call)
        self._calls.put(self._last)
        return self._last

    def wait(self, deadline_s: float) -> None:
        """Return when nothing is left to be done, or it takes too long."""
        if self._last is not None:
            self._last.is_done.wait(max(0.0, deadline_s))

    def _work(self) -> None:
        while True:
            self._calls.get().do()


class _Call:
    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call
        self.is_done = threading.Event()
        self.is_dropped = False
        self.answer: Any = None
        self.error: Exception | None = None

    def do(self) -> None:
        try:
            self.answer = None if self.is_dropped else self._call()
        except Exception as error:
            self.error = error
        finally:
            self.is_done.set()
