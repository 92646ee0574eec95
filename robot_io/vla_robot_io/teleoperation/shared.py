"""A teleoperator that two threads ask: the control loop for what to do, another whether the dead-man switch is held."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32

from vla.interfaces import Observation
from vla_robot_io.operating.asking import Request, Requests
from vla_robot_io.teleoperation.teleoperator import Teleoperator


class SharedTeleoperator:
    """Another teleoperator, asked by one thread at a time."""

    def __init__(self, teleoperator: Teleoperator) -> None:
        """Nothing is opened yet."""
        self._teleoperator = teleoperator
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        return self._teleoperator.name

    @property
    def is_held(self) -> bool:
        with self._lock:
            return self._teleoperator.is_held

    @property
    def is_over(self) -> bool:
        with self._lock:
            return self._teleoperator.is_over

    def connect(self) -> None:
        with self._lock:
            self._teleoperator.connect()

    def read(self, observation: Observation) -> Float32[np.ndarray, " action_dim"] | None:
        with self._lock:
            return self._teleoperator.read(observation)

    def close(self) -> None:
        with self._lock:
            self._teleoperator.close()

    def requests(self) -> Requests | None:
        """What else is asked for by it, where it has keys for that; None where it has none."""
        return _SharedRequests(self._teleoperator, self._lock) if isinstance(self._teleoperator, Requests) else None


class _SharedRequests:
    def __init__(self, requests: Requests, lock: threading.Lock) -> None:
        self._requests, self._lock = requests, lock

    def take(self) -> Sequence[Request]:
        with self._lock:
            return self._requests.take()

    def close(self) -> None:
        """The device is the teleoperator's to close."""
