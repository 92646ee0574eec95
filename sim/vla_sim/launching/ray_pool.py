"""Jobs on a Ray cluster: the same workers as on one machine, wherever there is room.

    parent                              queue (an actor)        worker (an actor; one core, one renderer)
      specs ──────────────────────────► spec, spec, ...  ◄────── take one when a slot is free
      ◄──────────────────────────────────────────────────────── outcomes, then predict calls, streamed

A machine that is lost takes no episode with it: what its workers had begun is begun anew by others, which gives the
same outcome, since that depends on the spec alone. What is lost twice is an error: it may be its spec that kills.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import vla
from vla.interfaces import EpisodeSpec
from vla_sim.jobs import Job, JobRunner, LatencyJob, Message, Outcome, lost_outcome
from vla_sim.launching.cluster import RayConfig, check_version, default_workers, ray_cluster, ray_result, worker_options
from vla_sim.workers import Pool, RunnerMaker, use_one_thread

_log = logging.getLogger(__name__)

ATTEMPTS = 2
"""So often is an episode begun before it is an error."""

type Indexed = tuple[int, EpisodeSpec]


@contextlib.contextmanager
def ray_pool(make_runner: RunnerMaker, workers: int | None, config: RayConfig) -> Iterator[Pool]:
    """Workers on Ray, until the context is left; arguments as those of `RayPool`."""
    with ray_cluster(config, workers) as ray, contextlib.closing(RayPool(ray, make_runner, workers, config)) as pool:
        yield pool


class RayPool:
    """Workers on Ray; a `Pool`."""

    def __init__(self, ray: Any, make_runner: RunnerMaker, workers: int | None, config: RayConfig) -> None:
        """Start the workers, as many as there is room for if `workers` is None.

        Raises:
            ConfigError: if there is room for none, or another version of the project runs there.
            VlaError: as a worker raised it, when it was made.
        """
        self._ray = ray
        number = workers or default_workers(ray, config)
        actor = ray.remote(_RemoteRunner)
        self._workers = [actor.options(**worker_options(config)).remote() for _ in range(number)]
        for version in ray_result(ray, [worker.prepare.remote(make_runner) for worker in self._workers]):
            check_version(version)

    @property
    def workers(self) -> int:
        return len(self._workers)

    def run(self, job: Job | LatencyJob, specs: Sequence[EpisodeSpec]) -> Iterator[Message]:
        """See `Pool.run`.

        Raises:
            VlaError: as the worker raised it, outside of an episode.
            RuntimeError: if a worker failed otherwise, with its traceback.
        """
        if isinstance(job, LatencyJob):
            yield from self._round(self._workers[:1], job, dict(enumerate(specs)), set())
            return
        left = dict(enumerate(specs))
        for _ in range(ATTEMPTS):
            lost: set[int] = set()
            if left and self._workers:
                yield from self._round(self._workers, job, left, lost)
                left = {index: specs[index] for index in sorted(lost)}
        reason = f"its worker was lost {ATTEMPTS} times" if self._workers else "no worker was left"
        yield from (lost_outcome(index, spec, reason) for index, spec in left.items())

    def close(self) -> None:
        """End the workers, whatever they do."""
        for worker in self._workers:
            self._ray.kill(worker)
        self._workers = []

    def _round(
        self, workers: Sequence[Any], job: Job | LatencyJob, specs: Mapping[int, EpisodeSpec], lost: set[int]
    ) -> Iterator[Message]:
        """Every spec offered once; the indices of those that did not come back are added to `lost`."""
        queue = self._ray.remote(_SpecQueue).options(num_cpus=0).remote(list(specs.items()))
        streams = {worker.run.options(num_returns="streaming").remote(job, queue): worker for worker in workers}
        waiting = set(specs)
        while streams:
            ready, _ = self._ray.wait(list(streams), num_returns=1)
            for message in self._next(ready[0], streams):
                if isinstance(message, Outcome):
                    waiting.discard(message.index)
                yield message
        lost |= waiting

    def _next(self, stream: Any, streams: dict[Any, Any]) -> Iterable[Message]:
        """The next messages of a stream, which is taken out where it ends; a dead worker is taken out of the pool."""
        try:
            return ray_result(self._ray, next(stream))
        except StopIteration:
            del streams[stream]
        except self._ray.exceptions.RayActorError as error:
            _log.warning("a worker is lost: %s", " ".join(str(error).split()))
            self._workers.remove(streams.pop(stream))
        return []


class _SpecQueue:
    """What is still to be done; an actor, which serves one call at a time."""

    def __init__(self, specs: Sequence[Indexed]) -> None:
        self._specs = iter(specs)

    def take(self) -> Indexed | None:
        return next(self._specs, None)


class _RemoteRunner:
    """A worker; an actor."""

    _runner: JobRunner

    def prepare(self, make_runner: RunnerMaker) -> str:
        """Make what it works with; the version of the project that it is."""
        use_one_thread()
        self._runner = make_runner()
        return vla.__version__

    def run(self, job: Job | LatencyJob, queue: Any) -> Iterator[list[Message]]:
        """Messages, in lists: outcomes as they come, and the many small calls together."""
        small: list[Message] = []
        for message in self._runner.run(job, _taken(queue)):
            if isinstance(message, Outcome):
                yield [message]
            else:
                small.append(message)
        yield small


def _taken(queue: Any) -> Iterator[Indexed]:
    import ray

    while True:
        taken: Any = ray.get(queue.take.remote())
        if taken is None:
            return
        yield taken
