"""What happens at an arm as an episode of a store, without ever keeping the control loop waiting.

    control loop ── offer: a reference, never a wait ──► bounded queue ──► thread: encode, write ──► store

If the disk or the codec falls behind, the queue fills and steps are dropped, counted, and marked: the label `dropped`
of the step after a gap says how many are missing before it. A step that was taken is never changed or lost while the
process lives; if it is killed, the episode in hand is reported by `vla data check` and all before it are whole.
"""

from __future__ import annotations

import dataclasses
import queue
import threading
from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32

from vla.errors import ConfigError, StoreError
from vla.interfaces import Observation

DROPPED = "dropped"


@runtime_checkable
class StepWriter(Protocol):
    """What writes an episode step by step, and may take its time: `vla_datasets.recording.EpisodeWriter`."""

    @property
    def num_steps(self) -> int: ...

    def add(
        self,
        observation: Observation,
        action: Float32[np.ndarray, " action_dim"],
        labels: Mapping[str, np.ndarray] | None = None,
    ) -> None: ...

    def commit(self, *, success: bool) -> str:
        """Keep the episode; its id."""
        ...

    def close(self) -> None:
        """Discard the episode, unless it was committed."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Recorded:
    """What became of an episode."""

    episode: str | None
    """Its id in the store; None if it was discarded."""
    num_steps: int
    dropped: int
    """Steps that found the queue full."""
    most_waiting: int
    """The longest the queue has been."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Step:
    observation: Observation
    action: Float32[np.ndarray, " action_dim"]
    labels: Mapping[str, np.ndarray]


class EpisodeRecorder:
    """Records one episode; `offer` is called by the control loop, `finish` after it."""

    def __init__(self, writer: StepWriter, *, max_waiting: int = 32) -> None:
        """Begin.

        Args:
            writer: is closed by `finish`.
            max_waiting: steps that may wait to be written: what a stall of the disk may cost in memory.
        """
        if max_waiting < 1:
            raise ConfigError(f"max_waiting is at least 1, got {max_waiting}")
        self._writer = writer
        self._waiting: queue.Queue[_Step | None] = queue.Queue(max_waiting)
        self._dropped = self._dropped_since = self._most_waiting = 0
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._write, name="episode recorder", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Steps that found the queue full, up to now."""
        return self._dropped

    def offer(
        self,
        observation: Observation,
        action: Float32[np.ndarray, " action_dim"],
        labels: Mapping[str, np.ndarray] | None = None,
    ) -> bool:
        """Take one control step; False if it was dropped. Returns at once, whatever the disk does.

        Args:
            observation: kept by reference: its arrays must not be written into afterwards.
            action: as it was really applied.
            labels: the same names in every step.
        """
        own = {DROPPED: np.array(self._dropped_since, np.int32)}
        try:
            self._waiting.put_nowait(_Step(observation, action, {**(labels or {}), **own}))
        except queue.Full:
            self._dropped += 1
            self._dropped_since += 1
            return False
        self._dropped_since = 0
        self._most_waiting = max(self._most_waiting, self._waiting.qsize())
        return True

    def finish(self, *, success: bool | None) -> Recorded:
        """Write what waits and commit the episode.

        Args:
            success: None discards the episode.

        Raises:
            StoreError, ObservationError, ActionError: as writing raised it; the episode is not in the store then.
        """
        self._waiting.put(None)
        self._thread.join()
        try:
            if self._error is not None:
                raise self._error
            key = None if success is None or not self._writer.num_steps else self._writer.commit(success=success)
        finally:
            self._writer.close()
        return Recorded(key, self._writer.num_steps, self._dropped, self._most_waiting)

    def _write(self) -> None:
        while (step := self._waiting.get()) is not None:
            if self._error is not None:
                continue  # the episode is lost, the loop must not be
            try:
                self._writer.add(step.observation, step.action, step.labels)
            except OSError as error:
                self._error = StoreError(f"the episode could not be written: {error}")
            except Exception as error:
                self._error = error
