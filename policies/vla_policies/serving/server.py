"""The policy server: connections, their messages in order, and two pages for those who watch over it.

    GET /          upgraded to a WebSocket: greeting, then requests and answers
    GET /healthz   200 while the policy is at work, 503 when it is not
    GET /metrics   counts and times, for Prometheus

A message that cannot be understood is answered with one line, and the connection lives on. Nothing that a client
sends names a file, a class or a command. Not safety-rated: what protects an arm stands beside the arm.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import ssl
import time
from collections.abc import AsyncIterator
from http import HTTPStatus

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request as HttpRequest
from websockets.http11 import Response

from vla.errors import VlaError, WireError
from vla.interfaces import Policy
from vla_policies.serving import wire
from vla_policies.serving.access import shows_token
from vla_policies.serving.inference import Inference, Predicted
from vla_policies.serving.messages import (
    Begin,
    Greeting,
    Header,
    Refused,
    begun,
    max_request_bytes,
    refusal,
    reply,
)
from vla_policies.serving.metrics import Metrics
from vla_policies.serving.parsing import parse_header, parse_request
from vla_policies.serving.sessions import Sessions

_log = logging.getLogger(__name__)
# Handshakes that fail are counted; their tracebacks would let anyone fill the log.
_quiet = logging.getLogger(f"{__name__}.connections")
_quiet.setLevel(logging.CRITICAL)

MAX_IN_FLIGHT = 128
"""Requests of one connection that are not answered yet; more are read when these are."""


@dataclasses.dataclass(frozen=True)
class ServerLimits:
    """What a server puts up with."""

    max_connections: int = 16
    handshake_s: float = 5.0
    """How long a connection may take to become one."""
    ping_s: float = 20.0
    """A client that does not answer a ping for as long is gone."""
    grace_s: float = 5.0
    """How long what is asked already may take when the server ends."""


class PolicyServer:
    """Serves one policy on one port."""

    def __init__(
        self, policy: Policy, greeting: Greeting, *, token: str | None = None, limits: ServerLimits | None = None
    ) -> None:
        """Bind nothing yet.

        Args:
            policy: warmed up; called from one thread of its own, and by nobody else.
            greeting: what is said of it.
            token: what clients must show; everyone is let in without one.
            limits: defaults if not given.
        """
        self._policy = policy
        self._greeting = greeting
        self._token = token
        self._limits = limits or ServerLimits()
        self._metrics = Metrics(greeting)
        self._sessions = Sessions()
        self._inference: Inference | None = None
        self._server: Server | None = None
        self._answers: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def listening(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
        """The port it listens on, while the block lasts; then what was asked is answered, and all are sent away."""
        self._inference = Inference(self._policy, self._metrics)
        limits = self._limits
        async with serve(
            self._converse,
            host,
            port,
            ssl=tls,
            process_request=self._before_upgrade,
            compression=None,
            max_size=max_request_bytes(self._greeting.embodiment),
            max_queue=2,
            open_timeout=limits.handshake_s,
            ping_interval=limits.ping_s,
            ping_timeout=limits.ping_s,
            close_timeout=1.0,
            server_header=None,
            logger=_quiet,
        ) as self._server:
            try:
                yield next(iter(self._server.sockets)).getsockname()[1]
            finally:
                await self._inference.close(limits.grace_s)
                if self._answers:  # what is answered goes out before the connections close
                    await asyncio.wait(self._answers, timeout=1.0)

    # ------------------------------------------------------------------ before a connection is one

    def _before_upgrade(self, connection: ServerConnection, request: HttpRequest) -> Response | None:
        path = request.path.partition("?")[0]
        if path == "/healthz":
            return self._health(connection)
        if self._token is not None and not shows_token(request.headers.get_all("Authorization"), self._token):
            return self._turn_away(connection, HTTPStatus.UNAUTHORIZED, "token")
        if "Origin" in request.headers:
            return self._turn_away(connection, HTTPStatus.FORBIDDEN, "browser")
        if path == "/metrics":
            return self._figures(connection)
        if path != "/":
            return self._turn_away(connection, HTTPStatus.NOT_FOUND, "path")
        assert self._server is not None
        if len(self._server.connections) >= self._limits.max_connections:
            return self._turn_away(connection, HTTPStatus.SERVICE_UNAVAILABLE, "full")
        return None

    def _health(self, connection: ServerConnection) -> Response:
        is_alive = self._inference is not None and self._inference.is_alive
        status = HTTPStatus.OK if is_alive else HTTPStatus.SERVICE_UNAVAILABLE
        return connection.respond(status, "OK\n" if is_alive else "not serving\n")

    def _figures(self, connection: ServerConnection) -> Response:
        self._metrics.sessions.set(len(self._sessions))
        response = connection.respond(HTTPStatus.OK, self._metrics.text().decode())
        del response.headers["Content-Type"]
        response.headers["Content-Type"] = "text/plain; version=0.0.4; charset=utf-8"
        return response

    def _turn_away(self, connection: ServerConnection, status: HTTPStatus, reason: str) -> Response:
        self._metrics.turned_away.labels(reason).inc()
        return connection.respond(status, f"{status.phrase}\n")

    # ------------------------------------------------------------------ a connection

    async def _converse(self, connection: ServerConnection) -> None:
        """Greet, then answer: requests are taken in their order, answers go out as they are ready."""
        answers: set[asyncio.Task[None]] = set()
        room = asyncio.Semaphore(MAX_IN_FLIGHT)
        self._metrics.connections.inc()
        try:
            await connection.send(wire.encode(self._greeting.to_message()))
            async for data in connection:
                await room.acquire()
                answer = asyncio.create_task(self._answer(connection, *self._accept(connection, data)))
                answers.add(answer)
                self._answers.add(answer)
                answer.add_done_callback(answers.discard)
                answer.add_done_callback(self._answers.discard)
                answer.add_done_callback(lambda _: room.release())
        except ConnectionClosed:
            pass
        finally:
            self._metrics.connections.dec()
            self._sessions.release(connection)
            for answer in answers:
                answer.cancel()

    def _accept(
        self, owner: object, data: bytes | str
    ) -> tuple[float, Header, Begin | None, asyncio.Future[Predicted] | VlaError]:
        """Understand a message and have it answered: its time of arrival, its header, and the answer to come."""
        assert self._inference is not None
        arrived_s, header, body = time.monotonic(), Header(), self._greeting.embodiment
        try:
            if isinstance(data, str):
                raise WireError("a request is a binary message, this one is text")
            message = wire.decode(data, max_bytes=max_request_bytes(body))
            header = parse_header(message)
            asked = parse_request(message, header, body, self._greeting.horizon, arrived_s)
            session = self._sessions.claim(owner, header.session)
            session.advance(header.seq)
            expires_s = session.expires_s(header, arrived_s)
            answer = self._inference.submit(asked, session, arrived_s, expires_s)
            return arrived_s, header, asked if isinstance(asked, Begin) else None, answer
        except VlaError as error:
            return arrived_s, header, None, error

    async def _answer(
        self,
        connection: ServerConnection,
        arrived_s: float,
        header: Header,
        beginning: Begin | None,
        answer: asyncio.Future[Predicted] | VlaError,
    ) -> None:
        try:
            if isinstance(answer, VlaError):
                raise answer
            message, outcome = _message(header, beginning, await answer, arrived_s), "answered"
        except VlaError as error:
            message, outcome = refusal(header, error), error.kind if isinstance(error, Refused) else _name(error)
        self._metrics.requests.labels(outcome).inc()
        self._metrics.request_s.observe(time.monotonic() - arrived_s)
        with contextlib.suppress(ConnectionClosed):
            await connection.send(message if isinstance(message, str) else wire.encode(message))


def _message(
    header: Header, beginning: Begin | None, predicted: Predicted, arrived_s: float
) -> dict[str, object] | str:
    if beginning is not None:
        return begun(header, beginning.seed)
    assert predicted.chunk is not None
    timing_ms = {
        "queue_ms": 1e3 * predicted.queue_s,
        "infer_ms": 1e3 * predicted.infer_s,
        "total_ms": 1e3 * (time.monotonic() - arrived_s),
    }
    return reply(header, predicted.chunk, timing_ms)


def _name(error: VlaError) -> str:
    return type(error).__name__
