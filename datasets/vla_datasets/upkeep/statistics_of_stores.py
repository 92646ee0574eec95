"""Exact statistics of stores, one set for each embodiment among them.

    store a ─► every state and executed action ─► Statistics ─┐
                                                              ├─ merge ─► of the embodiment both are of
    store b ─► every state and executed action ─► Statistics ─┘

Merged ones are those of all numbers together: quantiles are true ones, since the values are kept until then.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from vla.embodiment import Embodiment, Field
from vla.errors import StoreError
from vla.normalization import Statistics
from vla_datasets.store import EpisodeRow, EpisodeStore
from vla_datasets.upkeep.episode_workers import map_episodes

LEVELS = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
"""The quantiles that are told unless others are asked for."""


@dataclasses.dataclass(frozen=True)
class BodyStatistics:
    """The statistics of one embodiment's episodes."""

    embodiment: Embodiment
    stores: tuple[str, ...]
    episodes: int
    actions: Statistics
    """As executed."""
    proprioception: Statistics

    @property
    def steps(self) -> int:
        return self.actions.count

    def merge(self, other: BodyStatistics) -> BodyStatistics:
        """Of both sets of episodes together; `other` is of the same embodiment."""
        return BodyStatistics(
            embodiment=self.embodiment,
            stores=self.stores + other.stores,
            episodes=self.episodes + other.episodes,
            actions=self.actions.merge(other.actions),
            proprioception=self.proprioception.merge(other.proprioception),
        )

    def to_json(self) -> dict[str, Any]:
        """A tree of JSON values; `Statistics.from_json` reads `actions` and `proprioception`."""
        return {
            "embodiment": self.embodiment.name,
            "fingerprint": self.embodiment.fingerprint,
            "stores": list(self.stores),
            "episodes": self.episodes,
            "steps": self.steps,
            "actions": self.actions.to_json(),
            "proprioception": self.proprioception.to_json(),
        }


def statistics_of(
    stores: Sequence[EpisodeStore],
    levels: Sequence[float] = LEVELS,
    *,
    keep: Callable[[EpisodeRow], bool] = lambda row: True,
    workers: int = 0,
    progress: bool = True,
) -> list[BodyStatistics]:
    """The statistics of all kept episodes, an entry for each embodiment, in the order of the stores.

    Args:
        levels: which quantiles to keep, each in 0..1.
        keep: which episodes to take; all if not given.
        workers: processes; 0 for as many as there are cores and work for.

    Raises:
        StoreError: if a store has no episode that is kept, or an episode is damaged.
        StatisticsError: if a level is not in 0..1.
    """
    by_body: dict[str, list[BodyStatistics]] = {}
    for store in stores:
        own = _of_store(store, levels, keep, workers, progress)
        by_body.setdefault(store.embodiment.fingerprint, []).append(own)
    return [functools.reduce(BodyStatistics.merge, found) for found in by_body.values()]


def numbers_of(store: EpisodeStore, key: str) -> tuple[np.ndarray, np.ndarray]:
    """Actions and proprioception of one episode, checked; pictures are not read."""
    numbers = store.numbers(key)
    return numbers["actions"], numbers["proprioception"]


def _of_store(
    store: EpisodeStore,
    levels: Sequence[float],
    keep: Callable[[EpisodeRow], bool],
    workers: int,
    progress: bool,
) -> BodyStatistics:
    keys = [row.id for row in store.index() if keep(row)]
    if not keys:
        raise StoreError(f"no episode of store {store.name} is left to compute statistics of")
    found = list(map_episodes(store, keys, numbers_of, title="reading numbers", workers=workers, progress=progress))
    actions, states = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
    return BodyStatistics(
        embodiment=store.embodiment,
        stores=(store.name,),
        episodes=len(keys),
        actions=Statistics.of(actions, _names(store.embodiment.action), levels),
        proprioception=Statistics.of(states, _names(store.embodiment.proprioception), levels),
    )


def _names(fields: Sequence[Field]) -> list[str]:
    return [field.name for field in fields]
