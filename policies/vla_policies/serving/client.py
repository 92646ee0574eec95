"""One connection to a policy server: greeted once, then questions and their answers, matched by number.

Nothing here waits without bound. An answer that nobody waits for any more is thrown away, and whoever gives up on one
closes the connection, so that a late answer is never taken for the next.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.sync.client import connect

from vla.errors import ActionError, ConfigError, ObservationError, ServerError, VlaError, WireError
from vla_policies.serving import wire
from vla_policies.serving.access import is_loopback
from vla_policies.serving.heartbeat import Heartbeat
from vla_policies.serving.messages import MAX_GREETING_BYTES, MAX_REPLY_BYTES, Greeting
from vla_policies.serving.parsing import parse_error

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 1.0
_KINDS: dict[str, type[VlaError]] = {"ObservationError": ObservationError, "ActionError": ActionError}
_WORTH_ANOTHER_TRY = 503  # full, or not serving yet


def check_url(url: str) -> None:
    """Return if a policy may be asked for actions there.

    Raises:
        ConfigError: if it is no such address, carries a secret, or leads over an open line.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("ws", "wss") or not parts.hostname:
        raise ConfigError(f"a policy server's address is ws://HOST:PORT or wss://HOST:PORT, got '{url}'")
    if "@" in parts.netloc or parts.query:
        raise ConfigError("a policy server's address holds no secret: name the token's file in VLA_TOKEN_FILE")
    if parts.scheme == "ws" and not is_loopback(parts.hostname):
        raise ConfigError(
            f"over {url} anyone on the way could move the arm: use wss://, or a tunnel to ws://127.0.0.1:PORT"
        )


def connected(url: str, *, token: str | None, tls: ssl.SSLContext | None, within_s: float) -> Client:
    """A connection that has been greeted; tried again with longer and longer pauses while nobody answers.

    Raises:
        ServerError: if nobody has answered within that time, or the server lets this client not in.
        WireError: if the greeting is none.
    """
    until_s, pause_s = time.monotonic() + within_s, _FIRST_PAUSE_S
    while True:
        try:
            return Client(url, token=token, tls=tls, within_s=max(until_s - time.monotonic(), 0.01))
        except (OSError, WebSocketException) as error:
            if time.monotonic() + pause_s > until_s or not _is_worth_another_try(error):
                raise ServerError(f"no policy server at {url}: {_reason(error)}") from error
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


class Client:
    """One connection; after an exception it is closed."""

    def __init__(self, url: str, *, token: str | None, tls: ssl.SSLContext | None, within_s: float) -> None:
        """Connect, and be greeted."""
        self._url = url
        self._number = 0
        self._exit = contextlib.ExitStack()
        made = connect(
            url,
            ssl=tls,
            additional_headers={} if token is None else {"Authorization": f"Api-Key {token}"},
            compression=None,
            max_size=MAX_REPLY_BYTES,
            open_timeout=within_s,
            close_timeout=0.5,
            proxy=None,
        )
        self._socket = self._exit.enter_context(made)
        try:
            data = self._socket.recv(timeout=within_s)
            if isinstance(data, str):
                raise WireError(f"the greeting of {url} is text")
            self.greeting = Greeting.from_message(wire.decode(data, max_bytes=MAX_GREETING_BYTES))
        except BaseException:
            self.close()
            raise
        self._heartbeat = self._stack_heartbeat()

    def silent_s(self) -> float:
        """For how long the server has not been heard of, s; infinite if the connection is closed."""
        return self._heartbeat.silent_s()

    def ask(self, questions: Sequence[dict[str, Any]], *, within_s: float) -> list[dict[str, Any] | VlaError]:
        """One answer, or the reason why there is none, for each question.

        Raises:
            ServerError: if not all came within that time, or the connection is lost; it is closed then.
            WireError: if an answer is none; it is closed then.
        """
        try:
            return self._ask(questions, time.monotonic() + within_s)
        except TimeoutError as error:
            self.close()
            raise ServerError(f"{self._url} has not answered within {within_s:g} s") from error
        except (OSError, WebSocketException) as error:
            self.close()
            raise ServerError(f"the connection to {self._url} is lost: {_reason(error)}") from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Say goodbye, if anyone still listens."""
        with contextlib.suppress(OSError, WebSocketException):
            self._exit.close()

    def _stack_heartbeat(self) -> Heartbeat:
        """One that ends before the connection is closed."""
        heartbeat = Heartbeat(self._socket)
        self._exit.callback(heartbeat.stop)
        return heartbeat

    def _ask(self, questions: Sequence[dict[str, Any]], until_s: float) -> list[dict[str, Any] | VlaError]:
        first = self._number
        self._number += len(questions)
        self._limit_sending(until_s - time.monotonic())
        for number, question in enumerate(questions, first):
            self._socket.send(wire.encode(question | {"seq": number, "sent_s": time.monotonic()}))
        answers: dict[int, dict[str, Any] | VlaError] = {}
        while len(answers) < len(questions):
            number, answer = self._received(until_s)
            if first <= number < self._number:
                answers.setdefault(number, answer)
        return [answers[number] for number in range(first, self._number)]

    def _received(self, until_s: float) -> tuple[int, dict[str, Any] | VlaError]:
        data = self._socket.recv(timeout=max(until_s - time.monotonic(), 0.0))
        self._heartbeat.heard()
        if isinstance(data, str):
            raise ServerError(f"{self._url} answered: {data:.200}")
        message = wire.decode(data, max_bytes=MAX_REPLY_BYTES)
        number = message.get("seq")
        if type(number) is not int:
            raise WireError(f"an answer of {self._url} has no number")
        told = parse_error(message)
        if told is None:
            return number, message
        kind, text = told
        return number, _KINDS[kind](text) if kind in _KINDS else ServerError(f"{self._url} refused ({kind}): {text}")

    def _limit_sending(self, seconds: float) -> None:
        """A server that has stopped reading must not stop us."""
        seconds = max(seconds, 0.001)
        limit = struct.pack("ll", int(seconds), int(seconds % 1 * 1e6))
        self._socket.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)


def _is_worth_another_try(error: Exception) -> bool:
    if isinstance(error, ssl.SSLError):
        return False
    return not isinstance(error, InvalidStatus) or error.response.status_code == _WORTH_ANOTHER_TRY


def _reason(error: Exception) -> str:
    if isinstance(error, InvalidStatus) and error.response.status_code == 401:
        return "it wants a token; name its file in VLA_TOKEN_FILE"
    return f"{type(error).__name__}: {error}".rstrip(": ")
