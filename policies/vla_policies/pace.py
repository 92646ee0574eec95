"""How fast a run is, and how long it waits for its data."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator


class Pace:
    """Counts from where it is made."""

    def __init__(self, samples_a_step: int) -> None:
        """Begin to count."""
        self._samples_a_step, self._steps = samples_a_step, 0
        self._began, self._waited_s = time.monotonic(), 0.0

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """While a batch is being made."""
        began = time.monotonic()
        yield
        self._waited_s += time.monotonic() - began

    def add_step(self) -> None:
        """A step was taken."""
        self._steps += 1

    def figures(self) -> dict[str, float]:
        """As they are logged: samples a second, and the share of time that went by waiting for data."""
        passed_s = time.monotonic() - self._began
        return {
            "samples_per_s": round(self._steps * self._samples_a_step / passed_s, 1),
            "data_wait_share": round(self._waited_s / passed_s, 4),
        }
