"""When training goes astray: steps that are not taken, and the way back to the last checkpoint.

A step whose gradient is not finite, or whose loss leaps far above those before it, is not taken. The run goes on from
its last checkpoint, with the samples behind those that led astray (as PaLM's did, arXiv:2204.02311, section 5.1).
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections import deque
from collections.abc import Mapping
from typing import Any

from vla.errors import ConfigError

WINDOW = 50
"""Losses that a leap is told by; before there are as many, nothing is one."""


@dataclasses.dataclass
class RollBackConfig:
    """When to go back to the last checkpoint."""

    most: int = 3
    """How often in a run; after that, or without a checkpoint, it ends with an error. 0 never goes back."""
    spike: float = 0.0
    """How many times the median of the last 50 losses a loss may be; 0 for any."""


class SpikeGuard:
    """How high the next loss may be."""

    def __init__(self, config: RollBackConfig) -> None:
        """Before the first step."""
        if config.most < 0 or not (config.spike == 0 or config.spike > 1):
            raise ConfigError(
                f"roll_back.most is a count and roll_back.spike 0 or above 1, got {config.most} and {config.spike}"
            )
        self._config = config
        self._losses: deque[float] = deque(maxlen=WINDOW)
        self.num_back = 0
        """How often the run went back."""

    @property
    def limit(self) -> float:
        """No loss above it is a step to take."""
        if not self._config.spike or len(self._losses) < WINDOW:
            return math.inf
        return self._config.spike * statistics.median(self._losses)

    def add(self, loss: float) -> None:
        """Remember the loss of a step that was taken."""
        if self._config.spike:
            self._losses.append(loss)

    def may_go_back(self) -> bool:
        """Whether the run may go back once more; counts it."""
        self.num_back += 1
        return self.num_back <= self._config.most

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` goes on from, as JSON values."""
        return {"losses": list(self._losses), "num_back": self.num_back}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        self._losses = deque(state["losses"], maxlen=WINDOW)
        self.num_back = int(state["num_back"])
