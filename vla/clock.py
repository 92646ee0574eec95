"""Time, real or virtual: one loop runs in the lab and, a thousand times faster, in a test.

Both implement `vla.interfaces.Clock`. Whoever needs time is handed one; nobody asks the operating system.
"""

from __future__ import annotations

import math
import time


class RealClock:
    """The host's monotonic clock."""

    def now(self) -> float:
        return time.monotonic()

    def sleep_until(self, time_s: float) -> None:
        _require_finite(time_s)
        delay = time_s - time.monotonic()
        if delay > 0:
            time.sleep(delay)


class VirtualClock:
    """Time that passes only when somebody sleeps: a minute of robot time takes no time at all."""

    def __init__(self, start_s: float = 0.0) -> None:
        _require_finite(start_s)
        self._now = start_s

    def now(self) -> float:
        return self._now

    def sleep_until(self, time_s: float) -> None:
        _require_finite(time_s)
        self._now = max(self._now, time_s)

    def advance(self, duration_s: float) -> None:
        """Let time pass, as a slow policy or a blocked wire would.

        Raises:
            ValueError: if the duration is negative or not finite.
        """
        if not (math.isfinite(duration_s) and duration_s >= 0):
            raise ValueError(f"time passes forwards: expected a finite duration_s >= 0, got {duration_s}")
        self._now += duration_s


def _require_finite(time_s: float) -> None:
    if not math.isfinite(time_s):
        raise ValueError(f"expected a finite time in seconds, got {time_s}")
