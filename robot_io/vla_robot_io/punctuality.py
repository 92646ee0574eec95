"""To be on time: what a process may ask the system for, politely, and how it sleeps.

    priority   SCHED_FIFO, else a lower nice value, else as it is      memory   locked, so that no tick waits for a page
    collector  everything there is now is never looked through again; none runs from now on
    timers     no slack that the system may add to a sleep

What is not granted is told and done without: on a desktop, `ulimit -r 50 -e 30 -l unlimited` grants all of it.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import signal
import threading
import time
from collections.abc import Iterator

PRIORITY = 50
"""Of SCHED_FIFO, in the middle of its range."""
NICE = -15
"""What is asked for where that is not granted."""
SPIN_S = 0.0003
"""The last part of a sleep is spent awake: the system wakes nobody up to the microsecond."""
_PR_SET_PDEATHSIG, _PR_SET_TIMERSLACK = 1, 29
_MCL_CURRENT, _MCL_FUTURE = 1, 2


def ask_for_punctuality(*, real_time: bool = True) -> dict[str, str]:
    """Ask for all of it for this process, once everything that it needs is loaded.

    Args:
        real_time: whether to ask for more priority than others have.

    Returns:
        What was granted, by what it was asked of: `priority`, `memory`.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_TIMERSLACK, 1)
    locked = libc.mlockall(_MCL_CURRENT | _MCL_FUTURE) == 0
    memory = "locked" if locked else f"not locked ({os.strerror(ctypes.get_errno())}): a tick may wait for a page"
    rest_collector()
    return {"priority": _priority() if real_time else "as others have: none was asked for", "memory": memory}


def tell_of_death(number: signal.Signals) -> None:
    """Have this signal sent here when the thread that started this process ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)


def rest_collector() -> None:
    """Look through everything that there is now once, and never again; collect nothing from now on."""
    gc.collect()
    gc.freeze()
    gc.disable()


def ask_for_priority() -> str:
    """Ask for more priority than others have for the thread that calls this, and say what was granted."""
    return _priority()


@contextlib.contextmanager
def collector_spared() -> Iterator[None]:
    """Look through what there is now once, and not again while the block lasts: a model is much to look through."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _priority() -> str:
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    except OSError as error:
        refusal = f"real time refused ({error.strerror})"
    else:
        return f"real time, {PRIORITY} of SCHED_FIFO"
    try:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
    except OSError as error:
        return f"as others have: {refusal}, nice {NICE} refused ({error.strerror}): ticks come late on a busy machine"
    return f"nice {NICE}: {refusal}"


def sleep_exactly_until(time_s: float) -> None:
    """Return at this time by `time.monotonic`, or at once if it has passed.

    Raises:
        ValueError: if it is not finite.
    """
    delay_s = time_s - SPIN_S - time.monotonic()
    if not delay_s < float("inf"):
        raise ValueError(f"expected a finite time in seconds, got {time_s}")
    if delay_s > 0:
        time.sleep(delay_s)
    while time.monotonic() < time_s:
        pass
