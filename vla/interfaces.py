"""The words everyone speaks: what is seen, what is done, and who does it.

    Environment ── Observation ──► Policy ── ActionChunk ──► chunk execution ── action ──► Environment
         └──────────────────────── recorded as an Episode ────────────────────────┘

Images are uint8 RGB, height x width x 3. Numbers are SI: m, rad, s. Times are from a monotonic clock.
This module loads NumPy and nothing heavier.
"""

from __future__ import annotations

import dataclasses
import enum
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64, UInt8

from vla.embodiment import Embodiment
from vla.errors import ActionError, ObservationError
from vla.normalization import Statistics

# --------------------------------------------------------------------------- what is seen and done


@dataclasses.dataclass(frozen=True, slots=True)
class Observation:
    """All that a policy gets at one control step."""

    images: Mapping[str, UInt8[np.ndarray, "height width 3"]]
    """By camera name."""
    proprioception: Float32[np.ndarray, " state_dim"]
    instruction: str
    time_s: float
    """When it was captured."""
    fresh: frozenset[str]
    """The camera names, and `proprioception`, that were read anew since the observation before."""
    past: tuple[Mapping[str, UInt8[np.ndarray, "_ _ 3"]], ...] | None = None
    """The images of the control steps before, oldest first; fewer where the episode has just begun, and more than a
    policy sees do no harm. `None` where nobody keeps them: a policy that sees the present alone asks for none."""


@dataclasses.dataclass(frozen=True, slots=True)
class ActionChunk:
    """The next `horizon` actions, in physical units."""

    actions: Float32[np.ndarray, "horizon action_dim"]
    start_s: float
    """The time the first action is for."""
    valid_s: float
    """How long after `start_s` the chunk may be acted upon."""


@dataclasses.dataclass(frozen=True)
class Episode:
    """One attempt, from reset to end. Row `t` of every array belongs to the same control step."""

    embodiment: Embodiment
    images: Mapping[str, UInt8[np.ndarray, "steps height width 3"]]
    proprioception: Float32[np.ndarray, "steps state_dim"]
    actions: Float32[np.ndarray, "steps action_dim"]
    """The action that was really applied after observation `t`."""
    times_s: Float64[np.ndarray, " steps"]
    instruction: str
    task: str
    success: bool
    seed: int
    source: str
    """Who acted: `scripted`, `policy:NAME`, `teleoperation`, ..."""
    licence: str
    labels: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    """For training only, never shown to a policy; each array has `steps` rows. Known names:

    `lookahead`  float32 (steps, horizon, action_dim): what the noise-free expert would do from here.
    `target`, `destination`  float32 (steps, 2): the image point (u right, v down, each in 0..1) of the
        object to act on and of the place to bring it to, in the first camera; NaN where there is none.
    `human`  uint8 (steps,): 1 where a human acted, 0 where the policy did.
    `policy_action`  float32 (steps, action_dim): what a policy that was only asked would have done.
    """

    @property
    def num_steps(self) -> int:
        return len(self.actions)


def beginning_with(
    chunks: Sequence[ActionChunk], committed: Sequence[Float32[np.ndarray, "_ action_dim"] | None] | None
) -> list[ActionChunk]:
    """The chunks with their first actions replaced by the committed ones: for policies that plan nothing ahead."""
    return [
        chunk
        if first is None
        else dataclasses.replace(chunk, actions=np.concatenate([first, chunk.actions[len(first) :]]))
        for chunk, first in zip(chunks, committed or itertools.repeat(None), strict=False)
    ]


def check_observation(observation: Observation, embodiment: Embodiment) -> None:
    """Return if the observation is what the embodiment promises.

    Raises:
        ObservationError: naming the camera or array and the mismatch.
    """
    for images in (observation.images, *(observation.past or ())):
        _check_images(images, embodiment)
    check_proprioception(observation, embodiment)


def _check_images(images: Mapping[str, np.ndarray], embodiment: Embodiment) -> None:
    for camera in embodiment.cameras:
        image = images.get(camera.name)
        if image is None:
            present = ", ".join(sorted(images)) or "none"
            raise ObservationError(
                f"the observation lacks camera '{camera.name}' of {embodiment.name}; it has: {present}"
            )
        expected = (camera.height, camera.width, 3)
        if image.shape != expected or image.dtype != np.uint8:
            raise ObservationError(
                f"camera '{camera.name}' of {embodiment.name} gives uint8 {expected}, got {image.dtype} {image.shape}"
            )


