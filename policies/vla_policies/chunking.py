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
    asynchronous,          a0   a1   a2 │ b1   b2 │ c1   c2      a new chunk is asked for every `execute_steps`, here
      a step late                                                at 2 and 4, and comes a step later: the old one
    real-time chunking     a0   a1   a2 │ b1   b2 │ c1   c2      goes on meanwhile. b0 = a2: under real-time chunking
                                                                 the policy is told, and makes the rest fit

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
    ASYNCHRONOUS = "asynchronous"
    """A chunk every `execute_steps`, while the one before goes on; once there, it takes over where time has come to."""
    REAL_TIME_CHUNKING = "real_time_chunking"
    """As asynchronous, and a chunk must begin with the actions carried out while it is predicted: no seam.

    Source: Black et al. 2025, arXiv:2506.07339, there by guiding a flow; the actions are forced tokens here."""


@dataclasses.dataclass
class ExecutionConfig:
    """How action chunks are carried out."""

    mode: ExecutionMode = ExecutionMode.RECEDING_HORIZON
    """How much of a chunk is carried out, and how chunks are joined."""
    execute_steps: int | None = None
    """Control steps between two predictions; if not given, the horizon (synchronous), 1 (ensemble), or half of the
    horizon, but no less than a delay takes and no more than it leaves."""
    delay_s: float = 0.0
    """How long a prediction takes by the robot's time, during which it goes on (asynchronous, real-time chunking)."""
    ensemble_decay: float = 0.01
    """Per chunk: 0 is a plain mean, larger trusts older chunks more (temporal ensemble only)."""


@runtime_checkable
class ChunkExecution(Protocol):
    """The state of chunk execution in one episode."""

    @property
    def seams(self) -> Sequence[int]:
        """The control steps whose action came from another chunk than the action before."""
        ...

    def needs_chunk(self, time_s: float) -> bool:
        """Whether a chunk must be added before the next action."""
        ...

    def add(self, chunk: ActionChunk, time_s: float) -> None:
        """Take a chunk whose first action is for the control step now at hand.

        Raises:
            ActionError: if the chunk has expired, or is of another horizon.
        """
        ...

    def committed(self, time_s: float) -> Float32[np.ndarray, "steps action_dim"] | None:
        """The actions that will be carried out before a chunk asked for now can take over, if it must respect any."""
        ...

    def next_action(self, time_s: float) -> Float32[np.ndarray, " action_dim"]:
        """The action for this control step; each call is one step.

        Raises:
            ActionError: if no chunk that is still valid foresaw this step.
        """
        ...

    def skip(self) -> None:
        """Let a control step pass without an action."""
        ...


def make_execution(config: ExecutionConfig, horizon: int, control_dt_s: float) -> ChunkExecution:
    """The chunk execution that `config` asks for, for a policy that predicts `horizon` actions at once.

    Raises:
        ConfigError: if `execute_steps`, `delay_s` or `ensemble_decay` does not fit.
    """
    steps = check_execution(config, horizon, control_dt_s)
    match config.mode:
        case ExecutionMode.TEMPORAL_ENSEMBLE:
            return TemporalEnsemble(horizon, steps, config.ensemble_decay)
        case ExecutionMode.ASYNCHRONOUS | ExecutionMode.REAL_TIME_CHUNKING:
            is_committed = config.mode is ExecutionMode.REAL_TIME_CHUNKING
            return OverlappingChunks(horizon, steps, delay_steps(config, control_dt_s), is_committed=is_committed)
        case ExecutionMode.SYNCHRONOUS | ExecutionMode.RECEDING_HORIZON:
            return ChunkQueue(horizon, steps)


def delay_steps(config: ExecutionConfig, control_dt_s: float) -> int:
    """The control steps that begin while a prediction is under way."""
    return math.ceil(config.delay_s / control_dt_s - _TIME_SLACK_S)


