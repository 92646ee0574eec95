"""A link that is made when it is opened: what is emulated begins in the process that has the arm, and only there."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float64

from vla.errors import ArmError
from vla_robot_io.links.link import ArmLink, Identity, Measurement, Sent, Trouble


class LateLink:
    """Another link; opened again, it is the same one."""

    def __init__(self, make: Callable[[], ArmLink]) -> None:
        """Nothing is made yet."""
        self._make = make
        self._link: ArmLink | None = None

    def open(self) -> Identity:
        self._link = self._link or self._make()
        return self._link.open()

    def check(self) -> None:
        self._opened.check()

    def enable(self) -> None:
        self._opened.enable()

    def measure(self) -> Measurement:
        return self._opened.measure()

    def send(self, positions: Float64[np.ndarray, " joints"], gripper_m: float) -> Sent:
        return self._opened.send(positions, gripper_m)

    def halt(self) -> None:
        self._opened.halt()

    def recover(self, trouble: Trouble | None) -> None:
        self._opened.recover(trouble)

    def close(self) -> None:
        if self._link is not None:
            self._link.close()

    @property
    def _opened(self) -> ArmLink:
        if self._link is None:
            raise ArmError("the link has not been opened: connect the arm first")
        return self._link
