"""Chunk execution: which action is carried out now, and when a new chunk is asked for.

One `ChunkExecution` serves one episode, in simulation and in the lab alike. It knows neither clock nor policy:
the loop tells it the time, hands it chunks, and takes one action a control step. With horizon 4:

    control step           0    1    2    3    4    5    6
    synchronous            a0   a1   a2   a3 │ b0   b1   b2      a new chunk when the last is used up
    receding horizon, 2    a0   a1 │ b0   b1 │ c0   c1 │ d0      a new chunk every `execute_steps`
    temporal ensemble      a0   a1   a2   a3   b3   c3   d3      a new chunk every step, and the action is
                                b0   b1   b2   c2   d2   e2      the weighted mean of its column
                                     c0   c1   d1   e1   f1
                                          d0   e0   f0   g0

Steps are counted, not timed: a step that comes late carries out the next action, it skips none. Time decides one
thing, whether a chunk may still be acted upon (`ActionChunk.valid_s`).
"""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32

from vla.errors import ActionError, ConfigError
from vla.interfaces import ActionChunk

# Adding a dt to a start time rounds: a chunk is not expired by the last bit of a float.
_TIME_SLACK_S = 1e-6


class ExecutionMode(enum.Enum):
    """How much of a chunk is carried out, and how chunks that overlap are joined."""

    SYNCHRONOUS = "synchronous"
    """All of a chunk, then the next."""
    RECEDING_HORIZON = "receding_horizon"
    """The first `execute_steps` of a chunk, then the next."""
    TEMPORAL_ENSEMBLE = "temporal_ensemble"
    """A chunk every `execute_steps`; each action is the weighted mean of all that foresaw it."""


@dataclasses.dataclass
class ExecutionConfig:
    """How action chunks are carried out."""

    mode: ExecutionMode = ExecutionMode.SYNCHRONOUS
    """`synchronous`, `receding_horizon` or `temporal_ensemble`."""
    execute_steps: int | None = None
    """Control steps between two predictions; if not given, the horizon, half of it (receding), or 1 (ensemble)."""
    ensemble_decay: float = 0.01
    """Per chunk: 0 is a plain mean, larger trusts older chunks more (temporal ensemble only)."""


@runtime_checkable
class ChunkExecution(Protocol):
    """The state of chunk execution in one episode."""

    def needs_chunk(self, time_s: float) -> bool:
        """Whether a chunk must be added before the next action."""
        ...

    def add(self, chunk: ActionChunk, time_s: float) -> None:
        """Take a chunk whose first action is for the control step now at hand.

        Raises:
            ActionError: if the chunk has expired, or is of another horizon.
        """
        ...

    def next_action(self, time_s: float) -> Float32[np.ndarray, " action_dim"]:
        """The action for this control step; each call is one step.

        Raises:
            ActionError: if no chunk that is still valid foresaw this step.
        """
        ...


def make_execution(config: ExecutionConfig, horizon: int) -> ChunkExecution:
    """The chunk execution that `config` asks for, for a policy that predicts `horizon` actions at once.

    Raises:
        ConfigError: if `execute_steps` or `ensemble_decay` does not fit.
    """
    steps = check_execution(config, horizon)
    if config.mode is ExecutionMode.TEMPORAL_ENSEMBLE:
        return TemporalEnsemble(horizon, steps, config.ensemble_decay)
    return ChunkQueue(horizon, steps)