def check_execution(config: ExecutionConfig, horizon: int, control_dt_s: float) -> int:
    """The control steps between two predictions, if the configuration fits the horizon.

    Raises:
        ConfigError: if it does not.
    """
    if not (math.isfinite(config.delay_s) and config.delay_s >= 0):
        raise ConfigError(f"execution.delay_s is zero or more, got {config.delay_s}")
    late, overlaps = delay_steps(config, control_dt_s), config.mode in _OVERLAPPING
    if late and not overlaps:
        raise ConfigError(
            f"execution.mode={config.mode.value} waits for each chunk, got execution.delay_s={config.delay_s}: "
            f"use execution.mode=asynchronous or real_time_chunking"
        )
    if 2 * late > horizon:
        raise ConfigError(
            f"execution.delay_s={config.delay_s} is {late} control steps, and a chunk of {horizon} actions "
            f"covers delays of up to {horizon // 2}"
        )
    defaults = {
        ExecutionMode.SYNCHRONOUS: horizon,
        ExecutionMode.TEMPORAL_ENSEMBLE: 1,
    }
    half = max(1, late, min(horizon // 2, horizon - late))
    steps = defaults.get(config.mode, half) if config.execute_steps is None else config.execute_steps
    if not 1 <= steps <= horizon:
        raise ConfigError(f"execution.execute_steps is from 1 to the policy's horizon, {horizon}; got {steps}")
    if overlaps and not late <= steps <= horizon - late:
        raise ConfigError(
            f"execution.execute_steps is from {max(late, 1)} to {horizon - late} with a delay of {late} control steps "
            f"and {horizon} actions a chunk, got {steps}"
        )
    if config.mode is ExecutionMode.SYNCHRONOUS and steps != horizon:
        raise ConfigError(
            f"execution.mode=synchronous carries out all {horizon} actions of a chunk, "
            f"got execution.execute_steps={steps}: use execution.mode=receding_horizon"
        )
    if not (math.isfinite(config.ensemble_decay) and config.ensemble_decay >= 0):
        raise ConfigError(f"execution.ensemble_decay is zero or more, got {config.ensemble_decay}")
    return steps


_OVERLAPPING = (ExecutionMode.ASYNCHRONOUS, ExecutionMode.REAL_TIME_CHUNKING)


class ChunkQueue:
    """Synchronous and receding-horizon execution: the first `execute_steps` actions of each chunk, in order."""

    def __init__(self, horizon: int, execute_steps: int) -> None:
        self._horizon = horizon
        self._execute_steps = execute_steps
        self._chunk: ActionChunk | None = None
        self._age = self._step = 0
        self.seams: list[int] = []

    def needs_chunk(self, time_s: float) -> bool:
        return self._chunk is None or self._age >= self._execute_steps or _is_expired(self._chunk, time_s)

    def add(self, chunk: ActionChunk, time_s: float) -> None:
        _check_addition(chunk, self._horizon, time_s)
        self._chunk, self._age = chunk, 0

    def committed(self, time_s: float) -> None:
        """None: each chunk follows the end of the one before."""

    def next_action(self, time_s: float) -> Float32[np.ndarray, " action_dim"]:
        if self._chunk is None or self.needs_chunk(time_s):
            raise ActionError(f"no valid chunk foresaw the control step at {time_s:.3f} s: add one first")
        action = self._chunk.actions[self._age]
        if self._age == 0 < self._step:
            self.seams.append(self._step)
        self._age += 1
        self._step += 1
        return action

    def skip(self) -> None:
        self._step += 1


class TemporalEnsemble:
    """Execution of the weighted mean of every chunk that foresaw this control step."""

    def __init__(self, horizon: int, execute_steps: int, decay: float) -> None:
        self._horizon = horizon
        self._execute_steps = execute_steps
        self._decay = decay
        self._chunks: list[tuple[int, ActionChunk]] = []  # (step it was added at, chunk), oldest first
        self._step = 0
        self.seams: list[int] = []

    def needs_chunk(self, time_s: float) -> bool:
        foreseen = self._foreseen(time_s)
        return not foreseen or self._step - foreseen[-1][0] >= self._execute_steps

    def add(self, chunk: ActionChunk, time_s: float) -> None:
        _check_addition(chunk, self._horizon, time_s)
        self._chunks = [*self._foreseen(time_s), (self._step, chunk)]

    def committed(self, time_s: float) -> None:
        """None: chunks that differ are averaged."""

    def next_action(self, time_s: float) -> Float32[np.ndarray, " action_dim"]:
        foreseen = self._foreseen(time_s)
        if not foreseen:
            raise ActionError(f"no valid chunk foresaw the control step at {time_s:.3f} s: add one first")
        if foreseen[-1][0] == self._step > 0:
            self.seams.append(self._step)
        action = temporal_ensemble([chunk.actions[self._step - added] for added, chunk in foreseen], self._decay)
        self._step += 1
        return action

    def skip(self) -> None:
        self._step += 1

    def _foreseen(self, time_s: float) -> list[tuple[int, ActionChunk]]:
        return [
            (added, chunk)
            for added, chunk in self._chunks
            if self._step - added < self._horizon and not _is_expired(chunk, time_s)
        ]


class OverlappingChunks:
    """Execution that goes on while the next chunk is predicted, for `delay_steps` control steps.

    A chunk is added when it is asked for, and takes over when its delay has passed: so a simulated world, where a
    prediction takes no time, meets the delays of a real one.
    """

    def __init__(self, horizon: int, execute_steps: int, delay_steps: int, *, is_committed: bool) -> None:
        self._horizon, self._execute_steps = horizon, execute_steps
        self._delay_steps, self._is_committed = delay_steps, is_committed
        self._active: tuple[int, ActionChunk] | None = None  # (step it was asked for at, chunk)
        self._coming: tuple[int, ActionChunk] | None = None
        self._coming_delay = delay_steps
        self._step = 0
        self._shown = 0  # the step at which the chunk that gave the last action was asked for
        self.seams: list[int] = []

    def needs_chunk(self, time_s: float) -> bool:
        active = self._current(time_s)
        if active is None:
            return True
        return self._coming is None and self._step - active[0] >= self._execute_steps

    def covers(self, time_s: float) -> bool:
        """Whether a chunk has an action for this step."""
        return self._current(time_s) is not None

    def add(self, chunk: ActionChunk, time_s: float, late_steps: int | None = None) -> None:
        """See `ChunkExecution.add`; it takes over after `late_steps`, if the delay was measured, else `delay_steps`."""
        _check_addition(chunk, self._horizon, time_s)
        if self._current(time_s) is None:
            self._active, self._coming = (self._step, chunk), None  # the robot has waited for it
        else:
            self._coming = (self._step, chunk)
            self._coming_delay = self._delay_steps if late_steps is None else late_steps

    def committed(self, time_s: float) -> Float32[np.ndarray, "steps action_dim"] | None:
        active = self._current(time_s)
        if active is None or not self._is_committed:
            return None
        first = self._step - active[0]
        return active[1].actions[first : first + self._delay_steps]

    def next_action(self, time_s: float) -> Float32[np.ndarray, " action_dim"]:
        active = self._current(time_s)
        if active is None:
            raise ActionError(f"no valid chunk foresaw the control step at {time_s:.3f} s: add one first")
        asked, chunk = active
        if asked != self._shown:
            self.seams.append(self._step)
            self._shown = asked
        action = chunk.actions[self._step - asked]
        self._step += 1
        return action

    def skip(self) -> None:
        self._step += 1

    def _current(self, time_s: float) -> tuple[int, ActionChunk] | None:
        """The chunk that foresaw this step, after the coming one has taken over if it is time."""
        if self._coming is not None and self._step - self._coming[0] >= self._coming_delay:
            self._active, self._coming = self._coming, None
        if self._active is None or self._step - self._active[0] >= self._horizon:
            return None
        return None if _is_expired(self._active[1], time_s) else self._active


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
