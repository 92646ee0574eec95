"""What client and server say to each other, and what makes it true: the schema on top of `wire`.

    server ──► Greeting                       once, when a client has connected
    client ──► Request    an observation  ──► Reply    actions  | error
    client ──► Begin      an episode      ──► Begun             | error

A request is the flat map of an openpi client: `observation/images/CAMERA`, `observation/state`, `prompt`. All else is
optional. An error is one line: a text to a client that numbers no requests, as openpi's client expects it, and a map
with `error` to one that does. Times are in seconds of the client's monotonic clock, which the server gives back as
they are; the two clocks are never compared.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float32

import vla
from vla.embodiment import Embodiment
from vla.errors import ServerError, StatisticsError, VlaError, WireError
from vla.interfaces import ActionChunk, Observation, Policy, Trained
from vla.normalization import Statistics

PROTOCOL = 1
"""Advances with every change that an older client or server would misunderstand."""

IMAGES = "observation/images/"
STATE = "observation/state"
PROMPT = "prompt"

NUMBERED = ("session", "seq", "deadline_ms", "sent_s")


@dataclasses.dataclass(frozen=True)
class Greeting:
    """What a server says of itself."""

    policy: str
    checkpoint: str | None
    """SHA-256 of the checkpoint; `None` for a policy without one."""
    embodiment: Embodiment
    horizon: int
    state_statistics: Statistics | None = dataclasses.field(default=None, compare=False)
    """Of proprioception in the policy's training, for whoever watches an arm; `None` for one that was not trained."""

    @staticmethod
    def of(name: str, checkpoint: str | None, policy: Policy) -> Greeting:
        """What the server of this policy says."""
        statistics = policy.state_statistics if isinstance(policy, Trained) else None
        return Greeting(name, checkpoint, policy.embodiment, policy.horizon, statistics)

    def to_message(self) -> dict[str, Any]:
        body = self.embodiment
        cameras = {camera.name: {"height": camera.height, "width": camera.width} for camera in body.cameras}
        return {
            "protocol": PROTOCOL,
            "server_version": vla.__version__,
            "policy": self.policy,
            "checkpoint": self.checkpoint,
            "embodiment": body.to_json(),
            "fingerprint": body.fingerprint,
            "observation": {"cameras": cameras, "state_dim": body.state_dim},
            "action": {"horizon": self.horizon, "dim": body.action_dim, "rate_hz": float(body.control_hz)},
            "state_statistics": None if self.state_statistics is None else self.state_statistics.to_json(),
            "warning": "not safety-rated",
        }

    @staticmethod
    def from_message(message: Mapping[str, Any]) -> Greeting:
        """The greeting that `to_message` wrote.

        Raises:
            WireError: if it is none, or of another protocol, or its fingerprint is not its embodiment's.
        """
        if message.get("protocol") != PROTOCOL:
            raise WireError(f"the server speaks protocol {message.get('protocol')!r:.40}, this client {PROTOCOL}")
        try:
            body = Embodiment.from_json(message["embodiment"])
            fingerprint = body.fingerprint
            horizon, policy, checkpoint = message["action"]["horizon"], message["policy"], message["checkpoint"]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise WireError(f"the server's greeting is none: {type(error).__name__}: {error}") from error
        if fingerprint != message.get("fingerprint"):
            raise WireError("the server's greeting has a fingerprint that is not its embodiment's")
        if type(horizon) is not int or not 1 <= horizon <= 4096:
            raise WireError(f"the server's horizon is a count of actions, got {horizon!r:.40}")
        if not isinstance(policy, str) or not (checkpoint is None or isinstance(checkpoint, str)):
            raise WireError("the server's greeting names its policy and its checkpoint in text")
        return Greeting(policy, checkpoint, body, horizon, _statistics(message.get("state_statistics"), body))


def _statistics(tree: Any, body: Embodiment) -> Statistics | None:
    """Those that a greeting tells; an older server tells none.

    Raises:
        WireError: if they are not those of this embodiment's state.
    """
    if tree is None:
        return None
    try:
        statistics = Statistics.from_json(tree)
        statistics.require([field.name for field in body.proprioception], "the state in the server's greeting")
    except (StatisticsError, AttributeError) as error:
        raise WireError(f"the server's greeting: {error}") from error
    return statistics


@dataclasses.dataclass(frozen=True)
class Header:
    """What requests of every kind may carry."""

    session: str | None = None
    """Which episode it belongs to: one robot. Without a name, that of the connection."""
    seq: int | None = None
    """Advances with every request of a session; given back in the answer."""
    deadline_ms: float | None = None
    """How old the answer may be when it leaves the server, from when the request was sent or, if the server cannot
    know, from when it came."""
    sent_s: float | None = None
    """When it was sent, by the client's monotonic clock: lets the server see that it was held up on its way."""

    def to_message(self) -> dict[str, Any]:
        return {name: value for name in NUMBERED if (value := getattr(self, name)) is not None}


@dataclasses.dataclass(frozen=True)
class Request:
    """A question: what to do after this observation."""

    header: Header
    observation: Observation
    committed: Float32[np.ndarray, "_ action_dim"] | None = None
    """Actions that will be carried out before the chunk can take over: it begins with exactly these."""

    def to_message(self) -> dict[str, Any]:
        seen = self.observation
        message: dict[str, Any] = {f"{IMAGES}{name}": image for name, image in seen.images.items()}
        message |= {STATE: seen.proprioception, PROMPT: seen.instruction}
        message |= {"time_s": float(seen.time_s), "fresh": sorted(seen.fresh)}
        if self.committed is not None and len(self.committed):
            message["committed"] = self.committed
        return message | self.header.to_message()


@dataclasses.dataclass(frozen=True)
class Begin:
    """An episode begins in a session."""

    header: Header
    seed: int

    def to_message(self) -> dict[str, Any]:
        return {"begin": self.seed, **self.header.to_message()}


class Refused(ServerError):
    """Why a request has no answer, with a word for programs."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind
        """`late`, `busy`, `superseded`, `order`, `closing` or `internal`."""


def reply(header: Header, chunk: ActionChunk, timing_ms: Mapping[str, float]) -> dict[str, Any]:
    """The message with the actions of one request."""
    message = {"actions": chunk.actions, "start_s": float(chunk.start_s), "valid_s": float(chunk.valid_s)}
    return message | {"server_timing": dict(timing_ms)} | _echo(header)


def begun(header: Header, seed: int) -> dict[str, Any]:
    """The message that says that an episode has begun."""
    return {"begun": seed} | _echo(header)


def refusal(header: Header, error: VlaError) -> dict[str, Any] | str:
    """One line on why there are no actions: a text for those who number nothing."""
    kind = error.kind if isinstance(error, Refused) else type(error).__name__
    line = " ".join(str(error).split())
    return f"{kind}: {line}" if header.seq is None else {"error": {"kind": kind, "text": line}, **_echo(header)}


def max_request_bytes(embodiment: Embodiment) -> int:
    """How long a message to the server may be: 16 MiB, or twice its pictures, so that a wrong picture is answered."""
    pictures = sum(3 * camera.height * camera.width for camera in embodiment.cameras)
    return max(16 * 2**20, 2 * pictures + 2**20)


MAX_REPLY_BYTES = 8 * 2**20
MAX_GREETING_BYTES = 2**20


def _echo(header: Header) -> dict[str, Any]:
    return {name: value for name in ("session", "seq") if (value := getattr(header, name)) is not None}