def check_execution(config: ExecutionConfig, horizon: int) -> int:
    """The control steps between two predictions, if the configuration fits the horizon.

    Raises:
        ConfigError: if it does not.
    """
    defaults = {
        ExecutionMode.SYNCHRONOUS: horizon,
        ExecutionMode.RECEDING_HORIZON: max(1, horizon // 2),
        ExecutionMode.TEMPORAL_ENSEMBLE: 1,
    }
    steps = defaults[config.mode] if config.execute_steps is None else config.execute_steps
    if not 1 <= steps <= horizon:
        raise ConfigError(f"execution.execute_steps is from 1 to the policy's horizon, {horizon}; got {steps}")
    if config.mode is ExecutionMode.SYNCHRONOUS and steps != horizon:
        raise ConfigError(
            f"execution.mode=synchronous carries out all {horizon} actions of a chunk, "
            f"got execution.execute_steps={steps}: use execution.mode=receding_horizon"
        )
    if not (math.isfinite(config.ensemble_decay) and config.ensemble_decay >= 0):
        raise ConfigError(f"execution.ensemble_decay is zero or more, got {config.ensemble_decay}")
    return steps


class ChunkQueue:
    """Synchronous and receding-horizon execution: the first `execute_steps` actions of each chunk, in order."""

    def __init__(self, horizon: int, execute_steps: int) -> None:
        self._horizon = horizon
        self._execute_steps = execute_steps
        self._chunk: ActionChunk | None = None
        self._age = 0

    def needs_chunk(self, time_s: float) -> bool:
        return self._chunk is None or self._age >= self._execute_steps or _is_expired(self._chunk, time_s)

    def add(self, chunk: ActionChunk, time_s: float) -> None:
        _check_addition(chunk, self._horizon, time_s)
        self._chunk, self._age = chunk, 0

    def next_action(self, time_s: float) -> Float32[np.ndarray, " action_dim"]:
        if self._chunk is None or self.needs_chunk(time_s):
            raise ActionError(f"no valid chunk foresaw the control step at {time_s:.3f} s: add one first")
        action = self._chunk.actions[self._age]
        self._age += 1
        return action


class TemporalEnsemble:
    """Execution of the weighted mean of every chunk that foresaw this control step."""

    def __init__(self, horizon: int, execute_steps: int, decay: float) -> None:
        self._horizon = horizon
        self._execute_steps = execute_steps
        self._decay = decay
        self._chunks: list[tuple[int, ActionChunk]] = []  # (step it was added at, chunk), oldest first
        self._step = 0

    def needs_chunk(self, time_s: float) -> bool:
        foreseen = self._foreseen(time_s)
        return not foreseen or self._step - foreseen[-1][0] >= self._execute_steps

    def add(self, chunk: ActionChunk, time_s: float) -> None:
        _check_addition(chunk, self._horizon, time_s)
        self._chunks = [*self._foreseen(time_s), (self._step, chunk)]

    def next_action(self, time_s: float) -> Float32[np.ndarray, " action_dim"]:
        foreseen = self._foreseen(time_s)
        if not foreseen:
            raise ActionError(f"no valid chunk foresaw the control step at {time_s:.3f} s: add one first")
        action = temporal_ensemble([chunk.actions[self._step - added] for added, chunk in foreseen], self._decay)
        self._step += 1
        return action

    def _foreseen(self, time_s: float) -> list[tuple[int, ActionChunk]]:
        return [
            (added, chunk)
            for added, chunk in self._chunks
            if self._step - added < self._horizon and not _is_expired(chunk, time_s)
        ]


def temporal_ensemble(
    foreseen: Sequence[Float32[np.ndarray, " action_dim"]], decay: float
) -> Float32[np.ndarray, " action_dim"]:
    """The action for now, averaged over every chunk that foresaw it.

    The k-th oldest chunk weighs w_k = exp(-decay * k), k = 0 for the oldest; the weights are scaled to sum to one.
    Numbers are averaged as numbers: right for translations, joint angles and small rotations, wrong for angles that
    wrap around.

    Args:
        foreseen: what each chunk foresaw for now, oldest chunk first; at least one.
        decay: per chunk; 0 is a plain mean, larger trusts older chunks more.

    Returns:
        One action, in the units of `foreseen`.

    Source: Zhao et al. 2023, arXiv:2304.13705, section IV-A; there a chunk is predicted at every step.
    """
    weights = np.exp(-decay * np.arange(len(foreseen)))
    mean = np.average(np.stack(foreseen).astype(np.float64), axis=0, weights=weights)
    return mean.astype(np.float32)


def _is_expired(chunk: ActionChunk, time_s: float) -> bool:
    return time_s > chunk.start_s + chunk.valid_s + _TIME_SLACK_S


def _check_addition(chunk: ActionChunk, horizon: int, time_s: float) -> None:
    if len(chunk.actions) != horizon:
        raise ActionError(f"expected a chunk of {horizon} actions, got {len(chunk.actions)}")
    if _is_expired(chunk, time_s):
        late = time_s - chunk.start_s
        raise ActionError(f"the chunk was valid for {chunk.valid_s:.3f} s and comes {late:.3f} s after its start")
