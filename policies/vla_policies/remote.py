"""A policy on another machine, as if it were here: `policy=ws://HOST:PORT`. Needs no torch.

    observation ──► RemotePolicy ══ WebSocket, msgpack ══► `vla serve` ──► policy
          chunk ◄──      ║       ◄═════════════════════════      ◄──
                         ╚═ lost, late or wrong: an error, and the next episode connects anew

A connection that is lost takes its episodes with it: nothing is resumed, so that no chunk made for a moment long past
moves an arm. Not safety-rated.
"""

from __future__ import annotations

import itertools
import math
import os
import ssl
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from vla.embodiment import Embodiment, require_same_embodiment
from vla.errors import ServerError, VlaError
from vla.interfaces import ActionChunk, Observation, check_observation
from vla.normalization import Statistics
from vla_policies.serving.access import read_token
from vla_policies.serving.client import Client, check_url, connected
from vla_policies.serving.messages import Begin, Greeting, Header, Request
from vla_policies.serving.parsing import parse_reply

TOKEN_FILE_VARIABLE = "VLA_TOKEN_FILE"
CONNECT_S = 10.0
REPLY_S = 30.0


class RemotePolicy:
    """The policy that a server serves. Slots are sessions there, and end with the connection."""

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        tls: ssl.SSLContext | None = None,
        session: str | None = None,
        connect_s: float = CONNECT_S,
        reply_s: float = REPLY_S,
    ) -> None:
        """Connect, and learn what is served.

        Args:
            url: `ws://HOST:PORT` on this machine, `wss://HOST:PORT` beyond it.
            token: what the server wants to be shown.
            tls: whom to believe about who the server is; the system's authorities, or those in SSL_CERT_FILE.
            session: a name that stands for the robot: of clients with the same, the server hears only the first.
            connect_s: how long to go on trying to connect.
            reply_s: how long to wait for answers; the server gives none that would be later.

        Raises:
            ConfigError: if the URL is none, or leads over an open line.
            ServerError: if nobody answers there, or this client is not let in.
            WireError: if what answers is no policy server.
        """
        check_url(url)
        self._url = url
        self._token = token
        self._tls = tls
        self._session = session or uuid.uuid4().hex
        self._connect_s = connect_s
        self._reply_s = reply_s
        self._client: Client | None = None
        self._begun: set[int] = set()  # slots with an episode on this connection
        self._lost: set[int] = set()  # slots whose episode went with an earlier one
        self._greeting: Greeting | None = None
        self._greeting = self._connected().greeting

    @property
    def greeting(self) -> Greeting:
        """What the server says of itself."""
        assert self._greeting is not None
        return self._greeting

    @property
    def embodiment(self) -> Embodiment:
        return self.greeting.embodiment

    @property
    def state_statistics(self) -> Statistics | None:
        """Of the numbers of proprioception in its training; None for a policy that was not trained."""
        return self.greeting.state_statistics

    @property
    def horizon(self) -> int:
        return self.greeting.horizon

    def reset(self, seeds: Sequence[int], slots: Sequence[int] | None = None) -> None:
        slots = range(len(seeds)) if slots is None else slots
        client = self._connected()
        beginnings = [
            Begin(self._header(slot), int(seed)).to_message() for seed, slot in zip(seeds, slots, strict=True)
        ]
        self._ask(client, beginnings)
        self._begun.update(slots)
        self._lost.difference_update(slots)

    def predict(
        self,
        observations: Sequence[Observation],
        slots: Sequence[int] | None = None,
        committed: Sequence[Float32[np.ndarray, "_ action_dim"] | None] | None = None,
    ) -> list[ActionChunk]:
        """One chunk for each observation.

        Raises:
            ObservationError: if an observation is not what the embodiment promises.
            ServerError: if the answer is late, the connection is lost, or was lost since the episode began.
            WireError: if an answer is none.
        """
        for observation in observations:
            check_observation(observation, self.embodiment)
        slots = range(len(observations)) if slots is None else slots
        self._require_unbroken(slots)
        client = self._connected()
        asked = [
            Request(self._header(slot), observation, first).to_message()
            for observation, slot, first in zip(
                observations, slots, committed or itertools.repeat(None, len(observations)), strict=True
            )
        ]
        self._begun.update(slots)
        return [parse_reply(answer, self.embodiment, self.horizon) for answer in self._ask(client, asked)]

    def silent_s(self) -> float:
        """For how long the server has not been heard of, s; infinite if the connection is closed.

        It is pinged all the time (`serving/heartbeat.py`): who carries out a chunk can know before the next is due.
        """
        client = self._client
        return math.inf if client is None else client.silent_s()

    def close(self) -> None:
        """End the connection and its episodes."""
        if self._client is not None:
            self._client.close()
            self._forget()

    # ------------------------------------------------------------------ the connection

    def _header(self, slot: int) -> Header:
        return Header(session=f"{self._session}/{slot}", deadline_ms=1e3 * self._reply_s)

    def _ask(self, client: Client, questions: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        try:
            answers = client.ask(questions, within_s=self._reply_s)
        except BaseException:
            self._forget()
            raise
        return [_or_raised(answer) for answer in answers]

    def _connected(self) -> Client:
        """The connection, made anew if it was lost; to the same policy as before."""
        if self._client is None:
            client = connected(self._url, token=self._token, tls=self._tls, within_s=self._connect_s)
            try:
                self._require_same(client.greeting)
            except VlaError:
                client.close()
                raise
            self._client = client
        return self._client

    def _forget(self) -> None:
        self._client = None
        self._lost |= self._begun
        self._begun = set()

    def _require_unbroken(self, slots: Sequence[int]) -> None:
        lost = sorted(self._lost.intersection(slots))
        if lost:
            raise ServerError(
                f"the connection to {self._url} was lost during the episode in slot {lost[0]}: begin a new one"
            )

    def _require_same(self, greeting: Greeting) -> None:
        before = self._greeting
        if before is None or before == greeting:
            return
        require_same_embodiment(
            before.embodiment, greeting.embodiment, expected_name=f"{self._url} before", got_name=f"{self._url} now"
        )
        raise ServerError(f"{self._url} serves another policy than before: '{greeting.policy}', not '{before.policy}'")


def connect_policy(url: str, *, reply_s: float = REPLY_S) -> RemotePolicy:
    """The policy at this address, shown the token in the file that VLA_TOKEN_FILE names, if it names one.

    Raises:
        ConfigError, ServerError, WireError: as `RemotePolicy`.
    """
    file = os.environ.get(TOKEN_FILE_VARIABLE)
    return RemotePolicy(url, token=read_token(Path(file)) if file else None, reply_s=reply_s)


def _or_raised(answer: dict[str, Any] | VlaError) -> dict[str, Any]:
    if isinstance(answer, VlaError):
        raise answer
    return answer
