"""An arm's environment with an operator beside it: every control step looks first at what they ask.

    policy ── action ─┐                       ┌─ the policy's action ─► ArmEnvironment.step
    human ─── action ─┼─► listen ─► who acts? ┼─ the human's ─────────► ArmEnvironment.step
    operator ─ asks ──┘                       └─ nobody ──────────────► hold, look, and wait

The policy acts in it as in any environment. When another takes the arm its episode is over for it, nothing of what it
still had in mind is carried out, and it begins anew when it has the arm again.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Float32

from vla.embodiment import Embodiment
from vla.errors import ArmError, ArmFault, ConfigError, VlaError
from vla.interfaces import ArmMode, EpisodeSpec, Observation, Transition
from vla_robot_io.control_loop import ArmEnvironment
from vla_robot_io.keeping import Keeper
from vla_robot_io.operating.asking import QueuedRequests, Request, Requests, Verb
from vla_robot_io.operating.seat import Actor, Refusal, Seat
from vla_robot_io.reasons import Code, Reason
from vla_robot_io.stop_flag import StopFlag
from vla_robot_io.teleoperation.teleoperator import Teleoperator

STOP_PRESSED = "the stop button was pressed"
"""The name of the fault."""
MAX_ACKNOWLEDGEMENTS, IN_SECONDS = 3, 600.0
"""No more faults than this are cleared in this time: an arm that keeps failing wants looking at."""
MIN_SPEED = 0.05


@dataclasses.dataclass(frozen=True)
class Acted:
    """One control step in which somebody acted."""

    transition: Transition
    actor: Actor
    policy_action: Float32[np.ndarray, " action_dim"] | None
    """In shadow mode, what the policy would have done."""


@dataclasses.dataclass
class Attendance:
    """Who attends a run, and with what."""

    requests: Requests = dataclasses.field(default_factory=QueuedRequests)
    """What the operator asks for."""
    teleoperator: Teleoperator | None = None
    """What a human drives with."""
    stop: StopFlag | None = None
    """The stop button."""
    is_attended: Callable[[], bool] = lambda: False
    """Whether somebody is there to acknowledge faults; where nobody is, a fault ends the run."""
    is_shadow: bool = False
    """Whether a human drives and the policy is only asked."""
    has_policy: bool = True
    """Whether there is a policy that may act."""

    def seat(self) -> Seat:
        """Who has the arm when the run begins."""
        return Seat(has_policy=self.has_policy and not self.is_shadow, has_human=self.teleoperator is not None)


class OperatedEnvironment:
    """What a policy acts in, and a human too."""

    def __init__(
        self,
        environment: ArmEnvironment,
        attendance: Attendance,
        keeper: Keeper | None,
        told: Callable[[str, str], None],
        policy_objection: Callable[[], Reason | None] = lambda: None,
    ) -> None:
        """Nothing is touched yet.

        Args:
            environment: the arm's.
            attendance: who attends.
            keeper: of the run's episodes, if they are kept.
            told: is called with each event: its kind, and a sentence.
            policy_objection: why nothing that the policy asked for may be carried out now; None if it may.
        """
        self._environment, self._attendance, self._keeper = environment, attendance, keeper
        self._told = told
        self._policy_objection = policy_objection
        self._max_speed = environment.speed
        self._acknowledged_s: list[float] = []
        self._is_turn_over = False
        self.seat = attendance.seat()
        self.on_acted: Callable[[Acted], None] | None = None
        self.on_waited: Callable[[], None] | None = None
        """Called for every control step in which nobody acted."""
        self.observation: Observation | None = None
        """The newest."""
        self.is_waiting = False
        """Whether nobody acts in the control step that is under way."""
        self.is_over = False
        """Whether the task is done, or the time is over."""
        self.success = False
        self.policy_action: Float32[np.ndarray, " action_dim"] | None = None
        """What the policy asked for in this step."""
        environment.permit = self._forbidden

    @property
    def embodiment(self) -> Embodiment:
        return self._environment.embodiment

    @property
    def teleoperator(self) -> Teleoperator | None:
        return self._attendance.teleoperator

    # ------------------------------------------------------------------ the policy's turn

    def begin(self, spec: EpisodeSpec) -> Observation:
        """Torque on, and the first look."""
        self.observation = self._environment.reset(spec)
        return self.observation

    def reset(self, spec: EpisodeSpec) -> Observation:
        """The policy's turn begins where the arm stands."""
        self._is_turn_over = False
        assert self.observation is not None, "begin comes first"
        return self.observation

    def step(self, action: Float32[np.ndarray, " action_dim"]) -> Transition:
        """One step of the policy's turn; the last one of it carries nothing out."""
        self.listen()
        self.policy_action = action
        if self.is_over:
            return self._turn_over()
        if self.seat.actor is Actor.HUMAN and self._attendance.is_shadow:
            return self._human_step()
        if self.seat.actor is not Actor.POLICY or self._is_turn_over:
            return self._turn_over()
        return self._acted(self._carried_out(action, Actor.POLICY), Actor.POLICY)

    def close(self) -> None:
        self._environment.close()

    # ------------------------------------------------------------------ the other turns

    def human_step(self) -> None:
        """One control step of the human's turn: their action, or waiting while the dead-man switch is not held."""
        self.policy_action = None
        self._human_step()

    def wait(self) -> Transition:
        """One control step in which nobody acts."""
        self.is_waiting = True
        try:
            waited = self._environment.wait(self._forbidden() or _reason("waiting", self.seat.why or "nobody drives"))
        finally:
            self.is_waiting = False
        if waited is not None:
            self._look(waited)
        if self.on_waited is not None:
            self.on_waited()
        return waited or self._turn_over()

    def listen(self) -> None:
        """Do what was asked for since the last control step."""
        self._heed_stop()
        for request in self._attendance.requests.take():
            refusal = self._heed(request)
            self._told("refused" if refusal else "operator", refusal.text if refusal else _words(request))
        if self.teleoperator is not None and self.teleoperator.is_over and self.seat.actor is Actor.HUMAN:
            self._leave()

    def trouble(self, error: str) -> bool:
        """Whether the run goes on after an error: where somebody attends, they decide."""
        if not self._attendance.is_attended() or self._environment.mode is ArmMode.DISCONNECTED:
            return False
        with contextlib.suppress(ArmError):
            self._environment.hold()  # an arm that will not is in a fault
        before, fault = self.seat.why, self._environment.latched
        if fault is None:
            self.seat.give_up(error)
        else:
            self.seat.latch(fault)
        if self.seat.why != before:
            self._told("fault" if fault else "error", fault or error)
        return True

    # ------------------------------------------------------------------ what is asked

    def _heed(self, request: Request) -> Refusal | None:
        refusal = self.seat.heed(request)
        if refusal is not None:
            return refusal
        try:
            return self._carry_out(request)
        except VlaError as error:
            return Refusal(str(error))

    def _carry_out(self, request: Request) -> Refusal | None:
        match request.verb:
            case Verb.ACKNOWLEDGE:
                return self._acknowledge()
            case Verb.RESUME | Verb.TAKE_OVER:
                return self._enable()
            case Verb.SPEED:
                assert request.value is not None, "checked when it was read"
                self._environment.change_speed(min(max(request.value, MIN_SPEED), self._max_speed))
            case Verb.INSTRUCTION:
                self._instruct(request.text)
            case _:
                self._keep(request)
        return None

    def _acknowledge(self) -> Refusal | None:
        if self._attendance.stop is not None and self._attendance.stop.is_pressed:
            return Refusal("the stop button is pressed: release it first")
        now_s = self._environment.now_s
        self._acknowledged_s = [at for at in self._acknowledged_s if now_s - at < IN_SECONDS]
        if len(self._acknowledged_s) >= MAX_ACKNOWLEDGEMENTS:
            minutes = IN_SECONDS / 60
            return Refusal(f"{MAX_ACKNOWLEDGEMENTS} faults were cleared within {minutes:g} minutes: look at the arm")
        assert self.seat.fault is not None, "the seat has compared it"
        self._environment.acknowledge(self.seat.fault)
        self._acknowledged_s.append(now_s)
        self.seat.clear()
        return None

    def _enable(self) -> Refusal | None:
        """Torque on again, where a fault took it; what else stopped the arm is acknowledged."""
        if self._environment.mode is ArmMode.HOLD:
            self._environment.go_on()
        if self._environment.mode is not ArmMode.CONFIGURED:
            return None
        try:
            self._environment.enable()
        except ArmError as error:
            self.seat.give_up(str(error))
            return Refusal(str(error))
        return None

    def _instruct(self, instruction: str) -> None:
        self._environment.instruct(instruction)
        self._is_turn_over = True
        if self._keeper is not None and (told := self._keeper.instruct(instruction)):
            self._told("recording", told)
        if self.observation is not None:
            self.observation = dataclasses.replace(self.observation, instruction=instruction)

    def _keep(self, request: Request) -> None:
        verbs = (Verb.RECORD, Verb.END_RECORDING, Verb.KEEP, Verb.DISCARD)
        if request.verb not in verbs:
            return
        if self._keeper is None:
            raise ConfigError("this run keeps no episodes: begin it with keep.store=DIR")
        match request.verb:
            case Verb.RECORD:
                told = self._keeper.record(self._environment.instruction)
            case Verb.END_RECORDING:
                told = self._keeper.end()
            case Verb.KEEP:
                told = self._keeper.close(bool(request.value))
            case _:
                told = self._keeper.close(None)
        self._told("recording", told)

    # ------------------------------------------------------------------ a step

    def _human_step(self) -> Transition:
        action = self._driven()
        return self.wait() if action is None else self._acted(self._carried_out(action, Actor.HUMAN), Actor.HUMAN)

    def _carried_out(self, action: Float32[np.ndarray, " action_dim"], actor: Actor) -> Transition:
        self._environment.dead_man = self._is_held if actor is Actor.HUMAN else None
        return self._environment.step(action)

    def _is_held(self) -> bool:
        return self.teleoperator is not None and self.teleoperator.is_held

    def _driven(self) -> Float32[np.ndarray, " action_dim"] | None:
        """What the human wants done, while they hold the dead-man switch."""
        teleoperator = self.teleoperator
        if teleoperator is None or self.observation is None or not teleoperator.is_held:
            return None
        return teleoperator.read(self.observation)

    def _acted(self, transition: Transition, actor: Actor) -> Transition:
        self._look(transition)
        policy_action = self.policy_action if actor is Actor.HUMAN else None
        if self._keeper is not None:
            self._keeper.step(transition, labels_of(actor, policy_action))
        if self.on_acted is not None:
            self.on_acted(Acted(transition, actor, policy_action))
        return transition

    def _look(self, transition: Transition) -> None:
        self.observation = transition.observation
        self.is_over = self.is_over or transition.terminated or transition.truncated
        self.success = self.success or transition.success

    def _turn_over(self) -> Transition:
        """What ends the policy's turn: nothing was done."""
        assert self.observation is not None, "a turn begins with an observation"
        nothing = np.zeros(self.embodiment.action_dim, np.float32)
        return Transition(self.observation, nothing, terminated=False, truncated=True, success=False)

    def _forbidden(self) -> Reason | None:
        """Why no command may be sent at this moment."""
        if self._attendance.stop is not None and self._attendance.stop.is_pressed:
            return _reason("stop", STOP_PRESSED)
        if self.seat.actor is Actor.HUMAN and not self._is_held():
            return _reason("dead_man", "the dead-man switch is not held")
        return self._policy_objection() if self.seat.actor is Actor.POLICY else None

    def _heed_stop(self) -> None:
        stop = self._attendance.stop
        if stop is None or not stop.is_pressed or self.seat.fault is not None:
            return
        self._environment.latch(STOP_PRESSED)
        self.seat.latch(self._environment.latched or STOP_PRESSED)
        self._told("stop", STOP_PRESSED)
        if not self._attendance.is_attended():
            raise ArmFault(STOP_PRESSED)

    def _leave(self) -> None:
        """The human drives no more: what follows is somebody else's decision, or the end."""
        if self._attendance.has_policy and not self._attendance.is_shadow:
            self.seat.give_up("whoever drove has left")
        else:
            self.is_over = True
        self._told("operator", "whoever drove has left")


def labels_of(actor: Actor, policy_action: Float32[np.ndarray, " action_dim"] | None = None) -> dict[str, np.ndarray]:
    """What is kept of a step besides what was seen and done."""
    labels = {"human": np.array(actor is Actor.HUMAN, np.uint8)}
    return labels if policy_action is None else labels | {"policy_action": np.array(policy_action, np.float32)}


def _reason(field: str, text: str) -> Reason:
    return Reason(Code.OPERATOR, field, 1.0, 0.0, text)


def _words(request: Request) -> str:
    said = request.text or ("" if request.value is None else f"{request.value:g}")
    return f"{request.verb.value.replace('_', ' ')}{': ' if said else ''}{said}"
