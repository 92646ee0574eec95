"""Whether the policy's server is still there while its chunk is carried out: where it is not, the arm holds.

    chunk in hand   a0   a1   a2   a3   a4   a5          the server dies in a1: known at once where its connection is
    server          ●────●──✕                            closed, after `control.server_silence_s` where nothing comes
    arm             ───────╲__ hold                      any more, as when the network does

What is left of a chunk is not carried out for a server that is gone: nobody looks any more at what it does. One that is
heard again goes on, so that a network which hiccups costs time and nothing else. Not safety-rated.
"""

from __future__ import annotations

import math
from typing import Protocol, runtime_checkable

from vla.interfaces import Policy
from vla_robot_io.reasons import Code, Reason


@runtime_checkable
class Served(Protocol):
    """A policy that lives on a server."""

    def silent_s(self) -> float:
        """For how long the server has not been heard of, s; infinite if the connection is closed."""
        ...


class ServerWatch:
    """Forbids motion while the server of a policy is silent or gone; nothing for a policy that lives here."""

    def __init__(self, policy: Policy | None, limit_s: float) -> None:
        """Watch this policy.

        Args:
            policy: the one that acts, if any.
            limit_s: how long its server may be silent.
        """
        self._served = policy if isinstance(policy, Served) else None
        self._limit_s = limit_s

    def objection(self) -> Reason | None:
        """Why no action of the policy may be carried out now; None if it may."""
        silent_s = 0.0 if self._served is None else self._served.silent_s()
        if silent_s <= self._limit_s:
            return None
        if math.isinf(silent_s):
            return Reason(Code.SERVER_SILENT, "server", 1.0, 0.0, "the connection to the policy's server is closed")
        told = f"the policy's server has not been heard of for {silent_s:.3f} s, over {self._limit_s:.3f} s"
        return Reason(Code.SERVER_SILENT, "server", silent_s, self._limit_s, told)
