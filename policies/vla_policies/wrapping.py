"""What policies that act through another one have in common: its embodiment, its horizon, its resets."""

from __future__ import annotations

from collections.abc import Sequence

from vla.embodiment import Embodiment
from vla.interfaces import Policy
from vla_policies.history import history_of


class WrappedPolicy[P: Policy]:
    """Another policy; a subclass says what becomes of its predictions."""

    def __init__(self, policy: P) -> None:
        """Act through this one."""
        self._policy = policy

    @property
    def embodiment(self) -> Embodiment:
        return self._policy.embodiment

    @property
    def horizon(self) -> int:
        return self._policy.horizon

    @property
    def history(self) -> int:
        return history_of(self._policy)

    def reset(self, seeds: Sequence[int], slots: Sequence[int] | None = None) -> None:
        self._policy.reset(seeds, slots)


def slots_of(items: Sequence[object], slots: Sequence[int] | None) -> Sequence[int]:
    """The slot of each item: as given, or in their order."""
    return range(len(items)) if slots is None else slots
