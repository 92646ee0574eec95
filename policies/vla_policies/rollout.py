"""The one loop in which policies act: simulated episodes, benchmarks, collection and lab arms.

    specs ─┬─► slot 0: environment, chunk execution ─┬─► one batch    ─┬─► slot 0 acts until it needs a chunk
           ├─► slot 1: environment, chunk execution ─┤   is predicted  ├─► slot 1 acts until ...
           └─► slot 2: ...                          ─┘                 └─► ...

Every environment is a slot. A slot whose episode has ended takes the next spec at once, so that the batch stays
full. Slots share a policy and nothing else: an episode's outcome depends on its spec alone.

A lab arm is a single slot, whose environment waits in `step` for the arm's clock; the loop is the same.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from jaxtyping import Float32

from vla.errors import ActionError
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
from vla_policies.chunking import ChunkExecution, ExecutionConfig, check_execution, make_execution
from vla_policies.history import Recollection, history_of

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class RolloutResult:
    """What came of one episode."""

    index: int
    """Which of the specs it was, counted from 0 in the order they were taken."""
    slot: int
    """Where it happened: the number of the environment."""
    spec: EpisodeSpec
    instruction: str
    """As it was shown to the policy; empty if the episode could not begin."""
    success: bool
    steps: int
    actions: Float32[np.ndarray, "steps action_dim"]
    """As they were asked for."""
    error: str | None = None
    """The exception that ended the episode, in one line; such an episode is neither success nor failure."""
    seams: tuple[int, ...] = ()
    """The steps whose action came from another chunk than the action before."""


@dataclasses.dataclass(frozen=True, slots=True)
class PredictCall:
    """One call of the policy."""

    seconds: float
    batch_size: int


@dataclasses.dataclass(frozen=True)
class RolloutEvents:
    """What is called while episodes go on; the first argument is the slot, which is the environment's number."""

    on_reset: Callable[[int, EpisodeSpec, Observation], None] | None = None
    on_step: Callable[[int, Float32[np.ndarray, " action_dim"], Transition], None] | None = None
    """After each control step, with the action that was asked for."""
    on_predict: Callable[[PredictCall], None] | None = None


def rollout(
    policy: Policy,
    environments: Sequence[Environment],
    specs: Iterable[EpisodeSpec],
    execution: ExecutionConfig | None = None,
    *,
    clock: Clock | None = None,
    events: RolloutEvents | None = None,
) -> Iterator[RolloutResult]:
    """Let a policy act in one episode for each spec; results come as episodes end.

    An exception that an environment or the policy raises in an episode ends that episode, and becomes its `error`;
    the others go on.

    Args:
        environments: one for each slot; with a clock, one alone.
        specs: taken one at a time, when a slot is free.
        execution: how chunks are carried out; half of each, then the next, if not given.
        clock: judges whether a chunk is still valid after it was predicted. Without one, time stands still while
            the policy thinks, as it does in simulation.

    Raises:
        ConfigError: if the execution does not fit the policy's horizon.
        ValueError: if the number of environments does not fit.
    """
    if not environments or (clock is not None and len(environments) > 1):
        raise ValueError(f"expected at least one environment, and just one with a clock; got {len(environments)}")
    execution = execution or ExecutionConfig()
    check_execution(execution, policy.horizon, policy.embodiment.control_dt_s)
    return _Rollout(policy, environments, specs, execution, clock, events or RolloutEvents()).run()


class _Episode:
    """The episode that goes on in one slot."""

    def __init__(
        self, index: int, spec: EpisodeSpec, observation: Observation, execution: ChunkExecution, history: int
    ) -> None:
        self.index = index
        self.spec = spec
        self.instruction = observation.instruction
        self._recollection = Recollection(history)
        self.observation = self._recollection.with_past(observation)
        self.execution = execution
        self.actions: list[np.ndarray] = []

    def see(self, observation: Observation) -> None:
        """Go on to the next control step."""
        self.observation = self._recollection.with_past(observation)

    @property
    def needs_chunk(self) -> bool:
        return self.execution.needs_chunk(self.observation.time_s)

    @property
    def committed(self) -> Float32[np.ndarray, "steps action_dim"] | None:
        return self.execution.committed(self.observation.time_s)


