"""Jobs on many processes: each worker asks for its next spec when it has a free slot.

    parent                                   worker (spawned; one renderer, one torch thread)
      job ─────────────────────────────────►  rollout over its slots
      (index, spec) or none left ◄──► ask     ...
      ◄──────────────────────────────────── outcomes, predict calls, done

Which worker takes which spec is a matter of speed; outcomes do not depend on it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Protocol, runtime_checkable

from vla.errors import VlaError
from vla.interfaces import EpisodeSpec
from vla_sim.jobs import Job, JobRunner, LatencyJob, Message, Outcome, lost_outcome

type RunnerMaker = Callable[[], JobRunner]


@runtime_checkable
class Pool(Protocol):
    """Does one job after the other."""

    @property
    def workers(self) -> int:
        """How many processes compute."""
        ...

    def run(self, job: Job | LatencyJob, specs: Sequence[EpisodeSpec]) -> Iterator[Message]:
        """Outcomes and predict calls as they come, in no fixed order; one outcome for each spec of a `Job`."""
        ...


@contextlib.contextmanager
def worker_pool(make_runner: RunnerMaker, workers: int) -> Iterator[Pool]:
    """Processes that do jobs, until the context is left; with one worker, this process does them itself.

    Args:
        make_runner: called once in each worker; importable by name, or a partial of what is.
    """
    if workers == 1:
        use_one_thread()
        with contextlib.closing(make_runner()) as runner:
            yield LocalPool(runner)
        return
    pool = ProcessPool(make_runner, workers)
    try:
        yield pool
    except BaseException:
        pool.kill()
        raise
    pool.close()


class LocalPool:
    """This process alone."""

    workers = 1

    def __init__(self, runner: JobRunner) -> None:
        self._runner = runner

    def run(self, job: Job | LatencyJob, specs: Sequence[EpisodeSpec]) -> Iterator[Message]:
        return self._runner.run(job, enumerate(specs))


class ProcessPool:
    """Spawned processes."""

    def __init__(self, make_runner: RunnerMaker, workers: int) -> None:
        self._workers = [_Worker(make_runner) for _ in range(workers)]

    @property
    def workers(self) -> int:
        return sum(worker.is_alive for worker in self._workers)

    def run(self, job: Job | LatencyJob, specs: Sequence[EpisodeSpec]) -> Iterator[Message]:
        """See `Pool.run`. The episodes of a worker that dies end in an error; the others go on.

        Raises:
            VlaError: as the worker raised it, outside of an episode.
            RuntimeError: if a worker failed otherwise, with its traceback.
        """
        living = [worker for worker in self._workers if worker.is_alive]
        # A latency is measured while nobody else computes.
        return _Dispatch(living[:1] if isinstance(job, LatencyJob) else living, job, specs).messages()

    def close(self) -> None:
        """Let the workers end."""
        for worker in self._workers:
            worker.hang_up()

    def kill(self) -> None:
        """End the workers, whatever they do."""
        for worker in self._workers:
            worker.kill()


class _Dispatch:
    """One job over some workers."""

    def __init__(self, workers: Sequence[_Worker], job: Job | LatencyJob, specs: Sequence[EpisodeSpec]) -> None:
        self._workers = {worker.connection: worker for worker in workers}
        self._job = job
        self._specs = specs
        self._next = 0
        self._held: dict[Connection, set[int]] = {worker.connection: set() for worker in workers}

    def messages(self) -> Iterator[Message]:
        for connection in list(self._workers):
            with contextlib.suppress(BrokenPipeError):  # a dead worker is found by `wait`
                connection.send(self._job)
        while self._workers:
            for ready in wait(list(self._workers)):
                assert isinstance(ready, Connection)
                yield from self._hear(ready)
        yield from self._lost(set(range(self._next, len(self._specs))), "no worker was left")

    def _hear(self, connection: Connection) -> Iterator[Message]:
        try:
            message = connection.recv()
            if isinstance(message, _Ask):
                connection.send(self._take(connection))
        except (EOFError, ConnectionError):
            worker = self._workers.pop(connection)
            yield from self._lost(self._held[connection], f"its worker process ended with status {worker.status()}")
            return
        match message:
            case _Ask():
                pass
            case _Done():
                del self._workers[connection]
            case _Failed(VlaError() as error, _):
                raise error
            case _Failed(_, trace):
                raise RuntimeError(f"a worker failed:\n{trace}")
            case _:
                if isinstance(message, Outcome):
                    self._held[connection].discard(message.index)
                yield message

    def _take(self, connection: Connection) -> tuple[int, EpisodeSpec] | None:
        if self._next >= len(self._specs):
            return None
        index, self._next = self._next, self._next + 1
        self._held[connection].add(index)
        return index, self._specs[index]

    def _lost(self, indices: set[int], reason: str) -> Iterator[Outcome]:
        if isinstance(self._job, LatencyJob):
            return
        for index in sorted(indices):
            yield lost_outcome(index, self._specs[index], reason)


class _Worker:
    """The parent's end of one worker process."""

    def __init__(self, make_runner: RunnerMaker) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process: BaseProcess = context.Process(target=_serve, args=(theirs, make_runner), daemon=True)
        self._process.start()
        theirs.close()

    @property
    def is_alive(self) -> bool:
        return self._process.is_alive()

    def status(self) -> int | None:
        self._process.join()
        return self._process.exitcode

    def hang_up(self) -> None:
        self.connection.close()
        self._process.join()

    def kill(self) -> None:
        self._process.terminate()
        self.hang_up()


@dataclasses.dataclass(frozen=True)
class _Ask:
    """A worker has a free slot."""


@dataclasses.dataclass(frozen=True)
class _Done:
    """A worker has no more to do in this job."""


@dataclasses.dataclass(frozen=True)
class _Failed:
    """A worker raised outside of an episode."""

    error: VlaError | None
    trace: str


def _serve(connection: Connection, make_runner: RunnerMaker) -> None:
    """A worker's life: jobs until the parent hangs up."""
    # Ctrl-C reaches the whole process group; the parent alone decides what becomes of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(EOFError, ConnectionError):
        try:
            use_one_thread()
            with contextlib.closing(make_runner()) as runner:
                while True:
                    for message in runner.run(connection.recv(), _asked_for(connection)):
                        connection.send(message)
                    connection.send(_Done())
        except (EOFError, ConnectionError):
            raise
        except Exception as error:
            connection.send(_Failed(error if isinstance(error, VlaError) else None, traceback.format_exc()))


def _asked_for(connection: Connection) -> Iterator[tuple[int, EpisodeSpec]]:
    while True:
        connection.send(_Ask())
        answer = connection.recv()
        if answer is None:
            return
        yield answer


def use_one_thread() -> None:
    """One thread a process: workers share the cores, and sums are taken in the same order everywhere."""
    os.environ["OMP_NUM_THREADS"] = "1"
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