def check_proprioception(observation: Observation, embodiment: Embodiment) -> None:
    """Return if what is measured is finite and of the embodiment's shape; pictures are not looked at.

    Raises:
        ObservationError: naming the mismatch, or the fields that are not finite.
    """
    state = observation.proprioception
    if state.shape != (embodiment.state_dim,) or state.dtype != np.float32:
        raise ObservationError(
            f"proprioception of {embodiment.name} is float32 ({embodiment.state_dim},), got {state.dtype} {state.shape}"
        )
    if not np.isfinite(state).all():
        names = itertools.compress((field.name for field in embodiment.proprioception), ~np.isfinite(state))
        raise ObservationError(f"proprioception of {embodiment.name} is not finite: {', '.join(names)}")


def check_chunk(chunk: ActionChunk, embodiment: Embodiment, horizon: int) -> None:
    """Return if the chunk is finite and has the shape that was declared.

    Raises:
        ActionError: naming the mismatch.
    """
    expected = (horizon, embodiment.action_dim)
    if chunk.actions.shape != expected or chunk.actions.dtype != np.float32:
        raise ActionError(f"expected a float32 {expected} chunk, got {chunk.actions.dtype} {chunk.actions.shape}")
    if not np.isfinite(chunk.actions).all():
        step, field = np.argwhere(~np.isfinite(chunk.actions))[0]
        raise ActionError(f"the action chunk is not finite: '{embodiment.action[field].name}' at step {step}")


# --------------------------------------------------------------------------- who does it


@runtime_checkable
class Policy(Protocol):
    """Anything that turns observations into action chunks, for many episodes at once.

    An episode lives in a *slot*, a small integer. What a policy does in an episode depends on that episode's
    seed and observations alone: not on the slot, nor on the other slots, nor on how many there are.
    """

    @property
    def embodiment(self) -> Embodiment: ...

    @property
    def horizon(self) -> int:
        """Actions predicted at once."""
        ...

    def reset(self, seeds: Sequence[int], slots: Sequence[int] | None = None) -> None:
        """Begin an episode with `seeds[i]` in slot `slots[i]` (slots 0, 1, 2, ... if not given)."""
        ...

    def predict(
        self,
        observations: Sequence[Observation],
        slots: Sequence[int] | None = None,
        committed: Sequence[Float32[np.ndarray, "_ action_dim"] | None] | None = None,
    ) -> list[ActionChunk]:
        """One chunk for each observation; `observations[i]` was made in slot `slots[i]`.

        Args:
            committed: actions that will be carried out before the chunk can take over, from the observation on:
                each chunk begins with exactly these.

        Raises:
            ObservationError: if an observation is not what the embodiment promises.
        """
        ...


@runtime_checkable
class Trained(Protocol):
    """A policy that knows what it was trained on."""

    @property
    def state_statistics(self) -> Statistics | None:
        """Of the numbers of proprioception in its training; None for a policy that was not trained."""
        ...


class TemplateSet(enum.Enum):
    """Which wordings of an instruction are used."""

    TRAINING = "training"
    HELD_OUT = "held_out"


class InstructionKind(enum.Enum):
    """What the robot is told."""

    OWN = "own"
    """To do the task that is scored."""
    WRONG = "wrong"
    """To do another task in the same scene, while the original is scored: a control."""


@dataclasses.dataclass(frozen=True, slots=True)
class EpisodeSpec:
    """Which episode to begin: all that its outcome depends on, besides the policy."""

    task: str
    seed: int
    templates: TemplateSet = TemplateSet.TRAINING
    instruction_kind: InstructionKind = InstructionKind.OWN
    instruction: str | None = None
    """Words to use in place of a template's."""


@dataclasses.dataclass(frozen=True, slots=True)
class Transition:
    """What came of one control step."""

    observation: Observation
    applied: Float32[np.ndarray, " action_dim"]
    """The action that was really applied."""
    terminated: bool
    """The task is over: achieved, or beyond recovery."""
    truncated: bool
    """The time is over."""
    success: bool


@runtime_checkable
class Environment(Protocol):
    """A place where one episode at a time happens: a simulated world, or a lab arm behind its envelope."""

    @property
    def embodiment(self) -> Embodiment: ...

    def reset(self, spec: EpisodeSpec) -> Observation: ...

    def step(self, action: Float32[np.ndarray, " action_dim"]) -> Transition:
        """Apply one action for one control step.

        Raises:
            ActionError: if the action is not finite or has the wrong shape.
        """
        ...

    def close(self) -> None: ...


@runtime_checkable
class Clock(Protocol):
    """Real time, or virtual time in which a minute passes in milliseconds."""

    def now(self) -> float:
        """Seconds, monotonic."""
        ...

    def sleep_until(self, time_s: float) -> None: ...


# --------------------------------------------------------------------------- arms and cameras


