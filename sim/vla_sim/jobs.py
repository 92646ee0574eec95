"""Episodes in one process: a few environments, the policies that are asked for, and what came of each episode."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from vla.clock import RealClock
from vla.interfaces import Environment, EpisodeSpec, Observation, Policy, Transition
from vla_policies.certainty import CertainPolicy, Certainties, TokenEntropy
from vla_policies.chunking import ExecutionConfig
from vla_policies.decisions import Decisions
from vla_policies.history import Recollection, history_of
from vla_policies.rollout import PredictCall, RolloutEvents, RolloutResult, rollout
from vla_policies.wall_rollout import WallClock, WallStats, wall_rollout
from vla_sim.attribution import Progress, Watch
from vla_sim.explaining import ExplainConfig, explained
from vla_sim.filming import Film, FilmConfig
from vla_sim.traces import trace

_log = logging.getLogger(__name__)

_WARM_UP_CALLS = 3
"""The first calls of the policy in a job, which load and compile: not counted as latency."""
_LATENCY_CALLS = 100
_LATENCY_BUDGET_S = 3.0


@runtime_checkable
class FilmedEnvironment(Environment, Protocol):
    """An environment that can be looked at from outside."""

    def render(self, height: int, width: int) -> UInt8[np.ndarray, "height width 3"]:
        """A picture for people, which no policy sees."""
        ...


@dataclasses.dataclass(frozen=True)
class Job:
    """Who acts, and how; the specs come one by one."""

    policy: str
    execution: ExecutionConfig
    film: FilmConfig | None = None
    """With films come traces of what was decided."""
    explain: ExplainConfig | None = None
    """Maps of what the policy looked at, for filmed episodes."""
    wall: WallClock | None = None
    """That the world goes by the clock; in one environment."""


@dataclasses.dataclass(frozen=True)
class LatencyJob:
    """Time calls with one observation each: what a single robot waits for. One spec is enough."""

    policy: str


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of one spec of a job."""

    index: int
    """Which of the job's specs it was."""
    result: RolloutResult
    film: bytes | None = None
    """An MP4, if the job asked for it."""
    progress: Progress | None = None
    """How far it came, if the environment can tell."""
    entropy: TokenEntropy | None = None
    """How sure the policy was of its tokens, if it can tell."""
    timed_out: bool | None = None
    """Whether it ran out of steps; `None` if it was not carried out to its end."""
    trace: dict[str, Any] | None = None
    """What was decided, of an episode that is filmed; see `vla_sim.traces`."""
    wall: WallStats | None = None
    """How it kept time, if the world went by the clock."""


def lost_outcome(index: int, spec: EpisodeSpec, reason: str) -> Outcome:
    """The outcome of an episode whose worker ended before it did."""
    return Outcome(index, RolloutResult(index, 0, spec, "", False, 0, np.zeros((0, 0), np.float32), reason))


type Message = Outcome | PredictCall
type PolicyMaker = Callable[[str, int | None], Policy]
"""From a policy's name, and the size of every batch through its model or `None` for its own, to the policy."""


