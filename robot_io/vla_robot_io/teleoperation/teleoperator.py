"""The protocol of whatever a human drives an arm with."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32

from vla.interfaces import Observation


@runtime_checkable
class Teleoperator(Protocol):
    """A device, or an episode of the past, that says what the arm is to do.

    The arm moves while the dead-man switch is held, and at no other time.
    """

    @property
    def name(self) -> str:
        """Which kind it is: `keyboard`, `gamepad`, ..."""
        ...

    @property
    def is_held(self) -> bool:
        """Whether the dead-man switch is held at this moment; looked at before every command, and never waits."""
        ...

    @property
    def is_over(self) -> bool:
        """Whether nothing will come of it any more: its operator has left, or it was unplugged."""
        ...

    def connect(self) -> None:
        """Open it.

        Raises:
            ConfigError: if it is not there, or may not be read.
        """
        ...

    def read(self, observation: Observation) -> Float32[np.ndarray, " action_dim"] | None:
        """The action of the embodiment for the coming control step, None if there is none; never waits.

        Args:
            observation: the newest.
        """
        ...

    def close(self) -> None: ...