class ArmMode(enum.Enum):
    """`connect → configure → arm → run ⇄ hold → fault (latched) → acknowledge → configured`."""

    DISCONNECTED = "disconnected"
    CONNECTED = "connected"
    CONFIGURED = "configured"
    ARMED = "armed"
    RUNNING = "running"
    HOLD = "hold"
    FAULT = "fault"


@dataclasses.dataclass(frozen=True)
class ArmSpec:
    """What an arm is, as its driver reports it."""

    name: str
    joints: tuple[str, ...]
    position_low: Float64[np.ndarray, " joints"]
    """rad"""
    position_high: Float64[np.ndarray, " joints"]
    """rad"""
    max_speed: Float64[np.ndarray, " joints"]
    """rad/s"""
    gripper_low_m: float
    """Opening when closed."""
    gripper_high_m: float
    """Opening when open."""
    rate_hz: float
    """How often a command may be written."""
    max_acceleration: Float64[np.ndarray, " joints"] | None = None
    """rad/s^2; None where nobody publishes it: commands then take a quarter of a second to come to full speed."""
    max_jerk: Float64[np.ndarray, " joints"] | None = None
    """rad/s^3; None where nobody publishes it: commands then take 20 ms to come to full acceleration."""


@dataclasses.dataclass(frozen=True)
class ArmState:
    """One reading of an arm."""

    positions: Float64[np.ndarray, " joints"]
    """rad, measured"""
    velocities: Float64[np.ndarray, " joints"]
    """rad/s, measured"""
    gripper_m: float
    commanded: Float64[np.ndarray, " joints"]
    """rad, the last command that was accepted: limiters measure from here"""
    commanded_gripper_m: float
    time_s: float
    """When the host received it, by the host's monotonic clock."""
    device_time_s: float
    """When the device made it, by the device's own clock."""
    sequence: int
    """Advances with every new reading of the device."""
    mode: ArmMode
    fresh: bool
    """Whether the device's clock has advanced since the reading before."""
    fault: str | None = None


@dataclasses.dataclass(frozen=True)
class ArmCommand:
    """Joint positions to have one command period from now."""

    positions: Float64[np.ndarray, " joints"]
    """rad"""
    gripper_m: float
    sequence: int
    valid_until_s: float
    """By the host's monotonic clock; a later arrival is refused."""


@dataclasses.dataclass(frozen=True)
class Applied:
    """What an arm, or the envelope before it, made of a command."""

    positions: Float64[np.ndarray, " joints"]
    gripper_m: float
    reasons: tuple[str, ...] = ()
    """Why it is not what was asked for, one sentence each; empty if it is."""


@runtime_checkable
class Arm(Protocol):
    """One arm and its gripper. Nothing here is safety-rated: the arm's own stop stays in the operator's hand."""

    @property
    def spec(self) -> ArmSpec: ...

    @property
    def mode(self) -> ArmMode: ...

    def connect(self) -> None:
        """Open the wire; no torque changes."""
        ...

    def configure(self) -> None: ...

    def arm(self) -> None:
        """Enable torque; the command starts from the last commanded, else the measured, position."""
        ...

    def run(self) -> None:
        """Accept commands from now on."""
        ...

    def read(self) -> ArmState: ...

    def write(self, command: ArmCommand) -> Applied:
        """Send one command.

        Raises:
            ArmFault: if a fault is latched.
            ArmError: if the arm is not running, or the command is stale or out of order.
        """
        ...

    def hold(self) -> None:
        """Stay where commanded; from running only."""
        ...

    def fault(self, reason: str) -> None:
        """Latch a fault: hold, and refuse all else until it is acknowledged."""
        ...

    def acknowledge(self, reason: str) -> None:
        """Clear the latched fault.

        Raises:
            ArmError: if `reason` is not the fault that is latched.
        """
        ...

    def close(self) -> None:
        """Close the wire; torque stays as it is."""
        ...


@dataclasses.dataclass(frozen=True)
class CameraFrame:
    """One picture."""

    image: UInt8[np.ndarray, "height width 3"]
    time_s: float
    """Of exposure, by the host's monotonic clock."""
    sequence: int


@runtime_checkable
class Camera(Protocol):
    """A source of pictures."""

    @property
    def name(self) -> str: ...

    def read(self) -> CameraFrame: ...

    def close(self) -> None: ...


@runtime_checkable
class Kinematics(Protocol):
    """An arm whose gripper points down. Poses are x, y, z (m) and yaw (rad) of the tool in the base frame."""

    def forward(self, positions: Float64[np.ndarray, " joints"]) -> Float64[np.ndarray, " 4"]:
        """The pose at these joint positions (rad)."""
        ...

    def inverse(
        self, pose: Float64[np.ndarray, " 4"], start: Float64[np.ndarray, " joints"]
    ) -> Float64[np.ndarray, " joints"]:
        """Joint positions at or near the pose, searched for from `start`."""
        ...


