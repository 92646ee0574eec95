"""How fast a run is, what share of its device's peak it uses, and how long it waits for its data."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator


class Pace:
    """Counts from where it is made."""

    def __init__(self, samples_a_step: int, operations_a_step: float = 0.0, peak: float | None = None) -> None:
        """Begin to count.

        Args:
            operations_a_step: multiplications and additions of this device; 0 if they were not counted.
            peak: of this device, a second; None if nobody states it.
        """
        self._samples_a_step, self._steps = samples_a_step, 0
        self._operations_a_step, self._peak = operations_a_step, peak
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
        """As they are logged: samples a second, the share of time that went by waiting for data, and operations.

        `operations_per_s` are those that the model asks for, of one device: what is computed twice counts once.
        `utilisation` is their share of the device's peak (model-FLOPs utilisation), evaluation and saving included.
        """
        passed_s = time.monotonic() - self._began
        found = {
            "samples_per_s": round(self._steps * self._samples_a_step / passed_s, 1),
            "data_wait_share": round(self._waited_s / passed_s, 4),
        }
        if self._operations_a_step:
            operations_per_s = self._steps * self._operations_a_step / passed_s
            found["operations_per_s"] = float(f"{operations_per_s:.4g}")
            if self._peak is not None:
                found["utilisation"] = round(operations_per_s / self._peak, 4)
        return found