class JobRunner:
    """Does jobs, one after the other, with environments and policies that are made once."""

    def __init__(self, environments: Sequence[FilmedEnvironment], make_policy: PolicyMaker) -> None:
        """Keep the environments: each is a slot of the rollout loop. A policy is made when it is first asked for."""
        self._environments = environments
        self._make_policy = make_policy
        self._policies: dict[tuple[str, int | None], Policy] = {}

    def run(self, job: Job | LatencyJob, specs: Iterable[tuple[int, EpisodeSpec]]) -> Iterator[Message]:
        """Outcomes as episodes end, and the calls of the policy after the first few.

        Args:
            specs: (index, spec); taken one at a time, when a slot is free.
        """
        if isinstance(job, LatencyJob):
            yield from self._time(job, specs)
        else:
            yield from self._rollout(job, specs)

    def close(self) -> None:
        for environment in self._environments:
            environment.close()

    def _policy(self, name: str, batch_size: int | None) -> Policy:
        key = name, batch_size
        if key not in self._policies:
            self._policies[key] = self._make_policy(name, batch_size)
        return self._policies[key]

    def _rollout(self, job: Job, specs: Iterable[tuple[int, EpisodeSpec]]) -> Iterator[Message]:
        indices: list[int] = []
        calls: list[PredictCall] = []
        camera = None if job.film is None else _Camera(self._environments, job.film)
        watch = Watch(self._environments)
        timed_out: dict[int, bool] = {}  # by slot

        def on_reset(slot: int, spec: EpisodeSpec, observation: Observation) -> None:
            watch.begin(slot)
            if camera is not None:
                camera.begin(slot)

        def on_step(slot: int, action: np.ndarray, transition: Transition) -> None:
            watch.look(slot)
            timed_out[slot] = transition.truncated
            if camera is not None:
                camera.shoot(slot)

        # By the clock, a policy answers one robot as soon as it can; else passes are of one size, for equal bits.
        policy = self._policy(job.policy, None if job.wall is None else 1)
        certainties = Certainties(policy) if camera is None and isinstance(policy, CertainPolicy) else None
        tracer = None if camera is None else _Tracer(policy, job, self._make_policy)
        acting = policy if tracer is None else tracer.decisions
        events = RolloutEvents(on_reset, on_step, on_predict=calls.append)
        taken = _remembering(specs, indices)
        for result, wall in self._results(certainties or acting, taken, job, events):
            film = None if camera is None else camera.finish(result.slot)
            entropy = None if certainties is None else certainties.finish(result.slot)
            decided = None if tracer is None else tracer.finish(result)
            late = timed_out.pop(result.slot, None)
            is_late = late if result.error is None else None
            progress = watch.finish(result.slot)
            yield Outcome(indices[result.index], result, film, progress, entropy, is_late, decided, wall)
        yield from calls[_WARM_UP_CALLS:]

    def _results(
        self, policy: Policy, specs: Iterator[EpisodeSpec], job: Job, events: RolloutEvents
    ) -> Iterator[tuple[RolloutResult, WallStats | None]]:
        if job.wall is None:
            found = rollout(policy, self._environments, specs, job.execution, events=events)
            yield from ((result, None) for result in found)
        else:
            yield from wall_rollout(
                policy,
                self._environments[0],
                specs,
                job.execution,
                clock=RealClock(),
                wall=job.wall,
                events=events,
            )

    def _time(self, job: LatencyJob, specs: Iterable[tuple[int, EpisodeSpec]]) -> Iterator[PredictCall]:
        policy = self._make_policy(job.policy, 1)
        begun: list[Observation] = []
        try:
            for _, spec in specs:
                begun.append(Recollection(history_of(policy)).with_past(self._environments[0].reset(spec)))
                policy.reset([spec.seed], [0])
            deadline = time.monotonic() + _LATENCY_BUDGET_S
            for call in range(_WARM_UP_CALLS + _LATENCY_CALLS):
                begin = time.monotonic()
                policy.predict(begun[-1:], [0])
                end = time.monotonic()
                if call >= _WARM_UP_CALLS:
                    yield PredictCall(end - begin, batch_size=1)
                if end > deadline:
                    return
        except Exception as error:
            # The episodes have met it too, and tell it in the report.
            _log.warning("no latency: %s", error)


class _Tracer:
    """The decisions of the episodes that are filmed and, if they are to be explained, what they hang on."""

    def __init__(self, policy: Policy, job: Job, make_policy: PolicyMaker) -> None:
        self._job = job
        self._explain = job.explain
        self.decisions = Decisions(policy, 0 if job.explain is None else job.explain.steps)
        # Asking it again and again must not touch the episodes that go on.
        self._asked = None if job.explain is None else make_policy(job.policy, None)

    def finish(self, result: RolloutResult) -> dict[str, Any]:
        found = self.decisions.finish(result.slot)
        tree = trace(result, found, self.decisions.embodiment, self.decisions.token_grid)
        if self._explain is not None and self._asked is not None:
            tree["frames"] = explained(self._asked, found, result.spec.seed, self._explain)
        return tree


class _Camera:
    """The films in the making, by slot."""

    def __init__(self, environments: Sequence[FilmedEnvironment], config: FilmConfig) -> None:
        self._environments = environments
        self._config = config
        self._films: dict[int, Film] = {}

    def begin(self, slot: int) -> None:
        self._films[slot] = Film(self._config, self._environments[slot].embodiment.control_hz)
        self.shoot(slot)

    def shoot(self, slot: int) -> None:
        self._films[slot].add(self._environments[slot].render(self._config.height, self._config.width))

    def finish(self, slot: int) -> bytes | None:
        """The film; `None` if the episode never began."""
        film = self._films.pop(slot, None)
        return None if film is None else film.finish()


def _remembering(specs: Iterable[tuple[int, EpisodeSpec]], indices: list[int]) -> Iterator[EpisodeSpec]:
    for index, spec in specs:
        indices.append(index)
        yield spec