@runtime_checkable
class Twin(Protocol):
    """A simulated robot's world, that another process can have a likeness of: its cameras, and whether it is done."""

    def save(self) -> Float64[np.ndarray, " numbers"]:
        """How it is now; as many numbers every time."""
        ...

    def show(self, numbers: Float64[np.ndarray, " numbers"]) -> None:
        """Be as another was when it was saved, and change from now on only by being shown."""
        ...


@dataclasses.dataclass(frozen=True)
class Robot:
    """An arm, its cameras, and what they are together: what an entry point of the group `vla.robots` makes.

    The entry point is a function `make_robot(clock, *, instruction, seed, **options) -> Robot`.
    """

    arm: Arm
    cameras: tuple[Camera, ...]
    embodiment: Embodiment
    kinematics: Kinematics
    arm_model: str | None = None
    """One of `vla.kinematics.ARMS`, whose shapes it has: where one is named, the envelope watches how near it comes to
    itself and to obstacles."""
    is_done: Callable[[], bool] | None = None
    """Whether the task is achieved, as someone other than the policy knows: a simulator, an operator's key.
    For the report, and to end an episode; a policy never sees it."""
    is_simulated: bool = False
    """Whether it lives by whatever clock it was made with; hardware lives by real time alone."""
    twin: Twin | None = None
    """Its world, where it is simulated and a likeness of it can be shown in another process."""
    opens_late: bool = False
    """Whether making it opens nothing: the wire opens at `connect`, a camera at its first picture. Such a robot can be
    made in two processes, one of which has the arm and the other the cameras."""


# --------------------------------------------------------------------------- action tokens


@dataclasses.dataclass(frozen=True)
class Grammar:
    """A table-driven automaton over action tokens: in every state, which ids may come next.

    Every sequence that starts in state 0, takes only allowed ids and ends in an accepting state decodes to exactly
    one finite chunk. Every state that can be reached can reach an accepting one.
    """

    next_state: np.ndarray
    """int32 (states, vocabulary): the state after an id; -1 where the id is not allowed."""
    accepting: Bool[np.ndarray, " states"]
    """Where a sequence may end."""
    max_tokens: int
    """No accepted sequence is longer."""

    @property
    def allowed(self) -> Bool[np.ndarray, "states vocabulary"]:
        return self.next_state >= 0


PADDING_ID = -1
"""Stands behind the last token of a sequence, and in forced tokens where nothing is forced."""


@runtime_checkable
class ActionTokenizer(Protocol):
    """Action chunks to token ids and back; decoding is total on what the grammar allows."""

    @property
    def name(self) -> str:
        """Which kind it is: `bins`, `fast`, ..."""
        ...

    @property
    def vocabulary_size(self) -> int: ...

    @property
    def horizon(self) -> int: ...

    @property
    def action_dim(self) -> int: ...

    @property
    def max_tokens(self) -> int:
        """No chunk takes more tokens."""
        ...

    @property
    def is_ordered(self) -> bool:
        """Whether neighbouring ids stand for neighbouring actions, so that a median of ids means something."""
        ...

    def encode(self, actions: Float32[np.ndarray, "horizon action_dim"]) -> list[int]:
        """The ids that stand for the chunk.

        Raises:
            ActionError: if the chunk is not finite, or of another shape.
        """
        ...

    def encode_batch(
        self, chunks: Float32[np.ndarray, "batch horizon action_dim"]
    ) -> Int64[np.ndarray, "batch tokens"]:
        """The ids of many chunks, each padded with -1 to `max_tokens`."""
        ...

    def decode(self, ids: Sequence[int]) -> Float32[np.ndarray, "horizon action_dim"]:
        """The chunk that the ids stand for.

        Raises:
            ActionError: if the grammar does not allow the ids.
        """
        ...

    def decode_batch(self, ids: Int64[np.ndarray, "batch tokens"]) -> Float32[np.ndarray, "batch horizon action_dim"]:
        """The chunks of many sequences, each padded with -1 to `max_tokens`."""
        ...

    def num_committed(self, steps: int) -> int:
        """How many first ids are known when the first `steps` actions are: 0 where each id stands for all of them."""
        ...

    def decode_committed(
        self, ids: Int64[np.ndarray, "batch tokens"], committed: Sequence[Float32[np.ndarray, "_ action_dim"]]
    ) -> Float32[np.ndarray, "batch horizon action_dim"]:
        """The chunks of ids, each beginning with exactly the actions committed in its row (none, or up to all)."""
        ...

    def grammar(self) -> Grammar: ...

    def to_json(self) -> dict[str, object]: ...