class _Rollout:
    def __init__(
        self,
        policy: Policy,
        environments: Sequence[Environment],
        specs: Iterable[EpisodeSpec],
        execution: ExecutionConfig,
        clock: Clock | None,
        events: RolloutEvents,
    ) -> None:
        self._policy = policy
        self._environments = environments
        self._specs = enumerate(specs)
        self._execution = execution
        self._dt_s = policy.embodiment.control_dt_s
        self._history = history_of(policy)
        self._clock = clock
        self._events = events
        self._episodes: dict[int, _Episode] = {}  # by slot

    def run(self) -> Iterator[RolloutResult]:
        for slot in range(len(self._environments)):
            yield from self._begin(slot)
        while self._episodes:
            yield from self._think()
            for slot in list(self._episodes):
                yield from self._act(slot)

    def _begin(self, slot: int) -> Iterator[RolloutResult]:
        """Begin the next episode in a slot; an episode that cannot begin is an error, and the one after it is tried."""
        for index, spec in self._specs:
            try:
                observation = self._environments[slot].reset(spec)
                self._policy.reset([spec.seed], [slot])
                execution = make_execution(self._execution, self._policy.horizon, self._dt_s)
                self._episodes[slot] = _Episode(index, spec, observation, execution, self._history)
            except Exception as error:
                empty = np.zeros((0, self._policy.embodiment.action_dim), np.float32)
                yield RolloutResult(index, slot, spec, "", False, 0, empty, error=in_one_line(error, spec))
                continue
            if self._events.on_reset is not None:
                self._events.on_reset(slot, spec, self._episodes[slot].observation)
            return

    def _think(self) -> Iterator[RolloutResult]:
        """Give a chunk to every slot that needs one, from one batch."""
        needy = [slot for slot, episode in self._episodes.items() if episode.needs_chunk]
        failures: dict[int, Exception] = {slot: error for slot in needy if (error := self._unfit(slot)) is not None}
        for slot, chunk in self._predict([slot for slot in needy if slot not in failures]).items():
            try:
                if isinstance(chunk, Exception):
                    raise chunk
                check_chunk(chunk, self._policy.embodiment, self._policy.horizon)
                episode = self._episodes[slot]
                episode.execution.add(chunk, episode.observation.time_s if self._clock is None else self._clock.now())
            except Exception as error:
                failures[slot] = error
        for slot in sorted(failures):
            yield self._end(slot, success=False, error=failures[slot])
            yield from self._begin(slot)

    def _unfit(self, slot: int) -> Exception | None:
        """What is wrong with a slot's observation: found before it can spoil the batch."""
        try:
            check_observation(self._episodes[slot].observation, self._policy.embodiment)
        except Exception as error:
            return error
        return None

    def _predict(self, slots: list[int]) -> dict[int, ActionChunk | Exception]:
        """A chunk for each slot; if the batch raises, each slot alone, so that one episode cannot end another."""
        if not slots:
            return {}
        observations = [self._episodes[slot].observation for slot in slots]
        begin = time.monotonic()
        try:
            chunks = self._policy.predict(observations, slots, [self._episodes[slot].committed for slot in slots])
            if len(chunks) != len(slots):
                raise ActionError(f"expected a chunk for each of {len(slots)} observations, got {len(chunks)}")
        except Exception as error:
            if len(slots) == 1:
                return {slots[0]: error}
            return {slot: chunk for alone in slots for slot, chunk in self._predict([alone]).items()}
        if self._events.on_predict is not None:
            self._events.on_predict(PredictCall(time.monotonic() - begin, len(slots)))
        return dict(zip(slots, chunks, strict=True))

    def _act(self, slot: int) -> Iterator[RolloutResult]:
        """Act in one slot until it needs a chunk, or its episode ends and the next begins."""
        while slot in self._episodes and not self._episodes[slot].needs_chunk:
            try:
                action, transition = self._step(slot)
            except Exception as error:
                yield self._end(slot, success=False, error=error)
                yield from self._begin(slot)
                return
            if self._events.on_step is not None:
                self._events.on_step(slot, action, transition)
            if transition.terminated or transition.truncated:
                yield self._end(slot, success=bool(transition.success))
                yield from self._begin(slot)
                return

    def _step(self, slot: int) -> tuple[Float32[np.ndarray, " action_dim"], Transition]:
        episode = self._episodes[slot]
        action = episode.execution.next_action(episode.observation.time_s)
        transition = self._environments[slot].step(action)
        episode.actions.append(action)
        # Pictures are looked at when a chunk is asked for; a state that is not finite may not come to that.
        check_proprioception(transition.observation, self._policy.embodiment)
        episode.see(transition.observation)
        return action, transition

    def _end(self, slot: int, *, success: bool, error: Exception | None = None) -> RolloutResult:
        episode = self._episodes.pop(slot)
        actions = np.array(episode.actions, np.float32).reshape(-1, self._policy.embodiment.action_dim)
        text = None if error is None else in_one_line(error, episode.spec)
        # An action that the environment refused was not carried out.
        seams = tuple(step for step in episode.execution.seams if step < len(actions))
        return RolloutResult(
            episode.index, slot, episode.spec, episode.instruction, success, len(actions), actions, text, seams
        )


def in_one_line(error: Exception, spec: EpisodeSpec) -> str:
    """What ended an episode; the log has it whole."""
    _log.debug("%s, seed %d ended in an error", spec.task, spec.seed, exc_info=error)
    return " ".join(f"{type(error).__name__}: {error}".split())
