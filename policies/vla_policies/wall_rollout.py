"""Rollouts in which the world does not wait for the policy: while it computes, wall time passes there too.

    world   |--- step ---|--- step ---|--- step ---|--- step ---|     a step begins every control_dt_s of the clock
    policy  [ seen ─────── predicts ──────►]                          overlapping: the old chunk goes on meanwhile
                                                                      waiting: the arm holds meanwhile

The policy is timed by the clock, with the delay that is added to it. Then the steps that have begun meanwhile are
carried out, under the actions that the control loop would have had: those of the chunk before (stale) where
`execution.mode` overlaps chunks, else none (missing: the arm holds where it is). Computing these overdue steps is not
held against the policy: a real world would have moved beside it. A step of the simulator that takes longer than a
control step is counted as slow: such a world cannot be kept in time with the clock, and what was measured is void.

A mode that waits loses the whole control steps that pass; in one that overlaps the next step begins without the new
chunk however soon it comes, as in `vla_policies.chunking`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from jaxtyping import Float32

from vla.embodiment import ActionKind, Embodiment
from vla.interfaces import (
    ActionChunk,
    Clock,
    Environment,
    EpisodeSpec,
    Observation,
    Policy,
    Transition,
    check_chunk,
    check_observation,
    check_proprioception,
)
from vla_policies.baselines import GRIPPER_FIELD, rest_action
from vla_policies.chunking import ChunkExecution, ExecutionConfig, OverlappingChunks, check_execution, make_execution
from vla_policies.history import Recollection, history_of
from vla_policies.rollout import PredictCall, RolloutEvents, RolloutResult, in_one_line

WARM_UP_CALLS = 3
"""Before the first episode, which would pay for what is loaded and compiled."""
_SLACK_S = 1e-6
_SLOT = 0


@dataclasses.dataclass(frozen=True)
class WallClock:
    """That the world goes by the clock, and what is added to the policy's own time."""

    delay_s: float = 0.0


@dataclasses.dataclass(frozen=True)
class WallStats:
    """How one episode kept time."""

    steps: int
    """Control steps of the world."""
    stale: int
    """Of them, under an older chunk while a newer one was computed."""
    missing: int
    """Of them, without an action: the arm held."""
    slow: int
    """Of them, longer to simulate than a control step lasts."""
    latencies_s: tuple[float, ...]
    """Of each prediction, with the added delay."""
    seconds: float
    """From the first observation to the end, by the clock."""


def wall_rollout(
    policy: Policy,
    environment: Environment,
    specs: Iterable[EpisodeSpec],
    execution: ExecutionConfig,
    *,
    clock: Clock,
    wall: WallClock | None = None,
    events: RolloutEvents | None = None,
) -> Iterator[tuple[RolloutResult, WallStats]]:
    """Let a policy act in one episode after the other, in step with the clock.

    What raises ends its own episode, as in `vla_policies.rollout`.

    Raises:
        ConfigError: if the execution does not fit the policy's horizon.
    """
    check_execution(execution, policy.horizon, policy.embodiment.control_dt_s)
    delay_s = (wall or WallClock()).delay_s
    for index, spec in enumerate(specs):
        episode = _Episode(policy, environment, spec, execution, clock, delay_s, events or RolloutEvents())
        yield episode.run(index, warm_up=index == 0)


def hold_action(
    embodiment: Embodiment,
) -> Callable[
    [Float32[np.ndarray, " state_dim"], Float32[np.ndarray, " action_dim"] | None], Float32[np.ndarray, " action_dim"]
]:
    """The action that stays where it was commanded, as a function of proprioception and of the action before.

    Without an action before, it rests at what is measured, with the gripper open.

    Raises:
        ConfigError: if an absolute field is not measured.
    """
    rest = rest_action(embodiment)
    is_delta = embodiment.action_kind in (ActionKind.DELTA_END_EFFECTOR, ActionKind.DELTA_JOINT)
    is_kept = np.array([field.name == GRIPPER_FIELD or not is_delta for field in embodiment.action])

    def hold(
        proprioception: Float32[np.ndarray, " state_dim"], before: Float32[np.ndarray, " action_dim"] | None
    ) -> Float32[np.ndarray, " action_dim"]:
        resting = rest(proprioception)
        return resting if before is None else np.where(is_kept, before, resting).astype(np.float32)

    return hold


class _Timeline:
    """The time of the world, in step with a clock; it stands still while overdue steps are computed."""

    def __init__(self, clock: Clock, dt_s: float) -> None:
        self._clock, self._dt_s = clock, dt_s
        self._due_s = clock.now()  # when the present observation is, in the world's time
        self._stood_s = 0.0
        self.num_slow = 0

    @property
    def behind_s(self) -> float:
        """How long ago the present observation was."""
        return self._clock.now() - self._stood_s - self._due_s

    def step[T](self, simulate: Callable[[], T]) -> T:
        """One control step of the world; returns when its end has come, at once if it is overdue."""
        is_overdue = self.behind_s >= self._dt_s - _SLACK_S
        begin = self._clock.now()
        result = simulate()
        cost = self._clock.now() - begin
        self.num_slow += cost > self._dt_s + _SLACK_S
        self._due_s += self._dt_s
        self._stood_s += cost if is_overdue else max(0.0, self.behind_s)
        self._clock.sleep_until(self._due_s + self._stood_s)
        return result


