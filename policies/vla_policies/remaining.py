"""How long a run will still take, out of how long its parts took.

    remaining = median of the last steps · steps to go + for each pause: median of the last ones · how many are to come

Pauses are what comes every so often: evaluation, saving. A median, since one slow step says nothing about the next.
Rounds of DAgger and the gate are not in it, nor a pause before the first of its kind.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping

RECENT_STEPS = 100
RECENT_PAUSES = 5
FIRST_STEPS = 3
"""Before as many, nothing is said."""


class Remaining:
    """Counts from where it is made."""

    def __init__(self, total: int, pauses: Mapping[str, int], clock: Callable[[], float] = time.monotonic) -> None:
        """With nothing measured.

        Args:
            total: steps of the run.
            pauses: after how many steps each comes.
            clock: seconds.
        """
        self._total, self._every, self._clock = total, dict(pauses), clock
        self._steps: deque[float] = deque(maxlen=RECENT_STEPS)
        self._pauses = {name: deque[float](maxlen=RECENT_PAUSES) for name in pauses}

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        """While a step is taken."""
        began = self._clock()
        yield
        self._steps.append(self._clock() - began)

    @contextlib.contextmanager
    def pause(self, name: str) -> Iterator[None]:
        """While something else is done."""
        began = self._clock()
        yield
        self._pauses[name].append(self._clock() - began)

    def seconds(self, step: int) -> float | None:
        """From behind this step to the end; None if too little was seen."""
        if len(self._steps) < FIRST_STEPS:
            return None
        pauses = sum(
            statistics.median(taken) * (self._total // self._every[name] - step // self._every[name])
            for name, taken in self._pauses.items()
            if taken
        )
        return statistics.median(self._steps) * (self._total - step) + pauses
