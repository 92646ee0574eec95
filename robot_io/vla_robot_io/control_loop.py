"""The control loop: an arm, its cameras and the safety envelope, as an `Environment` that policies act in.

    step(action)  ─►  joint target  ─►  plan: so far a tick  ─►  link ─► runner: envelope ─► governor ─► arm.write
                     (`motion.py`)                                         ▲                              │
                                                                           └─── read, is it fresh? ◄──────┘
    observation   ◄─  cameras, proprioception ◄─ look, one control step later

The rollout loop that drives simulated episodes drives this, by whatever clock it is given. The arm itself is ticked
behind an `ArmLink`: in this process while a step lasts, or in a process of its own, which goes on whatever happens
here. Doubt ends in HOLD, which the next good step leaves; what is surely wrong ends in a latched FAULT, which only an
operator leaves. Both brake within the limits and move nothing else. Nothing here is safety-rated.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float32, Float64, UInt8

from vla.clearance import ArmClearance, Nearness
from vla.embodiment import Embodiment
from vla.errors import ActionError, ArmFault, ArmHeld, ConfigError, ObservationError
from vla.interfaces import ArmMode, Clock, EpisodeSpec, Observation, Robot, Transition
from vla.kinematics import ArmKinematics
from vla_robot_io.arm_link import ArmLink, InProcessLink
from vla_robot_io.arm_runner import ArmRunner, Watched
from vla_robot_io.bench import BenchConfig, Reservation
from vla_robot_io.cameras import SKEW_S, WatchedCameras
from vla_robot_io.doubts import Conditioning, DoubtConfig, Doubts, Way
from vla_robot_io.envelope import Envelope, Outcome, Setpoint, non_finite
from vla_robot_io.guarded_arm import GuardConfig, require_positive
from vla_robot_io.limits import EnvelopeConfig, limits_of
from vla_robot_io.motion import HandMotion
from vla_robot_io.plans import ArmReport
from vla_robot_io.reasons import Code, Reason, TripLog
from vla_robot_io.start_posture import StartConfig, StartPosture


@dataclasses.dataclass
class ControlConfig:
    """When the loop stops trusting what it sees, and stops waiting. Every one of these ends in HOLD."""

    guard: GuardConfig = dataclasses.field(default_factory=GuardConfig)
    """When the arm itself is no longer trusted."""
    doubt: DoubtConfig = dataclasses.field(default_factory=DoubtConfig)
    """When what is asked for is no longer trusted."""
    start: StartConfig = dataclasses.field(default_factory=StartConfig)
    """Where the arm is expected to stand when a task begins."""
    bench: BenchConfig = dataclasses.field(default_factory=BenchConfig)
    """Where it stands among other arms."""
    camera_age_s: float = 0.15
    """Act upon no picture older than this, s."""
    frozen_frames: int = 5
    """Nor on one that has been handed out again this many times."""
    camera_skew_s: float = SKEW_S
    """Nor on pictures that were taken farther apart than this, s."""
    blank_pictures: bool = False
    """Whether to act upon pictures that are black, saturated or of one colour."""
    reply_deadline_s: float = 0.5
    """Carry out no action that comes later than this after the observation before it, s."""
    server_silence_s: float = 0.08
    """Carry out nothing of a chunk while the policy's server has not been heard of for this long, s; at once where its
    connection is closed."""
    overruns_to_slow: int = 3
    """Go at half speed after this many commands in a row that were due more than one period before ..."""
    slow_for_s: float = 2.0
    """... until none has been late for this long, s."""
    overruns_to_hold: int = 10
    """Hold after this many in a row."""


@dataclasses.dataclass(frozen=True)
class StepReport:
    """What became of one control step: for logs, never for a policy."""

    index: int
    """Counted from 0 in the episode."""
    observed_s: float
    """Time of the observation that the action answers."""
    began_s: float
    """Time at which the action came."""
    asked: Float32[np.ndarray, " asked"]
    applied: Float32[np.ndarray, " action_dim"]
    command: Setpoint
    """The last that was sent."""
    mode: ArmMode
    reasons: tuple[Reason, ...]
    """The first of each limit in this step."""
    notes: tuple[str, ...]
    """Why the arm itself changed a command, in its words."""
    overruns: int
    """Commands that were due more than one period before they were sent."""
    camera_skew_s: float = 0.0
    """How far apart in time the pictures of that observation were exposed, s."""


class ArmEnvironment:
    """One arm behind its envelope."""

    def __init__(
        self,
        robot: Robot,
        clock: Clock,
        envelope: EnvelopeConfig,
        control: ControlConfig | None = None,
        *,
        duration_s: float = 20.0,
        speed: float = 1.0,
        link: ArmLink | None = None,
        watched: tuple[Watched, ...] = (),
    ) -> None:
        """Check that robot, envelope and configuration fit each other; the arm is not touched.

        Args:
            robot: disconnected.
            clock: the robot's own.
            envelope: box and floor are required.
            control: defaults if not given.
            duration_s: how long an episode lasts.
            speed: at which the policy's time passes, above 0, at most 1: the same way, taken more slowly. The times of
                observations are the policy's.
            link: to whoever ticks the arm; ticked here if not given.
            watched: what can forbid motion, where the arm is ticked here.

        Raises:
            ConfigError: naming what does not fit.
        """
        self._robot = robot
        self._clock = clock
        self._control = control or ControlConfig()
        self._duration_s = duration_s
        self.on_step: Callable[[StepReport], None] | None = None
        """Told of every control step, those that end in an error too."""
        _check_control(self._control, duration_s)
        self._commands_per_step = commands_per_step(robot)
        self._speed, self._num_commands = speed, self._commands_at(speed)
        self._period_s = 1.0 / robot.arm.spec.rate_hz
        self._guard = envelope_of(robot, envelope)
        self._motion = HandMotion(robot.embodiment, robot.arm.spec, robot.kinematics, self._guard.limits)
        self._link = link or in_process(robot, clock, self._guard, self._control, watched)
        self._doubts = Doubts(robot.embodiment, self._control.doubt, _conditioning(robot))
        self._start = StartPosture(robot.arm.spec.joints, self._control.start)
        self._reservation = Reservation(robot.arm.spec.name, self._guard.limits, self._control.bench, robot.arm_model)
        self._refused_at_s: tuple[float, ...] = ()
        watch = self._control
        self._cameras = WatchedCameras(
            robot,
            clock,
            watch.camera_age_s,
            watch.frozen_frames,
            max_skew_s=watch.camera_skew_s,
            may_be_blank=watch.blank_pictures,
        )
        self._blind: tuple[Reason, ...] = ()
        self._skew_s = 0.0
        self._instruction = ""
        self._index = 0
        self._began_s = self._observed_s = clock.now()
        self._paused_s = 0.0
        self._speed_since_s = self._policy_since_s = self._began_s

    @property
    def embodiment(self) -> Embodiment:
        return self._robot.embodiment

    @property
    def trips(self) -> TripLog:
        """How often each limit was met, since this was made."""
        return self._link.trips

    @property
    def mode(self) -> ArmMode:
        return self._link.mode

    @property
    def report(self) -> ArmReport:
        """Where the arm is and what it does, by the newest that is known.

        Raises:
            ArmError: if it has not been read.
        """
        return self._link.report()

    @property
    def fault(self) -> str | None:
        """The last fault that was latched or met, since this was made."""
        return self._link.last_fault

    @property
    def knows_success(self) -> bool:
        """Whether someone tells when the task is done."""
        return self._robot.is_done is not None

    # ------------------------------------------------------------------ an episode

    def preview(self, spec: EpisodeSpec) -> Observation:
        """A first look with no torque on the arm: for a policy to warm up on."""
        self._instruction = _instruction(spec)
        self._reservation.claim()
        self._link.open()
        self._cameras.forget()
        return self._observe()

    def reset(self, spec: EpisodeSpec) -> Observation:
        """Begin an episode where the arm stands; putting the scene in order is the operator's work.

        Raises:
            ArmFault: if a fault is latched.
            ArmError: if the arm is far from where it should begin; it is given no torque.
            ArmHeld: if it cannot be led there.
            ConfigError: if the spec has no instruction, or another arm works where this one would.
        """
        self._instruction = _instruction(spec)
        self._reservation.claim()
        self._link.open()
        if self._start.is_declared:
            self._start.require_near(self._link.look().state.positions)
        self._link.enable()
        self._start.go(self._link, self._robot.arm.spec.rate_hz, self._commands_per_step)
        self._cameras.forget()
        self._doubts.forget()
        self._index, self._refused_at_s = 0, ()
        self._began_s = self._speed_since_s = self._policy_since_s = self._clock.now()
        self._paused_s = 0.0
        return self._observe()

    def step(self, action: Float32[np.ndarray, " action_dim"]) -> Transition:
        began_s, before = self._clock.now(), self._link.report()
        try:
            self._check(action)
            reasons = (*self._blind, *self._lateness(began_s), *self._unpermitted())
            if reasons:
                self._stand_still(reasons, before.reference)
            else:
                self._move(action)
            self._require_willing()
        finally:
            after = self._link.report()
            applied = self._motion.action_between(before.reference, after.reference)
            self._report(began_s, action, applied, after, after.overruns - before.overruns)
            self._index += 1
        return self._transition(applied)

    def hold(self) -> None:
        """Brake, and stay there."""
        self._link.hold()

    def go_on(self) -> None:
        """Acknowledge the stop that holds the arm: the next step moves it, if nothing speaks against that any more."""
        self._link.go_on()

    def close(self) -> None:
        """Hold, and close arm and cameras; torque stays as it is."""
        try:
            self._link.close()
        finally:
            self._reservation.release()
            self._cameras.close()

    # ------------------------------------------------------------------ the operator's

    @property
    def permit(self) -> Callable[[], Reason | None] | None:
        """Asked before every command; a reason not to give it brakes the arm there and then."""
        return self._link.permit

    @permit.setter
    def permit(self, permit: Callable[[], Reason | None] | None) -> None:
        self._link.permit = permit

    @property
    def dead_man(self) -> Callable[[], bool] | None:
        """While it is set, steps are carried out only while it says that the operator's input is held: where the arm
        has a process of its own, that one sees to it.
        """
        return self._link.dead_man

    @dead_man.setter
    def dead_man(self, is_held: Callable[[], bool] | None) -> None:
        self._link.dead_man = is_held

    @property
    def speed(self) -> float:
        """At which the policy's time passes."""
        return self._speed

    @property
    def now_s(self) -> float:
        """By the robot's clock."""
        return self._clock.now()

    @property
    def acted_s(self) -> float:
        """How much of the episode's time has passed."""
        return self._clock.now() - self._began_s - self._paused_s

    @property
    def instruction(self) -> str:
        """What is to be done, in words."""
        return self._instruction

    def instruct(self, instruction: str) -> None:
        """Say from the next observation on what else is to be done."""
        self._instruction = instruction

    def change_speed(self, speed: float) -> None:
        """From the next control step on; the policy's clock goes on from where it is.

        Raises:
            ConfigError: if it is not above 0 and at most 1.
        """
        self._num_commands = self._commands_at(speed)
        self._policy_since_s, self._speed_since_s = self._policy_time(), self._observed_s
        self._speed = speed

    def wait(self, reason: Reason) -> Transition | None:
        """Hold for one control step, which is none of the episode's time; None where a latched fault keeps us from it.

        Raises:
            ArmFault: if the arm falls into a fault meanwhile.
        """
        began_s = self._clock.now()
        if self.mode is ArmMode.FAULT:
            self._clock.sleep_until(began_s + self._num_commands * self._period_s)
            self._paused_s += self._clock.now() - began_s
            return None
        before = self._link.report()
        self._stand_still((reason,), before.reference)
        self._paused_s += self._clock.now() - began_s
        after = self._link.report()
        if after.failure is not None:
            raise ArmFault(after.failure)
        applied = self._motion.action_between(before.reference, after.reference)
        self._report(began_s, applied, applied, after, 0)
        self._index += 1
        return self._transition(applied)

    def images(self) -> Mapping[str, UInt8[np.ndarray, "height width 3"]]:
        """What the cameras show now, for people; nothing if one cannot be read."""
        try:
            return self._cameras.look().images
        except ObservationError:
            return {}

    @property
    def latched(self) -> str | None:
        """The fault that is latched now, by the name that its acknowledgement needs."""
        return self._link.latched

    def latch(self, fault: str) -> None:
        """Latch a fault that somebody else has found."""
        self._link.fault(fault)

    def acknowledge(self, fault: str) -> None:
        """Clear the latched fault of this name; the arm has to be enabled again.

        Raises:
            ArmError: if it is another.
        """
        self._link.acknowledge(fault)

    def enable(self) -> None:
        """Torque on again, after a fault was acknowledged; nothing moves.

        Raises:
            ArmFault, ArmError, ConfigError: as `reset` does.
        """
        self._reservation.claim()
        self._link.enable()
        self._cameras.forget()

    def _commands_at(self, speed: float) -> int:
        if not 0 < speed <= 1:
            raise ConfigError(f"speed is above 0 and at most 1, got {speed}")
        return round(self._commands_per_step / speed)

    # ------------------------------------------------------------------ acting

    def _check(self, action: Float32[np.ndarray, " action_dim"]) -> None:
        fields = self.embodiment.action
        if action.shape != (len(fields),):
            self._link.hold()
            raise ActionError(f"an action of {self.embodiment.name} has {len(fields)} numbers, got {action.shape}")
        reasons = non_finite(zip((f"action {field.name}" for field in fields), action.tolist(), strict=True))
        if reasons:
            self._refuse(reasons)
            raise ActionError(reasons[0].text)

    def _refuse(self, reasons: tuple[Reason, ...]) -> None:
        """Hold for what is not finite, or latch a fault where it keeps coming."""
        self._link.look()
        verdict = self._guard.refuse(
            reasons, self._link.report().command, now_s=self._clock.now(), refused_at_s=self._refused_at_s
        )
        self._refused_at_s = verdict.refused_at_s
        self._link.note(reasons, "command")
        if verdict.outcome is Outcome.FAULT:
            self._link.fault(reasons[-1].text)
            raise ArmFault(reasons[-1].text)
        self._link.hold()

    def _require_willing(self) -> None:
        """Return if the arm does what it is told, or holds for a reason that the next good step ends.

        Raises:
            ArmFault: if a fault is latched.
            ArmHeld: if a stop is to be acknowledged.
        """
        report = self._link.report()
        if report.failure is not None:
            raise ArmFault(report.failure)
        if report.halt is not None and report.halt.number > 0:
            raise ArmHeld(f"the arm is held: {report.halt.text}")

    def _lateness(self, began_s: float) -> tuple[Reason, ...]:
        age_s, limit_s = began_s - self._observed_s, self._control.reply_deadline_s
        if age_s <= limit_s:
            return ()
        text = f"the action came {age_s:.3f} s after its observation, over the deadline of {limit_s:.3f} s: not done"
        return (Reason(Code.LATE_COMMAND, "action", age_s, limit_s, text),)

    def _unpermitted(self) -> tuple[Reason, ...]:
        """Asked before anything is sent, so that an arm which is held does not move for a moment on every step."""
        reason = None if self.permit is None else self.permit()
        return () if reason is None else (reason,)

    def _stand_still(self, reasons: tuple[Reason, ...], here: Setpoint) -> None:
        """Hold for a control step, listening."""
        self._link.note(reasons, "step")
        self._link.carry_out(np.zeros_like(here.positions), here.gripper_m, self._num_commands, stands_still=True)

    def _move(self, action: Float32[np.ndarray, " action_dim"]) -> None:
        """Carry out an action, in equal steps, one a command period; in doubt a part of it, or nothing.

        Each step is one from where the arm was last led to. A step that the envelope shortens is not made up for, so
        the arm never hurries; the policy sees where it got to.
        """
        report = self._link.look()
        here = report.reference
        target, reasons = self._motion.target(action, here)
        doubts = self._doubts.look(Way(action, here.positions, target.positions, reasons))
        reasons = (*reasons, *(doubt.reason for doubt in doubts))
        pace = min((doubt.pace for doubt in doubts), default=1.0)
        neighbour = self._reservation.objection(report.state.positions, target.positions)
        reasons = reasons if neighbour is None else (*reasons, neighbour)
        if pace == 0 or neighbour is not None:
            self._stand_still(reasons, here)
            return
        self._link.note(reasons, "step")
        increment = pace * (target.positions - here.positions) / self._num_commands
        self._link.carry_out(increment, target.gripper_m, self._num_commands)

    # ------------------------------------------------------------------ seeing

    def _observe(self) -> Observation:
        report = self._link.look()
        self._reservation.stay(report.state.positions, report.reference.positions)
        try:
            sight = self._cameras.look()
        except ObservationError:
            self._link.hold()
            raise
        self._blind, self._skew_s = sight.reasons, sight.skew_s
        self._observed_s = self._clock.now()
        fresh = sight.fresh | ({"proprioception"} if report.is_trusted else set())
        proprioception = self._motion.proprioception(report.state)
        return Observation(sight.images, proprioception, self._instruction, self._policy_time(), fresh)

    def _policy_time(self) -> float:
        """When this was observed, by a clock that goes as fast as the policy's world."""
        return self._policy_since_s + self._speed * (self._observed_s - self._speed_since_s)

    def _transition(self, applied: Float32[np.ndarray, " action_dim"]) -> Transition:
        observation = self._observe()
        is_done = self._robot.is_done is not None and self._robot.is_done()
        # A step's own length is not held against the clock's last bit.
        is_over = self.acted_s > self._duration_s - 0.5 * self._period_s
        return Transition(observation, applied, terminated=is_done, truncated=is_over and not is_done, success=is_done)

    def _report(
        self,
        began_s: float,
        asked: Float32[np.ndarray, " asked"],
        applied: Float32[np.ndarray, " action_dim"],
        after: ArmReport,
        overruns: int,
    ) -> None:
        reasons, notes = self._link.take_reasons()
        if self.on_step is not None:
            report = StepReport(
                index=self._index,
                observed_s=self._observed_s,
                began_s=began_s,
                asked=asked,
                applied=applied,
                command=after.command,
                mode=after.mode,
                reasons=reasons,
                notes=notes,
                overruns=overruns,
                camera_skew_s=self._skew_s,
            )
            self.on_step(report)


