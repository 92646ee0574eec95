"""Who controls what: each session is one episode of one robot, in one slot of the policy, and has one controller.

A session belongs to the connection that named it first, until that connection ends: another that asks for the same
name is told that it is busy. Requests of a session are numbered upwards; one that is not newer is refused, so that a
duplicate, or one that was overtaken, is never acted upon.
"""

from __future__ import annotations

import dataclasses
import math

from vla_policies.serving.messages import Header, Refused

MAX_SESSIONS_PER_CONNECTION = 64

_DRIFT = 1e-3  # s/s; two quartz clocks part by a tenth of that


class HeldUp:
    """How long messages were held up on their way, told from two clocks that were never set to each other.

    The sender's clock and ours differ by an unknown constant. The fastest message shows it best, so what a message
    took longer than the fastest is the least it was held up. The constant may drift.
    """

    def __init__(self) -> None:
        self._least_s = math.inf
        self._last_s = 0.0

    def seconds(self, sent_s: float, arrived_s: float) -> float:
        """At least how long this message was held up, s."""
        apparent_s = arrived_s - sent_s
        self._least_s = min(self._least_s + _DRIFT * (arrived_s - self._last_s), apparent_s)
        self._last_s = arrived_s
        return apparent_s - self._least_s


@dataclasses.dataclass(eq=False)
class Session:
    """One episode of one robot."""

    name: str
    slot: int
    """Of the policy."""
    owner: object
    has_begun: bool = False
    """Whether the policy was told of an episode; one that was not gets seed 0."""
    last_seq: int = -1
    held_up: HeldUp = dataclasses.field(default_factory=HeldUp)

    def advance(self, seq: int | None) -> None:
        """Take note of a request's number.

        Raises:
            Refused: if it is not newer than the last.
        """
        if seq is None:
            return
        if seq <= self.last_seq:
            raise Refused("order", f"request {seq} of session '{self.name}' comes after {self.last_seq}")
        self.last_seq = seq

    def expires_s(self, header: Header, arrived_s: float) -> float:
        """Until when a request may be answered, by the server's clock."""
        held_up_s = 0.0 if header.sent_s is None else self.held_up.seconds(header.sent_s, arrived_s)
        return math.inf if header.deadline_ms is None else arrived_s - held_up_s + header.deadline_ms / 1e3


class Sessions:
    """All sessions of a server."""

    def __init__(self) -> None:
        self._by_name: dict[object, Session] = {}
        self._next_slot = 0
        self._free_slots: list[int] = []

    def __len__(self) -> int:
        return len(self._by_name)

    def claim(self, owner: object, name: str | None) -> Session:
        """The session of this name, which is the owner's from now on; the owner's own if it gives none.

        Raises:
            Refused: if another controls it, or the owner has too many.
        """
        key = owner if name is None else name
        session = self._by_name.get(key)
        if session is None:
            session = self._by_name[key] = self._made(owner, name)
        if session.owner is not owner:
            raise Refused("busy", f"session '{name}' is controlled by another client")
        return session

    def release(self, owner: object) -> None:
        """End all sessions of an owner."""
        for key in [key for key, session in self._by_name.items() if session.owner is owner]:
            self._free_slots.append(self._by_name.pop(key).slot)

    def _made(self, owner: object, name: str | None) -> Session:
        if sum(session.owner is owner for session in self._by_name.values()) >= MAX_SESSIONS_PER_CONNECTION:
            raise Refused("busy", f"a connection has at most {MAX_SESSIONS_PER_CONNECTION} sessions")
        if self._free_slots:
            return Session(name or "unnamed", self._free_slots.pop(), owner)
        self._next_slot += 1
        return Session(name or "unnamed", self._next_slot - 1, owner)
