"""A camera that shows a gradient and counts its frames, and can be told to freeze."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from vla.embodiment import CameraSpec
from vla.interfaces import CameraFrame, Clock
from vla_robot_io.fake_arm import Window


class FakeCamera:
    """Takes `rate_hz` frames a second by the clock; while frozen, hands out the last one again."""

    def __init__(
        self,
        spec: CameraSpec,
        clock: Clock,
        rate_hz: float = 30.0,
        frozen: Window | None = None,
        *,
        kept: int = 1,
        late_s: float = 0.0,
    ) -> None:
        """Take its first frame now.

        Args:
            spec: its name and size.
            clock: that it goes by.
            rate_hz: frames a second.
            frozen: while it hands out the last one again.
            kept: how many of its last frames it hands out.
            late_s: how long after its exposure a frame is handed out.
        """
        self._spec = spec
        self._clock = clock
        self._rate_hz = rate_hz
        self._frozen = frozen or Window(math.inf)
        self._kept = kept
        self._late_s = late_s
        self._start_s = clock.now()

    @property
    def name(self) -> str:
        return self._spec.name

    def read(self) -> CameraFrame:
        return self.recent()[-1]

    def recent(self) -> Sequence[CameraFrame]:
        """The last frames, oldest first."""
        elapsed = max(0.0, self._clock.now() - self._start_s - self._late_s)
        seen = min(elapsed, self._frozen.start_s) if elapsed in self._frozen else elapsed
        sequence = math.floor(seen * self._rate_hz + 1e-6)
        return [self._frame(number) for number in range(max(0, sequence - self._kept + 1), sequence + 1)]

    def _frame(self, sequence: int) -> CameraFrame:
        ramp = np.linspace(0, 255, self._spec.width, dtype=np.uint8)
        image = np.empty((self._spec.height, self._spec.width, 3), np.uint8)
        image[:] = np.roll(ramp, sequence)[None, :, None]
        return CameraFrame(image, self._start_s + sequence / self._rate_hz, sequence)

    def close(self) -> None:
        return None