def envelope_of(robot: Robot, envelope: EnvelopeConfig) -> Envelope:
    """The envelope that a robot's arm stands behind.

    Raises:
        ConfigError: naming what limits nothing, or cannot be watched.
    """
    limits = limits_of(robot.arm.spec, envelope)
    if envelope.acceleration_factor > 1 and not robot.is_simulated:
        name, factor = robot.arm.spec.name, envelope.acceleration_factor
        raise ConfigError(
            f"envelope.acceleration_factor is at most 1 for {name}, which is no simulated arm; got {factor}"
        )
    return Envelope(limits, lambda positions: robot.kinematics.forward(positions)[:3], _nearness(robot, envelope))


def in_process(
    robot: Robot, clock: Clock, guard: Envelope, control: ControlConfig, watched: tuple[Watched, ...] = ()
) -> InProcessLink:
    """A link to the robot's arm, ticked in this process."""
    trips = TripLog()
    runner = ArmRunner(
        robot.arm,
        clock,
        guard,
        control.guard,
        trips,
        watched=watched,
        overruns_to_hold=control.overruns_to_hold,
        overruns_to_slow=control.overruns_to_slow,
        slow_for_s=control.slow_for_s,
    )
    return InProcessLink(runner, clock, 1.0 / robot.arm.spec.rate_hz, trips)