class _Over(Exception):
    """The episode has ended."""


class _Episode:
    def __init__(
        self,
        policy: Policy,
        environment: Environment,
        spec: EpisodeSpec,
        execution: ExecutionConfig,
        clock: Clock,
        delay_s: float,
        events: RolloutEvents,
    ) -> None:
        self._policy, self._environment, self._spec = policy, environment, spec
        self._dt_s = policy.embodiment.control_dt_s
        self._execution: ChunkExecution = make_execution(execution, policy.horizon, self._dt_s)
        self._clock, self._delay_s, self._events = clock, delay_s, events
        self._hold = hold_action(policy.embodiment)
        self._recollection = Recollection(history_of(policy))
        self._actions: list[np.ndarray] = []
        self._latencies_s: list[float] = []
        self._stale = self._missing = 0
        self._instruction, self._is_success = "", False
        self._timeline = _Timeline(clock, self._dt_s)

    def run(self, index: int, *, warm_up: bool) -> tuple[RolloutResult, WallStats]:
        error, start = None, self._clock.now()
        try:
            self._begin(warm_up)
            start = self._clock.now()
            self._timeline = _Timeline(self._clock, self._dt_s)
            while True:
                self._think() if self._execution.needs_chunk(self._time_s) else self._act()
        except _Over:
            pass
        except Exception as exception:
            error = in_one_line(exception, self._spec)
        actions = np.array(self._actions, np.float32).reshape(-1, self._policy.embodiment.action_dim)
        seams = tuple(step for step in self._execution.seams if step < len(actions))
        result = RolloutResult(
            index, _SLOT, self._spec, self._instruction, self._is_success, len(actions), actions, error, seams
        )
        return result, WallStats(
            len(actions),
            self._stale,
            self._missing,
            self._timeline.num_slow,
            tuple(self._latencies_s),
            self._clock.now() - start,
        )

    @property
    def _time_s(self) -> float:
        return self._observation.time_s

    def _begin(self, warm_up: bool) -> None:
        self._observation: Observation = self._recollection.with_past(self._environment.reset(self._spec))
        self._policy.reset([self._spec.seed], [_SLOT])
        self._instruction = self._observation.instruction
        if warm_up:
            check_observation(self._observation, self._policy.embodiment)
            for _ in range(WARM_UP_CALLS):
                self._policy.predict([self._observation], [_SLOT])
            self._policy.reset([self._spec.seed], [_SLOT])
        if self._events.on_reset is not None:
            self._events.on_reset(_SLOT, self._spec, self._observation)

    def _think(self) -> None:
        """Have a chunk predicted, and let the world go on meanwhile."""
        execution = self._execution
        if isinstance(execution, OverlappingChunks) and execution.covers(self._time_s):
            chunk = self._predict()
            late = math.ceil(self._timeline.behind_s / self._dt_s - _SLACK_S)
            execution.add(chunk, self._time_s, late)
            for _ in range(late):
                self._act(stale=True)
        else:
            chunk = self._predict()
            for _ in range(math.floor(self._timeline.behind_s / self._dt_s + _SLACK_S)):
                self._wait()
            # A chunk that came after its time is no use; the next turn asks anew.
            if self._time_s <= chunk.start_s + chunk.valid_s + _SLACK_S:
                execution.add(chunk, self._time_s)

    def _predict(self) -> ActionChunk:
        check_observation(self._observation, self._policy.embodiment)
        begin = self._clock.now()
        committed = self._execution.committed(self._time_s)
        (chunk,) = self._policy.predict([self._observation], [_SLOT], [committed])
        end = self._clock.now()
        self._clock.sleep_until(end + self._delay_s)
        self._latencies_s.append(self._clock.now() - begin)
        if self._events.on_predict is not None:
            self._events.on_predict(PredictCall(end - begin, 1))
        check_chunk(chunk, self._policy.embodiment, self._policy.horizon)
        return chunk

    def _act(self, *, stale: bool = False) -> None:
        """One control step with an action, or without where no chunk has one."""
        if isinstance(self._execution, OverlappingChunks) and not self._execution.covers(self._time_s):
            self._wait()
            return
        self._stale += stale
        self._step(self._execution.next_action(self._time_s))

    def _wait(self) -> None:
        """One control step in which the arm holds."""
        self._missing += 1
        self._execution.skip()
        self._step(self._hold(self._observation.proprioception, self._actions[-1] if self._actions else None))

    def _step(self, action: Float32[np.ndarray, " action_dim"]) -> None:
        transition: Transition = self._timeline.step(lambda: self._environment.step(action))
        self._actions.append(action)
        check_proprioception(transition.observation, self._policy.embodiment)
        self._observation = self._recollection.with_past(transition.observation)
        if self._events.on_step is not None:
            self._events.on_step(_SLOT, action, transition)
        if transition.terminated or transition.truncated:
            self._is_success = bool(transition.success)
            raise _Over
