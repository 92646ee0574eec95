"""Who has the arm: the policy, a human, or nobody; the operator decides, and always wins over the policy.

                 take over                          hold, fault
    POLICY ──────────────────► HUMAN       any ─────────────────► NOBODY ─── resume ──► POLICY, or HUMAN without one
           ◄──────────────────                                      ▲
                 hand back                       acknowledge, by name: clears a fault, and stays

A fault is left in two steps: its acknowledgement by name, which moves nothing, then `resume`.
"""

from __future__ import annotations

import dataclasses
import enum

from vla_robot_io.operating.asking import Request, Verb


class Actor(enum.Enum):
    """Who acts."""

    POLICY = "policy"
    HUMAN = "human"
    NOBODY = "nobody"


@dataclasses.dataclass(frozen=True)
class Refusal:
    """Why a request was not carried out."""

    text: str


class Seat:
    """Who has the arm now, and why."""

    def __init__(self, *, has_policy: bool, has_human: bool) -> None:
        """Begin with the policy; with the human if there is no policy.

        Args:
            has_policy: whether there is one that may act.
            has_human: whether a human can drive: by a teleoperator.
        """
        self._has_policy, self._has_human = has_policy, has_human
        self.actor = self._first
        self.why = ""
        """Why nobody acts; empty while somebody does."""
        self.fault: str | None = None
        """The latched fault."""
        self.is_ended = False

    @property
    def _first(self) -> Actor:
        return Actor.POLICY if self._has_policy else Actor.HUMAN

    def give_up(self, why: str) -> None:
        """Nobody acts until somebody resumes."""
        self.actor, self.why = Actor.NOBODY, why

    def latch(self, fault: str) -> None:
        """Nobody acts until this fault is acknowledged; the first one stays."""
        self.fault = self.fault or fault
        self.give_up(f"fault: {self.fault}")

    def clear(self) -> None:
        """The fault has been acknowledged; nobody acts until somebody resumes."""
        self.fault = None
        self.give_up("the fault was acknowledged: resume to go on")

    def heed(self, request: Request) -> Refusal | None:
        """Do what concerns who acts; other requests change nothing here."""
        match request.verb:
            case Verb.END:
                self.is_ended = True
                self.give_up("ended by the operator")
            case Verb.HOLD:
                self.give_up(self.why or "held by the operator")
            case Verb.RESUME:
                return self._sit(self._first)
            case Verb.TAKE_OVER:
                return self._sit(Actor.HUMAN)
            case Verb.HAND_BACK:
                return self._hand_back()
            case Verb.ACKNOWLEDGE:
                return self._named(request.text)
            case _:
                pass
        return None

    def _sit(self, actor: Actor) -> Refusal | None:
        if self.fault is not None:
            return Refusal(f"a fault is latched, acknowledge it first: {self.fault}")
        if actor is Actor.HUMAN and not self._has_human:
            return Refusal(
                "no teleoperator is connected: begin the run with one (console=true, teleop.by=keyboard, ...)"
            )
        if self.is_ended:
            return Refusal("the run is at its end")
        self.actor, self.why = actor, ""
        return None

    def _hand_back(self) -> Refusal | None:
        if self.actor is not Actor.HUMAN:
            return Refusal(f"{self.actor.value} has the arm, there is nothing to hand back")
        if not self._has_policy:
            return Refusal("no policy is there to hand the arm to")
        return self._sit(Actor.POLICY)

    def _named(self, fault: str) -> Refusal | None:
        if self.fault is None:
            return Refusal(f"cannot acknowledge '{fault}': no fault is latched")
        if " ".join(self.fault.split()) != fault:
            return Refusal(f"cannot acknowledge '{fault}': the latched fault is '{self.fault}'")
        return None