def _nearness(robot: Robot, envelope: EnvelopeConfig) -> Callable[[Float64[np.ndarray, " joints"]], Nearness] | None:
    """How near the robot's arm comes to itself and to the obstacles, where its shapes are known.

    Raises:
        ConfigError: if there are obstacles, and they are not.
    """
    if robot.arm_model is not None:
        return ArmClearance(robot.arm_model, envelope.obstacles).at
    if envelope.obstacles:
        raise ConfigError("envelope.obstacles cannot be watched: the robot names no model of its arm (Robot.arm_model)")
    return None


def _conditioning(robot: Robot) -> Conditioning | None:
    """How singular a posture of the robot's arm is, where its shapes are known."""
    return None if robot.arm_model is None else ArmKinematics(robot.arm_model).conditioning


def commands_per_step(robot: Robot) -> int:
    """How many commands the arm takes in one control step.

    Raises:
        ConfigError: if that is not a whole number.
    """
    rate_hz, control_hz = robot.arm.spec.rate_hz, robot.embodiment.control_hz
    commands = round(rate_hz / control_hz)
    if commands < 1 or abs(rate_hz / control_hz - commands) > 1e-6:
        raise ConfigError(
            f"control at {control_hz:g} Hz needs an arm whose rate is a multiple of it; "
            f"{robot.arm.spec.name} takes {rate_hz:g} commands a second ({rate_hz / control_hz:.2f} a step)"
        )
    return commands


def _check_control(control: ControlConfig, duration_s: float) -> None:
    names = ("camera_age_s", "frozen_frames", "camera_skew_s", "reply_deadline_s", "server_silence_s")
    for name in (*names, "overruns_to_slow", "slow_for_s", "overruns_to_hold"):
        require_positive(f"control.{name}", float(getattr(control, name)))
    require_positive("seconds", duration_s)


def _instruction(spec: EpisodeSpec) -> str:
    if spec.instruction is None or not spec.instruction.strip():
        raise ConfigError("an arm is told what to do in words: give the episode an instruction")
    return spec.instruction
