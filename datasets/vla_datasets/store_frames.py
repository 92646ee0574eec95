"""The frames of some stores by number, each read when it is asked for: what a mixture takes of robots.

    frame i ─► episode, step ─► one picture a camera (its chunk alone is read) + proprioception + action chunk

`windows.Frames` holds all frames in memory; this holds none, and any number of processes can share a store.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from vla.embodiment import require_same_embodiment
from vla.errors import StoreError
from vla_datasets.shards import ShardReader
from vla_datasets.store import EpisodeRow, EpisodeStore
from vla_datasets.windows import executed_chunks, lookahead_chunks

_HELD_EPISODES = 256
"""Whose numbers and chunk tables stay in memory, and no picture."""


@dataclasses.dataclass(frozen=True, eq=False)
class RobotSample:
    """What a policy saw at one step, and what it should have done."""

    images: Mapping[str, UInt8[np.ndarray, "height width 3"]]
    """RGB, by camera name."""
    proprioception: Float32[np.ndarray, " state_dim"]
    chunk: Float32[np.ndarray, "horizon action_dim"]
    """What to imitate, in physical units: the label `lookahead` where the episode has it, else what was executed."""
    chunk_padding: Bool[np.ndarray, " horizon"]
    """Which of its actions do not count: those behind the episode's end."""
    instruction: str
    embodiment: str
    """Fingerprint."""
    licence: str
    source: str
    """Store, episode and step, so that the sample can be found again."""


class StoreFrames:
    """Every frame of every episode of some stores of one embodiment, in the order of their indices."""

    def __init__(self, paths: Sequence[str | Path], horizon: int, *, name: str = "robot") -> None:
        """Open the stores.

        Args:
            horizon: actions in a chunk.

        Raises:
            StoreError: if a store is absent or empty.
            EmbodimentMismatch: if the stores differ.
        """
        if not paths or horizon < 1:
            raise StoreError(f"frames need one store or more and a horizon ≥ 1, got {len(paths)} and {horizon}")
        stores = [EpisodeStore.open(path) for path in paths]
        for store in stores[1:]:
            require_same_embodiment(
                stores[0].embodiment,
                store.embodiment,
                expected_name=f"store {stores[0].name}",
                got_name=f"store {store.name}",
            )
        self.embodiment, self._horizon, self._name = stores[0].embodiment, horizon, name
        self._fingerprint = self.embodiment.fingerprint
        self._episodes = [(store, row) for store in stores for row in store.index()]
        self._ends = np.cumsum([row.num_steps for _, row in self._episodes])
        self._held = functools.lru_cache(maxsize=_HELD_EPISODES)(self._open_episode)

    @property
    def name(self) -> str:
        return self._name

    @property
    def sha256(self) -> str:
        """Of the episodes' names and lengths, the embodiment and the horizon."""
        rows = [[row.id, row.num_steps] for _, row in self._episodes]
        return hashlib.sha256(json.dumps([self.embodiment.fingerprint, self._horizon, rows]).encode()).hexdigest()

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> RobotSample:
        """Frame `index`.

        Raises:
            IndexError: beyond the last.
            StoreError: naming the file that is missing, short or altered.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"{self._name} has frames 0 to {len(self) - 1}, not {index}")
        number = int(np.searchsorted(self._ends, index, side="right"))
        episode = self._held(number)
        step = index - int(self._ends[number]) + episode.row.num_steps
        return episode.sample(step, self._fingerprint)

    def _open_episode(self, number: int) -> _OpenEpisode:
        store, row = self._episodes[number]
        numbers = store.numbers(row.id)
        lookahead = numbers.get("labels.lookahead")
        chunks, padding = (
            executed_chunks(numbers["actions"], self._horizon)
            if lookahead is None
            else lookahead_chunks(lookahead, self._horizon)
        )
        cameras = {camera.name: store.frames(row.id, camera.name) for camera in self.embodiment.cameras}
        return _OpenEpisode(store.name, row, cameras, numbers["proprioception"], chunks, padding)


@dataclasses.dataclass(frozen=True, eq=False)
class _OpenEpisode:
    """An episode without its pictures, and where those are read."""

    store: str
    row: EpisodeRow
    cameras: Mapping[str, ShardReader]
    proprioception: Float32[np.ndarray, "steps state_dim"]
    chunks: Float32[np.ndarray, "steps horizon action_dim"]
    chunk_padding: Bool[np.ndarray, "steps horizon"]

    def sample(self, step: int, embodiment: str) -> RobotSample:
        return RobotSample(
            images={name: reader.frame(step) for name, reader in self.cameras.items()},
            proprioception=self.proprioception[step],
            chunk=self.chunks[step],
            chunk_padding=self.chunk_padding[step],
            instruction=self.row.instruction,
            embodiment=embodiment,
            licence=self.row.licence,
            source=f"{self.store}:{self.row.id}:{step}",
        )
