"""What a policy with a history is shown: with each observation, the pictures of the control steps before it.

    control step     0    1    2    3    4          history 3, a chunk of 2 actions
    observed         o0   o1   o2   o3   o4
    asked            o0        o2        o4
    shown with it    -         o0   -    o2
                               o1        o3         every step counts, not only those at which the policy is asked

The loop in which a policy acts keeps the pictures, so that a policy remembers nothing, and is shown in a rollout what
it was shown in training: `vla_datasets.windows` draws the same window of a recorded episode. An episode begins with
none; what is missing of a window is then padding.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from vla.errors import ConfigError, ObservationError
from vla.interfaces import Observation, Policy

Pictures = Mapping[str, UInt8[np.ndarray, "_ _ 3"]]


@runtime_checkable
class HistoryPolicy(Policy, Protocol):
    """A policy that says how many frames it sees at once."""

    @property
    def history(self) -> int:
        """Frames of each camera, the present one included; 1 sees the present alone."""
        ...


def history_of(policy: Policy) -> int:
    """How many frames a policy sees at once; one that does not say sees the present alone."""
    return policy.history if isinstance(policy, HistoryPolicy) else 1


class Recollection:
    """The pictures of one episode's last control steps."""

    def __init__(self, history: int) -> None:
        """Remember nothing yet.

        Args:
            history: frames that are shown at once, the present one included.
        """
        self._pictures: collections.deque[Pictures] = collections.deque(maxlen=history - 1)
        self._is_kept = history > 1

    def with_past(self, observation: Observation) -> Observation:
        """The next control step's observation, with the pictures of the steps before."""
        if not self._is_kept:
            return observation
        shown = dataclasses.replace(observation, past=tuple(self._pictures))
        self._pictures.append({name: image.copy() for name, image in observation.images.items()})
        return shown


def require_present_alone(policy: Policy, what: str) -> None:
    """Return if a policy sees the present alone.

    Raises:
        ConfigError: naming what shows it no more than that.
    """
    history = history_of(policy)
    if history > 1:
        raise ConfigError(f"this policy sees {history} frames at once, and {what} shows it one")


def window_of(observation: Observation, history: int) -> tuple[list[Pictures], list[bool]]:
    """The pictures before the present ones, oldest first, and which are padding: the oldest that there is, repeated.

    Args:
        history: frames that are seen at once, the present one included.

    Raises:
        ObservationError: if nobody kept the pictures of the steps before.
    """
    if observation.past is None:
        raise ObservationError(
            f"this policy sees {history} frames at once, and was shown one: ask it in a rollout, which keeps those of "
            f"the control steps before, or give Observation.past"
        )
    past = list(observation.past)[-(history - 1) :]
    missing = history - 1 - len(past)
    oldest = past[0] if past else observation.images
    return [oldest] * missing + past, [True] * missing + [False] * len(past)
