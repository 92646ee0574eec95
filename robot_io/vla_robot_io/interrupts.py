"""Ctrl-C, a termination and a closed terminal, all taken alike: once, and never in the middle of closing."""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """A block in which each of these signals raises KeyboardInterrupt."""
    with _handling(_interrupt):
        yield


@contextlib.contextmanager
def uninterrupted(at_most_s: float = math.inf) -> Iterator[None]:
    """A block that none of these signals ends: for holding an arm and closing files.

    Args:
        at_most_s: whoever asks again after this long does not want to wait any more.
    """
    until_s = time.monotonic() + at_most_s

    def impatient(number: int, frame: FrameType | None) -> None:
        if time.monotonic() > until_s:
            raise KeyboardInterrupt

    with _handling(impatient):
        yield


@contextlib.contextmanager
def _handling(handler: object) -> Iterator[None]:
    # Python hears signals in its main thread only; elsewhere they stay with whoever minds them there.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in _SIGNALS}  # type: ignore[arg-type]
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
