"""The policy at work for many clients: what waits when it is free is predicted in one batch, in a thread of its own.

    requests ─► waiting ─► [the policy's thread: begin episodes, predict one batch] ─► answers
                   └─ a newer one of the same session takes the place of an older one

The event loop goes on meanwhile, so that pings are answered and other clients are heard. An answer that would leave
after its deadline is not given. What one session brings about, an error too, reaches no other.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from vla.errors import VlaError
from vla.interfaces import ActionChunk, Policy, check_chunk
from vla_policies.serving.messages import Begin, Refused, Request
from vla_policies.serving.metrics import Metrics
from vla_policies.serving.sessions import Session

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Predicted:
    """What came of a request."""

    chunk: ActionChunk | None
    """`None` for the beginning of an episode."""
    queue_s: float
    infer_s: float


@dataclasses.dataclass(frozen=True, eq=False)
class _Job:
    asked: Request | Begin
    session: Session
    arrived_s: float
    expires_s: float
    outcome: asyncio.Future[Predicted]


class Inference:
    """One policy and its thread; used from one event loop."""

    def __init__(self, policy: Policy, metrics: Metrics) -> None:
        self._policy = policy
        self._metrics = metrics
        self._waiting: list[_Job] = []
        self._is_waiting = asyncio.Event()
        self._is_idle = asyncio.Event()
        self._is_idle.set()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="policy")
        self._worker = asyncio.create_task(self._work())
        self._is_closing = False

    @property
    def is_alive(self) -> bool:
        return not self._worker.done() and not self._is_closing

    def submit(
        self, asked: Request | Begin, session: Session, arrived_s: float, expires_s: float
    ) -> asyncio.Future[Predicted]:
        """Have it answered; the future's exception is a `VlaError`.

        Raises:
            Refused: if the server is closing.
        """
        if self._is_closing:
            raise Refused("closing", "the server is shutting down")
        self._supersede(session)
        outcome: asyncio.Future[Predicted] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Job(asked, session, arrived_s, expires_s, outcome))
        self._is_idle.clear()
        self._is_waiting.set()
        return outcome

    async def close(self, grace_s: float) -> None:
        """Take nothing more, finish what waits if that takes no longer than `grace_s`, and end the thread."""
        self._is_closing = True
        try:
            await asyncio.wait_for(self._is_idle.wait(), grace_s)
        except TimeoutError:
            _log.warning("the policy was still at work after %.0f s: what it would answer is dropped", grace_s)
        self._worker.cancel()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _supersede(self, session: Session) -> None:
        """Drop what waits for an answer that nobody needs any more; an episode's beginning is never dropped."""
        for job in [job for job in self._waiting if job.session is session and isinstance(job.asked, Request)]:
            self._waiting.remove(job)
            _fail(job, Refused("superseded", "a newer request of the same session has taken its place"))

    async def _work(self) -> None:
        while True:
            await self._is_waiting.wait()
            self._is_waiting.clear()
            jobs, self._waiting = self._waiting, []
            await self._serve(jobs)
            if not self._waiting:
                self._is_idle.set()

    async def _serve(self, jobs: list[_Job]) -> None:
        live = [job for job in jobs if not job.outcome.done() and not _is_late(job)]
        begin_s = time.monotonic()
        answers = await asyncio.get_running_loop().run_in_executor(self._thread, self._answers, live)
        infer_s = time.monotonic() - begin_s
        if live:
            self._metrics.inference_s.observe(infer_s)
            self._metrics.batch_size.observe(len(live))
        for job, answer in zip(live, answers, strict=True):
            if isinstance(answer, VlaError):
                _fail(job, answer)
            elif not job.outcome.done() and not _is_late(job):
                job.outcome.set_result(Predicted(answer, begin_s - job.arrived_s, infer_s))

    # ------------------------------------------------------------------ in the policy's thread

    def _answers(self, jobs: Sequence[_Job]) -> list[ActionChunk | VlaError | None]:
        """One answer a job: episodes begin first, then one batch is predicted."""
        answers: dict[_Job, ActionChunk | VlaError | None] = {job: self._begun(job) for job in jobs}
        asked = [job for job in jobs if isinstance(job.asked, Request) and answers[job] is None]
        answers |= dict(zip(asked, self._predicted(asked), strict=True))
        return [answers[job] for job in jobs]

    def _begun(self, job: _Job) -> VlaError | None:
        """Begin the episode that is asked for, or one with seed 0 for a session that never did."""
        session = job.session
        if isinstance(job.asked, Request) and session.has_begun:
            return None
        try:
            self._policy.reset([job.asked.seed if isinstance(job.asked, Begin) else 0], [session.slot])
        except Exception as error:
            return _told(error)
        session.has_begun = True
        return None

    def _predicted(self, jobs: Sequence[_Job]) -> list[ActionChunk | VlaError]:
        """A chunk a job; if the batch raises, each alone, so that one client cannot spoil another's."""
        if not jobs:
            return []
        requests = [job.asked for job in jobs if isinstance(job.asked, Request)]
        try:
            chunks = self._policy.predict(
                [request.observation for request in requests],
                [job.session.slot for job in jobs],
                [request.committed for request in requests],
            )
            return [self._checked(chunk) for chunk, _ in zip(chunks, jobs, strict=True)]
        except Exception as error:
            if len(jobs) == 1:
                return [_told(error)]
            return [answer for job in jobs for answer in self._predicted([job])]

    def _checked(self, chunk: ActionChunk) -> ActionChunk | VlaError:
        try:
            check_chunk(chunk, self._policy.embodiment, self._policy.horizon)
        except VlaError as error:
            return error
        return chunk


def _told(error: Exception) -> VlaError:
    """What a client is told: our own errors in full, of others a number by which the log has them."""
    if isinstance(error, VlaError):
        return error
    number = uuid.uuid4().hex[:8]
    _log.error("error %s in the policy", number, exc_info=error)
    return Refused("internal", f"the policy failed; the server's log has it as error {number}")


def _is_late(job: _Job) -> bool:
    late_s = time.monotonic() - job.expires_s
    if late_s > 0:
        _fail(job, Refused("late", f"the answer would come {1e3 * late_s:.0f} ms after its deadline"))
    return late_s > 0


def _fail(job: _Job, error: VlaError) -> None:
    if not job.outcome.done():
        job.outcome.set_exception(error)
